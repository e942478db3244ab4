# SPDX-License-Identifier: BSD-3-Clause
"""Extractions as runs: workers of an executor, shares of the memory, interruptions."""

from __future__ import annotations

import os
import pickle
import shutil
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.changed import written
from tests.support.command_line import invoke
from tests.support.coverings import grid
from tests.support.extraction_requests import recorded_shares
from tests.support.killed_runs import killed_at_every_operation
from tests.support.scans import bits
from tests.support.tuned_models import CARRIED, base_model, tuned_model

import sigmascope as ss
from sigmascope.errors import DeviceError

ADAPTER = ("adapter_model.safetensors", "adapter_config.json")
STACK = "model.layers.0.mlp.experts.down_proj"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A base model and a tuned one, with a stack of experts, in folders that tests only read."""
    folder = tmp_path_factory.mktemp("models")
    base = base_model()
    tuned = tuned_model(base)
    rng = np.random.default_rng(2)
    base[STACK] = rng.standard_normal((3, 20, 16)).astype(np.float32)
    tuned[STACK] = base[STACK] + rng.standard_normal((3, 20, 16)).astype(np.float32)
    return written(folder / "base", base, "F32"), written(folder / "tuned", tuned, "F32")


@pytest.fixture(scope="module")
def whole(folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The adapter of rank 3 that one uninterrupted run without workers writes."""
    folder = tmp_path_factory.mktemp("whole")
    assert ss.extract(*folders, folder, rank=3).written
    return folder


def files(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in ADAPTER]


class Pickling(Executor):
    """Runs tasks where they are submitted, pickled on both ways; loses some."""

    def __init__(self, losing: int = 0) -> None:
        self.losing = losing
        self.sizes: list[int] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        if self.losing:
            self.losing -= 1
            future.set_exception(BrokenExecutor("a worker died"))
            return future
        task = pickle.dumps((fn, args, kwargs))
        self.sizes.append(len(task))
        fn, args, kwargs = pickle.loads(task)
        future.set_result(pickle.loads(pickle.dumps(fn(*args, **kwargs))))
        return future


@grid(
    workers=[1, 2, 3],
    criterion={"rank": {"rank": 3}, "edge": {"rank": "edge"}, "error": {"error": 0.3}},
)
def test_workers_change_no_bit(
    workers: int, criterion: dict[str, Any], folders: tuple[Path, Path], tmp_path: Path
) -> None:
    expected = ss.extract(*folders, tmp_path / "a", **criterion)
    pool = Pickling()
    extraction = ss.extract(*folders, tmp_path / "b", executor=pool, workers=workers, **criterion)
    assert extraction.written
    assert bits(extraction) == bits(expected)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert len(pool.sizes) == len(CARRIED) + 1 + 3  # one of a matrix that did not change
    assert max(pool.sizes) < 4096


