# SPDX-License-Identifier: BSD-3-Clause
"""Journals of runs that failed: files that change, kills, full disks; no whole row is lost."""

from __future__ import annotations

import fcntl
import itertools
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.analyses import after_each_spectrum
from tests.support.checkpoints import Stored, of_array, write_file
from tests.support.scans import bits, model, normal

import sigmascope as ss
from sigmascope.errors import OutputError
from sigmascope.results import Scan, ScanEvent

FIRST, SECOND = (f"model-0000{i}-of-00002.safetensors" for i in (1, 2))
OPTIONS: dict[str, Any] = {"k": 4, "num_threads": 1, "memory_limit": "1GiB"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return model(tmp_path / "model")


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The rows of every complete scan of such a folder."""
    return bits(ss.scan(model(tmp_path_factory.mktemp("whole")), **OPTIONS))


# ------------------------------------------------------------------------------- failed rows


def damaged(folder: Path, damage: Callable[[Path], None]) -> Callable[[ScanEvent], None]:
    """A listener that does something to the second shard before anything is analysed."""
    done: list[bool] = []

    def listener(event: ScanEvent) -> None:
        if event.kind == "started" and not done:
            done.append(True)
            damage(folder / SECOND)

    return listener


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 100)


def replace(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(path.read_bytes())
    other.rename(path)


def forbid(path: Path) -> None:
    path.chmod(0)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, "the file changed since it was opened"),
        (Path.unlink, "cannot be read: No such file or directory"),
        (replace, "the file changed since it was opened"),
        pytest.param(
            forbid,
            "Permission denied",
            marks=pytest.mark.skipif(os.geteuid() == 0, reason="root may read it all the same"),
        ),
    ],
    ids=["cut short", "deleted", "replaced", "forbidden"],
)
def test_a_shard_that_changes_fails_alone_and_is_tried_again(
    folder: Path,
    tmp_path: Path,
    damage: Callable[[Path], None],
    message: str,
    expected: list[dict[str, Any]],
) -> None:
    path, second = tmp_path / "x.jsonl", (folder / SECOND).read_bytes()
    scan = ss.scan(folder, resume=path, progress=damaged(folder, damage), **OPTIONS)
    assert scan.complete
    hit = [row for row in scan if row["file"] == SECOND]
    assert len(hit) == 9
    for row in hit:
        assert (row["status"], row["failure"]) == ("failed", "environment")
        assert SECOND in row["reason"]
        assert message in row["reason"]
    assert bits(row for row in scan if row["file"] == FIRST) == expected[: len(scan) - 9]

    (folder / SECOND).unlink(missing_ok=True)
    (folder / SECOND).write_bytes(second)
    content = path.read_bytes()
    mended = ss.scan(folder, resume=path, **OPTIONS)
    assert bits(mended) == expected
    assert path.read_bytes().startswith(content)  # with the failures, and what came of them
    assert Scan.load(path).rows == mended.rows
    assert mended["bad"] == scan["bad"]  # what is in the file will not go away: not tried again


def test_a_file_that_is_replaced_while_it_is_read_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_file(tmp_path / "x.safetensors", normal("a", 30, 20))
    after_each_spectrum(monkeypatch, lambda: replace(path))
    row = ss.scan(path, **OPTIONS)["a"]
    assert (row["status"], row["failure"]) == ("failed", "environment")
    assert "the file changed" in row["reason"]
    assert row["top"] is None


def test_a_limit_that_was_too_small_may_be_raised(tmp_path: Path) -> None:
    path, journal = tmp_path / "m.safetensors", tmp_path / "x.jsonl"
    write_file(path, normal("a", 400, 300), normal("b", 5, 5))
    scan = ss.scan(path, resume=journal, memory_limit=100_000)
    assert (scan["a"]["status"], scan["a"]["failure"]) == ("failed", "environment")
    again = ss.scan(path, resume=journal, memory_limit="1GiB")
    assert again["a"]["status"] == "analysed"
    assert again["b"] == scan["b"]


def test_what_is_in_the_matrix_is_not_tried_again(tmp_path: Path) -> None:
    bad = of_array("bad", "F32", np.full((4, 4), np.nan, np.float32))
    path = write_file(tmp_path / "m.safetensors", bad)
    scan = ss.scan(path, resume=tmp_path / "x.jsonl")
    assert scan["bad"]["failure"] == "data"
    assert ss.scan(path, resume=tmp_path / "x.jsonl")["bad"] == scan["bad"]


# ------------------------------------------------------------------------------- hard ends

# It waits for its end after a few rows, so that it is never done before the last of the kills,
# however late they come.
SCAN = """
import sys, time
import sigmascope as ss

rows = 0

def progress(event):
    global rows
    rows += event.kind == "row"
    time.sleep(0.02 if rows < 10 else 3600)

options = dict(effort="top", k=4, num_threads=1, memory_limit="1GiB")
ss.scan(sys.argv[1], **options, resume=sys.argv[2], progress=progress)
"""


def started(folder: Path, path: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", SCAN, folder, path], stderr=subprocess.PIPE)


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.nightly
def test_killed_twenty_times_at_random_moments(tmp_path: Path) -> None:
    """Whatever was whole in the journal when a run was killed stays there, byte for byte."""
    chance = random.Random(0)
    folder, path = tmp_path / "model", tmp_path / "x.jsonl"
    tensors = [normal(f"w.{i}", 90 + i, 70 + i % 7, seed=i) for i in range(400)]
    folder.mkdir()
    write_file(folder / "model.safetensors", *tensors)
    kills, last = 0, b""
    while kills < 20:
        rows = chance.randrange(4)  # with 0, it may not even have begun
        wanted = lines(path) + rows
        with started(folder, path) as run:
            assert run.stderr is not None
            while lines(path) < wanted and run.poll() is None:
                time.sleep(0.001)
            time.sleep(chance.uniform(0.0, 0.01 if rows else 0.5))
            run.kill()
            assert run.stderr.read() == b""
        assert run.returncode == -signal.SIGKILL
        kills += 1
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        assert whole.startswith(last)
        last = whole
    assert 1 < lines(path) < 401  # it had begun, and was not done
    options: dict[str, Any] = {"effort": "top", **OPTIONS}
    scan = ss.scan(folder, resume=path, **options)
    assert path.read_bytes().startswith(last)
    assert bits(scan) == bits(ss.scan(folder, **options))


@contextmanager
def files_of_at_most(nbytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("limit", [10, 9_000, 20_000])
def test_a_file_that_may_grow_no_further(
    folder: Path, tmp_path: Path, limit: int, expected: list[dict[str, Any]]
) -> None:
    """The system cuts a line short, as a full disk does; what was whole is, and goes on."""
    path = tmp_path / "x.jsonl"
    with pytest.raises(OutputError) as caught, files_of_at_most(limit):
        ss.scan(folder, resume=path, **OPTIONS)
    assert (caught.value.filename, caught.value.strerror) == (str(path), "File too large")
    count = len(caught.value.scan)
    content = path.read_bytes()
    assert len(content) <= limit
    assert content[-1:] in (b"", b"\n")
    assert content.count(b"\n") == (count if content else 0)  # the header, and all rows but one
    scan = ss.scan(folder, resume=path, **OPTIONS)
    assert path.read_bytes().startswith(content)
    assert bits(scan) == expected


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A disk of 16 KiB, where one may be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no disk can be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk(
    folder: Path, small_disk: Path, tmp_path: Path, expected: list[dict[str, Any]]
) -> None:
    path = small_disk / "x.jsonl"
    with pytest.raises(OutputError, match="No space left on device") as caught:
        ss.scan(folder, resume=path, **OPTIONS)
    assert caught.value.filename == str(path)
    kept = Scan.load(path)
    assert kept.rows == caught.value.scan.rows[:-1]
    saved = tmp_path / "x.jsonl"
    saved.write_bytes(path.read_bytes())
    assert bits(ss.scan(folder, resume=saved, **OPTIONS)) == expected


def test_an_error_of_the_disk_is_an_output_error(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    path = tmp_path / "x.jsonl"
    with pytest.raises(OutputError, match=r"Input/output error: .*x\.jsonl") as caught:
        ss.scan(folder, resume=path, **OPTIONS)
    assert Scan.load(path).rows == caught.value.scan.rows


def test_rows_reach_the_disk_while_the_run_goes_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock goes on by more than a second from row to row: a loss of power loses one row."""
    seconds, path, synced = itertools.count(step=2), tmp_path / "x.jsonl", []

    def fsync(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(time, "monotonic", lambda: float(next(seconds)))
    monkeypatch.setattr(os, "fsync", fsync)
    scan = ss.scan(folder, out=path, **OPTIONS)
    monkeypatch.undo()
    lines = path.read_bytes().splitlines(keepends=True)
    ends = list(itertools.accumulate(map(len, lines)))
    assert len(ends) == 1 + len(scan)
    assert set(ends) <= set(synced)


def test_file_systems_without_locks_are_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(file: Any, how: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    path = write_file(tmp_path / "m.safetensors", Stored("ids", "I64", (4,)))
    assert len(ss.scan(path, resume=tmp_path / "x.jsonl")) == 1
    assert len(Scan.load(tmp_path / "x.jsonl")) == 1
