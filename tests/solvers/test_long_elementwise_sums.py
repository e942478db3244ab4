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

import sigmascope as ss
from sigmascope import _core
from sigmascope.spectra.statistics.pairs import ROUNDING

Array = NDArray[Any]
RUN: dict[str, Any] = {"load_bytes": 0, "progress": None}
NUMBERS = 1 / 3, 0.7, -1.1
KINDS = np.float64, np.float32, ml_dtypes.bfloat16


def equal_rows(rows: int, columns: int, kind: Any) -> tuple[Array, list[Fraction]]:
    """Return rows that repeat, and the numbers of one of them."""
    row = np.array(NUMBERS[:columns]).astype(kind)
    return np.tile(row, (rows, 1)), [Fraction(float(x)) for x in row]


def off(value: float, square: Fraction) -> float:
    """Return how far a root is from that of an exact number, as a share of it."""
    return float((Fraction(float(value)) ** 2 / square - 1) / 2)


@pytest.mark.parametrize("columns", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_moments_of_equal_rows(kind: Any, columns: int) -> None:
    """In their order groups of 128 rows were off by 3e-13 at 4 * 10^6 rows, and by more beyond."""
    rows = 4_000_000
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


@pytest.mark.parametrize("kind", KINDS)
def test_changes_of_equal_rows_are_within_their_errors(kind: Any) -> None:
    """Sums in order passed the error that measures of a change state at 8191 rows."""
    for rows in (8191, 1_000_000):
        a, was = equal_rows(rows, 2, kind)
        b = (a * np.asarray(1.1).astype(kind)).astype(kind)
        after = [Fraction(float(x)) for x in b[0]]
        call = {"threads": 2, "panel_rows": 0, **RUN}
        seen = _core.change(ss.matrix(a)._native, ss.matrix(b)._native, **call)
        pairs = list(zip(was, after, strict=True))
        exact = {
            "before2": rows * sum(x * x for x in was),
            "after2": rows * sum(x * x for x in after),
            "change2": rows * sum((y - x) ** 2 for x, y in pairs),
            "product": rows * sum((y - x) * x for x, y in pairs),
        }
        for name, expected in exact.items():
            share = float(Fraction(float(seen[name])) / expected - 1)
            assert abs(share) <= ROUNDING / 4, (name, rows)


def test_no_bit_depends_on_threads_panels_or_files(tmp_path: Path) -> None:
    rows, rng = 2 * 65_536 + 900, np.random.default_rng(1)
    stored = rng.standard_normal((rows, 3)).astype(np.float32)
    path = tmp_path / "whole.bin"
    stored.tofile(path)
    for turned in (False, True):
        bits = set()
        for a in (ss.matrix(stored), ss.tensor(path, 0, (rows, 3), "f32")):
            for threads, panel in ((1, 0), (2, 1000), (5, 77)):
                native = (a.T if turned else a)._native
                call = {"threads": threads, "panel_rows": panel, **RUN}
                seen = _core.moments(native, histogram=False, **call)
                sums = [seen[name] for name in ("mean", "m2", "m3", "m4", "sum_squares")]
                lines = [seen["row_squares"].tobytes(), seen["column_squares"].tobytes()]
                bits.add((*sums, *lines))
        assert len(bits) == 1


@pytest.mark.parametrize("columns", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_the_square_of_the_norm_is_the_sum_of_those_of_the_rows(kind: Any, columns: int) -> None:
    """In their order 128 squares that are alike lose up to 30 roundings."""
    a, row = equal_rows(100_000, columns, kind)
    call = {"threads": 2, "panel_rows": 0, **RUN}
    seen = _core.moments(ss.matrix(a)._native, histogram=False, **call)
    square = float(sum(x * x for x in row))
    np.testing.assert_allclose(seen["row_squares"], square, rtol=4e-16)
    total = math.fsum(seen["row_squares"])
    assert seen["sum_squares"] == pytest.approx(total, rel=2.3e-16, abs=0)


def test_sums_of_columns_lose_nothing_between_groups() -> None:
    rng = np.random.default_rng(2)
    stored = rng.standard_normal((3 * 65_536 + 5, 2))
    call = {"threads": 2, "panel_rows": 0, **RUN}

    def squares(a: Array) -> Array:
        return _core.moments(ss.matrix(a)._native, histogram=False, **call)["column_squares"]

    groups = [squares(stored[i : i + 128]) for i in range(0, len(stored), 128)]
    expected = [math.fsum(group[j] for group in groups) for j in range(2)]
    np.testing.assert_allclose(squares(stored), expected, rtol=2.3e-16)


def test_a_change_far_below_the_numbers_beside_it_is_no_zero() -> None:
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
