# SPDX-License-Identifier: BSD-3-Clause
"""Sums over elements of many rows: right where rows repeat, with bits of the matrix alone."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.coverings import grid
from tests.support.tiers import short

import sigmascope as ss

Array = NDArray[Any]
NUMBERS = 1 / 3, 0.7, -1.1
KINDS = [np.float64, np.float32, ml_dtypes.bfloat16]


def equal_rows(rows: int, columns: int, kind: Any) -> tuple[Array, list[Fraction]]:
    """Return rows that repeat, and the numbers of one of them."""
    row = np.array(NUMBERS[:columns]).astype(kind)
    return np.tile(row, (rows, 1)), [Fraction(float(x)) for x in row]


def off(value: float, square: Fraction) -> float:
    """Return how far a root is from that of an exact number, as a share of it."""
    return float((Fraction(float(value)) ** 2 / square - 1) / 2)


@grid(kind=KINDS, columns=[1, 2, 3])
def test_moments_of_equal_rows(kind: Any, columns: int) -> None:
    """In their order groups of 128 rows were off by 1.5e-13, and by more where there are more."""
    rows = 2_000_000
    a, row = equal_rows(rows, columns, kind)
    seen = ss.moments(a, histogram=False)
    mean = sum(row, Fraction(0)) / columns
    second, fourth = (sum((x - mean) ** p for x in row) / columns for p in (2, 4))
    assert abs(off(seen.fro_norm, rows * sum(x * x for x in row))) <= 3e-15
    for norm, x in zip(seen.column_norms, row, strict=True):
        assert abs(off(norm, rows * x * x)) <= 2e-14
    assert abs(Fraction(seen.mean) - mean) <= 4e-15
    if columns > 1:
        assert abs(off(seen.std, second)) <= 4e-14
        assert seen.kurtosis == pytest.approx(float(fourth / second**2), rel=1e-13)


@pytest.mark.parametrize("kind", short(["float32"], {kind.__name__: kind for kind in KINDS}))
def test_changes_of_equal_rows_are_within_their_errors(kind: Any) -> None:
    """Sums in order passed the error that measures of a change state at 8191 rows."""
    for rows in (8191, 100_000):
        a, was = equal_rows(rows, 2, kind)
        b = (a * np.asarray(1.1).astype(kind)).astype(kind)
        pairs = [(x, Fraction(float(y)) - x) for x, y in zip(was, b[0], strict=True)]
        before2, change2 = (sum((x[i] ** 2 for x in pairs), Fraction(0)) for i in (0, 1))
        (row,) = ss.compare({"w": a}, {"w": b}, k=1).rows
        decay = Fraction(row["decay_coefficient"]) - sum(x * d for x, d in pairs) / before2
        assert abs(decay) <= row["decay_coefficient_error"] / 4, rows
        change = row["relative_change"]
        assert abs(off(change, change2 / before2)) * change <= row["relative_change_error"] / 4
        assert row["relative_change_error"] <= 1e-12 * change


def test_no_bit_depends_on_threads_panels_or_files(tmp_path: Path) -> None:
    rows, rng = 2 * 65_536 + 900, np.random.default_rng(1)
    stored = rng.standard_normal((rows, 3)).astype(np.float32)
    path = tmp_path / "whole.bin"
    stored.tofile(path)
    memory, file = ss.matrix(stored), ss.tensor(path, 0, (rows, 3), "f32")
    for turned in (False, True):
        bits = set()
        for a, threads, panel in (
            (memory, 1, None),
            (memory, 5, 777),
            (file, 2, 1000),
            (file, 5, 777),
        ):
            how: dict[str, Any] = {"num_threads": threads, "panel_rows": panel}
            sums = ss.moments(a.T if turned else a, histogram=False, **how)
            assert sums.row_norms is not None
            numbers = sums.mean, sums.std, sums.skewness, sums.kurtosis, sums.fro_norm
            bits.add((*numbers, sums.row_norms.tobytes(), sums.column_norms.tobytes()))
        assert len(bits) == 1


@pytest.mark.parametrize("columns", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_square_of_the_norm_is_the_sum_of_those_of_the_rows(kind: Any, columns: int) -> None:
    """In their order 128 squares that are alike lose up to 30 roundings."""
    a, row = equal_rows(100_000, columns, kind)
    sums = ss.moments(a, histogram=False, num_threads=2)
    assert sums.row_norms is not None
    norm = math.sqrt(sum(x * x for x in row))
    np.testing.assert_allclose(sums.row_norms, norm, rtol=4e-16)
    total = math.sqrt(math.fsum(sums.row_norms**2))
    assert sums.fro_norm == pytest.approx(total, rel=4e-16, abs=0)


def test_sums_of_columns_lose_nothing_between_groups() -> None:
    """Numbers of random signs: what 128 rows lose in their order is nothing in so many groups."""
    stored = np.random.default_rng(2).standard_normal((3 * 65_536 + 5, 2))
    norms = ss.moments(stored, histogram=False, num_threads=2).column_norms
    exact = np.sqrt(np.sum(stored.astype(np.longdouble) ** 2, axis=0))
    np.testing.assert_allclose(norms, exact.astype(np.float64), rtol=2.3e-16)


def test_a_change_far_below_the_numbers_beside_it_is_not_zero() -> None:
    """Numbers of ordinary size in a matrix do not hide that squares of its change underflow."""
    rng = np.random.default_rng(0)
    before = rng.integers(-9, 10, (30, 20)).astype(np.float64)
    before[::2] = 0.0
    after = before.copy()
    after[::2] = 1e-170 * rng.integers(1, 10, (15, 20))
    (row,) = ss.compare({"w": before}, {"w": after}).rows
    changed = 1e-170 * np.linalg.norm((after[::2] - before[::2]) / 1e-170)
    assert row["delta_fro_norm"] == pytest.approx(changed, rel=1e-12, abs=0)
    assert row["relative_change"] == pytest.approx(
        changed / np.linalg.norm(before), rel=1e-12, abs=0
    )
