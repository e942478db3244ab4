# SPDX-License-Identifier: BSD-3-Clause
"""Blocks of rows of one matrix, and an executor whose workers read them and compute with them."""

from __future__ import annotations

import pickle
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from sigmascope._host.native import _core
from sigmascope.matrices.matrix import Matrix

from .options import CallOptions

_BLOCKS = 64
_ELEMENTS = (2**23, 2**26)
_ROWS = 2048
"""Number of blocks of a matrix, bounds on the elements of a block, and its smallest number of rows.
A step of b columns sends 8 b bytes (float32) for every column of a block, which is 8 b / rows for
every element."""

_ROW_UNIT = 256
"""The rows of a block are a multiple of this: whole chains of the sums of products."""

_ATTEMPTS = 3
"""Number of times that a task is submitted if its workers are lost."""

_AHEAD = 64
"""Tasks that may be under way at once."""


def row_blocks(shape: tuple[int, int]) -> list[tuple[int, int]]:
    """Return first and last + 1 of each block of rows of a tall matrix, fixed by its shape."""
    m, n = shape
    elements = min(max(m * n // _BLOCKS, _ELEMENTS[0]), _ELEMENTS[1])
    height = -(-max(elements // n, _ROWS) // _ROW_UNIT) * _ROW_UNIT
    return [(i, min(i + height, m)) for i in range(0, m, height)]


class Workers:
    """An executor, and the blocks of a matrix in the form in which its workers receive them."""

    def __init__(self, options: CallOptions) -> None:
        assert options.executor is not None
        self._executor: Executor = options.executor
        self._memory, self._progress = options.memory, options.progress
        self._native = {"threads": options.worker_threads, "panel_rows": options.panel_rows}
        self._used = 0
        self._alone = False
        self._parts: list[Any] = []
        self._sizes: list[int] = []

    def hold(self, blocks: list[Matrix]) -> None:
        """Set the blocks; TypeError if they are in memory and the workers are not threads."""
        here = isinstance(self._executor, ThreadPoolExecutor)
        self._parts = [b.native if here else pickle.dumps(b.native) for b in blocks]
        self._sizes = [b.nbytes for b in blocks]

    def each(self, verb: str, arguments: Iterable[Any], result_bytes: int) -> Iterator[Any]:
        """Yield the results of a verb on every block, in order.

        Up to a quarter of the memory limit, but at least two results, may wait for their turn.
        """
        ahead = min(max(self._memory // (4 * max(result_bytes, 1)), 2), _AHEAD)
        waiting: deque[tuple[Future[Any] | None, tuple[Any, ...], int]] = deque()
        try:
            for part, argument, size in zip(self._parts, arguments, self._sizes, strict=True):
                if len(waiting) == ahead:
                    yield self._taken(*waiting.popleft())
                task = (part, verb, argument, self._native)
                waiting.append((self._submitted(task), task, size))
            while waiting:
                yield self._taken(*waiting.popleft())
        finally:
            for future, _, _ in waiting:
                if future is not None:
                    future.cancel()

    def _submitted(self, task: tuple[Any, ...]) -> Future[Any] | None:
        try:
            return self._executor.submit(_perform, *task)
        except Exception:  # the pool is broken, or shut down
            return None

    def _taken(self, future: Future[Any] | None, task: tuple[Any, ...], size: int) -> Any:
        """Return the result of a task; if its worker is lost, submit it again or do it here."""
        for attempt in range(_ATTEMPTS):
            if attempt > 0:
                future = self._submitted(task)
            if future is None:
                continue
            try:
                result = future.result()
            except Exception:  # of the worker or the pool: a task returns its own errors
                continue
            return self._counted(result, size)
        if not self._alone:
            self._alone = True
            warnings.warn(
                "the executor lost its workers; their blocks are computed in this process",
                RuntimeWarning,
                stacklevel=2,
            )
        return self._counted(_perform(*task), size)

    def _counted(self, result: Any, size: int) -> Any:
        if isinstance(result, Exception):
            raise result
        self._used += size
        if self._progress is not None:
            self._progress(self._used)
        return result


def _perform(part: Any, verb: str, argument: Any, options: dict[str, int]) -> Any:
    """Do one verb on one block, in a worker; return an error, since the worker is not lost."""
    try:
        block = pickle.loads(part) if isinstance(part, bytes) else part
        return _done(block, verb, argument, {**options, "load_bytes": 0, "progress": None})
    except Exception as error:
        return error


def _done(block: _core.Matrix, verb: str, argument: Any, options: dict[str, Any]) -> Any:
    if verb == "survey":
        place, shape = argument
        return _core.survey(block, place=place, shape=shape, **options)
    if verb == "moments":
        return _core.moments(block, histogram=argument, **options)
    if block.column_major and not block.in_memory:
        block = block.loaded()  # strided: one read instead of many for every panel
    if verb == "gram matrix":
        return _core.gram(block, **options)
    product = _core.product_f64 if argument.dtype == np.float64 else _core.product_f32
    if verb == "step":
        return product(block, argument, "gram", **options)[0]
    return product(block, argument, verb, **options)
