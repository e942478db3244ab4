# SPDX-License-Identifier: BSD-3-Clause
"""Accumulators that several threads change at once: the bits are those of one thread."""

from __future__ import annotations

import copy
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sigmascope.streaming import GramAccumulator, LinearSketch, MomentsAccumulator, Sketch

THREADS, COLUMNS = 6, 12

Parts = list[NDArray[np.float64]]
MAKERS: dict[str, Callable[[], Any]] = {
    "gram": lambda: GramAccumulator(COLUMNS, center=True),
    "sketch": lambda: Sketch(COLUMNS, 4, center=True),
    "moments": lambda: MomentsAccumulator(COLUMNS),
    "linear": lambda: LinearSketch((20, COLUMNS), 3),
}


@pytest.fixture(autouse=True)
def _often_switched() -> Iterator[None]:
    """Let threads take turns within the sums: every microsecond, where they share a lock."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


def parts() -> Parts:
    """Blocks of rows whose magnitudes need several grids of sums."""
    rng = np.random.default_rng(3)
    return [rng.standard_normal((20, COLUMNS)) * 2.0 ** (i % 5 * 12) for i in range(6 * THREADS)]


def state(accumulator: Any) -> dict[str, bytes]:
    """Everything that the sums consist of, as bytes."""
    results = {name: array.tobytes() for name, array in sorted(accumulator._arrays().items())}
    exponents = np.sort(accumulator._arrays().get("g_exponents", np.zeros(0)))
    named = {name: value for name, value in results.items() if not name.endswith("exponents")}
    return {**named, "exponents": exponents.tobytes(), "updates": b"%d" % accumulator.updates}


def at_once(act: Callable[[int], object], threads: int = THREADS) -> None:
    """Call act(i) in as many threads, which begin together."""
    start = threading.Barrier(threads)

    def begun(i: int) -> None:
        start.wait()
        act(i)

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(begun, i) for i in range(threads)]:
            done.result()


@pytest.mark.parametrize("kind", MAKERS)
def test_updates_of_threads_add_up(kind: str) -> None:
    alone, shared = MAKERS[kind](), MAKERS[kind]()
    for part in parts():
        alone.update(part)
    at_once(lambda i: [shared.update(part, num_threads=1) for part in parts()[i::THREADS]])
    assert state(shared) == state(alone)
    if kind != "linear":
        assert shared.rows == alone.rows == 20 * len(parts())


@pytest.mark.parametrize("kind", MAKERS)
def test_readers_see_whole_updates(kind: str) -> None:
    """Threads that read meanwhile get a result of some updates, never an error or a half."""
    shared = MAKERS[kind]().update(parts()[0])
    read = {"gram": "svdvals", "sketch": "svd", "moments": "result", "linear": "svd"}[kind]

    def act(i: int) -> None:
        for part in parts()[i::THREADS]:
            if i % 2:
                getattr(shared, read)()
            else:
                shared.update(part)

    at_once(act)
    assert shared.updates == 1 + len(parts()) // 2


def test_merges_across_never_wait_for_each_other() -> None:
    """Each thread merges one accumulator into the other while its neighbour does the opposite."""
    first, second = (MAKERS["gram"]().update(part) for part in parts()[:2])
    together = copy.deepcopy(first).merge(second)
    pair = [first, second]
    at_once(lambda i: pair[i % 2].merge(pair[1 - i % 2]), threads=2)
    # Whichever was first: one has both, the other has that and itself again.
    few, many = sorted(pair, key=lambda each: each.updates)
    assert (few.updates, many.updates) == (2, 3)
    assert state(few) == state(together)


def test_a_copy_has_a_lock_of_its_own() -> None:
    original = MAKERS["sketch"]().update(parts()[0])
    for made in (pickle.loads(pickle.dumps(original)), copy.deepcopy(original)):
        assert state(made) == state(original)
        with original._lock:
            at_once(lambda _, made=made: made.update(parts()[1]), threads=1)
        assert made.updates == 2
