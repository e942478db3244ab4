# SPDX-License-Identifier: BSD-3-Clause
"""One matrix spread over workers, some of which are lost: no bit changes."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.support.executors import Shuffling
from tests.support.spread_matrices import SHAPES, cut_finely, in_file, numbers

import sigmascope as ss


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut the matrices of every test into several blocks."""
    cut_finely(monkeypatch)


class Killing(Executor):
    """A pool, one of whose workers is killed when so many tasks were submitted."""

    def __init__(self, pool: ProcessPoolExecutor, after: int) -> None:
        self.pool, self.after = pool, after

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.after -= 1
        if self.after == 0:
            os.kill(self.pool.submit(os.getpid).result(), signal.SIGKILL)
        return self.pool.submit(fn, *args, **kwargs)


def test_a_worker_killed_loses_nothing(tmp_path: Path) -> None:
    a = in_file(tmp_path, SHAPES["tall"])
    wanted = numbers(ss.svds(a, 6, method="krylov", executor=Shuffling()))
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(2, mp_context=context) as pool,
        pytest.warns(RuntimeWarning, match="the executor lost its workers") as warned,
    ):
        result = ss.svds(a, 6, method="krylov", executor=Killing(pool, 20))
    assert numbers(result) == wanted
    assert len(warned) == 1


@pytest.mark.slow
def test_dask_with_a_worker_killed_gives_the_same_bits(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    a = in_file(tmp_path, SHAPES["tall"])
    wanted = numbers(ss.svds(a, 6, method="krylov", executor=Shuffling()))
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL
    )
    with cluster, distributed.Client(cluster) as client:
        killed: list[int] = []

        def kill(done: int) -> None:
            if done > 2 * a.nbytes and not killed:
                killed.append(next(iter(client.run(os.getpid).values())))
                os.kill(killed[0], signal.SIGKILL)

        executor = client.get_executor()
        result = ss.svds(a, 6, method="krylov", executor=executor, progress=kill)
    assert killed
    assert numbers(result) == wanted


def test_a_task_whose_worker_was_lost_is_given_to_another(tmp_path: Path) -> None:
    a = in_file(tmp_path, SHAPES["tall"])
    wanted = numbers(ss.svds(a, 6, executor=Shuffling()))
    assert numbers(ss.svds(a, 6, executor=Shuffling(losing=7))) == wanted


def test_a_pool_that_was_shut_down_is_told(tmp_path: Path) -> None:
    a = in_file(tmp_path, SHAPES["tall"])
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.warns(RuntimeWarning, match="the executor lost its workers"):
        result = ss.svds(a, 6, executor=pool)
    assert numbers(result) == numbers(ss.svds(a, 6, executor=Shuffling()))
