# SPDX-License-Identifier: BSD-3-Clause
"""Matrices analysed side by side, and those that need all the memory alone: the same rows."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.checkpoints import of_array, write_file

import sigmascope as ss
from sigmascope._running.ordered import OrderedPrefetch, expected_seconds, submission_order
from sigmascope._running.run_options import RunKeywords
from sigmascope._running.tasks import Options
from sigmascope.analysis.admission import SpectrumRequest
from sigmascope.results import ScanPlan
from sigmascope.scanning.concurrency import ConcurrencyPlan, ExclusiveQueue
from sigmascope.scanning.items import list_items

SMALL = 24
MIB = 1 << 20


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two dozen matrices of half a MiB, and one of 3 MiB in their midst."""
    folder = tmp_path_factory.mktemp("model")
    rng = np.random.default_rng(3)
    shapes = {f"w{i}": (400, 320) for i in range(SMALL)}
    shapes["w9x"] = (2400, 320)
    write_file(
        folder / "model.safetensors",
        *(
            of_array(name, "F32", rng.standard_normal(shape, dtype=np.float32))
            for name, shape in shapes.items()
        ),
    )
    return folder


def shares(model: Path, effort: str, memory: int, num_threads: int) -> ConcurrencyPlan:
    shared = RunKeywords(seed=0, num_threads=num_threads, memory_limit=memory, device="cpu")
    options = Options.of(effort, 8, 1e-3, "reference", None, **shared)
    checkpoint = ss.open_checkpoint(model)
    return ConcurrencyPlan.of(checkpoint, list(list_items(checkpoint, [], [])), options)


