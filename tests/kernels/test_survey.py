# SPDX-License-Identifier: BSD-3-Clause
"""First pass of every algorithm: the norm, the largest entry, and entries that are not finite."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import sigmascope as ss
from sigmascope.errors import NonFiniteError

DTYPES: dict[str, Any] = {
    "f64": np.float64,
    "f32": np.float32,
    "f16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "f8_e4m3": ml_dtypes.float8_e4m3fn,
    "f8_e5m2": ml_dtypes.float8_e5m2,
    "f4_e2m1": ml_dtypes.float4_e2m1fn,
}


def squares(A: Any, **options: Any) -> float:
    """||A||_F^2 as an algorithm gets it."""
    norm: float = ss.svdvals(A, **options).fro_norm
    return norm**2


@pytest.mark.parametrize("shape", [(1, 2), (3, 31), (150, 4097), (4097, 5)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_norm(dtype: str, shape: tuple[int, int]) -> None:
    A = np.random.default_rng(0).standard_normal(shape).astype(DTYPES[dtype])
    exact = float(np.sum(A.astype(np.longdouble) ** 2))
    assert squares(A) == pytest.approx(exact, rel=1e-14)
    assert squares(np.asfortranarray(A)) == squares(A)
    assert squares(ss.matrix(A) * 0.5) == pytest.approx(exact / 4, rel=1e-14)


@pytest.mark.parametrize("scale", [1e-300, 1e-140, 1e-40, 1e30, 1e140])
def test_largest_entry_sets_the_scale(scale: float) -> None:
    """Entries whose squares leave float32, or nearly float64, are scaled before anything else."""
    A = scale * np.random.default_rng(1).standard_normal((40, 30))
    exact = np.linalg.svd(A, compute_uv=False)
    if scale > 1e-300:  # whose squares vanish
        assert squares(A) == pytest.approx(float(np.sum(exact**2)), rel=1e-13)
    np.testing.assert_allclose(ss.svds(A, 3, precision="float64").s, exact[:3], rtol=1e-8)


def test_same_bits_for_threads_panels_files_and_shards(tmp_path: Path) -> None:
    A = np.random.default_rng(2).standard_normal((60, 9001)).astype(ml_dtypes.bfloat16)
    np.save(tmp_path / "a.npy", A.astype(np.float32))
    shards = ss.block(
        [
            [A[:21, :5000], A[:21, 5000:].astype(np.float64)],
            [A[21:, :77].astype(np.float32), np.asfortranarray(A[21:, 77:])],
        ]
    )
    expected = squares(A)
    for source in (A, shards, tmp_path / "a.npy"):
        for threads, panel_rows in [(1, 7), (2, None), (5, 32)]:
            assert squares(source, num_threads=threads, panel_rows=panel_rows) == expected


@pytest.mark.parametrize("dtype", sorted(DTYPES.keys() - {"f4_e2m1"}))  # which has no NaN
@pytest.mark.parametrize("place", [(0, 0), (3, 4095), (3, 4096), (7, 4200)])
def test_not_finite(dtype: str, place: tuple[int, int]) -> None:
    """Counted, and the first one in row order named."""
    A = np.ones((8, 4201), DTYPES[dtype])
    A[place] = np.nan
    A[7, 4200] = -np.inf  # which e4m3 does not have
    kinds = (1, 1) if place != (7, 4200) else (0, 1)
    if dtype == "f8_e4m3":
        kinds = (sum(kinds), 0)
    message = f"{kinds[0]} NaN and {kinds[1]} infinite entries, the first at {place}"
    with pytest.raises(NonFiniteError, match=re.escape(message)):
        squares(A, num_threads=3, panel_rows=5)
