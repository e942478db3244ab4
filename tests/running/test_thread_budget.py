# SPDX-License-Identifier: BSD-3-Clause
"""Threads that pairs share: the time of all pairs is the time that has passed."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from threading import Event, Thread

import pytest

from sigmascope._running.thread_budget import ThreadBudget


@dataclass(frozen=True)
class NoMemory:
    def leaves_room(self, other: NoMemory) -> bool:
        return True


def test_no_second_is_charged_to_two_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock goes on by a second whenever it is read.

    A pair reads its files while another one computes on most threads, and a third one borrows the
    others again and again. Any second that passes between two readings where one would do counts
    twice.
    """
    seconds = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(seconds)))
    budget = ThreadBudget(4)
    with (
        budget.pair(NoMemory()) as reading,
        budget.pair(NoMemory()) as computing,
        budget.pair(NoMemory()) as borrowing,
        reading.without_threads(),
        computing.threads(2),
        computing.threads(4),
    ):
        for _ in range(100):
            with borrowing.threads(4):
                pass
    charged = [lease.seconds for lease in (reading, computing, borrowing)]
    assert all(seconds > 0 for seconds in charged)
    assert sum(charged) <= next(seconds)


class Planned:
    """A pair that leaves room for all others but some, and remembers which it was asked about."""

    def __init__(self) -> None:
        self.no_room_for: list[Planned] = []
        self.others: list[Planned] = []
        self.considered = Event()

    def leaves_room(self, other: Planned) -> bool:
        self.others.append(other)
        self.considered.set()
        other.considered.set()
        return other not in self.no_room_for


@pytest.mark.parametrize("large_first", [False, True], ids=["small first", "large first"])
def test_pairs_run_together_only_if_each_leaves_room_for_the_other(large_first: bool) -> None:
    small, large, third = Planned(), Planned(), Planned()
    large.no_room_for.append(small)
    first, second = (large, small) if large_first else (small, large)
    budget, began = ThreadBudget(4), Event()

    def run() -> None:
        with budget.pair(second):
            began.set()

    thread = Thread(target=run, daemon=True)
    with budget.pair(first):
        thread.start()
        assert second.considered.wait(60)
        with budget.pair(third):  # asked about every pair that runs
            assert third.others == [first]
        assert not began.is_set()
    thread.join(60)
    assert began.is_set()
