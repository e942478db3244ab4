# SPDX-License-Identifier: BSD-3-Clause
"""Matrices of arrays, tensors and files; lazy views, shards, products; nothing read that is not used."""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import known_spectra as ks
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import sigmascope as ss

A = np.random.default_rng(0).standard_normal((60, 40))

# -------------------------------------------------------------------------------- arrays


def test_shape_size_and_representation() -> None:
    a = ss.matrix(A.astype(np.float16))
    assert (a.shape, a.ndim, a.size, a.nbytes) == ((60, 40), 2, 2400, 4800)
    assert (a.dtype, a.precision, a.in_memory) == ("f16", "float32", True)
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


def test_numpys_scalars_multiply() -> None:
    a = ss.matrix(A)
    for half in (0.5 * a, np.float64(0.5) * a, a * np.float32(0.5), a / 2):
        assert isinstance(half, ss.Matrix)
        np.testing.assert_array_equal(np.asarray(half), A / 2)


def test_sequences_are_float64() -> None:
    a = ss.matrix([[1, 2], [3, 4]])
    assert a.dtype == "f64"
    np.testing.assert_array_equal(np.asarray(a), [[1, 2], [3, 4]])


def test_a_matrix_keeps_its_source_alive() -> None:
    class Watched(np.ndarray[Any, Any]):
        """An array that a weak reference may watch."""

    numbers = A.copy().view(Watched)
    watch = weakref.ref(numbers)
    cut = ss.block([[ss.matrix(numbers)[:20], 2 * ss.matrix(numbers)[20:40]]]).T[10:]
    del numbers
    gc.collect()
    assert watch() is not None
    np.testing.assert_array_equal(np.asarray(cut), np.hstack([A[:20], 2 * A[20:40]]).T[10:])
    del cut
    gc.collect()
    assert watch() is None


def test_memmap(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    path.write_bytes(b"12345" + A.tobytes())
    mapped = np.memmap(path, np.float64, "r", offset=5, shape=A.shape)
    a = ss.matrix(mapped[::2])
    del mapped
    gc.collect()
    np.testing.assert_array_equal(np.asarray(a), A[::2])


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (np.ones(3), ValueError, r"2 dimensions.*\(3,\)"),
        (np.ones((2, 3, 4)), ValueError, r"2 dimensions.*\(2, 3, 4\)"),
        (5.0, ValueError, r"2 dimensions.*\(\)"),
        (np.ones((2, 2), int), TypeError, r"matrix of int64 is not supported"),
        (np.ones((2, 2), bool), TypeError, r"matrix of bool is not supported"),
        (np.ones((2, 2), complex), TypeError, r"matrix of complex128 is not supported"),
        (np.ones((2, 2), ">f4"), TypeError, r"matrix of >f4 is not supported"),
        (np.ones((2, 2), object), TypeError, r"matrix of object is not supported"),
        (np.ones((2, 2), ml_dtypes.int4), TypeError, r"matrix of int4 is not supported"),
        (object(), TypeError, r"no matrix can be made of a object"),
        ([[1, 2], [3]], TypeError, r"no matrix can be made of a list"),
        ("text", FileNotFoundError, r"text"),
    ],
)
def test_what_is_no_matrix(source: Any, error: type[Exception], message: str) -> None:
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
    with pytest.raises(TypeError, match="no matrix can be made of a csr_matrix"):
        ss.matrix(sparse.csr_matrix(np.eye(3)))


# -------------------------------------------------------------------------------- .npy files


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_npy(order: Any, dtype: type, tmp_path: Path) -> None:
    numbers = np.asarray(A.astype(dtype), order=order)
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


def test_npy_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    with pytest.raises(FileNotFoundError, match=r"a\.npy"):
        ss.matrix(path)
    np.save(path, np.ones(3))
    with pytest.raises(ValueError, match=r"a\.npy holds an array of shape \(3,\)"):
        ss.matrix(path)
    np.save(path, np.ones((2, 2), int))
    with pytest.raises(TypeError, match=r"a\.npy: a matrix of int64"):
        ss.matrix(path)
    np.save(path, A)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ss.CheckpointError, match=r"a\.npy is no readable \.npy file"):
        ss.matrix(path)
    for damaged in (b"", b"hello", b"\x93NUMPY\x01\x00"):
        path.write_bytes(damaged)
        with pytest.raises(ss.CheckpointError, match=r"a\.npy is no readable \.npy file"):
            ss.matrix(path)
    np.savez(tmp_path / "a.npz", a=A)
    with pytest.raises(TypeError, match=r"a\.npz is not a \.npy file of one array"):
        ss.matrix(tmp_path / "a.npz")


