# SPDX-License-Identifier: BSD-3-Clause
"""Bytes that processes read, as the process that waits for their rows sees them."""

from __future__ import annotations

import multiprocessing
import pickle
import tempfile
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.support.checkpoints import write_file
from tests.support.scans import normal

import sigmascope as ss
from sigmascope._running.shared_counts import SharedCounter, SharedCounts
from sigmascope.results import ScanEvent

OPTIONS: dict[str, Any] = {"k": 8, "num_threads": 1, "memory_limit": "1GiB"}


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put temporary files into a folder of their own."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


NBYTES = 300 * 200 * 4


def check_reports(act: Any, paths: list[Path], **options: Any) -> set[str]:
    """Check what a run reports of each matrix it reads, and return their names.

    A call reports its first panel, and then every 50 ms, so that a busy machine hears of more.
    """
    last: dict[str, int] = defaultdict(int)

    def listener(event: ScanEvent) -> None:
        if event.kind == "reading":
            assert event.read_bytes >= last[event.name]
            last[event.name] = event.read_bytes

    table = act(*paths, progress=listener, **OPTIONS, **options)
    for row in table.rows:
        assert NBYTES <= last[row["name"]] <= row["passes"] * NBYTES
    return set(last)


def test_processes_report_the_bytes_that_threads_report(tmp_path: Path, temporary: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    names = {f"w.{i}" for i in range(4)}
    write_file(folder / "m.safetensors", *(normal(f"w.{i}", 300, 200, seed=i) for i in range(4)))
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        for act, paths in ((ss.scan, [folder]), (ss.compare, [folder, folder])):
            assert check_reports(act, paths) == names
            assert check_reports(act, paths, executor=pool, workers=1) == names
            assert list(temporary.iterdir()) == []


def test_counts_add_up_over_native_calls(temporary: Path) -> None:
    counts = SharedCounts(3)
    counter = pickle.loads(pickle.dumps(counts.counter(1)))
    listen = counter.listener()
    assert listen is not None
    seen = []
    for nbytes in (10, 25, 25, 5, 9):  # the fourth is of another call
        listen(nbytes)
        seen.append(counts.of(1))
    assert seen == [10, 25, 25, 30, 34]
    assert (counts.of(0), counts.of(2)) == (0, 0)
    counts.close()
    counts.close()
    assert list(temporary.iterdir()) == []


def test_another_machine_reports_nothing(tmp_path: Path) -> None:
    assert SharedCounter(str(tmp_path / "not here"), 0).listener() is None
