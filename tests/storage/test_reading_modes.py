# SPDX-License-Identifier: BSD-3-Clause
"""Buffered, uncached and mapped: the same bits, files that are cut short, reading while working."""

from __future__ import annotations

import copy
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.bytes_read import bytes_read
from tests.support.checkpoints import of_array, write_file
from tests.support.command_line import invoke
from tests.support.reading_modes import READINGS, span_of

import sigmascope as ss
from sigmascope.errors import CheckpointError

FORMATS: dict[str, Any] = {
    "f64": np.float64,
    "f32": np.float32,
    "f16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "f8_e4m3": ml_dtypes.float8_e4m3fn,
    "f8_e5m2": ml_dtypes.float8_e5m2,
}


def numbers(m: int, n: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(0).standard_normal((m, n)).astype(np.float32)


# ------------------------------------------------------------------------------------- same bits


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("offset", [0, 1, 513, 4095, 12_296])
@pytest.mark.parametrize("dtype", FORMATS)
def test_every_format_at_any_place(dtype: str, offset: int, reading: str, tmp_path: Path) -> None:
    codes = numbers(300, 70).astype(FORMATS[dtype])
    path = tmp_path / "raw"
    path.write_bytes(bytes(offset) + codes.tobytes())  # the last page is not whole
    a = ss.tensor(path, offset, codes.shape, dtype, reading=reading)
    exact = codes.astype(a.precision)
    for lazy, expected in [
        (a, exact),
        (a.T, exact.T),
        (a[17:203], exact[17:203]),
        (a[:, 5:9], exact[:, 5:9]),  # runs with gaps
        (a.T[60:, 299:], exact.T[60:, 299:]),
        (a[299:, 69:], exact[299:, 69:]),
        (a.load(), exact),
        (a[3:, 11:13].load(), exact[3:, 11:13]),
    ]:
        assert np.asarray(lazy).tobytes() == np.ascontiguousarray(expected).tobytes()


RAW = (np.arange(3 * 2**18) % 123).astype(np.uint8)  # codes of float8_e5m2, all of them finite


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("raw") / "raw"
    path.write_bytes(RAW.tobytes())
    return path


@given(data=st.data(), reading=st.sampled_from(READINGS))
def test_any_rectangle_with_any_gaps(raw: Path, data: st.DataObject, reading: str) -> None:
    def number(least: int, most: int) -> int:
        return data.draw(st.integers(least, most))

    n = data.draw(st.sampled_from([1, 7, 300, 4096, 5000, 70_000]))
    stride = n + data.draw(st.sampled_from([0, 1, 4095, 4097, 80_000]))
    m = number(1, min(40, (RAW.size - n) // stride + 1))
    offset = number(0, RAW.size - (m - 1) * stride - n)
    (i0, i1), (j0, j1) = (sorted((number(0, x), number(0, x))) for x in (m, n))
    whole = np.lib.stride_tricks.as_strided(RAW[offset:], (m, n), (stride, 1))
    expected = whole[i0:i1, j0:j1].copy().view(ml_dtypes.float8_e5m2).astype(np.float32)
    a = ss.tensor(raw, offset, (m, n), "f8_e5m2", row_stride=stride, reading=reading)
    np.testing.assert_array_equal(np.asarray(a[i0:i1, j0:j1]), expected)
    np.testing.assert_array_equal(np.asarray(a.T[j0:j1, i0:i1].load()), expected.T)


@pytest.mark.parametrize("shape", [(900, 130), (130, 900)], ids=["rows", "columns"])
def test_panels_read_past_the_cache(shape: tuple[int, int], tmp_path: Path) -> None:
    codes = numbers(*shape).astype(ml_dtypes.bfloat16)
    path = tmp_path / "raw"
    path.write_bytes(b"?" + codes.tobytes())
    options: dict[str, Any] = {"method": "krylov", "block": 8, "panel_rows": 50}
    expected = ss.svds(codes, 6, **options)
    for reading in READINGS:
        a = ss.tensor(path, 1, shape, "bf16", reading=reading)
        for limit in (None, 3 * a.nbytes // 2):  # loaded once; read again at each pass
            result = ss.svds(a, 6, memory_limit=limit, **options)
            assert result.s.tobytes() == expected.s.tobytes()
        assert ss.moments(a, panel_rows=50).mean == ss.moments(codes).mean


# -------------------------------------------------------------------------- checkpoints and scans


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write_file(
        tmp_path / "small.safetensors",
        of_array("a", "F32", numbers(40, 30)),
        of_array("b", "F32", numbers(30, 50)),
        of_array("w", "F8_E4M3", numbers(130, 129).astype(ml_dtypes.float8_e4m3fn)),
        of_array("w_scale_inv", "F32", np.array([[1, 2], [0.5, 3]], np.float32)),
    )


def test_a_scan_gives_the_same_rows(small: Path) -> None:
    def rows(**options: Any) -> list[dict[str, Any]]:
        result = ss.scan(small, k=5, **options).rows
        return [{k: v for k, v in row.items() if k != "seconds"} for row in result]

    expected = rows()
    assert [row["status"] for row in expected] == [*["analysed"] * 3, "entrywise"]
    for reading in READINGS:
        assert rows(reading=reading) == expected


def test_a_checkpoint_carries_how_it_is_read(small: Path) -> None:
    assert ss.open_checkpoint(small).reading == "buffered"
    for reading in READINGS:
        checkpoint = ss.open_checkpoint(small, reading=reading)
        assert checkpoint.reading == reading
        assert checkpoint["w"].in_memory is (reading == "mapped")
        assert ss.scan(checkpoint, k=2).complete
        assert ss.scan(checkpoint, k=2, reading=reading).complete
    with pytest.raises(ValueError, match=r"small.* opened with reading 'mapped', not 'uncached'"):
        ss.scan(ss.open_checkpoint(small, reading="mapped"), reading="uncached")
    calls: list[Callable[[], object]] = [
        lambda: ss.open_checkpoint(small, reading="direct"),
        lambda: ss.scan(small, reading="direct"),
        lambda: ss.scan(ss.open_checkpoint(small), reading="direct"),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"buffered, uncached, mapped, not 'direct'"):
            call()


HOW = ("-k", "3", "--seed", "0", "--json")


def test_reading_on_the_command_line(small: Path) -> None:
    def lines(*arguments: str) -> list[str]:
        status, printed, errors = invoke("scan", small, *HOW, *arguments)
        assert status == 0, errors
        return [line.partition('"seconds"')[0] for line in printed.splitlines()]

    expected = lines()
    assert len(expected) == 4
    for reading in READINGS:
        assert lines("--reading", reading) == expected
    assert invoke("scan", small, "--reading", "direct")[0] == 2


# ------------------------------------------------------------------------ files that are cut short


@pytest.mark.parametrize("left", [0, 1, 4095, 4096, 4097, 81_919, 350_000])
def test_a_file_cut_short_is_named_with_its_end(left: int, tmp_path: Path) -> None:
    path = tmp_path / "raw"
    path.write_bytes(numbers(900, 100).tobytes())
    a = ss.tensor(path, 0, (900, 100), "f32", reading="uncached")
    os.truncate(path, left)
    for call in (a.load, lambda: np.asarray(a), lambda: ss.svdvals(a)):
        with pytest.raises(CheckpointError, match=f"raw ends at byte {left}, {360_000 - left} "):
            call()
    with pytest.raises(CheckpointError, match="raw ends at byte"):
        a[:, 3:5].load()
    if left >= 4097:  # rows that are there still: nothing says that they are the old ones
        with pytest.raises(CheckpointError, match=f"it had 360000 bytes.*now it has {left} "):
            a[:10].load()


@pytest.mark.parametrize("reading", READINGS)
def test_a_file_changed_since_it_was_opened(reading: str, small: Path) -> None:
    checkpoint = ss.open_checkpoint(small, reading=reading)
    os.truncate(small, small.stat().st_size - 1)
    with pytest.raises(CheckpointError, match=r"small.* changed since it was opened"):
        checkpoint["a"]


@pytest.mark.parametrize("reading", READINGS)
def test_a_file_replaced_while_a_matrix_is_made(
    reading: str, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the file and its opening."""
    checkpoint = ss.open_checkpoint(small, reading=reading)
    replacing_after(monkeypatch, "stat", small)
    with pytest.raises(CheckpointError, match=r"small.* changed since it was opened"):
        checkpoint["a"]


def test_an_array_file_replaced_while_its_header_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "A.npy"
    np.save(path, numbers(30, 20))
    replacing_after(monkeypatch, "fstat", path)
    with pytest.raises(CheckpointError, match=r"A\.npy: the file changed while its header"):
        ss.matrix(path)


def replacing_after(monkeypatch: pytest.MonkeyPatch, look: str, path: Path) -> None:
    """Put a copy in the place of a file once the first `os.stat` or `os.fstat` has looked at it."""
    real, inode, content = getattr(os, look), path.stat().st_ino, path.read_bytes()

    def looked(*arguments: Any, **options: Any) -> os.stat_result:
        status: os.stat_result = real(*arguments, **options)
        if status.st_ino == inode:
            copy = path.with_suffix(".copy")
            copy.write_bytes(content)
            copy.replace(path)
        return status

    monkeypatch.setattr(os, look, looked)


def test_a_span_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    content = bytes(range(256)) * 64
    path.write_bytes(content)
    for reading in READINGS:
        for offset, count in [(0, 8), (4095, 2), (5, 12_000), (16_000, 10_000), (20_000, 5)]:
            assert span_of(path, offset, count, reading) == content[offset : offset + count]
    with pytest.raises(FileNotFoundError):
        span_of(tmp_path / "nowhere", 0, 1, "uncached")


# ---------------------------------------------------------------------------- reading while working


@pytest.mark.parametrize("reading", ["buffered", "uncached"])
def test_panels_are_read_ahead_of_the_one_in_use(reading: str, tmp_path: Path) -> None:
    """The listener of the first panel holds everything up until the next has been read."""
    path = tmp_path / "raw"
    codes = numbers(640, 4096)
    path.write_bytes(b"odd" + codes.tobytes())
    a = ss.tensor(path, 3, codes.shape, "f32", reading=reading)
    panel = 64 * 4096 * 4
    before = bytes_read()
    seen: list[int] = []

    def listen(used: int) -> None:
        if not seen:
            assert used == panel
            give_up = time.monotonic() + 60
            while bytes_read() - before < 2 * panel and time.monotonic() < give_up:
                time.sleep(0.01)
            seen.append(bytes_read() - before)

    ss.moments(a, panel_rows=64, progress=listen)
    assert seen[0] >= 2 * panel


@pytest.mark.parametrize("reading", READINGS)
def test_matrices_are_loaded_in_any_number_of_threads(reading: str, tmp_path: Path) -> None:
    arrays = {f"w{i}": numbers(500 + 3 * i, 300) + i for i in range(8)}
    write_file(tmp_path / "x.safetensors", *(of_array(k, "F32", v) for k, v in arrays.items()))
    checkpoint = ss.open_checkpoint(tmp_path, reading=reading)
    shared = {name: checkpoint[name] for name in arrays}

    def load(task: int) -> bool:
        name = f"w{task % 8}"
        source = shared[name] if task % 2 else checkpoint[name]
        loaded = source.load()
        assert loaded.in_memory
        return np.asarray(loaded).tobytes() == arrays[name].tobytes()

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(load, range(64)))


@pytest.fixture
def threads_that_never_interrupt() -> Iterator[None]:
    """A thread runs Python until it lets others run, and no other takes its turn before."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("use", ["load", "decode", "copy"])
@pytest.mark.usefixtures("threads_that_never_interrupt")
def test_reading_lets_other_threads_run(use: str, tmp_path: Path) -> None:
    path = tmp_path / "raw"
    path.write_bytes(bytes(2**25))
    a = ss.tensor(path, 0, (2**10, 2**13), "f32", reading="uncached")
    loaded = a.load()
    uses: dict[str, Callable[[], object]] = {
        "load": a.load,
        "decode": lambda: np.asarray(a),
        "copy": lambda: copy.deepcopy(loaded),
    }
    ready, begun, inside = threading.Event(), threading.Event(), [False]

    def looks_inside() -> bool:
        ready.set()
        begun.wait()
        return inside[0]

    with ThreadPoolExecutor(1) as pool:
        for _ in range(50):  # on a busy machine it may come too late
            seen = pool.submit(looks_inside)
            ready.wait()
            begun.set()
            inside[0] = True
            uses[use]()
            inside[0] = False
            if seen.result():
                return
            ready.clear()
            begun.clear()
    pytest.fail("no thread ran meanwhile")