def test_workers_on_threads_and_lost_workers(
    folders: tuple[Path, Path], whole: Path, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(2) as pool:
        ss.extract(*folders, tmp_path / "b", rank=3, executor=pool, workers=2)
    ss.extract(*folders, tmp_path / "c", rank=3, executor=Pickling(losing=2), workers=2)
    with pytest.warns(RuntimeWarning, match="lost .* 3 times"):
        ss.extract(*folders, tmp_path / "d", rank=3, executor=Pickling(losing=30), workers=2)
    assert files(whole) == files(tmp_path / "b") == files(tmp_path / "c")
    assert files(whole) == files(tmp_path / "d")


def test_threads_and_memory_are_divided_among_workers(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = recorded_shares(monkeypatch)
    options: dict[str, Any] = {"rank": 3, "num_threads": 5, "memory_limit": "800MiB"}
    extraction = ss.extract(*folders, tmp_path / "a", executor=Pickling(), workers=2, **options)
    assert {*shares} == {(2, 400 * 2**20)}
    assert extraction.options["memory_limit"] == 800 * 2**20
    shares.clear()
    ss.extract(*folders, tmp_path / "b", **options)
    assert {*shares} == {(5, 800 * 2**20)}


@pytest.mark.parametrize("first", [None, 2])
def test_a_run_goes_on_with_another_number_of_workers(
    first: int | None, folders: tuple[Path, Path], whole: Path, tmp_path: Path
) -> None:
    rows: list[str] = []

    def stop(event: Any) -> None:
        if event.kind == "row":
            rows.append(event.name)
            if len(rows) == 4:
                raise KeyboardInterrupt

    folder = tmp_path / "adapter"
    pool = None if first is None else Pickling()
    with pytest.raises(KeyboardInterrupt):
        ss.extract(*folders, folder, rank=3, progress=stop, executor=pool, workers=first)
    assert not (folder / "adapter_config.json").exists()
    kept: list[str] = []

    def watch(event: Any) -> None:
        if event.kind == "kept":
            kept.append(event.name)

    other, workers = (Pickling(), 3) if pool is None else (None, None)
    extraction = ss.extract(
        *folders, folder, rank=3, progress=watch, executor=other, workers=workers
    )
    assert kept == rows
    assert extraction.written
    assert files(folder) == files(whole)


def test_a_full_disk_ends_a_run_with_workers(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        if sum("/parts/" in path for path in calls) == 3:
            raise OSError(28, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        ss.extract(*folders, tmp_path / "a", rank=2, executor=Pickling(), workers=2)
    assert len(list((tmp_path / "a" / "parts").iterdir())) == 2
    assert ss.extract(*folders, tmp_path / "a", rank=2, executor=Pickling(), workers=2).written


def test_a_file_that_changed_fails_its_rows(tmp_path: Path) -> None:
    folders = (
        written(tmp_path / "base", base_model(), "F32"),
        written(tmp_path / "tuned", tuned_model(base_model()), "F32"),
    )

    class Changing(Pickling):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            written(folders[1], tuned_model(base_model(), seed=5), "F32")
            return super().submit(fn, *args, **kwargs)

    extraction = ss.extract(*folders, tmp_path / "a", rank=2, executor=Changing(), workers=1)
    assert not extraction.written
    assert {row["failure"] for row in extraction.failed} == {"environment"}


def test_arguments_of_workers(folders: tuple[Path, Path], tmp_path: Path) -> None:
    for options, error, message in (
        ({"workers": 2}, ValueError, "workers = 2 without an executor"),
        ({"device": "cuda:7"}, DeviceError, "cuda:7"),
        ({"device": "tpu"}, DeviceError, "tpu"),
    ):
        with pytest.raises(error, match=message):
            ss.extract(*folders, tmp_path / "a", rank=2, **options)
    with pytest.raises(ValueError, match="workers of an executor can only open files"):
        ss.extract(
            base_model(), base_model(), tmp_path / "a", rank=2, executor=Pickling(), workers=2
        )
    assert not (tmp_path / "a").exists()


@pytest.mark.slow
def test_processes_of_the_command_line(
    folders: tuple[Path, Path], whole: Path, tmp_path: Path
) -> None:
    arguments = "extract", *folders, "--out", tmp_path / "b", "--rank", 3, "--seed", 0, "-q"
    status, text, _ = invoke(*arguments, "--workers", 2, "--device", "cpu", "--memory", "1GiB")
    assert status == 0
    assert "8 changes in the adapter" in text
    assert (tmp_path / "b" / ADAPTER[0]).read_bytes() == files(whole)[0]


def test_a_run_killed_while_it_removed_its_parts_goes_on(
    folders: tuple[Path, Path], whole: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(whole, tmp_path / "a")
    (folder / "parts").mkdir()
    for name in ADAPTER:
        (folder / f".{name}.abc_1234.part").touch()
    assert ss.extract(*folders, folder, rank=3).written
    assert files(folder) == files(whole)
    assert {path.name for path in folder.iterdir()} == {*ADAPTER, "extraction.jsonl"}


KILLED = """
import sigmascope as ss

def run(out, base, tuned):
    ss.extract(base, tuned, out, rank=3, include="*layers.0.self_attn*")
"""


@pytest.mark.slow
def test_a_run_killed_before_any_operation_goes_on(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    written = killed_at_every_operation(KILLED, tmp_path / "runs", *folders)
    assert len(written) > 20
    for folder in written:
        assert {path.name for path in folder.iterdir()} == {*ADAPTER, "extraction.jsonl"}
        assert files(folder) == files(written[-1])
