# SPDX-License-Identifier: BSD-3-Clause
"""Linear programs in a box of few unknowns, with bounds that do not rest on the solver.

SciPy's HiGHS (Huangfu and Hall, 2018) solves the programs; its multipliers are then used for a
bound that holds whatever they are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .number_formats import Reals

TOLERANCE = 1e-10
"""Feasibility that the solver is asked for, of rows and a box of size 1."""

WIDENED = 1e-9
"""Each bound is moved outwards by this part of the box, for the rounding of rows of size 1."""


class Rows(NamedTuple):
    """Rows a z <= g over z in [-1, 1]^k, each scaled so that the sum of its |a_i| is 1.

    `places` has the index of the number of each row.
    """

    a: Reals
    g: Reals
    places: NDArray[np.intp]


def least_of(direction: Reals, rows: Rows) -> tuple[float, Reals | None]:
    """Return a lower bound of direction . z, and the solver's z; or None.

    For multipliers v >= 0 of the rows, direction . z >= -v . g - ||direction + v a||_1, whatever
    the solver's tolerance (weak duality).
    """
    solution = _solve(direction, rows)
    if solution.z is None:
        return -float(np.abs(direction).sum()), None
    multipliers = solution.multipliers
    rest = np.abs(direction + multipliers @ rows.a).sum()
    bound = float(-multipliers @ rows.g - rest) - WIDENED * float(np.abs(direction).sum())
    return max(bound, -float(np.abs(direction).sum())), solution.z


def contradiction(rows: Rows) -> tuple[int, ...]:
    """Return the places of rows that multipliers prove to contradict each other; else nothing."""
    if not len(rows.g):
        return ()
    if rows.g.min() < -1 - WIDENED:
        return (int(rows.places[rows.g.argmin()]),)
    count, k = rows.a.shape
    # The least t with a z - g <= t: its multipliers sum to 1.
    wide = Rows(np.hstack([rows.a, -np.ones((count, 1))]), rows.g, rows.places)
    direction = np.append(np.zeros(k), 1.0)
    solution = _solve(direction, wide, lowest=(-1.0,) * k + (-2.0,), highest=(1.0,) * k + (2.0,))
    if solution.z is None:
        return ()
    multipliers = solution.multipliers
    proof = float(-multipliers @ rows.g) - float(np.abs(multipliers @ rows.a).sum())
    if proof <= WIDENED * max(float(multipliers.sum()), 1.0):
        return ()
    used = rows.places[multipliers > 1e-9 * multipliers.max()]
    return tuple(sorted({int(place) for place in used}))


class _Solution(NamedTuple):
    z: Reals | None
    multipliers: Reals


def _solve(
    direction: Reals,
    rows: Rows,
    lowest: tuple[float, ...] | None = None,
    highest: tuple[float, ...] | None = None,
) -> _Solution:
    try:
        from scipy.optimize import linprog
    except ImportError as error:
        raise ImportError(
            "two donors or more need linear programs: pip install 'sigmascope[scipy]'"
        ) from error
    k = len(direction)
    bounds = list(zip(lowest or (-1.0,) * k, highest or (1.0,) * k, strict=True))
    if not len(rows.g):
        return _Solution(-np.sign(direction), np.zeros(0))
    result = linprog(
        direction,
        A_ub=rows.a,
        b_ub=rows.g,
        bounds=bounds,
        method="highs-ds",
        options={
            "primal_feasibility_tolerance": TOLERANCE,
            "dual_feasibility_tolerance": TOLERANCE,
            "presolve": False,
        },
    )
    if result.status != 0:
        return _Solution(None, np.zeros(len(rows.g)))
    multipliers: NDArray[np.float64] = np.maximum(-result.ineqlin.marginals, 0.0)
    return _Solution(np.asarray(result.x), multipliers)
