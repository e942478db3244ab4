# SPDX-License-Identifier: BSD-3-Clause
"""Rounding of a change: how much of it a format keeps, in closed form.

With x = change / spacing and W on the grid, the stored change is rint(x) spacings. For x from
N(0, tau^2), Stein's identity and Poisson's summation give the moments of rint(x).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, erfc, exp, pi, sqrt
from typing import NamedTuple

import numpy as np

from .number_formats import NumberFormat, Reals

Binade = tuple[int, bool]


class Survival(NamedTuple):
    """Expected remains of a change after rounding.

    Attributes
    ----------
    survived
        <change, stored change> / ||change||^2.
    changed
        Part of the numbers that change.
    error
        ||stored change - change|| / ||change||.
    """

    survived: float
    changed: float
    error: float


def tail(x: float) -> float:
    """Return the probability that a standard normal number exceeds x."""
    return erfc(x / sqrt(2)) / 2


def remains(tau: float) -> tuple[float, float, float]:
    """Return E[x rint x] / tau^2, P(rint x != 0) and E[(rint x)^2] / tau^2 for x from N(0, tau^2).

    tau is the standard deviation of the change in spacings of the format.
    """
    if tau <= 0:
        return 0.0, 0.0, 0.0
    changed = 2 * tail(1 / (2 * tau))
    if tau > 8:  # the sums differ from these by less than exp(-1000)
        return 1.0, changed, 1 + 1 / (12 * tau * tau)
    steps = range(ceil(40 * tau) + 1)
    density = sum(exp(-(((j + 0.5) / tau) ** 2) / 2) for j in steps) / sqrt(2 * pi)
    power = sum((2 * j + 1) * 2 * tail((j + 0.5) / tau) for j in steps)
    return 2 / tau * density, changed, power / tau**2


_BIAS = 1022
"""The biased exponent of float64 for numbers in [1/2, 1)."""


def add_binades(binades: dict[Binade, tuple[int, float]], base: Reals, change: Reals) -> None:
    """Count finite weights by binades, and add the squares of their changes.

    See :func:`expected_survival`.
    """
    bits = base.view(np.int64)
    classes = (bits >> 51) & 0xFFE  # twice the biased exponent
    classes += bits & 0xF_FFFF_FFFF_FFFF == 0
    counts = np.bincount(classes)
    squares = np.bincount(classes, weights=change * change)
    for each in np.flatnonzero(counts):
        binade = int(each) // 2 - _BIAS, bool(each % 2)
        number, total = binades.get(binade, (0, 0.0))
        binades[binade] = number + int(counts[each]), total + float(squares[each])


def expected_survival(
    binades: Mapping[Binade, tuple[int, float]], number_format: NumberFormat
) -> Survival:
    """Return what is expected to remain of a change, from the binades of the weights.

    Parameters
    ----------
    binades
        For each exponent e of weights in [2^(e-1), 2^e), and whether they are the power of two at
        its end: their count, and the sum of the squares of their changes. In each of these classes
        the changes are taken as normally distributed.
    number_format
        The format in which weights and sums are stored.
    """
    kept = moved = power = total = 0.0
    count = sum(number for number, _ in binades.values())
    for (exponent, is_power), (number, squares) in binades.items():
        if not number or squares <= 0:
            continue
        size = sqrt(squares / number)
        spacing = 2.0 ** max(exponent - number_format.digits, number_format.least)
        # Towards zero, the neighbours of a power of two are half as far apart.
        below = max(spacing / 2, 2.0**number_format.least) if is_power else spacing
        sides = zip(remains(size / spacing), remains(size / below), strict=True)
        survived, changed, stored = ((one + other) / 2 for one, other in sides)
        kept += squares * survived
        power += squares * stored
        moved += number * changed
        total += squares
    if not total:
        return Survival(0.0, 0.0, 0.0)
    survived = kept / total
    return Survival(survived, moved / count, sqrt(max(power / total - 2 * survived + 1, 0.0)))
