# SPDX-License-Identifier: BSD-3-Clause
"""Threads that pairs share: the time of all pairs is the time that has passed."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass

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
