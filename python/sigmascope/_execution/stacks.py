# SPDX-License-Identifier: BSD-3-Clause
"""The matrices of a stack, computed concurrently on shares of the threads and the memory.

:func:`run_each` computes every stack. A CUDA device computes the matrices of a part together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from typing import Self, TypeVar

from sigmascope.matrices.matrix import Matrix

from .batches import MOST, Batch
from .byte_counts import POLL, ByteCounts
from .memory import MINIMUM
from .options import CallOptions, Progress

R = TypeVar("R")

Suffices = Callable[[Matrix, CallOptions], bool]
"""Whether a call on a matrix has the threads and memory that the bits of its result need.

True: more memory would not change a bit of the result, and the call is not refused for memory.
"""


def run_each(
    matrices: Sequence[Matrix],
    compute: Callable[[Matrix, CallOptions], R],
    call: CallOptions,
    suffices: Suffices,
    kept_nbytes: int = 0,
) -> list[R | Exception]:
    """Compute a result of each matrix of a stack.

    Parameters
    ----------
    matrices : sequence of Matrix
        They have one shape, one dtype and one device.
    compute : callable
        The call for one matrix, with its own options. An exception is a possible outcome.
    call : CallOptions
        Options of the whole stack: all threads, all the memory, and the listener of the bytes of
        all matrices, which is called on this thread.
    suffices : callable
        See :data:`Suffices`. Matrices are computed concurrently if their shares of the memory
        suffice, so that every result has the bits of a call on its matrix alone.
    kept_nbytes : int
        Bytes of one result. Each is kept until the last one is there.

    Returns
    -------
    list of (result or Exception)
        One for each matrix, in order.

    Raises
    ------
    ValueError
        If an option is for a single matrix only: `executor`, `fro2`.
    """
    _check(call)
    if not matrices:
        return []
    shares = Shares.of(matrices, call, suffices, kept_nbytes)
    counts = ByteCounts()

    def outcome(index: int) -> R | Exception:
        options = replace(shares.options(index), progress=counts.listener(index))
        try:
            return compute(matrices[index], options)
        except Exception as error:
            return error.with_traceback(None)  # its frames refer to large arrays

    pool = ThreadPoolExecutor(shares.workers, thread_name_prefix="sigmascope-stack")
    futures: list[Future[R | Exception]] = []
    nbytes = 0
    try:
        for part in shares.parts(len(matrices)):
            with Batch(call.device, len(part), call.threads) as batch:
                for place, index in enumerate(part):
                    futures.append(pool.submit(batch.run, place, partial(outcome, index)))
                nbytes = _await(futures, counts, call.progress, nbytes)
        return [future.result() for future in futures]
    finally:
        counts.stop()
        pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class Shares:
    """The number of matrices that are computed concurrently, and the options of each.

    Attributes
    ----------
    workers
        Number of matrices that are computed concurrently.
    each
        Options of one matrix, with the largest number of threads that one has.
    threads
        Threads of all matrices together.
    """

    workers: int
    each: CallOptions
    threads: int

    @classmethod
    def of(
        cls,
        matrices: Sequence[Matrix],
        call: CallOptions,
        suffices: Suffices,
        kept_nbytes: int,
    ) -> Self:
        """Choose the largest number of workers whose shares suffice; else one, with everything."""
        kept = kept_nbytes * (len(matrices) - 1)
        alone = call.with_reserved(call.reserved + kept)
        kinds = {(a.in_memory, a.native.layers, a.native.column_major): a for a in matrices}

        def enough(options: CallOptions) -> bool:
            return all(
                not options.reread_nbytes(a) and suffices(a, options) for a in kinds.values()
            )

        left = max(call.memory - alone.reserved, 0)
        at_once = MOST if call.device.is_cuda else call.threads
        most = min(at_once, len(matrices), left // MINIMUM)
        if most > 1 and enough(alone):
            for workers in range(most, 1, -1):
                each = _share(call, workers, left, kept)
                if enough(each):
                    return cls(workers, each, call.threads)
        return cls(1, alone, call.threads)

    def options(self, index: int) -> CallOptions:
        """Return the options of one matrix; the first matrices get the threads that remain."""
        threads, more = divmod(self.threads, self.workers)
        return replace(self.each, threads=max(threads + (index < more), 1))

    def parts(self, count: int) -> list[range]:
        """Divide the matrices into parts that start together: on a CUDA device, up to `workers`."""
        step = self.workers if self.each.device.is_cuda else count
        return [range(first, min(first + step, count)) for first in range(0, count, step)]


def _share(call: CallOptions, workers: int, memory: int, kept: int) -> CallOptions:
    """Return the options of one of several workers that share the memory and the device."""
    device = call.device
    if device.is_cuda:
        on_device = device.nbytes - (kept if device.library else 0)
        device = device.share(max(on_device, 0) // workers)
    threads = -(-call.threads // workers)
    return replace(call, threads=threads, memory=memory // workers, reserved=0, device=device)


def _check(call: CallOptions) -> None:
    if call.executor is not None:
        raise ValueError(
            "executor distributes the rows of one matrix, but this is a stack of matrices: call "
            "the function for each of them, or omit executor"
        )
    if call.fro2 is not None:
        raise ValueError("fro2 is the squared norm of one matrix, but this is a stack of matrices")


def _await(
    futures: Sequence[Future[R | Exception]],
    counts: ByteCounts,
    progress: Progress | None,
    nbytes: int,
) -> int:
    """Wait for all results; report the growing bytes of all matrices, and return their number."""
    pending = True
    while pending:
        pending = bool(wait(futures, timeout=POLL).not_done)
        total = counts.total()
        if progress is not None and total > nbytes:
            nbytes = total
            progress(total)
    return nbytes