@pytest.mark.parametrize("effort", ["top", "density", "exact"])
def test_as_many_as_the_memory_holds(model: Path, effort: str) -> None:
    assert shares(model, effort, 2**30, 1).workers == 1
    assert shares(model, effort, 2**30, 2).workers == 2
    assert shares(model, effort, 2**30, 6).workers == 6
    assert shares(model, effort, 2**30, 64).workers == 8  # of 25 matrices each has several
    parts = shares(model, effort, 2**30, 5)
    assert (parts.each.num_threads, parts.each.memory_limit) == (1, 2**30 // 5)
    assert shares(model, effort, 2**20, 2).workers == 1


@pytest.mark.parametrize("effort", ["top", pytest.param("density", marks=pytest.mark.slow)])
@pytest.mark.unsanitized
def test_no_bit_depends_on_who_is_beside(
    model: Path, effort: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rows(**options: Any) -> list[dict[str, Any]]:
        result = ss.scan(model, effort=effort, k=8, **options)
        assert len(result.analysed) == SMALL + 1
        return [{**row, "seconds": None, "num_threads": None} for row in result.rows]

    expected = rows(num_threads=1)
    assert rows(num_threads=5, memory_limit=2**30) == expected
    monkeypatch.setattr("sigmascope.scanning.concurrency.LEAST_SHARE", 0.5)
    monkeypatch.setattr(
        "sigmascope.scanning.concurrency._fits", lambda checkpoint, name, *options: name != "w9x"
    )
    result = shares(model, effort, 2**30, 2)
    assert result.alone == {"w9x"}
    assert result.options_of("w9x").num_threads == 2
    assert result.options_of("w9").num_threads == 1
    assert rows(num_threads=2, memory_limit=2**30) == expected
    planned = ss.scan(model, effort=effort, k=8, num_threads=2, memory_limit=2**30, plan=True)
    assert planned.totals()["alone"] == ["w9x"]
    assert planned.peak_bytes >= planned["w9x"].peak_bytes


def test_a_share_of_the_memory_changes_no_method(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With many values wanted all of them are cheaper than a density, where the memory allows."""
    monkeypatch.setattr("sigmascope.scanning.concurrency.MINIMUM", 1)
    write_file(
        tmp_path / "model.safetensors",
        *(of_array(f"w{i}", "F32", np.zeros((800, 700), np.float32)) for i in range(4)),
    )

    def planned(memory: int, threads: int) -> ScanPlan:
        return ss.scan(tmp_path, k=120, num_threads=threads, memory_limit=memory * MIB, plan=True)

    seen = set()
    for memory in (3, 4, 5, 6, 8, 10, 14, 30, 60, 100, 140):
        alone, shared = planned(memory, 1), planned(memory, 2)
        assert not alone.refused
        assert [t.effort for t in alone] == [t.effort for t in shared]
        seen.add((shared.workers, shared["w0"].effort))
    assert seen >= {(1, "density"), (1, "exact"), (2, "exact")}


def test_a_share_of_the_memory_allows_what_all_of_it_does(tmp_path: Path) -> None:
    """Searches that may give way to every value have memory for these in their share, too."""
    write_file(
        tmp_path / "model.safetensors",
        *(of_array(f"w{i}", "F32", np.zeros((2000, 1800), np.float32)) for i in range(4)),
    )
    a = ss.open_checkpoint(tmp_path)["w0"]

    def may_find_all(options: Options) -> bool:
        chosen, memory = SpectrumRequest.of(**options.of_spectrum()).chosen(a)
        return chosen.may_find_all(memory)

    seen = set()
    for memory in range(80, 400, 20):
        parts = shares(tmp_path, "top", memory * MIB, 2)
        used = parts.options_of("w0")
        assert may_find_all(used) == may_find_all(parts.full)
        seen.add((parts.workers, may_find_all(used)))
    assert seen == {(1, True), (2, True)}


def test_too_small_a_share_is_made_up_for(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A matrix that is refused within a share of the memory is analysed alone."""
    monkeypatch.setattr("sigmascope.scanning.concurrency._fits", lambda *_: True)
    monkeypatch.setattr("sigmascope.scanning.concurrency.MINIMUM", 1)
    scan = ss.scan(model, effort="exact", num_threads=2, memory_limit=3 * MIB)
    assert len(scan.analysed) == SMALL + 1


def test_one_alone_waits_and_is_waited_for() -> None:
    turns, log, entered = ExclusiveQueue(), [], threading.Semaphore(0)
    leave = {name: threading.Event() for name in "abcd"}

    def work(name: str, alone: bool) -> None:
        with turns.turn(alone=alone):
            log.append(name)
            entered.release()
            leave[name].wait()
            log.append(name.upper())

    def begin(name: str, alone: bool = False) -> threading.Thread:
        waiting = len(turns._waiting) + 1
        thread = threading.Thread(target=work, args=(name, alone))
        thread.start()
        while len(turns._waiting) < waiting and name not in log:
            pass
        return thread

    threads = [begin("a"), begin("b"), begin("c", alone=True), begin("d")]
    for _ in "ab":
        entered.acquire()
    assert sorted(log) == ["a", "b"]  # c waits for both, and d does not overtake it
    leave["a"].set()
    threads[0].join()
    assert sorted(log) == ["A", "a", "b"]
    leave["b"].set()
    entered.acquire()
    assert log[-1] == "c"
    leave["c"].set()
    entered.acquire()
    assert log[-2:] == ["C", "d"]
    leave["d"].set()
    for thread in threads:
        thread.join()


@given(st.lists(st.integers(1, 1000), max_size=40), st.integers(1, 8))
def test_large_matrices_are_begun_neither_first_nor_last(sizes: list[int], workers: int) -> None:
    """And each while its row is not yet wanted; the last while others have as much to do."""
    indices = [3 * i for i in range(len(sizes))]
    order = submission_order(indices, lambda index: sizes[index // 3], workers)
    assert sorted(order) == indices
    if len(sizes) > 1:
        assert sizes[order[0] // 3] == min(sizes[:2])
    if len(sizes) > 2 and workers > 1:
        assert order[-1] != indices[-1]
        behind = order[order.index(indices[-1]) + 1 :]
        to_do = sum(sizes[index // 3] for index in behind)
        assert to_do >= (workers - 1) * sizes[-1] or len(behind) == len(sizes) - 2
        assert to_do - sizes[behind[0] // 3] < (workers - 1) * sizes[-1]  # and no earlier
    begun: set[int] = set()
    to_come = iter(order)
    for index in indices:  # as OrderedPrefetch does it at least
        while len(begun) < 4 * workers and (later := next(to_come, None)) is not None:
            begun.add(later)
        assert index in begun
        begun.remove(index)


class Clock:
    """A runner whose matrices take the given seconds of a clock, which only waiting advances."""

    def __init__(self, seconds: list[float], alone: list[bool], workers: int) -> None:
        self.workers, self.now = workers, 0.0
        self._seconds, self._alone = seconds, alone
        self._free = [0.0] * workers
        self._ended: dict[int, float] = {}

    def submit(self, index: int) -> Future[Any]:
        self._free.sort()
        begun = max(self.now, self._free[-1 if self._alone[index] else 0])
        self._ended[index] = begun + self._seconds[index]
        if self._alone[index]:
            self._free = [self._ended[index]] * self.workers
        self._free[0] = self._ended[index]
        row: Future[Any] = Future()
        row.set_result({})
        return row

    def bytes_read(self, index: int) -> int:
        return 0

    def result(self, index: int, future: Future[Any]) -> Any:
        self.now = max(self.now, self._ended[index])
        return future.result()

    def close(self) -> None:
        pass


@given(
    st.lists(st.tuples(st.integers(1, 100), st.booleans()), min_size=1, max_size=60),
    st.integers(1, 6),
    st.booleans(),
)
def test_expected_seconds_are_those_of_the_loop(
    matrices: list[tuple[int, bool]], workers: int, together: bool
) -> None:
    sizes = [size for size, _ in matrices]
    alone = [each and not together for _, each in matrices]
    clock = Clock([float(size) for size in sizes], alone, workers)
    with OrderedPrefetch(clock, range(len(sizes)), sizes.__getitem__) as rows:
        for index in range(len(sizes)):
            rows.row(index, lambda read: None)
    assert expected_seconds(list(map(float, sizes)), sizes, alone, workers) == clock.now
    assert max(sizes) <= clock.now <= sum(sizes)


@pytest.mark.parametrize("workers", [2, 3, 8])
@pytest.mark.parametrize("place", [0, 100, 199])
def test_workers_do_not_wait_for_the_row_of_a_large_matrix(place: int, workers: int) -> None:
    sizes = [1] * 200
    sizes[place] = 100
    expected = expected_seconds([float(size) for size in sizes], sizes, [False] * 200, workers)
    before = 0 if place == 199 else place / workers  # the last is begun early
    assert expected <= max(before + 100, sum(sizes) / workers) + 2
