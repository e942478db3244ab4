# SPDX-License-Identifier: BSD-3-Clause
"""Arrays of zarr, h5py, tensorstore, netCDF, dask: read by slices of rows, as those in memory."""

from __future__ import annotations

import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sigmascope as ss

NUMBERS = np.random.default_rng(0).standard_normal((700, 90)).astype(np.float32)


class Sliced:
    """An array that gives rows, and counts them."""

    def __init__(self, numbers: Any, chunks: tuple[int, ...] | None = None) -> None:
        self._numbers = np.asarray(numbers)
        self.shape, self.dtype = self._numbers.shape, self._numbers.dtype
        self.ndim, self.chunks = len(self.shape), chunks
        self.slices: list[tuple[int, int]] = []

    def __getitem__(self, rows: slice) -> Any:
        self.slices.append((rows.start, rows.stop))
        return self._numbers[rows]


def of_h5py(folder: Path, numbers: Any) -> Any:
    h5py = pytest.importorskip("h5py")
    file = h5py.File(folder / "x.h5", "w")
    return file.create_dataset("x", data=numbers, chunks=(64, 32))


def of_zarr(folder: Path, numbers: Any) -> Any:
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(
        store=str(folder / "x.zarr"), shape=numbers.shape, dtype=numbers.dtype, chunks=(64, 32)
    )
    array[:] = numbers
    return array


def of_dask(folder: Path, numbers: Any) -> Any:
    dask = pytest.importorskip("dask.array")
    return dask.from_array(numbers, chunks=(64, 32))


def of_tensorstore(folder: Path, numbers: Any) -> Any:
    tensorstore = pytest.importorskip("tensorstore")
    layout = tensorstore.ChunkLayout(chunk_shape=[64, 32])
    where = {"driver": "zarr", "kvstore": {"driver": "file", "path": f"{folder}/x.zarr/"}}
    array = tensorstore.open(
        where, create=True, dtype=numbers.dtype, shape=numbers.shape, chunk_layout=layout
    ).result()
    array.write(numbers).result()
    return array


def of_netcdf(folder: Path, numbers: Any) -> Any:
    netcdf = pytest.importorskip("netCDF4")
    file = netcdf.Dataset(folder / "x.nc", "w")
    for name, extent in zip("mn", numbers.shape, strict=True):
        file.createDimension(name, extent)
    endian = "big" if numbers.dtype.byteorder == ">" else "little"
    array = file.createVariable("x", numbers.dtype, ("m", "n"), chunksizes=(64, 32), endian=endian)
    array[:] = numbers
    return array


def of_ours(folder: Path, numbers: Any) -> Any:
    return Sliced(numbers)


def of_chunks_of_100(folder: Path, numbers: Any) -> Any:
    return Sliced(numbers, (100, 90))


EVERY = [of_h5py, of_zarr, of_tensorstore, of_netcdf, of_dask, of_ours]
STORED = [
    (make, dtype)
    for make in EVERY
    for dtype in ("f4", "f8", "f2", ">f4", "i4", "?")
    if make is not of_netcdf or dtype not in ("f2", "?")  # netCDF has no such numbers
]


@pytest.mark.parametrize(("make", "dtype"), STORED)
def test_numbers_are_those_of_the_array(make: Any, dtype: str, tmp_path: Path) -> None:
    numbers = (NUMBERS * 100).astype(dtype)
    a = ss.matrix(make(tmp_path, numbers))
    known = ss.matrix(numbers)
    assert (a.shape, a.storage) == (known.shape, known.storage)
    assert not a.in_memory
    np.testing.assert_array_equal(np.asarray(a), np.asarray(known))
    np.testing.assert_array_equal(np.asarray(a[5:77, 3:9]), np.asarray(known[5:77, 3:9]))
    np.testing.assert_array_equal(np.asarray(a.T[2:40:3]), np.asarray(known.T[2:40:3]))


