# SPDX-License-Identifier: BSD-3-Clause
"""Scans on executors: threads, processes, a Dask cluster; the same rows, and no row lost."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.support.checkpoints import write_file
from tests.support.scans import bits, model, normal

import sigmascope as ss
from sigmascope.errors import ScanInterrupted
from sigmascope.results import ScanEvent

OPTIONS: dict[str, Any] = {"k": 4, "num_threads": 4, "memory_limit": "4GiB"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a checkpoint of many small matrices, which tests only read."""
    return model(tmp_path_factory.mktemp("checkpoint") / "model")


@pytest.fixture(scope="module")
def expected(folder: Path) -> list[dict[str, Any]]:
    """Scan the checkpoint in this process, one matrix after the other."""
    return bits(ss.scan(folder, **OPTIONS))


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    """Start two processes that share nothing with this one."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield executor


def timeless(path: Path) -> list[dict[str, Any]]:
    """The lines of a journal, in their order, without what differs from run to run."""
    records = bits(json.loads(line) for line in path.read_text().splitlines())
    for record in records:
        record.pop("checksum", None)
    return records


# ------------------------------------------------------------------------------- the same rows


@pytest.mark.parametrize("effort", ["top", "density", "exact"])
def test_processes_find_what_one_finds(
    folder: Path, tmp_path: Path, pool: Executor, effort: str
) -> None:
    here, there = tmp_path / "here.jsonl", tmp_path / "there.jsonl"
    options = OPTIONS | {"effort": effort}
    alone = ss.scan(folder, out=here, **options)
    scan = ss.scan(folder, out=there, executor=pool, workers=2, **options)
    assert bits(scan) == bits(alone)
    assert timeless(there) == timeless(here)
    assert scan["bad"]["nan"] == 1


@pytest.mark.parametrize("workers", [1, 2, 7, None])
def test_threads_find_the_same(
    folder: Path, workers: int | None, expected: list[dict[str, Any]]
) -> None:
    with ThreadPoolExecutor(3) as threads:
        scan = ss.scan(folder, executor=threads, workers=workers, **OPTIONS)
    assert bits(scan) == expected


@pytest.mark.parametrize("memory", ["64MiB", "300MB", "2GiB", None])
def test_memory_limits_that_allow_the_effort_change_no_bit(
    folder: Path, memory: Any, expected: list[dict[str, Any]]
) -> None:
    scan = ss.scan(folder, **OPTIONS | {"memory_limit": memory})
    assert bits(scan) == expected


def test_a_relative_path_is_found_by_workers_elsewhere(
    folder: Path, pool: Executor, monkeypatch: pytest.MonkeyPatch, expected: list[dict[str, Any]]
) -> None:
    monkeypatch.chdir(folder.parent)
    scan = ss.scan(folder.name, executor=pool, **OPTIONS)
    assert bits(scan) == expected


def test_a_run_goes_on_with_another_executor(
    folder: Path, tmp_path: Path, pool: Executor, expected: list[dict[str, Any]]
) -> None:
    path = tmp_path / "x.jsonl"

    def listener(event: ScanEvent) -> None:
        if event.kind == "row" and event.name == "w.4":
            raise KeyboardInterrupt

    with pytest.raises(ScanInterrupted):
        ss.scan(folder, resume=path, executor=pool, progress=listener, **OPTIONS)
    content = path.read_bytes()
    scan = ss.scan(folder, resume=path, **OPTIONS)
    assert path.read_bytes().startswith(content)
    assert bits(scan) == expected


def test_events_come_row_by_row(folder: Path) -> None:
    events: list[ScanEvent] = []
    with ThreadPoolExecutor(2) as threads:
        scan = ss.scan(folder, executor=threads, progress=events.append, **OPTIONS)
    assert [event.row for event in events if event.kind == "row"] == scan.rows
    assert events[-1].done_bytes == events[-1].total_bytes


# ------------------------------------------------------------------------------- what is sent


class Recording(ThreadPoolExecutor):
    """Keeps what it was given, and how much of that was unfinished at once."""

    def __init__(self) -> None:
        super().__init__(3)
        self.tasks: list[Any] = []
        self.most = 0
        self._unfinished = 0
        self._guard = threading.Lock()

    def submit(self, function: Any, /, *arguments: Any, **more: Any) -> Future[Any]:
        self.tasks += arguments
        future = super().submit(function, *pickle.loads(pickle.dumps(arguments)), **more)
        with self._guard:
            self._unfinished += 1
            self.most = max(self.most, self._unfinished)
        future.add_done_callback(self._finished)
        return future

    def _finished(self, future: Future[Any]) -> None:
        with self._guard:
            self._unfinished -= 1


def test_an_unknown_number_of_workers_is_that_of_the_cores(folder: Path) -> None:
    """Each of them has its share of the memory and of the threads."""
    ss.set_num_threads(4)
    try:
        with Recording() as executor:
            ss.scan(folder, executor=executor, k=3, num_threads=8, memory_limit=2**32)
    finally:
        ss.set_num_threads(None)
    assert {task.options.memory_limit for task in executor.tasks} == {2**30}
    assert {task.options.num_threads for task in executor.tasks} == {2}


def test_tasks_are_small_and_few_are_sent_ahead(tmp_path: Path) -> None:
    write_file(tmp_path / "m.safetensors", *(normal(f"w.{i}", 60, 50) for i in range(40)))
    with Recording() as executor:
        scan = ss.scan(
            tmp_path, executor=executor, workers=2, num_threads=5, k=3, memory_limit=2**31
        )
    *names, before, last = (row["name"] for row in scan)
    assert [task.name for task in executor.tasks] == [*names, last, before]  # begun early
    assert all(len(pickle.dumps(task)) < 2000 for task in executor.tasks)
    assert {task.options.memory_limit for task in executor.tasks} == {2**30}
    assert {task.options.num_threads for task in executor.tasks} == {2}
    assert executor.most <= 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 2}, "workers = 2 without an executor"),
        ({"workers": 0, "executor": ThreadPoolExecutor(1)}, "workers must be at least 1, not 0"),
    ],
)
def test_bad_workers(folder: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ss.scan(folder, **options)


# ------------------------------------------------------------------------------- one task


class Here(Executor):
    """Performs each task at once, and keeps it."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], Any]] = []
        self.tasks: list[Any] = []

    def submit(self, function: Any, /, task: Any, **more: Any) -> Future[Any]:
        self.tasks.append(task)
        self.calls.append(partial(function, task))
        future: Future[Any] = Future()
        future.set_result(self.calls[-1]())
        return future


