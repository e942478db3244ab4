# SPDX-License-Identifier: BSD-3-Clause
"""The function `progress`: bytes that are done, and those in all where they are known before."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sigmascope as ss

A = np.random.default_rng(0).standard_normal((1500, 300), dtype=np.float32)

KNOWN: dict[str, Callable[..., Any]] = {
    "moments": ss.moments,
    "svdvals": ss.svdvals,
    "svdvals, fast": lambda A, **how: ss.svdvals(A, accuracy="fast", **how),
    "randomized_svd": lambda A, **how: ss.randomized_svd(A, 4, passes=3, **how),
    "spectral_density": lambda A, **how: ss.spectral_density(A, passes=5, **how),
}
SEARCHES: dict[str, Callable[..., Any]] = {
    "svds": ss.svds,
    "spectrum": lambda A, **how: ss.spectrum(A, effort="top", k=3, **how),
    "low_rank": lambda A, **how: ss.low_rank(A, rank=4, **how),
}


def stored(folder: Path, kind: str) -> Any:
    if kind == "array":
        return A
    path = folder / "a.npy"
    np.save(path, A.T if "wide" in kind else A)
    return path


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("kind", ["array", "file", "wide file"])
def test_a_bar_can_be_drawn(name: str, kind: str, tmp_path: Path) -> None:
    """The total is a constant, a whole number of reads, and never less than what is done."""
    events: list[tuple[int, int | None]] = []
    KNOWN[name](stored(tmp_path, kind), progress=lambda done, total: events.append((done, total)))
    done, totals = [each[0] for each in events], {each[1] for each in events}
    assert len(totals) == 1
    (total,) = totals
    assert total is not None
    assert total % A.nbytes == 0
    assert done == sorted(done)
    assert 0 < done[-1] <= total


@pytest.mark.parametrize("name", KNOWN)
def test_totals_count_the_passes(name: str) -> None:
    totals: set[int | None] = set()
    passes = KNOWN[name](A, progress=lambda done, total: totals.add(total)).passes
    (total,) = totals
    assert total is not None
    assert passes <= total // A.nbytes <= passes + 1  # the answer of "fast" may need one more


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_has_no_total(name: str) -> None:
    events: list[tuple[int, int | None]] = []
    SEARCHES[name](A, progress=lambda done, total: events.append((done, total)))
    assert events
    assert {total for _, total in events} == {None}


class SlowAtTheEnd:
    """An array that is read by slices of rows, and waits before it gives the last ones."""

    shape, ndim, dtype = (300, 90), 2, np.dtype(np.float32)

    def __getitem__(self, rows: slice) -> Any:
        if rows.stop == self.shape[0]:
            time.sleep(0.1)  # a report is due by then
        return A[rows, :90]


def test_bytes_between_two_reports_are_counted() -> None:
    """The panels before the last one take far less time than lies between two reports."""
    reports: list[int] = []
    a = ss.matrix(SlowAtTheEnd())
    ss.moments(a, panel_rows=30, num_threads=1, progress=reports.append)
    assert reports[0] == a.nbytes // 10
    assert reports[-1] >= 0.8 * a.nbytes


@pytest.mark.parametrize("call", [ss.svdvals, lambda X, **how: ss.randomized_svd(X, 2, **how)])
def test_a_stack_has_the_total_of_its_matrices(call: Callable[..., Any]) -> None:
    alone: set[int | None] = set()
    totals: set[int | None] = set()
    call(A[:40, :30], progress=lambda done, total: alone.add(total))
    call([A[:40, :30]] * 5, progress=lambda done, total: totals.add(total))
    ((one,), (all_five,)) = alone, totals
    assert one is not None
    assert all_five == 5 * one


class Meter:
    """Ways in which a function of the bytes done alone is written."""

    def __init__(self) -> None:
        self.done: list[Any] = []

    def update(self, done: int) -> None:
        self.done.append(done)

    def several(self, *values: int) -> None:
        self.done += values

    def with_default(self, done: int, scale: float = 1.0) -> None:
        self.done.append(done * scale)


@pytest.mark.parametrize("name", ["update", "several", "with_default", "append"])
def test_functions_of_one_argument_get_one(name: str) -> None:
    meter = Meter()
    ss.moments(A, progress=meter.done.append if name == "append" else getattr(meter, name))
    assert meter.done
    assert all(0 < done <= A.nbytes for done in meter.done)
