# SPDX-License-Identifier: BSD-3-Clause
"""A matrix in files is pickled as paths and places, and is the same matrix where it arrives."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sigmascope as ss
from sigmascope.errors import CheckpointError

READINGS = ("buffered", "uncached", "mapped")
ITEMSIZE = {"f64": 8, "f32": 4, "f16": 2, "bf16": 2, "f8_e4m3": 1, "f8_e5m2": 1, "f4_e2m1": 1}


def arrived(a: ss.Matrix) -> ss.Matrix:
    result = pickle.loads(pickle.dumps(a))
    assert isinstance(result, ss.Matrix)
    return result


def same(a: ss.Matrix, b: ss.Matrix) -> bool:
    """The same shape, storage and bits."""
    alike = (a.shape, a.storage, a.nbytes, a.in_memory) == (
        b.shape,
        b.storage,
        b.nbytes,
        b.in_memory,
    )
    return alike and np.asarray(a).tobytes() == np.asarray(b).tobytes()


def stored(folder: Path, name: str, shape: tuple[int, int], dtype: str, seed: int) -> ss.Matrix:
    """A tensor of finite numbers at an odd offset of a file; fp8 has scales, per block."""
    rng = np.random.default_rng(seed)
    kinds = {
        "bf16": ml_dtypes.bfloat16,
        "f8_e4m3": ml_dtypes.float8_e4m3fn,
        "f8_e5m2": ml_dtypes.float8_e5m2,
    }
    path = folder / name
    if dtype == "f4_e2m1":  # two to a byte, never mapped
        path.write_bytes(b"abc" + rng.bytes(-(-shape[0] * shape[1] // 2)))
        return ss.tensor(path, 3, shape, dtype, reading=READINGS[seed % 2])
    kind = kinds.get(dtype) or np.dtype(f"f{ITEMSIZE[dtype]}")
    path.write_bytes(b"abc" + rng.standard_normal(shape).astype(kind).tobytes())
    if not dtype.startswith("f8"):
        return ss.tensor(path, 3, shape, dtype, reading=READINGS[seed % 3])
    block = (int(rng.integers(1, 20)), int(rng.integers(1, 20)))
    grid = (-(-shape[0] // block[0]), -(-shape[1] // block[1]))
    return ss.tensor(
        path, 3, shape, dtype, scale=rng.uniform(0.5, 2.0, grid).astype("f4"), scale_block=block
    )


@st.composite
def recipes(draw: st.DrawFn) -> tuple[int, list[str], list[tuple[str, int]]]:
    """Dtypes of the tensors, and operations with their numbers."""
    operations = ["slice", "transpose", "scale", "add", "stack"]
    return (
        draw(st.integers(0, 2**31)),
        draw(st.lists(st.sampled_from(list(ITEMSIZE)), min_size=1, max_size=3)),
        draw(st.lists(st.tuples(st.sampled_from(operations), st.integers(0, 2**31)), max_size=6)),
    )


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(recipes())
def test_every_lazy_matrix_arrives_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, recipe: tuple[int, list[str], list[tuple[str, int]]]
) -> None:
    seed, dtypes, operations = recipe
    folder = tmp_path_factory.mktemp("tensors")
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 60)), int(rng.integers(1, 60)))
    tensors = [stored(folder, f"{i}", shape, d, seed + i) for i, d in enumerate(dtypes)]
    a = tensors[0]
    for name, number in operations:
        pick = np.random.default_rng(number)
        if name == "slice":
            (i0, i1), (j0, j1) = (np.sort(pick.integers(0, e + 1, 2)) for e in a.shape)
            a = a[int(i0) : int(i1), int(j0) : int(j1)]
        elif name == "transpose":
            a = a.T
        elif name == "scale":
            a = a * float(pick.standard_normal())
        elif name == "add":
            other = tensors[int(pick.integers(len(tensors)))]
            rows, columns = (min(x, y) for x, y in zip(a.shape, other.shape, strict=True))
            a = a[:rows, :columns] - other[:rows, :columns]
        else:
            a = ss.vstack([a, a * 0.5])
    assert same(arrived(a), a)


def test_it_is_read_as_before_where_it_arrives(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    path.write_bytes(np.eye(8).tobytes())
    sent = [
        pickle.dumps(ss.tensor(path, 0, (8, 8), "f64", reading=reading)) for reading in READINGS
    ]
    assert len(set(sent)) == len(READINGS)
    assert [pickle.dumps(pickle.loads(state)) for state in sent] == sent


def descriptors_of(path: Path) -> int:
    """Count this process's descriptors of the file."""
    links = Path("/proc/self/fd").iterdir()
    return sum(os.path.realpath(link) == os.path.realpath(path) for link in links)


