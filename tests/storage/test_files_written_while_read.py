# SPDX-License-Identifier: BSD-3-Clause
"""Files that a program writes in place while they are read: an error, and no mixture of numbers."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.checkpoints import of_array, write_file
from tests.support.coverings import grid
from tests.support.distributed_files import Folder, cuts
from tests.support.flax_files import chunked, write_flax
from tests.support.gguf_files import write_gguf
from tests.support.onnx_files import of_array as onnx_tensor
from tests.support.onnx_files import write_onnx
from tests.support.readers import has_reader
from tests.support.reading_modes import READINGS

import sigmascope as ss
from sigmascope.errors import CheckpointError
from sigmascope.streaming import GramAccumulator, Sketch

A = np.random.default_rng(0).standard_normal((1200, 200)).astype(np.float32)
W = "w"
LONG_AGO = 10**18
"""Time of the last write of a file, in nanoseconds, before a test writes it again."""


def in_npy(folder: Path, reading: str) -> tuple[Path, ss.Matrix]:
    np.save(folder / "a.npy", A)
    aged(folder / "a.npy")
    return folder / "a.npy", ss.tensor(folder / "a.npy", 128, A.shape, "f32", reading=reading)


def in_safetensors(folder: Path, reading: str) -> tuple[Path, ss.Matrix]:
    path = write_file(folder / "m.safetensors", of_array(W, "F32", A))
    return path, of_checkpoint(path, reading)


def in_gguf(folder: Path, reading: str) -> tuple[Path, ss.Matrix]:
    path = write_gguf(folder / "m.gguf", {W: ("F32", A)}, general__architecture="llama")
    return path, of_checkpoint(path, reading)


def in_onnx(folder: Path, reading: str) -> tuple[Path, ss.Matrix]:
    path = write_onnx(folder / "m.onnx", onnx_tensor(W, "F32", A))
    return path, of_checkpoint(path, reading)


def in_torch(folder: Path, reading: str) -> tuple[Path, ss.Matrix]:
    torch = pytest.importorskip("torch")
    torch.save({W: torch.from_numpy(A)}, folder / "m.pt")
    return folder / "m.pt", of_checkpoint(folder / "m.pt", reading)


def in_chunks_of_torch(folder: Path, reading: str) -> tuple[Path, ss.Matrix]:
    made = Folder()
    made.add(W, A, cuts(1200, 600), cuts(200))
    path = made.write(folder)
    return next(path.glob("*.distcp")), of_checkpoint(path, reading)


def in_flax(folder: Path, reading: str) -> tuple[Path, ss.Matrix]:
    path = write_flax(folder / "m.msgpack", {W: chunked(A, 7000)})
    return path, of_checkpoint(path, reading)


def of_checkpoint(path: Path, reading: str) -> ss.Matrix:
    for file in path.glob("*") if path.is_dir() else [path]:
        aged(file)
    matrix = ss.open_checkpoint(path, reading=reading)[W]
    assert isinstance(matrix, ss.Matrix)
    return matrix


READERS: dict[str, Callable[[Path, str], tuple[Path, ss.Matrix]]] = {
    "npy": in_npy,
    "safetensors": in_safetensors,
    "gguf": in_gguf,
    "torch": in_torch,
    "distcp": in_chunks_of_torch,
}
if has_reader("ONNX"):
    READERS["onnx"] = in_onnx
if has_reader("flax"):
    READERS["msgpack"] = in_flax

CALLS: dict[str, Callable[..., Any]] = {
    "svds": lambda a, **how: ss.svds(a, 3, method="krylov", **how).s,
    "svds by Gram": lambda a, **how: ss.svds(a, 3, method="gram", **how).s,
    "svdvals": lambda a, **how: ss.svdvals(a, **how),
    "fast svdvals": lambda a, **how: ss.svdvals(a, accuracy="fast", **how),
    "randomized_svd": lambda a, **how: ss.randomized_svd(a, 3, **how).s,
    "spectrum top": lambda a, **how: ss.spectrum(a, effort="top", k=3, **how).top,
    "spectrum density": lambda a, **how: ss.spectrum(a, k=3, **how).top,
    "spectrum exact": lambda a, **how: ss.spectrum(a, effort="exact", k=3, **how).top,
    "spectral_density": lambda a, **how: ss.spectral_density(a, **how).nuclear_norm().value,
    "low_rank": lambda a, **how: ss.low_rank(a, 3, **how).s,
    "moments": lambda a, **how: ss.moments(a, **how).fro_norm,
    "Sketch": lambda a, **_: Sketch(a.shape[1], 3).update(a).svd().s,
    "GramAccumulator": lambda a, **_: GramAccumulator(a.shape[1]).update(a).svdvals(),
    "load": lambda a, **_: np.asarray(a.load()),
    "asarray": lambda a, **_: np.asarray(a),
}


def aged(path: Path) -> None:
    os.utime(path, ns=(LONG_AGO, LONG_AGO))


def rewrite(path: Path) -> None:
    """Write one byte in place, which is one of the numbers of the matrix."""
    with open(path, "r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


def rewriting(path: Path) -> Callable[[int], None]:
    """Return a listener that rewrites a file when a call reports its first bytes."""
    done: list[int] = []

    def listen(nbytes: int) -> None:
        if not done:
            rewrite(path)
        done.append(nbytes)

    return listen


@grid(2, reader=list(READERS), reading=READINGS, call=list(CALLS))
def test_every_call_notices_a_file_that_was_written(
    reader: str, reading: str, call: str, tmp_path: Path
) -> None:
    path, a = READERS[reader](tmp_path, reading)
    rewrite(path)
    with pytest.raises(CheckpointError, match=rf"{path.name}: the file changed") as caught:
        CALLS[call](a)
    assert f"written at {LONG_AGO} ns" in str(caught.value)
    assert f"{path.stat().st_mtime_ns} ns" in str(caught.value)
    assert "open" in str(caught.value)


PASSES = ["svds", "randomized_svd", "spectrum top", "spectrum density", "spectral_density"]


@pytest.mark.parametrize("call", [*PASSES, "low_rank"])
@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("reader", ["npy", "safetensors", "distcp"])
def test_a_write_between_two_passes_is_noticed(
    reader: str, reading: str, call: str, tmp_path: Path
) -> None:
    """The first pass has been reported, and the memory does not hold the matrix."""
    path, a = READERS[reader](tmp_path, reading)
    with pytest.raises(CheckpointError, match="the file changed"):
        CALLS[call](a, memory_limit="700kB", progress=rewriting(path))


@pytest.mark.parametrize("call", ["svds", "asarray"])
@pytest.mark.parametrize("written", range(3))
@pytest.mark.parametrize("reading", READINGS)
def test_every_file_of_a_joined_matrix_is_looked_at(
    reading: str, written: int, call: str, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{i}.npy" for i in range(3)]
    for path in paths:
        np.save(path, A[:400])
        aged(path)
    joined = ss.vstack([ss.tensor(p, 128, (400, 200), "f32", reading=reading) for p in paths])
    CALLS[call](joined)
    rewrite(paths[written])
    with pytest.raises(CheckpointError, match=rf"{written}\.npy: the file changed"):
        CALLS[call](joined)


@pytest.mark.parametrize("call", ["svds", "svdvals", "spectrum top", "moments"])
def test_numbers_that_are_in_memory_already_stay_those_of_the_old_file(
    call: str, tmp_path: Path
) -> None:
    path, a = in_npy(tmp_path, "buffered")
    result = CALLS[call](a.load(), progress=rewriting(path))
    np.testing.assert_array_equal(result, CALLS[call](A))


@pytest.mark.parametrize("call", [*PASSES, "svdvals", "moments"])
@pytest.mark.parametrize("reading", READINGS)
def test_changes_that_leave_the_numbers_alone_raise_no_alarm(
    call: str, reading: str, tmp_path: Path
) -> None:
    """A file that is replaced, linked, or made read-only is still open as it was."""
    path, a = in_npy(tmp_path, reading)
    os.link(path, tmp_path / "link")
    path.chmod(stat.S_IRUSR)
    other = tmp_path / "other.npy"
    np.save(other, 3 * A)
    other.replace(path)
    np.testing.assert_array_equal(CALLS[call](a, memory_limit="2MB"), CALLS[call](A))
    (tmp_path / "link").unlink()
    np.testing.assert_array_equal(CALLS[call](a, memory_limit="2MB"), CALLS[call](A))


CAUSES: dict[str, Callable[[Path, Path], object]] = {
    "linked": lambda path, other: os.link(path, other.with_suffix(".link")),
    "made read-only": lambda path, other: path.chmod(stat.S_IRUSR),
    "replaced": lambda path, other: other.replace(path),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_each_reason_for_another_status_raises_no_alarm_alone(cause: str, tmp_path: Path) -> None:
    path, a = in_npy(tmp_path, READINGS[0])
    other = tmp_path / "other.npy"
    np.save(other, 3 * A)
    before = path.stat().st_ctime_ns
    time.sleep(0.02)  # the clock of the kernel ticks meanwhile
    with path.open("rb") as file:
        CAUSES[cause](path, other)
        assert os.fstat(file.fileno()).st_ctime_ns > before
    np.testing.assert_array_equal(ss.svdvals(a), ss.svdvals(A))


@pytest.mark.parametrize("reading", READINGS)
def test_a_new_time_alone_is_refused_with_both_times(reading: str, tmp_path: Path) -> None:
    """Nothing can tell `touch` from a write of other numbers."""
    path, a = in_npy(tmp_path, reading)
    os.utime(path, ns=(5, 5))
    with pytest.raises(CheckpointError, match=rf"written at {LONG_AGO} ns; now .* at 5 ns"):
        ss.svds(a, 3)


@pytest.mark.parametrize("reading", READINGS)
def test_a_write_whose_time_was_set_back_is_noticed(reading: str, tmp_path: Path) -> None:
    path, a = in_npy(tmp_path, reading)
    before = path.stat().st_ctime_ns
    while path.stat().st_ctime_ns == before:  # until the clock of the kernel has ticked
        rewrite(path)
        aged(path)
    with pytest.raises(CheckpointError, match="or its time was set back after a write"):
        ss.svds(a, 3)


def test_a_scan_keeps_the_rows_that_it_made_before(tmp_path: Path) -> None:
    """Rows are computed up to four matrices ahead: those hold the old numbers, or the reason."""
    tensors = [of_array(f"{i}.w", "F32", A + i) for i in range(8)]
    path = write_file(tmp_path / "m.safetensors", *tensors)
    aged(path)

    def listen(event: ss.ScanEvent) -> None:
        if event.kind == "row" and event.name == "0.w":
            rewrite(path)

    rows = ss.scan(path, effort="top", k=3, num_threads=1, progress=listen).rows
    statuses = [row["status"] for row in rows]
    assert statuses[0] == "analysed"
    assert statuses[4:] == ["failed"] * 4
    assert set(statuses[1:4]) <= {"analysed", "failed"}
    for i, row in enumerate(rows):
        if row["status"] == "failed":
            assert "the file changed" in row["reason"]
        else:
            expected = ss.spectrum(A + i, effort="top", k=3)["spectral_norm"].value
            assert row["spectral_norm"] == expected


class InTurn(Executor):
    """Runs each task as it is sent, and writes a file before the task of a given number."""

    def __init__(self, path: Path, before: int) -> None:
        self.path, self.before, self.sent = path, before, 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self.sent == self.before:
            rewrite(self.path)
        self.sent += 1
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@pytest.mark.parametrize("kind", ["scan", "compare", "extract"])
def test_workers_that_open_a_file_after_a_write_are_noticed(kind: str, tmp_path: Path) -> None:
    """The byte lies where no identity of a file looks: sizes, headers and samples are equal."""
    other, path = tmp_path / "o.safetensors", tmp_path / "m.safetensors"
    write_file(other, *(of_array(f"{i}.w", "F32", A) for i in range(8)))
    write_file(path, *(of_array(f"{i}.w", "F32", A + i) for i in range(8)))
    aged(path)
    executor = InTurn(path, 7)
    how: dict[str, Any] = {"executor": executor, "workers": 1}
    run = {
        "scan": lambda: ss.scan(path, effort="top", k=3, **how),
        "compare": lambda: ss.compare(other, path, effort="top", k=3, **how),
        "extract": lambda: ss.extract(other, path, out=tmp_path / "adapter", rank=2, **how),
    }[kind]
    rows = run().rows
    assert executor.sent >= 8
    failed = [row["status"] == "failed" for row in rows]
    assert not failed[0]
    assert failed[7]
    assert failed == sorted(failed)  # rows that were not yet received at the write fail, too
    reasons = [row["reason"] for row in rows if row["status"] == "failed"]
    assert all("the file changed since it was opened" in reason for reason in reasons)
