# SPDX-License-Identifier: BSD-3-Clause
"""Spectra with vectors: from the same steps, as good as their residuals say, no number changed."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
from tests.support import known_spectra as ks
from tests.support.coverings import grid
from tests.support.measure_names import EDGE_MEASURES

import sigmascope as ss
from sigmascope.errors import NonFiniteError

pytestmark = pytest.mark.usefixtures("density_of_small_matrices")


@grid(effort=["top", "density", "exact"], shape=[(700, 600), (600, 1500)])
def test_vectors_come_with_the_values(effort: str, shape: tuple[int, int]) -> None:
    A = ks.llm(*shape)[0].astype(np.float32)
    options: dict[str, Any] = {"effort": effort, "k": 16, "precision": "float32"}
    options = options if effort == "top" else {"effort": effort, "k": 16}
    plain, result = ss.spectrum(A, **options), ss.spectrum(A, vectors=True, **options)
    assert result.effort == plain.effort == effort
    assert plain.svd is None
    svd = result.svd
    assert svd is not None
    assert np.array_equal(result.top, plain.top)
    if effort == "density":
        assert np.array_equal(svd.s, result.top)
        assert result["effective_rank"] == plain["effective_rank"]
        assert result.passes == plain.passes
    U, s, Vt = svd
    assert U is not None
    assert s is not None
    assert Vt is not None
    assert U.shape == (shape[0], 16)
    assert Vt.shape == (16, shape[1])
    scale = float(s[0])
    rounding = 1e-5 * scale
    left = np.linalg.norm(A.T @ U - Vt.T * s, axis=0)
    right = np.linalg.norm(A @ Vt.T - U * s, axis=0)
    assert np.all(left <= svd.residuals + rounding)
    assert np.all(right <= svd.residuals + rounding)
    exact = np.linalg.svd(A.astype(np.float64), compute_uv=False)[:16]
    assert np.all(np.abs(s - exact) <= svd.errors + rounding)
    assert svd.residuals[0] <= 1e-2 * scale


@pytest.mark.parametrize("rank", [0, 5, 12])
def test_vectors_of_a_matrix_that_has_fewer(rank: int) -> None:
    """Vectors that are made up are orthonormal, and their residuals say how good they are."""
    rng = np.random.default_rng(rank)
    A = rng.standard_normal((600, rank)) @ rng.standard_normal((rank, 900))
    svd = ss.spectrum(A.astype(np.float32), effort="density", k=16, vectors=True).svd
    assert svd is not None
    U, s, Vt = svd
    assert U is not None
    assert Vt is not None
    assert np.all(s[rank:] <= 1e-5 * s[0])
    assert np.allclose(U.T @ U, np.eye(16), atol=1e-5)
    assert np.allclose(Vt @ Vt.T, np.eye(16), atol=1e-5)
    rounding = 1e-5 * float(s[0])
    assert np.all(np.linalg.norm(A.T @ U - Vt.T * s, axis=0) <= svd.residuals + rounding)
    assert np.all(np.linalg.norm(A @ Vt.T - U * s, axis=0) <= svd.residuals + rounding)


def spikes_over_noise() -> tuple[np.ndarray, np.ndarray]:
    """Return sixteen spikes over the edge of noise, and all singular values."""
    rng = np.random.default_rng(5)
    A = rng.standard_normal((1500, 1200)) / 80
    U, V = (np.linalg.qr(rng.standard_normal((m, 16)))[0] for m in A.shape)
    A = (A + U * np.linspace(40, 10, 16) @ V.T).astype(np.float32)
    return A, np.linalg.svd(A.astype(np.float64), compute_uv=False)


@pytest.mark.unsanitized
def test_values_close_together_are_bounded_by_the_first_of_them() -> None:
    """The values at the edge need not all have converged, and that saves columns."""
    A, every = spikes_over_noise()
    values = ss.svds(A, 64, tol=1e-3, seed=2, vectors=False)
    off = np.abs(values.s - every[:64])
    assert values.converged
    assert np.all(off <= values.errors)
    assert np.all(values.errors <= 1.02e-3 * every[0])
    assert np.max(off) > 1e-6 * every[0]
    assert values.columns < 0.4 * 1200
    assert np.all(np.diff(values.s + values.errors) <= 1e-5 * every[0])
    assert np.all(values.s <= every[:64] + 1e-5 * every[0])


@pytest.mark.unsanitized
@pytest.mark.parametrize("effort", ["top", "density"])
def test_values_in_the_bulk_have_wider_bounds_instead_of_more_passes(
    effort: Literal["top", "density"],
) -> None:
    """Residuals within the tolerance suffice there; apart from the bulk so do errors."""
    A, every = spikes_over_noise()
    spectrum = ss.spectrum(A, k=64, effort=effort, tol=1e-3, seed=2, vectors=True)
    assert spectrum.svd is not None
    assert spectrum.converged
    assert np.all(np.abs(spectrum.top - every[:64]) <= spectrum.top_errors)
    assert np.all(spectrum.top_errors[:16] <= 1e-3 * every[0])
    assert 1.1e-3 * every[0] < np.max(spectrum.top_errors[16:]) <= 1.02e-2 * every[0]
    assert np.all(np.diff(spectrum.top + spectrum.top_errors) <= 1e-5 * every[0])
    assert np.all(spectrum.top <= every[:64] + 1e-5 * every[0])
    assert spectrum.columns < 0.4 * 1200
    if effort == "top":
        assert np.all(spectrum.svd.residuals <= 1.02e-3 * every[0])
        assert spectrum.passes < ss.svds(A, 64, tol=1e-3, seed=2, vectors=False).passes


def test_without_the_elements_nothing_else_changes() -> None:
    A = ks.llm(300, 200)[0].astype(np.float32)
    plain, result = (ss.spectrum(A, k=8, elements=elements) for elements in (True, False))
    assert result.moments is None
    assert plain.moments is not None
    assert result.passes == plain.passes - 1
    assert set(result) ^ set(plain) <= set(EDGE_MEASURES)  # which look at the largest row and entry
    for name in set(result) & set(plain):
        measure = result[name]
        assert measure.value == pytest.approx(plain[name].value, rel=1e-9), name


def test_without_the_elements_a_nan_is_found_all_the_same() -> None:
    A = np.ones((30, 20), np.float32)
    A[3, 4] = np.nan
    with pytest.raises(NonFiniteError, match=r"1 NaN .* \(3, 4\)"):
        ss.spectrum(A, elements=False)


@pytest.mark.parametrize("threads", [1, 3])
def test_vectors_are_the_same_bits_whatever_the_threads(threads: int) -> None:
    A = ks.llm(700, 640)[0].astype(np.float32)
    one, other = (
        ss.spectrum(A, k=16, vectors=True, num_threads=count).svd for count in (2, threads)
    )
    assert one is not None
    assert other is not None
    for x, y in zip(one, other, strict=True):
        assert np.array_equal(x, y)
    assert np.array_equal(one.residuals, other.residuals)
