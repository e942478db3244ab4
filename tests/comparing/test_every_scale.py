# SPDX-License-Identifier: BSD-3-Clause
"""A comparison of two matrices times a power of two has the same columns, in their units."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import sigmascope as ss

MEASURES = ["update_shares", "update_masks"]

NEAR_ROUNDING = ("projected_top_errors",) if ss.show_config()["vector_bits"] == 512 else ()
"""Columns in whose sixth digit the last bit of a sum shows, if vectors have eight numbers."""

ROUNDING_ALONE = ("projected_quantile_errors", "passes", "read", "seconds")
"""Columns of rounding alone, and of the work, which takes a pass more where units are needed."""

LOGARITHMS = ("alpha_weighted", "log_alpha_norm", "alpha_x_min")
"""Columns that have a logarithm in them, or a unit of their own."""


def tuned(seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a matrix of noise, and the same with a change of rank 2 and some noise."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((40, 24))
    update = rng.standard_normal((40, 2)) @ rng.standard_normal((2, 24))
    return A, A + 0.1 * update + 1e-3 * rng.standard_normal(A.shape)


def turned(seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a matrix of small integers, and its rows in reverse order."""
    A = np.rint(12 * np.random.default_rng(seed).standard_normal((40, 24)))
    return A, A[::-1].copy()


def row_of(pair: tuple[NDArray[np.float64], NDArray[np.float64]], exponent: int) -> dict[str, Any]:
    before, after = ({"w": np.ldexp(side, exponent)} for side in pair)
    row: dict[str, Any] = ss.compare(before, after, k=4, measures=MEASURES).rows[0]
    return row


def is_same(value: Any, scaled: Any, exponent: int, rtol: float) -> bool:
    """Return whether a value is the other one times the power of two to the power 0, 1 or 2."""
    if scaled is None or isinstance(value, bool):
        return value is scaled
    one, other = np.asarray(value, np.float64), np.asarray(scaled, np.float64)
    if one.shape != other.shape:
        return False
    with np.errstate(over="ignore", under="ignore"):
        unscaled = [np.ldexp(other, -power * exponent) for power in (0, 1, 2)]
    return any(np.allclose(one, x, rtol=rtol, atol=0, equal_nan=True) for x in unscaled)


@pytest.mark.parametrize("exponent", [-900, -300, -160, 140, 247, 300, 600, 900])
@pytest.mark.parametrize("make", [tuned, turned])
def test_columns_are_those_of_the_matrices_themselves(make: Any, exponent: int) -> None:
    """Squares of the norms, and their products, leave the range of float64 at many powers."""
    pair = make(5)
    row, scaled = row_of(pair, 0), row_of(pair, exponent)
    assert scaled["status"] == row["status"] == "analysed", scaled["reason"]
    numbers = [
        name
        for name, value in row.items()
        if isinstance(value, bool | int | float | list)
        and not name.startswith(ROUNDING_ALONE)
        and not any(logarithm in name for logarithm in LOGARITHMS)
    ]
    assert len(numbers) > 150
    wrong = {
        name: (row[name], scaled[name])
        for name in numbers
        if not is_same(row[name], scaled[name], exponent, 1e-5 if name in NEAR_ROUNDING else 1e-6)
    }
    assert not wrong


@pytest.mark.parametrize(("one", "other"), [(-600, 600), (600, -600), (0, 600), (-600, 0)])
def test_matrices_without_a_common_unit_are_refused(one: int, other: int) -> None:
    """The square of the smaller norm would be 0 beside the larger one, and the matrix a zero."""
    pair = ({"w": np.ldexp(np.eye(3), exponent)} for exponent in (one, other))
    row = ss.compare(*pair, k=1).rows[0]
    assert row["status"] == "failed"
    assert re.fullmatch(r"norms \S+ and \S+ differ too much .*", row["reason"])