def sent(path: Path) -> Here:
    """Scan a checkpoint by an executor that keeps its tasks."""
    executor = Here()
    scan = ss.scan(path, executor=executor, workers=1, effort="top", k=2, memory_limit="1GiB")
    assert len(scan.analysed) == len(executor.calls)
    return executor


def test_a_worker_opens_a_checkpoint_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_file(tmp_path / "m.safetensors", normal("a", 9, 8), normal("b", 8, 9))
    calls = sent(path).calls * 2
    opened: list[Any] = []
    real = os.open

    def counting(path: Any, *how: Any, **more: Any) -> int:
        opened.append(path)
        return real(path, *how, **more)

    monkeypatch.setattr(os, "open", counting)
    for _ in range(2):
        os.utime(path)  # another stamp, the same content
        opened.clear()
        assert calls[0]()["status"] == "analysed"
        assert set(opened) == {str(path)}
        opened.clear()
        assert {call()["status"] for call in calls} == {"analysed"}
        assert opened == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: write_file(path, normal("a", 9, 8, seed=1)), "not the checkpoint"),
        (Path.unlink, "No such file"),
        (lambda path: os.truncate(path, 100), "m.safetensors"),
    ],
    ids=["other numbers", "gone", "cut"],
)
def test_a_worker_notices_another_file(
    tmp_path: Path, change: Callable[[Path], object], message: str
) -> None:
    path = write_file(tmp_path / "m.safetensors", normal("a", 9, 8))
    (call,) = sent(path).calls
    change(path)
    row = call()
    assert (row["status"], row["failure"]) == ("failed", "environment")
    assert message in row["reason"]


# ------------------------------------------------------------------------------- lost workers


def test_killed_workers_lose_nothing(tmp_path: Path) -> None:
    """A pool that lost a process takes no more tasks: this process does what is left."""
    folder = tmp_path / "model"
    folder.mkdir()
    tensors = [normal(f"w.{i}", 300, 200, seed=i) for i in range(12)]
    write_file(folder / "m.safetensors", *tensors)

    def listener(event: ScanEvent) -> None:
        if event.kind == "row" and event.name == "w.1":
            for process in list(executor._processes):
                os.kill(process, signal.SIGKILL)

    spawn = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(2, mp_context=spawn) as executor,
        pytest.warns(RuntimeWarning, match=r"the executor lost w\.\d+ 3 times .*this process"),
    ):
        scan = ss.scan(folder, executor=executor, workers=2, effort="exact", progress=listener, k=4)
    assert bits(scan) == bits(ss.scan(folder, effort="exact", k=4))


