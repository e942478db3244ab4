# SPDX-License-Identifier: BSD-3-Clause
"""Moments by NumPy in long double, and matrices that are hard on sums of powers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sigmascope.results import Moments


def check(seen: Moments, numbers: NDArray[Any], rtol: float = 1e-13) -> None:
    """Every field, over the finite entries; shape statistics to rtol of their own scale."""
    A = numbers.astype(np.float64)
    finite = np.isfinite(A)
    values = A[finite]
    assert seen.shape == A.shape
    assert seen.count == values.size
    assert seen.zeros == np.sum(values == 0)
    assert seen.nan == np.sum(np.isnan(A))
    assert seen.inf == np.sum(np.isinf(A))
    bad = np.argwhere(~finite)
    assert seen.first_nonfinite == (tuple(bad[0]) if len(bad) else None)
    zeroed = np.where(finite, A, 0.0)
    np.testing.assert_allclose(seen.row_norms, np.linalg.norm(zeroed, axis=1), rtol=rtol)
    np.testing.assert_allclose(seen.column_norms, np.linalg.norm(zeroed, axis=0), rtol=rtol)
    scale = float(np.max(np.abs(zeroed), initial=np.finfo(float).tiny))
    squares = math.fsum(np.square(zeroed / scale).ravel())
    assert seen.fro_norm == pytest.approx(scale * math.sqrt(squares), rel=rtol)
    if values.size == 0:
        assert (seen.min, seen.max, seen.abs_max, seen.mean) == (0.0, 0.0, 0.0, 0.0)
        return
    assert (seen.min, seen.max) == (values.min(), values.max())
    assert seen.abs_max == np.abs(values).max()
    assert seen.mean == pytest.approx(values.mean(), rel=rtol, abs=rtol * np.abs(values).max())
    # the oracle works on what is exactly centred; longdouble where the mean is far away
    centred = values.astype(np.longdouble) - values.astype(np.longdouble).mean()
    variance = np.mean(centred**2)
    assert seen.std == pytest.approx(float(np.sqrt(variance)), rel=rtol)
    if variance == 0:
        assert (seen.skewness, seen.kurtosis) == (0.0, 0.0)
        return
    size = float(np.mean(np.abs(centred) ** 3) / variance**1.5)
    assert seen.skewness == pytest.approx(
        float(np.mean(centred**3) / variance**1.5), abs=100 * rtol * size
    )
    assert seen.kurtosis == pytest.approx(float(np.mean(centred**4) / variance**2), rel=100 * rtol)


def adversary(name: str, rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return numbers that are hard on sums of powers: cancellation, and both ends of float32."""
    noise = rng.standard_normal(shape)
    return {
        "far mean": lambda: 1e4 + noise,
        "mean of many sizes": lambda: np.geomspace(1e-3, 1e3, shape[0])[:, None] + noise,
        "mean at the threshold": lambda: np.sqrt(7.0) + noise,
        "uniform": lambda: rng.random(shape),
        "subnormal": lambda: 1e-39 * noise,
        "near overflow": lambda: 3e38 * (2 * rng.random(shape) - 1),
        "tail": lambda: np.clip(rng.standard_cauchy(shape), -1e12, 1e12),
        "one outlier": lambda: np.where(np.arange(noise.size).reshape(shape) == 17, 1e6, noise),
        "zeros": lambda: np.zeros(shape),
        "constant": lambda: np.full(shape, 0.1),
        "negative": lambda: -np.abs(noise) - 1e-3,
        "zeros of both signs": lambda: np.copysign(0.0, noise),
    }[name]()


ADVERSARIES = (
    "far mean", "mean of many sizes", "mean at the threshold", "uniform", "subnormal",
    "near overflow", "tail", "one outlier", "zeros", "constant", "negative", "zeros of both signs",
)  # fmt: skip
