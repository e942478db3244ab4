# SPDX-License-Identifier: BSD-3-Clause
"""The options that all functions share that compute something of a matrix, for type checkers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypedDict

from sigmascope._host.resources import Resources

ByteProgress = Callable[[int], object] | Callable[[int, int | None], object]
"""A function of the bytes that are done; or of these and of those in all, None if not known."""


class ComputeOptions(TypedDict, total=False):
    """Options that every function on a matrix takes; the default of each is None.

    Attributes
    ----------
    resources
        A :class:`sigmascope.Resources`, whose device, threads, memory and executor are taken where
        the call gives no other.
    device
        "cpu"; "cuda" or "cuda:0" for the first CUDA device, "cuda:1" for the second. Default: the
        GPU on which the arrays of the matrix lie, else "cpu".
    num_threads
        Number of threads, by default that of :func:`sigmascope.set_num_threads`. No result depends
        on it.
    memory_limit
        Bytes for all that the call takes, as 500_000_000 or "2GiB"; by default half of the free
        memory. A matrix that the caller holds in memory does not count.
    panel_rows
        Rows that are decoded at a time, by default as many as suit the cache. No result depends on
        it.
    progress
        A function that is called with the stored bytes used so far, about 20 times a second; an
        exception in it ends the call. If it needs two arguments, the second is the number of bytes
        in all, at most, where that is known before: for :func:`sigmascope.moments`,
        :func:`sigmascope.svdvals`, :func:`sigmascope.randomized_svd` and
        :func:`sigmascope.spectral_density`, of a matrix or a stack. It is None for a search, which
        ends when it has converged. Of a matrix that is known by its products it is called after
        each, with the bytes of the blocks that were multiplied and returned.
    executor
        An executor whose workers multiply with blocks of rows: threads, or processes for a matrix
        in files. A lost worker's block is given to another. No bit depends on the workers, but the
        bits, and the method, may differ from those of a call without an executor.
    """

    resources: Resources | None
    device: str | None
    num_threads: int | None
    memory_limit: int | str | None
    panel_rows: int | None
    progress: ByteProgress | None
    executor: Executor | None


class SpectrumOptions(ComputeOptions, total=False):
    """The options of :func:`sigmascope.spectrum`; the default of each is None.

    Attributes
    ----------
    precision
        As for :func:`sigmascope.svds`; "mixed" only for effort "top".
    """

    precision: str | None