# -------------------------------------------------------------------------------- DLPack


def test_torch_tensors() -> None:
    torch = pytest.importorskip("torch")
    numbers = torch.from_numpy(A)
    for dtype, name in [
        (torch.float64, "f64"),
        (torch.float32, "f32"),
        (torch.bfloat16, "bf16"),
        (torch.float16, "f16"),
    ]:
        tensor = numbers.to(dtype)
        for view in (tensor, tensor.T, tensor[3:50:7, 1::2], tensor[::2].T):
            a = ss.matrix(view)
            assert (a.shape, a.dtype) == (tuple(view.shape), name)
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


def test_torch_memory_is_shared_kept_alive_and_let_go() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.zeros(8, 6)
    watch = weakref.ref(tensor.untyped_storage())
    a = ss.matrix(tensor)
    tensor[2, 3] = 7.0
    del tensor
    gc.collect()
    assert np.asarray(a)[2, 3] == 7.0
    del a
    gc.collect()
    assert watch() is None


def test_torch_tensors_that_are_no_matrix() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(ValueError, match="2 dimensions, this tensor has 1"):
        ss.matrix(torch.ones(3))
    with pytest.raises(ValueError, match="type code 0 with 32 bits"):
        ss.matrix(torch.ones(3, 3, dtype=torch.int32))
    with pytest.raises(TypeError, match="does not hold codes of f16"):
        ss.matrix(torch.ones(3, 3), dtype="f16")


# -------------------------------------------------------------------------------- views


