# SPDX-License-Identifier: BSD-3-Clause
"""Types of the options that every function on a matrix shares, for type checkers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypedDict

from sigmascope._host.resources import Resources

from .devices import Device

ByteProgress = Callable[[int], object] | Callable[[int, int | None], object]
"""A function of the bytes done so far, or of these and of the total (None if it is not known)."""


class ComputeOptions(TypedDict, total=False):
    """Options that every function on a matrix takes; the default of each is None.

    Attributes
    ----------
    resources
        A :class:`sigmascope.Resources`. Its device, threads, memory and executor are used where
        the call does not give its own.
    device
        "cpu"; "cuda" or "cuda:0" for the first CUDA device, "cuda:1" for the second. Default: the
        GPU on which the arrays of the matrix lie, else "cpu".
    num_threads
        Number of threads. Default: the number set by :func:`sigmascope.set_num_threads`. No result
        depends on it.
    memory_limit
        Largest memory of the call, as bytes (500_000_000) or text ("2GiB"). Default: half of the
        free memory. A matrix that the caller holds in memory does not count.
    panel_rows
        Number of rows that are decoded at a time. Default: chosen for the cache. No result depends
        on it.
    progress
        A function that is called with the stored bytes used so far, about 20 times a second. An
        exception in it ends the call. If it needs two arguments, the second is the largest total
        number of bytes, where that is known in advance: for :func:`sigmascope.moments`,
        :func:`sigmascope.svdvals`, :func:`sigmascope.randomized_svd` and
        :func:`sigmascope.spectral_density`, of a matrix or a stack. For a search, which ends when
        it has converged, it is None. For a sparse matrix or a linear operator the function is
        called after each product, with the bytes of the blocks that were multiplied and returned.
    executor
        An executor whose workers multiply blocks of rows: threads, or processes for a matrix in
        files. If a worker is lost, another one computes its block. No bit depends on the workers,
        but the bits, and the method, may differ from those of a call without an executor.
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


class CallKeywords(TypedDict, total=False):
    """The options of :meth:`sigmascope._execution.options.CallOptions.of`; None by default.

    Attributes
    ----------
    resources
        For the types of callers; the decorator `public` has replaced it by what it holds.
    device
        As for :class:`ComputeOptions`, or the device itself.
    num_threads, memory_limit, panel_rows, progress, executor, precision
        As for :class:`SpectrumOptions`.
    reserved
        Bytes of the memory that are in use already; 0 by default.
    fro2, fingerprint
        As for :class:`sigmascope._execution.options.CallOptions`.
    """

    resources: Resources | None
    device: str | Device | None
    num_threads: int | None
    memory_limit: int | str | None
    panel_rows: int | None
    progress: ByteProgress | None
    executor: Executor | None
    precision: str | None
    reserved: int
    fro2: float | None
    fingerprint: int | None