@pytest.mark.parametrize("make", EVERY)
@pytest.mark.parametrize("turned", [False, True])
def test_values_are_those_of_the_array_at_any_memory(
    make: Any, turned: bool, tmp_path: Path
) -> None:
    numbers = np.ascontiguousarray(NUMBERS.T) if turned else NUMBERS
    a = ss.matrix(make(tmp_path, numbers))
    known = ss.svds(numbers, k=5)
    for limit in ("1GiB", "400KB"):
        np.testing.assert_array_equal(ss.svds(a, k=5, memory_limit=limit).s, known.s)
    np.testing.assert_array_equal(ss.svdvals(a).values, ss.svdvals(numbers).values)


class Tall(Sliced):
    """Zeros of 17 MB, and in other respects an array of a library, such as in its chunks."""

    def __init__(self, like: Any) -> None:
        self._like, self.slices = like, []
        self.shape, self.ndim, self.dtype = (1400, 3000), 2, np.dtype(np.float32)
        self._numbers = np.broadcast_to(np.float32(0), self.shape)

    def __getattr__(self, name: str) -> Any:
        if name == "_like":
            raise AttributeError(name)
        return getattr(self._like, name)


@pytest.mark.parametrize(
    ("make", "rows"),
    [*((make, 640) for make in EVERY[:-1]), (of_chunks_of_100, 600), (of_ours, 699)],
)
def test_rows_are_read_by_whole_chunks_of_up_to_8_mib(make: Any, rows: int, tmp_path: Path) -> None:
    """699 rows of 12 000 bytes are no more than 8 MiB; chunks have 64 rows, 100, or one."""
    array = Tall(make(tmp_path, NUMBERS))
    ss.matrix(array).load()
    assert array.slices == [(0, rows), (rows, 2 * rows), (2 * rows, 1400)][: -(-1400 // rows)]


class OneAtATime(Sliced):
    """An array whose library may be called by one thread at a time."""

    inside = most = 0

    def __getitem__(self, rows: slice) -> Any:
        self.inside += 1
        self.most = max(self.most, self.inside)
        time.sleep(0.02)  # gives way to other threads
        self.inside -= 1
        return super().__getitem__(rows)


def test_one_thread_at_a_time_calls_the_library_of_an_array() -> None:
    array = OneAtATime(NUMBERS)
    a = ss.matrix(array)
    with ThreadPoolExecutor(3) as pool:
        for result in pool.map(np.asarray, [a, a[:300], a.T]):
            assert result.size in (NUMBERS.size, 300 * 90)
    assert (len(array.slices), array.most) == (3, 1)


def test_codes_and_bfloat16() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    numbers = NUMBERS.astype(ml_dtypes.bfloat16)
    a = ss.matrix(Sliced(numbers.view(np.uint16)), dtype="bf16")
    assert a.storage == "bf16"
    np.testing.assert_array_equal(np.asarray(a), np.asarray(ss.matrix(numbers)))
    assert ss.matrix(Sliced(numbers)).storage == "bf16"


def test_a_matrix_of_slices_is_pickled_with_its_array() -> None:
    a = pickle.loads(pickle.dumps(ss.matrix(Sliced(NUMBERS))))
    np.testing.assert_array_equal(np.asarray(a), NUMBERS)


def test_arrays_that_are_not_matrices_are_refused() -> None:
    with pytest.raises(ValueError, match="a matrix has 2 dimensions"):
        ss.matrix(Sliced(np.ones((2, 3, 4))))
    with pytest.raises(TypeError, match="complex"):
        ss.matrix(Sliced(np.ones((2, 3), np.complex64)))
    masked = Sliced(NUMBERS)
    masked._numbers = np.ma.masked_array(NUMBERS, NUMBERS > 1)
    with pytest.raises(TypeError, match="masked"):
        ss.matrix(masked).load()
    other = Sliced(NUMBERS)
    other._numbers = NUMBERS.astype(np.float64)
    with pytest.raises(ValueError, match=r"Sliced of 700 x 90: rows 0 to 700 are an array of f"):
        ss.matrix(other).load()