def test_slices() -> None:
    a = ss.matrix(A)
    for key in [
        np.s_[10:20],
        np.s_[:, :7],
        np.s_[-5:, -9:-2],
        np.s_[5:5],
        np.s_[9:2, 3:],
        np.s_[:1000, 38:1000],
        np.s_[10:20,],
        (),
    ]:
        np.testing.assert_array_equal(np.asarray(a[key]), A[key])
    np.testing.assert_array_equal(np.asarray(a[5:50][3:20].T[2:9][:, 4:]), A[5:50][3:20].T[2:9][:, 4:])


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        (3, TypeError, r"indexed by slices, not 3"),
        (np.s_[:, 2], TypeError, r"indexed by slices, not 2; write A\[2:2 \+ 1\]"),
        (..., TypeError, r"indexed by slices, not Ellipsis"),
        (np.s_[::2], ValueError, r"step 1, not 2"),
        (np.s_[:, ::-1], ValueError, r"step 1, not -1"),
        (np.s_[:, :, :], IndexError, r"2 dimensions, not 3"),
        ([1, 2], TypeError, r"indexed by slices, not \[1, 2\]"),
    ],
)
def test_what_is_no_slice(key: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ss.matrix(A)[key]


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda a: a + a.T, ValueError, r"shapes \(60, 40\) and \(40, 60\)"),
        (lambda a: a - a[1:], ValueError, r"shapes \(60, 40\) and \(59, 40\)"),
        (lambda a: a + 1, TypeError, r"unsupported"),
        (lambda a: a - A, TypeError, r"does not support ufuncs"),  # matrix(A) would do
        (lambda a: A - a, TypeError, r"unsupported"),
        (lambda a: np.sqrt(a), TypeError, r"does not support ufuncs"),
        (lambda a: a * a, TypeError, r"unsupported"),
        (lambda a: a * np.nan, ValueError, r"finite number, not nan"),
        (lambda a: a * np.inf, ValueError, r"finite number, not inf"),
        (lambda a: a / 0, ZeroDivisionError, r"division"),
        (lambda a: np.ones(60) @ a, TypeError, r"unsupported"),
        (lambda a: a @ np.ones(41), ValueError, r"\(60, 40\) by an array \(41,\)"),
        (lambda a: a @ np.ones((40, 2, 2)), ValueError, r"\(60, 40\) by an array \(40, 2, 2\)"),
        (lambda a: a @ 3.0, ValueError, r"\(60, 40\) by an array \(\)"),
        (lambda a: a @ np.ones(40, complex), TypeError, r"real arrays"),
    ],
)
def test_what_cannot_be_done(
    act: Callable[[ss.Matrix], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        act(ss.matrix(A))


# -------------------------------------------------------------------------------- shards


@st.composite
def grids(draw: st.DrawFn) -> list[list[NDArray[Any]]]:
    heights = draw(st.lists(st.integers(0, 40), min_size=1, max_size=4))
    widths = draw(st.lists(st.integers(0, 40), min_size=1, max_size=4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kinds = st.sampled_from([np.float64, np.float32, np.float16, ml_dtypes.bfloat16])
    return [
        [rng.integers(-8, 8, (h, w)).astype(draw(kinds), order=draw(st.sampled_from("CF"))) for w in widths]
        for h in heights
    ]


@settings(max_examples=60, deadline=None)
@given(grids())
def test_block_is_numpys(parts: list[list[NDArray[Any]]]) -> None:
    exact = np.block([[part.astype(np.float64) for part in row] for row in parts])
    for joined in (ss.block(parts), ss.vstack([ss.hstack(row) for row in parts])):
        assert joined.shape == exact.shape
        np.testing.assert_array_equal(np.asarray(joined, np.float64), exact)
        np.testing.assert_array_equal(np.asarray(joined.T, np.float64), exact.T)
    assert joined.nbytes == sum(part.nbytes for row in parts for part in row)


def test_rows_of_shards_may_be_cut_at_different_columns() -> None:
    joined = ss.block([[A[:20, :13], A[:20, 13:]], [A[20:, :30], A[20:, 30:]]])
    np.testing.assert_array_equal(np.asarray(joined), A)
    assert joined.dtype == "f64"
    assert ss.hstack([A, A.astype(np.float32)]).dtype == "mixed"


@pytest.mark.parametrize(
    ("join", "message"),
    [
        (lambda: ss.hstack([A, A.T]), r"height 60 and 40"),
        (lambda: ss.vstack([A, A[:, 1:]]), r"width 40 and 39"),
        (lambda: ss.block([[A, A[1:]]]), r"height 60 and 59"),
        (lambda: ss.block([[A, A], [A]]), r"width 80 and 40"),
        (lambda: ss.hstack([]), r"nothing to join"),
        (lambda: ss.vstack([]), r"nothing to join"),
        (lambda: ss.block([]), r"at least one matrix in every row"),
        (lambda: ss.block([[A], []]), r"at least one matrix in every row"),
        (lambda: ss.block(A), r"2 dimensions"),
    ],
)
def test_shards_that_do_not_fit(join: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        join()


# -------------------------------------------------------------------------------- products


def test_products_with_vectors_and_blocks() -> None:
    a = ss.matrix(A)
    x, X, y = np.linspace(-1, 1, 40), np.eye(40, 3), np.linspace(0, 1, 60)
    assert (a @ x).shape == (60,)
    np.testing.assert_allclose(a @ x, A @ x, atol=1e-14)
    np.testing.assert_allclose(a.T @ y, A.T @ y, atol=1e-14)
    np.testing.assert_array_equal(a @ X, A[:, :3])
    np.testing.assert_array_equal(a @ np.eye(40, 3, dtype=int), A[:, :3])
    single = ss.matrix(A.astype(np.float32))
    assert (single @ x.astype(np.float32)).dtype == np.float32
    assert (single @ x).dtype == np.float64
    assert (a @ x.astype(np.float32)).dtype == np.float64
    assert (a @ np.ones((40, 0))).shape == (60, 0)
    one, five = (ss.multiply(single, X, num_threads=threads) for threads in (1, 5))
    assert one.tobytes() == five.tobytes()


def test_a_linear_operator_of_scipy() -> None:
    linalg = pytest.importorskip("scipy.sparse.linalg")
    numbers, sigma = ks.polynomial(90, 70)
    operator = ss.aslinearoperator(numbers)
    assert operator.shape == (90, 70)
    assert operator.dtype == np.float64
    rng = np.random.default_rng(1)
    x, y, X, Y = (rng.standard_normal(shape) for shape in (70, 90, (70, 4), (90, 4)))
    assert y @ (operator @ x) == pytest.approx((operator.H @ y) @ x, rel=1e-12)
    np.testing.assert_allclose(operator @ X, numbers @ X, atol=1e-13)
    np.testing.assert_allclose(operator.rmatmat(Y), numbers.T @ Y, atol=1e-13)
    np.testing.assert_allclose(operator.T @ y, numbers.T @ y, atol=1e-13)
    found = linalg.svds(operator, k=5, rng=np.random.default_rng(0), return_singular_vectors=False)
    np.testing.assert_allclose(np.sort(found)[::-1], sigma[:5], rtol=1e-10)
    half = ss.aslinearoperator(numbers.astype(np.float16))
    np.testing.assert_allclose(half @ x, numbers.astype(np.float16).astype(float) @ x, atol=1e-13)


# -------------------------------------------------------------------------------- files


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("offset", [0, 1, 3, 8, 4097])
def test_files_at_any_offset(mapped: bool, offset: int, tmp_path: Path) -> None:
    path = tmp_path / "raw"
    path.write_bytes(bytes(offset) + A.tobytes() + b"more")
    a = ss.tensor(path, offset, A.shape, "f64", mapped=mapped)
    assert a.in_memory is mapped
    for lazy, exact in [(a, A), (a.T, A.T), (a[7:31, 5:6], A[7:31, 5:6]), (a.T[3:, 2:], A.T[3:, 2:])]:
        assert np.asarray(lazy).tobytes() == np.ascontiguousarray(exact).tobytes()


def test_rows_with_gaps_between_them(tmp_path: Path) -> None:
    padded = np.full((60, 51), np.nan)
    padded[:, 5:45] = A
    (tmp_path / "raw").write_bytes(padded.tobytes()[:-6 * 8])  # the last row's gap is not there
    a = ss.tensor(tmp_path / "raw", 5 * 8, A.shape, "f64", row_stride=51 * 8)
    assert a.nbytes == A.nbytes
    np.testing.assert_array_equal(np.asarray(a), A)
    np.testing.assert_array_equal(np.asarray(a.T[30:]), A.T[30:])
    assert ss.svds(a, 3).s[0] == pytest.approx(np.linalg.norm(A, 2), rel=1e-10)


def test_read_mapped_loaded_and_in_memory_give_the_same_bits(tmp_path: Path) -> None:
    numbers = ks.llm(400, 300)[0].astype(ml_dtypes.bfloat16)
    path = tmp_path / "raw"
    path.write_bytes(b"!" + numbers.tobytes())
    read = ss.tensor(path, 1, (400, 300), "bf16")
    mapped = ss.tensor(path, 1, (400, 300), "bf16", mapped=True)
    results = [
        ss.svds(source, 8, method="krylov", block=8, memory_limit=limit)
        for source, limit in [
            (numbers, None),
            (read, None),  # loaded once
            (read, read.nbytes),  # read again at each pass
            (mapped, None),
        ]
    ]
    for result in results[1:]:
        for part, expected in zip(result, results[0], strict=True):
            assert part is not None
            assert expected is not None
            assert part.tobytes() == expected.tobytes()


def test_slices_read_only_what_they_need(tmp_path: Path) -> None:
    """The file is cut after opening: what the slice needs is there, the rest is not."""
    path = tmp_path / "raw"
    path.write_bytes(A.tobytes())
    a = ss.tensor(path, 0, A.shape, "f64")
    os.truncate(path, (20 * 40 + 10) * 8)  # 20 rows and 10 elements
    for cut, exact in [
        (a[:20], A[:20]),
        (a[5:21, :10], A[5:21, :10]),
        (a[:21].T[:10], A[:21].T[:10]),
        (a.T[2:9, 3:21], A.T[2:9, 3:21]),
    ]:
        np.testing.assert_array_equal(np.asarray(cut), exact)
        assert ss.svdvals(cut)[0] == pytest.approx(np.linalg.norm(exact, 2))
        ss.svds(cut, 2, method="krylov", memory_limit=max(cut.nbytes, 20_000))
        cut @ np.ones(cut.shape[1])
    for cut in (a, a[:21], a[20:21], a[:, 10:], a.T[10:, 3:21]):
        with pytest.raises(ss.CheckpointError, match=r"raw ends at byte 6480"):
            np.asarray(cut)


def bytes_read() -> int:
    """By this process, through system calls."""
    text = Path("/proc/self/io").read_text(encoding="ascii")
    return int(text.split("rchar: ")[1].split()[0])


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="Linux counts what is read")
def test_a_narrow_slice_of_a_wide_file_reads_little(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    wide = np.arange(200 * 50_000, dtype=np.float32).reshape(200, 50_000)
    path.write_bytes(wide.tobytes())
    a = ss.tensor(path, 0, wide.shape, "f32")
    before = bytes_read()
    np.testing.assert_array_equal(np.asarray(a[50:150, 1000:1100]), wide[50:150, 1000:1100])
    assert bytes_read() - before < 2 * 100 * 100 * 4
    before = bytes_read()
    ss.svds(a[:, 40_000:40_050], 5, method="krylov", block=8)
    assert bytes_read() - before < 2 * 200 * 50 * 4  # loaded once


def test_files_that_are_too_short_or_missing(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    path.write_bytes(bytes(100))
    for mapped in (False, True):
        with pytest.raises(ss.CheckpointError, match=r"raw has 100 bytes.*3 x 3.*offset 65"):
            ss.tensor(path, 65, (3, 3), "f32", mapped=mapped)
        assert ss.tensor(path, 64, (3, 3), "f32", mapped=mapped).shape == (3, 3)
        with pytest.raises(FileNotFoundError, match="nowhere"):
            ss.tensor(tmp_path / "nowhere", 0, (3, 3), "f32", mapped=mapped)
    with pytest.raises(OSError, match=str(tmp_path)):
        np.asarray(ss.tensor(tmp_path, 0, (1, 1), "f8_e5m2"))  # a folder
    if os.geteuid() != 0:
        path.chmod(0)
        with pytest.raises(PermissionError, match="raw"):
            ss.tensor(path, 0, (3, 3), "f32")


@pytest.mark.parametrize(
    ("offset", "shape", "stride"),
    [
        (0, (2**40, 2**40), None),
        (0, (2**32 + 1, 1), 2**32),  # (rows - 1) * stride is 2^64
        (0, (2**33 + 1, 1), 2**31),
        (2**63, (1, 1), None),
        (2**64 - 4, (1, 1), None),
        (0, (1, 2**62), None),
    ],
)
def test_sizes_beyond_every_file_do_not_wrap_around(
    offset: int, shape: tuple[int, int], stride: int | None, tmp_path: Path
) -> None:
    (tmp_path / "raw").write_bytes(bytes(100))
    with pytest.raises(ss.CheckpointError, match="raw"):
        ss.tensor(tmp_path / "raw", offset, shape, "f32", row_stride=stride)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((-1, (2, 2), "f32"), {}, r"offset -1"),
        ((0, (-2, 2), "f32"), {}, r"shape \(-2, 2\)"),
        ((0, (2, 2), "f32"), {"row_stride": 7}, r"row_stride 7 \(at least 8\)"),
        ((0, (2, 2), "int8"), {}, r"unknown dtype 'int8'"),
    ],
)
def test_tensor_arguments(
    arguments: tuple[int, tuple[int, int], str], options: dict[str, int], message: str, tmp_path: Path
) -> None:
    (tmp_path / "raw").write_bytes(bytes(100))
    with pytest.raises(ValueError, match=message):
        ss.tensor(tmp_path / "raw", *arguments, **options)  # type: ignore[arg-type]


def test_a_file_that_shrinks_while_it_is_used(tmp_path: Path) -> None:
    """Whichever thread meets the end, the caller gets the error, and nothing hangs."""
    path = tmp_path / "raw"
    path.write_bytes(bytes(2000 * 100 * 4))
    a = ss.tensor(path, 0, (2000, 100), "f32")
    os.truncate(path, 1500 * 100 * 4)
    for call in (
        lambda: ss.moments(a, panel_rows=10),
        lambda: ss.svds(a, 3, panel_rows=100, memory_limit=10**6),
        lambda: ss.svdvals(a),
        lambda: a @ np.ones(100),
    ):
        with pytest.raises(ss.CheckpointError, match="raw ends at byte 600000"):
            call()


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0, 0)])
def test_matrices_of_nothing(shape: tuple[int, int], tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(b"")
    for a in (ss.matrix(np.zeros(shape)), ss.tensor(tmp_path / "raw", 0, shape, "f64")):
        assert np.asarray(a).shape == shape
        assert np.asarray(a.T).shape == shape[::-1]
        np.testing.assert_array_equal(a @ np.ones(shape[1]), np.zeros(shape[0]))
        assert (a + a).shape == shape
        assert ss.vstack([a, a]).shape == (2 * shape[0], shape[1])
