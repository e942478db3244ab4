# SPDX-License-Identifier: BSD-3-Clause
"""The matrices of the comparison, and how answers are compared with them."""

from __future__ import annotations

import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from tests.support.checkpoints import Stored, of_array, write_file

from sigmascope.bench import SPECTRA, given, synthetic
from sigmascope.bench.accuracy import reference, worst_relative_error, worst_residual

SHAPES = [(90, 64), (64, 90), (65, 65)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("spectrum", "sigma"),
    [("decay", 1.0 / np.arange(1, 65)), ("clustered", (1 + np.arange(64) // 8) ** -0.5)],
)
def test_values_are_the_known_ones(
    spectrum: str, sigma: np.ndarray, shape: tuple[int, int]
) -> None:
    A = synthetic(spectrum, *shape).make(3)
    s = np.linalg.svd(A.astype(np.float64), compute_uv=False)[:64]
    np.testing.assert_allclose(s, sigma, atol=2e-7)
    # No entry stands out: the vectors are mixed over all of them.
    assert np.abs(A).max() < 8 * np.linalg.norm(A) / np.sqrt(A.size)


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("dtype", ["float64", "f32", "float16", "bf16"])
def test_seeds_shapes_and_dtypes(spectrum: str, dtype: str) -> None:
    workload = synthetic(spectrum, 40, 24, dtype)
    A = workload.make(0)
    assert A.shape == (40, 24)
    assert A.dtype.name in workload.title
    assert np.array_equal(A, workload.make(0))
    assert not np.array_equal(A, workload.make(1))


def test_llm_has_its_outliers_above_the_bulk() -> None:
    s = np.linalg.svd(synthetic("llm", 256, 256).make(0), compute_uv=False)
    edge = 0.02 * 2 * 16
    np.testing.assert_allclose(s[:4] / edge, [20, 9, 6, 4], rtol=0.06)
    assert s[100] < edge


@pytest.mark.parametrize("shape", [(1, 1), (3, 2)])
@pytest.mark.parametrize("spectrum", SPECTRA)
def test_smallest_shapes(spectrum: str, shape: tuple[int, int]) -> None:
    assert np.isfinite(synthetic(spectrum, *shape).make(0)).all()


def test_unknown_names() -> None:
    with pytest.raises(ValueError, match="unknown spectrum 'steep'; known: llm, decay"):
        synthetic("steep", 4, 4)
    with pytest.raises(ValueError, match="unknown dtype 'int8'; known: float64"):
        synthetic("llm", 4, 4, "int8")


def test_a_given_file_and_tensor(tmp_path: Path) -> None:
    A = np.random.default_rng(0).standard_normal((6, 4))
    np.save(tmp_path / "a.npy", A)
    result = given(tmp_path / "a.npy")
    assert not result.synthetic
    assert result.title == "a.npy, 6 x 4, float64"
    assert np.array_equal(result.make(0), A)
    half = A.astype(ml_dtypes.bfloat16)
    codes = Stored("h.0.weight", "BF16", half.shape, half.tobytes())
    path = write_file(tmp_path / "m.safetensors", codes, of_array("bias", "F32", np.float32([1])))
    stored = given(path, "h.0.weight")
    assert stored.make(0).dtype == half.dtype
    assert np.array_equal(stored.make(0), half)
    assert given(path, "h.0.weight", "f32").make(0).dtype == np.float32
    with pytest.raises(ValueError, match=r"holds no matrix 'h\.1\.weight'"):
        given(path, "h.1.weight")
    with pytest.raises(ValueError, match="name a tensor with --tensor"):
        given(path)
    with pytest.raises(ValueError, match="--tensor is for checkpoints"):
        given(tmp_path / "a.npy", "x")


def test_a_given_matrix_is_finite(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full((3, 3), np.nan))
    with pytest.raises(ValueError, match="holds NaN or infinity"):
        given(tmp_path / "a.npy").make(0)


@pytest.mark.parametrize("shape", SHAPES)
def test_reference_by_the_gram_matrix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int]
) -> None:
    A = synthetic("decay", *shape).make(0)
    exact = reference(A, tmp_path / "svd")
    monkeypatch.setattr("sigmascope.bench.accuracy._LAPACK_ORDER", 1)
    monkeypatch.setattr("sigmascope.bench.accuracy._ROWS", 7)
    np.testing.assert_allclose(reference(A, tmp_path / "gram"), exact, atol=1e-8)


def test_reference_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    A = synthetic("flat", 20, 10, "bf16").make(0)
    first = reference(A, tmp_path)
    monkeypatch.setattr(np.linalg, "svd", None)
    assert np.array_equal(reference(A, tmp_path), first)
    assert [path.suffix for path in tmp_path.iterdir()] == [".npy"]
    with pytest.raises(TypeError):
        reference(A[:, :9], tmp_path)


def test_errors_and_residuals() -> None:
    exact = np.array([4.0, 2.0, 0.0])
    assert worst_relative_error(np.array([4.0, 2.2]), exact) == pytest.approx(0.1)
    assert worst_relative_error(np.array([4.0, 2.0, 1e-8]), exact) == pytest.approx(0.025)
    assert worst_relative_error(np.array([np.nan, 2.0]), exact) == np.inf
    A = synthetic("flat", 30, 20).make(0).astype(np.float64)
    U, s, Vt = np.linalg.svd(A, full_matrices=False)
    assert worst_residual(A, U, s, Vt) < 1e-14
    assert worst_residual(A, U, s + 0.5 * s[0], Vt) == pytest.approx(0.5 / 1.5)
    turned = Vt.copy()
    turned[19] *= -1  # only this vector is wrong
    assert worst_residual(A, U, s, turned) == pytest.approx(2 * s[19] / s[0])
    v = np.full(20, 20**-0.5)  # A v = s u for any v
    length = np.linalg.norm(A @ v)
    u = A @ v / length
    left = np.linalg.norm(A.T @ u - length * v)
    result = worst_residual(A, u[:, None], np.array([length]), v[None])
    assert result == pytest.approx(left / length)


@pytest.mark.parametrize("suffix", [".mtx", ".mat", ".npz", ".sparse.npz"])
def test_files_that_scipy_reads(suffix: str, tmp_path: Path) -> None:
    sparse, io = pytest.importorskip("scipy.sparse"), pytest.importorskip("scipy.io")
    A = np.random.default_rng(0).standard_normal((6, 4)) * (np.arange(4) != 2)
    path = tmp_path / f"a{suffix}"
    {
        ".mtx": lambda: io.mmwrite(path, sparse.coo_array(A)),
        ".mat": lambda: io.savemat(path, {"A": A, "title": "text"}),
        ".npz": lambda: np.savez(path, A=A),
        ".sparse.npz": lambda: sparse.save_npz(path, sparse.csr_array(A)),
    }[suffix]()
    result = given(path)
    np.testing.assert_allclose(result.make(0), A)
    assert result.title == f"a{suffix}, 6 x 4, float64"
    assert given(path, dtype="f32").make(0).dtype == np.float32


def test_files_that_hold_several_matrices_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    io = pytest.importorskip("scipy.io")
    io.savemat(tmp_path / "a.mat", {"A": np.eye(3), "B": 2 * np.eye(4), "z": 1j * np.eye(2)})
    with pytest.raises(ValueError, match=r"a\.mat holds A, B, z: name one with --tensor"):
        given(tmp_path / "a.mat")
    assert np.array_equal(given(tmp_path / "a.mat", "B").make(0), 2 * np.eye(4))
    with pytest.raises(ValueError, match=r"holds no matrix 'C', but A, B, z"):
        given(tmp_path / "a.mat", "C")
    with pytest.raises(ValueError, match="complex128 numbers, but a benchmark needs real ones"):
        given(tmp_path / "a.mat", "z")
    for suffix, kind in ((".mtx", "Matrix Market"), (".mat", "MATLAB"), (".npz", "archive")):
        path = tmp_path / f"text{suffix}"
        path.write_text("not a matrix, but a text that is long enough for a header" * 9)
        with pytest.raises(ValueError, match=rf"{path.name} is not an? .*{kind}"):
            given(path)
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(ImportError, match=r"a\.mat is a MATLAB file.*pip install scipy.*\.npy"):
        given(tmp_path / "a.mat")