def test_it_is_small_and_opens_each_file_once(tmp_path: Path) -> None:
    """A few rows of a large fp8 tensor carry only their own scales."""
    shape = (4096, 2048)
    (tmp_path / "codes").write_bytes(np.full(shape, 0x38, np.uint8).tobytes())
    scales = np.random.default_rng(0).uniform(0.5, 2, (1024, 512)).astype("f4")
    whole = ss.tensor(tmp_path / "codes", 0, shape, "f8_e4m3", scale=scales, scale_block=(4, 4))
    rows = whole[1001:1011]
    assert len(pickle.dumps(whole)) > scales.nbytes
    assert len(pickle.dumps(rows)) < 4 * 512 * 4 + 1000
    assert same(arrived(rows), rows)
    many = ss.vstack([whole[i : i + 1] for i in range(2000)])
    before = descriptors_of(tmp_path / "codes")
    held = arrived(many)
    assert descriptors_of(tmp_path / "codes") == before + 1
    assert held.shape == many.shape


def resident() -> int:
    """Return the bytes of memory that this process holds now."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.unsanitized
def test_slices_share_the_scales_of_their_tensor(tmp_path: Path) -> None:
    """A copy for each of 300 slices would take 600 MiB."""
    (tmp_path / "codes").write_bytes(bytes(4096 * 2048))
    scales = np.ones((1024, 512), "f4")
    whole = ss.tensor(
        tmp_path / "codes", 0, (4096, 2048), "f8_e4m3", scale=scales, scale_block=(4, 4)
    )
    before = resident()
    stacked = ss.vstack([whole[i : i + 1] for i in range(300)])
    assert resident() - before <= 60 * 2**20
    assert stacked.shape == (300, 2048)


def test_a_relative_path_is_found_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.arange(12.0).reshape(3, 4)
    np.save(tmp_path / "a.npy", values)
    monkeypatch.chdir(tmp_path)
    a = ss.matrix("a.npy")
    monkeypatch.chdir("/")
    assert np.array_equal(np.asarray(arrived(a)), values)


def test_numbers_in_memory_are_not_sent(tmp_path: Path) -> None:
    small = np.eye(3)
    np.save(tmp_path / "a.npy", small)
    held = ss.matrix(tmp_path / "a.npy").load()
    for a in (ss.matrix(small), held, ss.matrix(tmp_path / "a.npy") - ss.matrix(small)):
        with pytest.raises(TypeError, match="a matrix in memory cannot be sent to another process"):
            pickle.dumps(a)


def test_a_file_that_was_changed_or_moved_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.eye(3))
    state = pickle.dumps(ss.matrix(path))
    os.utime(path, ns=(1, 1))
    with pytest.raises(
        CheckpointError,
        match=rf"{path} was changed: it had 200 bytes.*now it has 200, written at 1 ns",
    ):
        pickle.loads(state)
    state = pickle.dumps(ss.matrix(path))
    np.save(path, np.eye(4))
    os.utime(path, ns=(1, 1))
    with pytest.raises(CheckpointError, match=r"was changed: it had 200 bytes.*now it has 256"):
        pickle.loads(state)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=str(path)):
        pickle.loads(state)
