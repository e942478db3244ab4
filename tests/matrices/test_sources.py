# SPDX-License-Identifier: BSD-3-Clause
"""Where matrices come from: arrays, sequences, .npy files, tensors; nothing is copied."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.dlpack import Exported, capsule_of

import sigmascope as ss
from sigmascope.errors import CheckpointError

A = np.random.default_rng(0).standard_normal((60, 40))


@pytest.fixture
def young_objects() -> Iterator[None]:
    """Objects of the test stay the youngest, so that `gc.collect(1)` looks at all of them.

    A whole collection also looks at what every imported module has made, which takes seconds.
    """
    gc.disable()
    yield
    gc.enable()


# -------------------------------------------------------------------------------- arrays


def test_shape_size_and_representation() -> None:
    a = ss.matrix(A.astype(np.float16))
    assert (a.shape, a.ndim, a.size, a.nbytes) == ((60, 40), 2, 2400, 4800)
    assert (a.storage, a.precision, a.in_memory) == ("f16", "float32", True)
    assert repr(a) == "Matrix(60 x 40, f16, 4,800 bytes)"
    assert ss.matrix(a) is a
    assert a.T.shape == (40, 60)


def test_an_array_is_not_copied() -> None:
    numbers = A.copy()
    a = ss.matrix(numbers)
    turned = a.T[3:9]
    numbers[5, 4] = 123.0
    assert np.asarray(a)[5, 4] == 123.0
    assert np.asarray(turned)[1, 5] == 123.0


def test_sequences_are_float64() -> None:
    a = ss.matrix([[1, 2], [3, 4]])
    assert a.storage == "f64"
    np.testing.assert_array_equal(np.asarray(a), [[1, 2], [3, 4]])


@pytest.mark.usefixtures("young_objects")
def test_a_matrix_keeps_its_source_alive() -> None:
    class Watched(np.ndarray[Any, Any]):
        """An array that a weak reference may watch."""

    numbers = A.copy().view(Watched)
    watch = weakref.ref(numbers)
    cut = ss.block([[ss.matrix(numbers)[:20], 2 * ss.matrix(numbers)[20:40]]]).T[10:]
    del numbers
    gc.collect(1)
    assert watch() is not None
    np.testing.assert_array_equal(np.asarray(cut), np.hstack([A[:20], 2 * A[20:40]]).T[10:])
    del cut
    gc.collect(1)
    assert watch() is None


@pytest.mark.usefixtures("young_objects")
def test_memmap(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    path.write_bytes(b"12345" + A.tobytes())
    mapped = np.memmap(path, np.float64, "r", offset=5, shape=A.shape)
    a = ss.matrix(mapped[::2])
    del mapped
    gc.collect(1)
    np.testing.assert_array_equal(np.asarray(a), A[::2])


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (np.ones(3), ValueError, r"2 dimensions.*\(3,\)"),
        (np.ones((2, 3, 4)), ValueError, r"2 dimensions.*\(2, 3, 4\)"),
        (5.0, ValueError, r"2 dimensions.*\(\)"),
        (np.ones((2, 2), complex), TypeError, r"matrix of complex128 is not supported"),
        (np.ones((2, 2), object), TypeError, r"matrix of object is not supported"),
        (np.ones((2, 2), ml_dtypes.int4), TypeError, r"matrix of int4 is not supported"),
        (object(), TypeError, "a object cannot be converted to a matrix"),
        ([[1, 2], [3]], TypeError, "a list cannot be converted to a matrix"),
        ("text", FileNotFoundError, r"text"),
    ],
)
def test_arrays_that_are_not_matrices_are_refused(
    source: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ss.matrix(source)


@pytest.mark.parametrize(
    ("source", "dtype", "message"),
    [
        (np.ones((2, 2), np.uint8), "bf16", r"array of uint8 does not hold codes of bf16"),
        (np.ones((2, 2), np.uint16), "f8_e5m2", r"array of uint16 does not hold codes of f8_e5m2"),
        (np.ones((2, 2), np.float32), "f16", r"array of float32 does not hold codes of f16"),
        (np.ones((2, 2), ml_dtypes.bfloat16), "f16", r"bfloat16 does not hold codes of f16"),
        (np.ones((2, 2), np.uint8), "f4", r"unknown dtype 'f4'; known: f64, f32, f16, bf16"),
        (ss.matrix(A), "f32", r"matrix of f64 cannot be read as f32"),
    ],
)
def test_codes_of_another_dtype(source: Any, dtype: str, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        ss.matrix(source, dtype=dtype)


def test_scipy_sparse_is_refused_by_name() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(
        TypeError, match=r"a sparse csr_matrix is not supported.*x\.toarray\(\) is dense"
    ):
        ss.matrix(sparse.csr_matrix(np.eye(3)))


# -------------------------------------------------------------------------------- .npy files


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_npy(order: Any, dtype: type, tmp_path: Path) -> None:
    numbers: NDArray[Any] = np.asarray(A.astype(dtype), order=order)
    np.save(tmp_path / "a.npy", numbers)
    for path in (tmp_path / "a.npy", str(tmp_path / "a.npy")):
        a = ss.matrix(path)
        assert (a.shape, a.in_memory, a.nbytes) == (A.shape, False, numbers.nbytes)
        assert "in files" in repr(a)
        np.testing.assert_array_equal(np.asarray(a), numbers)
        np.testing.assert_array_equal(np.asarray(a.T[7:9, 5:]), numbers.T[7:9, 5:])


def test_npy_of_ml_dtypes_needs_its_dtype(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    numbers = A.astype(ml_dtypes.bfloat16)
    np.save(path, numbers)
    np.testing.assert_array_equal(np.asarray(ss.matrix(path, dtype="bf16")), numbers)
    with pytest.raises(TypeError, match=r"a\.npy: .*V2 is not supported"):
        ss.matrix(path)
    np.save(path, numbers.view(np.uint16))
    np.testing.assert_array_equal(np.asarray(ss.matrix(path, dtype="bf16")), numbers)


def test_unreadable_npy_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    with pytest.raises(FileNotFoundError, match=r"a\.npy"):
        ss.matrix(path)
    np.save(path, np.ones(3))
    with pytest.raises(ValueError, match=r"a\.npy holds an array of shape \(3,\)"):
        ss.matrix(path)
    np.save(path, np.ones((2, 2), int))
    with pytest.raises(TypeError, match=r"a\.npy: a matrix of int64.*matrix\(np\.load\(.*a\.npy"):
        ss.matrix(path)
    np.save(path, A)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"a\.npy is not a readable \.npy file"):
        ss.matrix(path)
    for damaged in (b"", b"hello", b"\x93NUMPY\x01\x00"):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"a\.npy is not a readable \.npy file"):
            ss.matrix(path)
    np.savez(tmp_path / "a.npz", a=A)
    with pytest.raises(TypeError, match=r"a\.npz is not a \.npy file of one array"):
        ss.matrix(tmp_path / "a.npz")


# -------------------------------------------------------------------------------- DLPack


class Tensor:
    """The numbers of an array, as a library exports them that states `strides`, or none."""

    def __init__(
        self, numbers: NDArray[Any], strides: tuple[int, ...] | None, versioned: bool
    ) -> None:
        self.numbers, self.shape, self.dtype = numbers, numbers.shape, numbers.dtype
        self.strides, self.versioned = strides, versioned
        self.given_back = 0

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0

    def __dlpack__(self, *, max_version: tuple[int, int] | None = None) -> Any:
        address, dtype = self.numbers.ctypes.data, self.dtype.name
        # The first number is 16 bytes after the address, as in a view into a larger allocation.
        tensor = Exported(address - 16, (1, 0), dtype, self.shape, self.strides, byte_offset=16)
        return capsule_of(tensor, self.versioned, self._take_back)

    def _take_back(self) -> None:
        self.given_back += 1


@pytest.mark.parametrize("versioned", [False, True], ids=["older", "versioned"])
@pytest.mark.parametrize("strides", [None, (40, 1)], ids=["no strides", "strides"])
@pytest.mark.usefixtures("young_objects")
def test_a_tensor_is_given_back_once_and_after_its_last_matrix(
    strides: tuple[int, ...] | None, versioned: bool
) -> None:
    tensor = Tensor(A.copy(), strides, versioned)
    a = ss.matrix(tensor)
    assert (a.shape, a.storage) == ((60, 40), "f64")
    np.testing.assert_array_equal(np.asarray(a), A)
    part = 2 * a[3:].T
    del a
    gc.collect(1)
    assert tensor.given_back == 0
    np.testing.assert_array_equal(np.asarray(part), 2 * A[3:].T)
    del part
    gc.collect(1)
    assert tensor.given_back == 1


def test_torch_tensors() -> None:
    torch = pytest.importorskip("torch")
    numbers: Any = torch.from_numpy(A)
    for dtype, name in [
        (torch.float64, "f64"),
        (torch.float32, "f32"),
        (torch.bfloat16, "bf16"),
        (torch.float16, "f16"),
    ]:
        tensor = numbers.to(dtype)
        for view in (tensor, tensor.T, tensor[3:50:7, 1::2], tensor[::2].T):
            a = ss.matrix(view)
            assert (a.shape, a.storage) == (tuple(view.shape), name)
            np.testing.assert_array_equal(np.asarray(a, np.float64), view.to(torch.float64).numpy())


def test_torch_float8() -> None:
    torch = pytest.importorskip("torch")
    for dtype, name in [(torch.float8_e4m3fn, "f8_e4m3"), (torch.float8_e5m2, "f8_e5m2")]:
        tensor = torch.from_numpy(A).to(dtype)
        codes = ss.matrix(tensor.view(torch.uint8), dtype=name)
        np.testing.assert_array_equal(np.asarray(codes), tensor.to(torch.float32).numpy())
        try:
            direct = ss.matrix(tensor)
        except (BufferError, RuntimeError):
            continue  # this torch does not hand it over
        np.testing.assert_array_equal(np.asarray(direct), np.asarray(codes))


def test_torch_parameters_are_detached() -> None:
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(5, 4)
    np.testing.assert_array_equal(
        np.asarray(ss.matrix(layer.weight)), layer.weight.detach().numpy()
    )
    assert layer.weight.requires_grad


@pytest.mark.usefixtures("young_objects")
def test_torch_memory_is_shared_kept_alive_and_let_go() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.zeros(8, 6)
    watch = weakref.ref(tensor.untyped_storage())
    a = ss.matrix(tensor)
    tensor[2, 3] = 7.0
    del tensor
    gc.collect(1)
    assert np.asarray(a)[2, 3] == 7.0
    del a
    gc.collect(1)
    assert watch() is None


def test_torch_tensors_that_are_not_matrices_are_refused() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(ValueError, match=r"2 dimensions, but this array has shape \(3,\)"):
        ss.matrix(torch.ones(3))
    with pytest.raises(TypeError, match="does not hold codes of f16"):
        ss.matrix(torch.ones(3, 3), dtype="f16")


@pytest.mark.parametrize(
    ("kind", "storage"),
    [
        (np.float64, "f64"),
        (np.float32, "f32"),
        (np.float16, "f16"),
        (ml_dtypes.bfloat16, "bf16"),
        (ml_dtypes.float8_e4m3fn, "f8_e4m3"),
        (ml_dtypes.float8_e5m2, "f8_e5m2"),
    ],
)
def test_the_dtype_is_that_of_numpy(kind: Any, storage: str) -> None:
    x = np.eye(4).astype(kind)
    a = ss.matrix(x)
    assert a.dtype == x.dtype == a.T.dtype == a[1:].dtype
    assert a.storage == storage
    assert np.zeros(3, a.dtype).dtype == x.dtype
    assert (a + np.eye(4)).dtype == np.float64  # of several formats
    assert (a + np.eye(4)).storage == ("f64" if storage == "f64" else "mixed")


def test_the_dtype_without_ml_dtypes(monkeypatch: pytest.MonkeyPatch) -> None:
    a = ss.matrix(np.eye(4).astype(ml_dtypes.bfloat16))
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    assert a.dtype == np.float32
    assert np.asarray(a).dtype == a.dtype
