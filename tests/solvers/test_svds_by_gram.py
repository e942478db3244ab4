# SPDX-License-Identifier: BSD-3-Clause
"""svds by the Gram matrix: converged is what was asked for, and what is lost is said to be."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support import known_spectra as ks
from tests.support.coverings import device_grid

import sigmascope as ss
from sigmascope.errors import ConvergenceWarning
from sigmascope.streaming import GramAccumulator

Array = NDArray[np.float64]


def kahan(n: int, angle: float) -> Array:
    s, c = np.sin(angle), np.cos(angle)
    return np.diag(s ** np.arange(n)) @ (np.eye(n) - c * np.triu(np.ones((n, n)), 1))


def blocks(rng: np.random.Generator, *scales: float) -> Array:
    size = 20
    A = np.zeros((size * len(scales), size * len(scales)))
    for i, scale in enumerate(scales):
        part = slice(size * i, size * (i + 1))
        A[part, part] = scale * rng.standard_normal((size, size))
    return A


def an_entry(rng: np.random.Generator, others: float) -> Array:
    A = others * rng.standard_normal((50, 40))
    A[3, 7] = 1.0
    return A


RNG = np.random.default_rng(5)
MATRICES: dict[str, Array] = {
    "spike": np.outer(RNG.standard_normal(60), RNG.standard_normal(50))
    + 1e-8 * RNG.standard_normal((60, 50)),
    "rank 1": np.outer(RNG.standard_normal(60), RNG.standard_normal(50)),
    "rank 5": ks.low_rank(50, 40, rank=5)[0],
    "kahan": kahan(60, 1.2),
    "kahan, steep": kahan(60, 0.5),
    "one entry": an_entry(RNG, 0.0),
    "an outlier": an_entry(RNG, 1e-9),
    "an outlier of noise": an_entry(RNG, 1e-4),
    "blocks": blocks(RNG, 1.0, 1e-8),
    "blocks, many": blocks(RNG, 1.0, 1e-4, 1e-12, 0.0),
    "graded": ks.graded(50, 40, smallest=1e-14)[0],
    "zero": np.zeros((30, 20)),
    "equal": np.eye(30, 25),
    "hilbert": 1.0 / (np.arange(40)[:, None] + np.arange(40) + 1.0),
    "gaussian": RNG.standard_normal((40, 50)),
}


@device_grid(
    name=list(MATRICES),
    dtype=[np.float64, np.float32],
    vectors={"vectors": True, "values": False},
    strength=2,
)
def test_converged_is_what_was_asked_for(
    name: str, dtype: type[np.floating], vectors: bool, device: str
) -> None:
    A = MATRICES[name].astype(dtype).astype(np.float64)
    sigma = np.linalg.svd(A, compute_uv=False)
    slack = 3e-14 * float(sigma[0])
    options: dict[str, Any] = {"vectors": vectors, "method": "gram", "device": device}
    for tol in (1e-4, 1e-7, 1e-9):
        for k in (1, 8, 20) if device == "cpu" else (8,):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                result = ss.svds(A.astype(dtype), k, tol=tol, **options)
            off = np.abs(result.s - sigma[:k])
            for numbers in (result.s, result.errors, result.residuals):
                assert np.isfinite(numbers).all()
            assert np.all(off <= result.errors + slack)
            allowed = tol * result.s[0] + slack
            if vectors:
                assert result.U is not None
                assert result.Vt is not None
                left = np.linalg.norm(A @ result.Vt.T - result.U * result.s, axis=0)
                right = np.linalg.norm(A.T @ result.U - result.Vt.T * result.s, axis=0)
                residuals = np.maximum(left, right)
                assert np.all(residuals <= result.residuals + slack)
                assert not result.converged or np.all(residuals <= allowed)
            assert np.all(result.errors <= allowed)
            assert result.converged


@pytest.mark.parametrize("name", MATRICES)
def test_exact_to_rounding_is_what_randomized_svd_calls_converged(name: str) -> None:
    """An exact method in place of passes: nothing hides but what rounding of ||A||_F^2 may hide."""
    A = MATRICES[name]
    sigma, norm = np.linalg.svd(A, compute_uv=False), np.linalg.norm(A)
    for k in (2, 8, 20):
        result = ss.randomized_svd(A, k)
        assert np.all(np.abs(result.s - sigma[:k]) <= result.errors + 3e-14 * sigma[0])
        if result.method in ("Gram matrix", "full decomposition"):
            assert result.converged
        if result.converged:
            assert result.errors.max() <= 2.0**-23 * norm + 3e-14 * sigma[0]
            assert result.residuals.max() <= 3e-14 * norm


def test_a_tolerance_out_of_reach_of_memory_is_said_to_be() -> None:
    """For A itself in float64, and what LAPACK makes of it, there is no room."""
    A = np.outer(RNG.standard_normal(30_000), RNG.standard_normal(50))
    options: dict[str, Any] = {"vectors": False, "method": "gram"}
    with pytest.warns(ConvergenceWarning, match="the worst error is 2e-07 sigma_1"):
        result = ss.svds(A, 3, tol=1e-9, memory_limit="3MiB", **options)
    assert not result.converged
    assert "2 values below" in result.notes[0]
    assert ss.svds(A, 3, tol=1e-6, memory_limit="3MiB", **options).converged
    whole = ss.svds(A, 3, tol=1e-9, **options)
    assert whole.converged
    assert whole.method == "full decomposition"
    assert "A itself was decomposed" in whole.notes[0]


@pytest.mark.parametrize("name", MATRICES)
def test_pairs_of_a_gram_matrix_are_within_what_they_claim(name: str) -> None:
    """A^T u is within the residual for u along A v, where that is resolved."""
    A = MATRICES[name]
    rows, columns = A.shape
    gram = GramAccumulator(columns)
    gram.update(A)
    result = gram.svd(min(rows, columns, 20))
    sigma = np.linalg.svd(A, compute_uv=False)[: len(result.s)]
    assert result.Vt is not None
    for numbers in (result.s, result.errors, result.residuals, result.Vt):
        assert np.isfinite(numbers).all()
    slack = 1e-14 * float(sigma[0])
    assert np.all(np.abs(result.s - sigma) <= result.errors + slack)
    for s, v, residual in zip(result.s, result.Vt, result.residuals, strict=True):
        image = A @ v
        norm = float(np.linalg.norm(image))
        if s > 2e-7 * result.s[0]:
            assert np.linalg.norm(A.T @ image / norm - s * v) <= residual + slack
        assert abs(norm - s) <= residual + slack
