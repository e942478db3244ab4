# SPDX-License-Identifier: BSD-3-Clause
"""Operations that change no measure: scale, transpose, rotation, storage, sharding; as properties.

Each holds for every measure that a matrix has, at effort "exact" within the error bounds that the
measures carry, and at effort "density" within their standard errors.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import known_spectra as ks
from tests.support.checkpoints import Stored, of_array, write_file, write_sharded
from tests.support.measure_names import EDGE_MEASURES, REQUESTED

import sigmascope as ss
from sigmascope.spectra import Spectrum
from sigmascope.spectra.statistics import MatrixNorms, measures_from_values

pytestmark = pytest.mark.usefixtures("density_of_small_matrices")

# How a measure scales with the matrix: value(c W) = c^power value(W).
UNITS = {"fro_norm": 1, "spectral_norm": 1, "nuclear_norm": 1, "mp_edge": 1}
UNITS |= {"randomized_distance": 1, "alpha_x_min": 2}
LOGARITHMIC = {"alpha_weighted", "log_alpha_norm"}
# The choice of x_min jumps between minima that are nearly equal: the range is what is stable.
FITTED = {"alpha", "alpha_D", "alpha_x_min", "alpha_tail", "alpha_low", "alpha_high"} | LOGARITHMIC
COUNTS = {"mp_outliers", "effective_rank_above_edge", "numerical_rank"}
COUNTS |= {f"shoulder_{t}" for t in (200, 286, 400)}

families = st.sampled_from(["llm", "spiked", "planted", "gaussian", "polynomial"])
sides = st.integers(12, 70)


def matrices(family: str, m: int, n: int, seed: int) -> np.ndarray:
    return np.asarray(ks.FAMILIES[family](m, n, seed=seed)[0])


def exact(A: Any, **options: Any) -> Spectrum:
    return ss.spectrum(A, effort="exact", **options)


def shared(before: Spectrum, after: Spectrum) -> list[str]:
    """The measures of both spectra: all but those of a noise edge that only one of them has.

    Whether there is an edge depends on the norms of rows, and on the values within their errors.
    """
    assert set(before) ^ set(after) <= set(EDGE_MEASURES)
    return [name for name in before if name in after]


def assert_same(before: Spectrum, after: Spectrum, scale: float = 1.0, rtol: float = 1e-9) -> None:
    """The same measures, of the same value within the errors of both."""
    assert before.measures.keys() == after.measures.keys()
    assert_alike(before, after, scale, rtol)


def assert_alike(before: Spectrum, after: Spectrum, scale: float = 1.0, rtol: float = 1e-9) -> None:
    """Equal values of what both have; only one of them may have a noise edge."""
    for name in shared(before, after):
        a = before[name]
        b = after[name]
        if name in LOGARITHMIC:
            continue
        factor = scale ** UNITS.get(name, 0)
        room = a.error * factor + b.error if name not in FITTED else 0.0
        assert abs(b.value - factor * a.value) <= 2 * room + rtol * factor * abs(a.value), name


@given(families, sides, sides, st.integers(0, 50), st.floats(1e-12, 1e12))
@settings(max_examples=40, deadline=None)
def test_scale(family: str, m: int, n: int, seed: int, c: float) -> None:
    A = matrices(family, m, n, seed)
    before, after = exact(A), exact(c * A)
    assert_same(before, after, scale=c, rtol=1e-6)
    for a, b in zip(before.quantiles() or (), after.quantiles() or (), strict=True):
        np.testing.assert_allclose(b, c * a, rtol=1e-6, atol=1e-6 * c * before.top[0])


@pytest.mark.slow
@pytest.mark.parametrize("family", ["llm", "spiked", "polynomial"])
def test_scale_and_transpose_on_a_device(family: str, device: str) -> None:
    A = matrices(family, 60, 40, 7)
    before = exact(A, device=device)
    assert_same(before, exact(1e-5 * A, device=device), scale=1e-5, rtol=1e-6)
    assert_same(before, exact(A.T, device=device), rtol=1e-6)
    assert_same(before, exact(A), rtol=1e-9)  # the processor of the host


@pytest.mark.parametrize("c", [1e-6, 1e-3, 1e3])
def test_scale_of_measures_on_request(c: float) -> None:
    A = matrices("llm", 130, 70, 0)
    assert_same(exact(A, measures=REQUESTED), exact(c * A, measures=REQUESTED), c, rtol=1e-6)


@given(families, sides, sides, st.integers(0, 50))
@settings(max_examples=40, deadline=None)
def test_transpose(family: str, m: int, n: int, seed: int) -> None:
    A = matrices(family, m, n, seed)
    assert_same(exact(A), exact(A.T), rtol=1e-6)


@given(families, sides, sides, st.integers(0, 50))
@settings(max_examples=40, deadline=None)
def test_rotation(family: str, m: int, n: int, seed: int) -> None:
    """U W V^T has the singular values of W: all but what looks at entries or at parts."""
    A = matrices(family, m, n, seed)
    rng = np.random.default_rng(seed + 1)
    rotated = ks.orthonormal(m, m, rng) @ A @ ks.orthonormal(n, n, rng).T
    assert_alike(exact(A), exact(rotated), rtol=1e-6)


def test_a_rotation_is_seen_by_what_looks_at_entries() -> None:
    """Rotated, a spike of two large entries becomes a direction, which a permutation destroys."""
    A = 0.01 * np.random.default_rng(0).standard_normal((200, 150))
    A[0, 0] = 3.0
    U = ks.orthonormal(200, 200, np.random.default_rng(1))
    plain, rotated = (exact(B, measures=REQUESTED)["randomized_distance"] for B in (A, U @ A))
    assert plain.value < 2 * plain.error + 1e-3
    assert rotated.value > 10 * plain.value


@given(families, sides, sides, st.integers(0, 50), st.integers(1, 5), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_sharding(family: str, m: int, n: int, seed: int, rows: int, cols: int) -> None:
    """To the bit: a matrix in pieces is the matrix."""
    A = matrices(family, m, n, seed)
    pieces = [np.array_split(row, cols, axis=1) for row in np.array_split(A, rows)]
    joined = exact(ss.block([[p for p in row if p.size] for row in pieces if row[0].shape[0]]))
    assert joined.measures == exact(A).measures


def test_sharding_of_measures_on_request() -> None:
    A = matrices("llm", 130, 90, 0)
    joined = ss.block([[A[:50, :20], A[:50, 20:]], [A[50:, :20], A[50:, 20:]]])
    assert exact(joined, measures=REQUESTED).measures == exact(A, measures=REQUESTED).measures


def rounded(A: np.ndarray) -> np.ndarray:
    """To bfloat16, halves to even; as float32."""
    bits = A.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


@given(families, sides, sides, st.integers(0, 20))
@settings(max_examples=25, deadline=None)
def test_bfloat16_within_its_rounding(family: str, m: int, n: int, seed: int) -> None:
    """Stored in bf16, each value moves by the spectral norm of the rounding noise at most (Weyl).

    So every measure of the values with that error covers the measure of the rounded matrix.
    """
    A = matrices(family, m, n, seed).astype(np.float32)
    B = rounded(A)
    codes = (B.view(np.uint32) >> 16).astype(np.uint16)
    noise = float(np.linalg.norm(A.astype(float) - B.astype(float), 2))
    before, after = exact(A), exact(ss.matrix(codes, dtype="bf16"))
    assert before.values is not None
    wide = measures_from_values(
        before.values,
        np.full(len(before.values), noise),
        MatrixNorms(A.shape, float(np.linalg.norm(A))),
        floor=noise,
        k=before.k,
    )
    for name in (wide.keys() & after.measures.keys()) - FITTED - COUNTS - {"alpha_hill"}:
        room = 3 * wide[name].error + 2.0**-8 * abs(wide[name].value)  # errors to first order
        assert abs(after[name].value - wide[name].value) <= room, name


@pytest.mark.parametrize("dtype", ["F32", "BF16"])
def test_storage_of_one_matrix_changes_no_bit(tmp_path: Path, dtype: str) -> None:
    """In memory, in one file, in shards of a folder, read in any way: the same numbers."""
    A = rounded(matrices("llm", 120, 80, 3))
    codes = (A.view(np.uint32) >> 16).astype("<u2")
    stored = (
        of_array("w", "F32", A) if dtype == "F32" else Stored("w", dtype, A.shape, codes.tobytes())
    )
    alone = write_file(tmp_path / "alone.safetensors", stored)
    other = of_array("other", "F32", np.ones((3, 3), "f4"))
    folder = write_sharded(
        tmp_path / "folder",
        {"a-00001-of-00002.safetensors": [other], "a-00002-of-00002.safetensors": [stored]},
    )
    expected = exact(A, measures=REQUESTED).measures
    for path in (alone, folder):
        for reading in ("buffered", "uncached", "mapped"):
            row = ss.scan(path, effort="exact", reading=reading, include="w", measures=REQUESTED)[
                "w"
            ]
            for name, measure in expected.items():
                assert (row[name], row[f"{name}_error"]) == (measure.value, measure.error), name


@pytest.mark.parametrize("change", ["scale", "transpose", "rotation"])
def test_a_density_changes_within_its_errors(change: str, device: str) -> None:
    m, n = (640, 480) if device == "cpu" else (400, 320)
    A = matrices("llm", m, n, 2)
    rng = np.random.default_rng(5)
    B, c = {
        "scale": lambda: (1e-7 * A, 1e-7),
        "transpose": lambda: (A.T.copy(), 1.0),
        "rotation": lambda: (ks.orthonormal(m, m, rng) @ A, 1.0),
    }[change]()
    options: dict[str, Any] = {"k": 4, "tol": 0.1, "effort": "density", "device": device}
    before, after = (ss.spectrum(x.astype("f4"), **options) for x in (A, B))
    assert before.effort == after.effort == "density"
    for name in shared(before, after):
        a, b = before[name], after[name]
        factor = c ** UNITS.get(name, 0)
        room = 3 * (factor * a.error + b.error) + 1e-5 * factor * abs(a.value)
        assert abs(b.value - factor * a.value) <= room, name
