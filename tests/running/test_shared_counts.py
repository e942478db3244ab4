# SPDX-License-Identifier: BSD-3-Clause
"""Bytes that processes read, as the process that waits for their rows sees them."""

from __future__ import annotations

import multiprocessing
import pickle
import tempfile
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.support.checkpoints import write_file
from tests.support.scans import normal

import sigmascope as ss
from sigmascope._running.shared_counts import SharedCounter, SharedCounts
from sigmascope.scanning import ScanEvent

OPTIONS: dict[str, Any] = {"k": 8, "num_threads": 1, "memory_limit": "1GiB"}


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put temporary files into a folder of their own."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def read_of(run: Any) -> tuple[dict[str, int], int]:
    """Run with a listener; return the bytes read of each matrix at its end, and the reports."""
    last: dict[str, int] = defaultdict(int)
    reports = 0

    def listener(event: ScanEvent) -> None:
        nonlocal reports
        if event.kind == "reading":
            assert event.read_bytes >= last[event.name]
            last[event.name] = event.read_bytes
            reports += event.read_bytes > 0

    run(progress=listener)
    return dict(last), reports


def test_processes_report_the_bytes_that_threads_report(tmp_path: Path, temporary: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    write_file(folder / "m.safetensors", *(normal(f"w.{i}", 300, 200, seed=i) for i in range(4)))
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        for act, paths in ((ss.scan, [folder]), (ss.compare, [folder, folder])):
            run = partial(act, *paths, **OPTIONS)
            here, _ = read_of(run)
            there, reports = read_of(partial(run, executor=pool, workers=1))
            assert there == here
            assert reports >= 4
            assert all(read >= 300 * 200 * 4 for read in there.values())
            assert list(temporary.iterdir()) == []


def test_counts_add_up_over_native_calls(temporary: Path) -> None:
    counts = SharedCounts(3)
    counter = pickle.loads(pickle.dumps(counts.counter(1)))
    listen = counter.listener()
    assert listen is not None
    seen = []
    for nbytes in (10, 25, 5, 9):  # the third is of another call
        listen(nbytes)
        seen.append(counts.of(1))
    assert seen == [10, 25, 30, 34]
    assert (counts.of(0), counts.of(2)) == (0, 0)
    counts.close()
    counts.close()
    assert list(temporary.iterdir()) == []


def test_another_machine_reports_nothing(tmp_path: Path) -> None:
    assert SharedCounter(str(tmp_path / "not here"), 0).listener() is None
