# SPDX-License-Identifier: BSD-3-Clause
"""Norms of products that cancel: against exact fractions, whatever the exponents."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.analysis_steps import norm_without_rounding

import sigmascope as ss

Array = NDArray[np.float64]


def factor(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Gaussian numbers whose exponents are alike, or vary by entry, or by row; or with zeros."""
    X = rng.standard_normal(shape)
    kind = rng.integers(0, 4)
    if kind == 1:
        X = np.ldexp(X, rng.integers(-1000, 300, shape))
    if kind == 2:
        X = np.ldexp(X, rng.integers(-300, 300, shape[0])[:, None])
    if kind == 3:
        X[rng.random(shape) < 0.5] = 0.0
    return X


def exact(B: Array, A: Array, scale: float) -> Fraction:
    """||scale B A||_F^2."""
    left = [[Fraction(float(x)) for x in row] for row in B]
    right = [[Fraction(float(x)) for x in column] for column in A.T]
    total = sum(
        sum(x * y for x, y in zip(row, column, strict=True)) ** 2
        for row in left
        for column in right
    )
    return Fraction(scale) ** 2 * total


@pytest.mark.parametrize("seed", range(100))
def test_a_norm_is_exact_for_every_range_of_exponents(seed: int) -> None:
    rng = np.random.default_rng(seed)
    m, r, n = (int(rng.integers(1, 9)) for _ in range(3))
    B, A = factor(rng, (m, r)), factor(rng, (r, n))
    if rng.random() < 0.5 and r > 1:  # terms that cancel, exactly or nearly
        h = r // 2
        B[:, h : 2 * h], A[h : 2 * h] = -B[:, :h], A[:h]
        A[h : 2 * h] *= rng.choice((1.0, 1 + 2.0**-40))
    scale = float(rng.uniform(-3, 3))
    square, result = exact(B, A, scale), norm_without_rounding(B, A, scale)
    if square == 0:
        assert result == 0.0
        return
    unit = (square.numerator.bit_length() - square.denominator.bit_length()) // 2
    true = math.sqrt(square / Fraction(4) ** unit)
    if unit > -1000:  # else it is a subnormal number
        assert float(Fraction(result) / Fraction(2) ** unit) == pytest.approx(true, rel=4e-16)


def test_what_is_left_when_large_entries_cancel_is_measured() -> None:
    """1 - 1 + 2^-900: more than any fixed number of bits holds; errors stay finite."""
    B = np.ones((1, 3))
    A = np.array([[1.0, 0.5], [-1.0, -0.5], [2.0**-900, 2.0**-1000]])
    product = ss.LowRank(B, A)
    result = product.spectrum(1, vectors=True)
    norm = math.ldexp(math.hypot(1.0, 2.0**-100), -900)
    assert result["fro_norm"].value == pytest.approx(norm, rel=1e-15)
    assert result.svd is not None
    assert result.svd.s[0] == pytest.approx(norm, abs=float(result.svd.errors[0]))
    for measure in result.measures.values():
        assert math.isfinite(measure.error)
    assert result["concentration_1"].error <= 1.0


@pytest.mark.parametrize("shape", [(60, 200, 20), (200, 20, 60)], ids=str)
def test_small_entries_cost_nothing_where_large_ones_decide(
    shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries down to 2^-1000 have four parts, of which one is enough.

    The entries of both factors are rounded to slices: of one part for 2^-250, too.
    """
    m, r, n = shape
    rng = np.random.default_rng(0)
    B, A = rng.standard_normal((m, r)), rng.standard_normal((r, n))
    wanted = norm_without_rounding(B, A, 1.5)
    rounded, rint = [0], np.rint

    def counted(*arguments: Any, **options: Any) -> Any:
        rounded[0] += 1
        return rint(*arguments, **options)

    monkeypatch.setattr(np, "rint", counted)
    counts = []
    for small in (2.0**-250, 2.0**-1000):
        B[0, 0] = A[0, 0] = small
        rounded[0] = 0
        assert norm_without_rounding(B, A, 1.5) == pytest.approx(wanted, rel=0.01)
        counts.append(rounded[0])
    assert 0 < counts[1] <= 1.2 * counts[0]

    B, A = B[:, :3], A[:3]
    B[:, 2] *= 2.0**-900
    for sign in (1.0, -1.0):  # where the large entries cancel, the small ones decide
        B[:, 1], A[1] = B[:, 0], sign * A[0]
        rounded[0] = 0
        norm_without_rounding(B, A, 1.5)
        counts.append(rounded[0])
    assert counts[3] > 2 * counts[2]
