# SPDX-License-Identifier: BSD-3-Clause
"""Scans of checkpoints on other machines: the rows of local files, each byte moved once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from tests.support.analyses import before_each_spectrum_of_a_scan
from tests.support.checkpoints import write_sharded
from tests.support.file_server import Fault, FileServer
from tests.support.remote import read_in_pieces, served, whole_numbers
from tests.support.scans import bits, model, normal

import sigmascope as ss
from sigmascope.errors import ScanInterrupted

pytestmark = pytest.mark.slow

HOW: dict[str, Any] = {"effort": "top", "k": 2, "num_threads": 2, "memory_limit": "1GiB"}
SECRET = "s3cr3t"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FileServer]:
    with served(model(tmp_path)) as running:
        yield running


def reads(server: FileServer) -> Counter[tuple[str, int]]:
    """Count the reads at each position of the weights, after the headers."""
    data = [r for r in server.requests if r.file.endswith(".safetensors") and r.start > 0]
    return Counter((request.file, request.start) for request in data)


def test_rows_are_those_of_local_files_and_each_tensor_is_read_once(server: FileServer) -> None:
    here = ss.scan(server.folder, **HOW)
    far = ss.open_checkpoint(server.url)
    server.requests.clear()
    scan = ss.scan(far, **HOW)
    assert bits(scan.rows) == bits(here.rows)
    assert Counter(row["status"] for row in scan.rows) == {
        "analysed": 15,
        "entrywise": 1,
        "failed": 1,
    }
    counts = reads(server)
    bad = next(row for row in far.info() if row["name"] == "bad")
    # What holds NaN is read once more for the moments of its row.
    assert {key for key, count in counts.items() if count > 1} <= {(bad["file"], bad["offset"])}
    assert max(counts.values()) <= 2
    assert server.sent_bytes < 3 * whole_numbers(server)


@pytest.mark.parametrize("effort", ["top", "density", "exact"])
def test_the_next_tensor_is_read_while_one_is_computed(
    effort: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = [normal(f"w.{i}", 60, 40, seed=i) for i in range(4)]
    write_sharded(tmp_path, {"model-00001-of-00001.safetensors": tensors})
    with served(tmp_path) as server:
        far = ss.open_checkpoint(server.url)
        waiting = {record["offset"]: threading.Event() for record in far.info()}
        order = iter(list(waiting.values())[1:])
        met: list[bool] = []

        def answer(request: Any) -> None:
            if request.start in waiting:
                waiting[request.start].set()

        def wait_for_the_next() -> None:
            following = next(order, None)
            met.append(following is None or following.wait(20))

        server.answer = answer
        before_each_spectrum_of_a_scan(monkeypatch, wait_for_the_next)
        ss.scan(far, **{**HOW, "effort": effort, "num_threads": 1})
        assert met == [True] * 4


def test_a_matrix_beyond_the_memory_is_read_by_panels_at_each_pass(tmp_path: Path) -> None:
    wide, tall = normal("wide", 150, 9000), normal("tall", 9000, 150)
    write_sharded(tmp_path, {"model-00001-of-00001.safetensors": [wide, tall]})
    how = {**HOW, "num_threads": 1, "memory_limit": "4MB", "k": 2}
    here = ss.scan(tmp_path, **how)
    assert [row["status"] for row in here.rows] == ["analysed"] * 2
    with served(tmp_path) as server:
        scan = ss.scan(server.url, **how)
        assert bits(scan.rows) == bits(here.rows)
        assert server.sent_bytes > 3 * whole_numbers(server)
        data = [r for r in server.requests if r.start > 0]
        assert len(data) < 400  # runs of rows are read together


@pytest.mark.parametrize("seed", range(2))
def test_twenty_faults_make_no_wrong_row_and_lose_none(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    with served(model(tmp_path, 40)) as server, pytest.MonkeyPatch.context() as patch:
        read_in_pieces(patch, 1 << 11)
        here = ss.scan(server.folder, **HOW)
        kinds = [
            lambda: Fault(status=chance.choice([429, 500, 502, 503, 504, 408])),
            lambda: Fault(status=429, headers={"Retry-After": "1"}),
            lambda: Fault(sent=chance.randrange(2000)),
            lambda: Fault(wrong=chance.choice([-7, -1, 1, 9])),
            lambda: Fault(seconds=0.05),
        ]
        faults = [kinds[i % len(kinds)]() for i in range(20)]
        chance.shuffle(faults)
        far = ss.open_checkpoint(server.url)
        left = server.fail(*faults)
        scan = ss.scan(far, **HOW)
        assert not left
        assert bits(scan.rows) == bits(here.rows)


def test_a_file_that_changes_fails_its_rows_alone(server: FileServer) -> None:
    here = ss.scan(server.folder, **HOW)
    far = ss.open_checkpoint(server.url)
    server.tags["model-00002-of-00002.safetensors"] = '"another"'
    scan = ss.scan(far, **HOW)
    for row, known in zip(scan.rows, here.rows, strict=True):
        if row["file"] == "model-00001-of-00002.safetensors":
            assert bits([row]) == bits([known])
        else:
            assert row["status"] == "failed"
            assert "the file changed since it was opened" in row["reason"]
            assert row["failure"] == "environment"


def test_a_scan_is_resumed_where_its_server_failed(server: FileServer, tmp_path: Path) -> None:
    here = ss.scan(server.folder, **HOW)
    journal = tmp_path / "x.jsonl"
    address = server.url.replace("http://", f"http://user:{SECRET}@") + f"?signature={SECRET}"
    far = ss.open_checkpoint(address)
    server.answer = lambda request: Fault(status=403) if "model-00002" in request.file else None
    first = ss.scan(far, resume=journal, **HOW)
    assert {row["status"] for row in first.rows} == {"analysed", "entrywise", "failed"}
    server.answer = lambda request: None
    server.requests.clear()
    scan = ss.scan(address, resume=journal, **HOW)
    assert bits(scan.rows) == bits(here.rows)
    one = "model-00001-of-00002.safetensors"
    assert len(server.asked(one)) <= 1  # its header, and no tensor again
    text = journal.read_text()
    assert SECRET not in text
    assert server.url in text
    assert "access is refused (403 Forbidden)" in text
    server.tags[one] = '"another"'
    with pytest.raises(ValueError, match=rf"{one} has different content of the same size"):
        ss.scan(address, resume=journal, **HOW)


def test_processes_and_parts_give_the_same_rows(server: FileServer) -> None:
    here = ss.scan(server.folder, **HOW)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        scan = ss.scan(server.url, executor=pool, workers=2, **HOW)
    assert bits(scan.rows) == bits(here.rows)
    parts = [ss.scan(server.url, shard=(i, 2), **HOW) for i in range(2)]
    assert bits(ss.merge(parts).rows) == bits(here.rows)


def test_pairs_on_two_machines_are_compared(server: FileServer, tmp_path: Path) -> None:
    other = model(tmp_path / "other")
    here = ss.compare(server.folder, other, **HOW)
    with served(other) as second:
        comparison = ss.compare(server.url, second.url, **HOW)
        mixed = ss.compare(server.folder, second.url, **HOW)
    assert bits(comparison.rows) == bits(here.rows) == bits(mixed.rows)


def test_a_plan_reads_headers_and_a_sample(server: FileServer) -> None:
    far = ss.open_checkpoint(server.url)
    server.requests.clear()
    plan, here = ss.scan(far, **HOW, plan=True), ss.scan(server.folder, **HOW, plan=True)
    assert plan.read_bytes == here.read_bytes
    assert plan.nbytes == here.nbytes
    assert plan.peak_bytes == here.peak_bytes
    assert plan.rates.file is not None
    assert {r.file for r in server.requests} == {"model-00001-of-00002.safetensors"}


def test_nothing_is_stored_on_disk(server: FileServer, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    environment = {name: str(empty) for name in ("TMPDIR", "HOME", "XDG_CACHE_HOME")}
    code = f"import sigmascope as ss; print(len(ss.scan({server.url!r}, effort='top', k=2)))"
    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd=empty,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout == "17\n"
    assert list(empty.rglob("*")) == []


def test_ctrl_c_ends_a_scan_of_a_slow_server(tmp_path: Path) -> None:
    tensors = [normal(f"w.{i}", 500, 400, seed=i) for i in range(4)]
    write_sharded(tmp_path, {"model-00001-of-00001.safetensors": tensors})
    with served(tmp_path) as server, pytest.MonkeyPatch.context() as patch:
        read_in_pieces(patch, 1 << 12)
        far = ss.open_checkpoint(server.url)
        reading = threading.Event()

        def answer(request: Any) -> Fault | None:
            reading.set()
            return Fault(seconds=0.2)

        def interrupt() -> None:
            reading.wait()
            os.kill(os.getpid(), signal.SIGINT)

        server.answer = answer
        thread = threading.Thread(target=interrupt, daemon=True)
        thread.start()
        before = time.monotonic()
        with pytest.raises(ScanInterrupted) as caught:
            ss.scan(far, **HOW)
        thread.join()
        assert len(caught.value.scan.rows) < 4
        # 4 matrices of 196 requests, 8 at a time, would take 20 s.
        request_count = len(server.requests)
        assert request_count < 100, time.monotonic() - before
        server.answer = lambda request: None
        assert len(ss.scan(far, **HOW)) == 4  # what was stopped can be used again