class Flaky(ThreadPoolExecutor):
    """Fails the first attempts at each task."""

    def __init__(self, failures: int) -> None:
        super().__init__(2)
        self.failures = failures

    def submit(self, function: Any, /, task: Any, **more: Any) -> Future[Any]:
        if task.attempt < self.failures:
            return super().submit(lambda: 1 // 0)
        return super().submit(function, task, **more)


def test_a_task_is_sent_again(folder: Path, expected: list[dict[str, Any]]) -> None:
    with Flaky(2) as executor:
        scan = ss.scan(folder, executor=executor, **OPTIONS)
    assert bits(scan) == expected


def test_what_no_attempt_does_is_done_here(folder: Path, expected: list[dict[str, Any]]) -> None:
    with (
        Flaky(3) as executor,
        pytest.warns(RuntimeWarning, match=r"lost [\w.\[\]]+ 3 times .ZeroDivisionError"),
    ):
        scan = ss.scan(folder, executor=executor, **OPTIONS)
    assert bits(scan) == expected


def test_an_executor_that_is_shut_down(folder: Path, expected: list[dict[str, Any]]) -> None:
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.warns(RuntimeWarning, match="after shutdown"):
        scan = ss.scan(folder, executor=executor, **OPTIONS)
    assert bits(scan) == expected


def test_an_interrupt_cancels_what_is_queued(tmp_path: Path) -> None:
    write_file(tmp_path / "m.safetensors", *(normal(f"w.{i}", 60, 50) for i in range(20)))
    release = threading.Event()

    class Held(ThreadPoolExecutor):
        futures: list[Future[Any]]

        def submit(self, function: Any, /, task: Any, **more: Any) -> Future[Any]:
            def work() -> Any:
                if task.name != "w.0":
                    release.wait()
                return function(task)

            future = super().submit(work)
            self.futures.append(future)
            return future

    def listener(event: ScanEvent) -> None:
        if event.kind == "row":
            raise KeyboardInterrupt

    with Held(1) as executor:
        executor.futures = []
        with pytest.raises(ScanInterrupted, match="1 of 20"):
            ss.scan(tmp_path, executor=executor, workers=1, progress=listener, k=3)
        assert [future.cancelled() for future in executor.futures[2:]] == [True, True]
        release.set()


# ------------------------------------------------------------------------------- Dask


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Start a Dask cluster of two processes on this machine."""
    if importlib.util.find_spec("distributed") is None:
        pytest.skip("the extra dask is not installed")
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=2, processes=True, threads_per_worker=1, dashboard_address=None
        ) as processes,
        Client(processes) as client,
    ):
        yield client


@pytest.mark.unsanitized
@pytest.mark.parametrize("effort", [pytest.param("density", marks=pytest.mark.slow), "exact"])
def test_a_dask_cluster_finds_the_same(folder: Path, cluster: Any, effort: str) -> None:
    options = OPTIONS | {"effort": effort}
    scan = ss.scan(folder, executor=cluster.get_executor(), workers=2, **options)
    assert bits(scan) == bits(ss.scan(folder, **options))


@pytest.mark.slow
@pytest.mark.unsanitized
def test_a_worker_killed_under_dask_loses_nothing(tmp_path: Path, cluster: Any) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    tensors = [normal(f"w.{i}", 300, 200, seed=i) for i in range(16)]
    write_file(folder / "m.safetensors", *tensors)
    killed: list[int] = []

    def listener(event: ScanEvent) -> None:
        if event.kind == "row" and not killed:
            killed.append(next(iter(cluster.run(os.getpid).values())))
            os.kill(killed[0], signal.SIGKILL)

    scan = ss.scan(
        folder, executor=cluster.get_executor(), workers=2, progress=listener, effort="exact", k=4
    )
    assert killed
    assert bits(scan) == bits(ss.scan(folder, effort="exact", k=4))


def test_another_attempt_is_another_task(tmp_path: Path) -> None:
    """Dask knows tasks by their arguments, and would answer with the failure it remembers."""
    (task,) = sent(write_file(tmp_path / "m.safetensors", normal("a", 9, 8))).tasks
    assert replace(task, attempt=1) != task
