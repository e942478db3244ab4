# SPDX-License-Identifier: BSD-3-Clause
"""Threads of a call: as many as the matrix keeps busy."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import sigmascope as ss


def threads_of_the_process() -> set[str]:
    return {thread.name for thread in Path("/proc/self/task").iterdir()}


@pytest.mark.parametrize(
    ("shape", "started"),
    [((511, 256), 0), ((512, 256), 1), ((512, 512), 2), ((2048, 576), 3)],
    ids=["little", "one share", "two shares", "nine shares"],
)
def test_a_small_matrix_starts_fewer_threads(shape: tuple[int, int], started: int) -> None:
    """One more thread for each share of 2^17 entries, up to the number of the call.

    Threads of other tests may end meanwhile, so that those are counted that were not there before.
    """
    A = np.random.default_rng(1).standard_normal(shape)
    before, new = threads_of_the_process(), set[int]()

    def count(_: object) -> None:
        new.add(len(threads_of_the_process() - before))

    several = ss.svds(A, 4, num_threads=4, progress=count)
    assert new == {started}
    assert np.array_equal(several.s, ss.svds(A, 4, num_threads=1).s)


def test_threads_are_the_cores_that_the_process_may_use() -> None:
    cores = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(cores)})
        assert ss.show_config()["num_threads"] == 1
        assert ss.svdvals([[1.0, 2.0]]).num_threads == 1
    finally:
        os.sched_setaffinity(0, cores)
    assert ss.show_config()["num_threads"] == len(cores)
