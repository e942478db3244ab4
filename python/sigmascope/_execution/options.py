# SPDX-License-Identifier: BSD-3-Clause
"""The options that every call shares, resolved once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any, Self, Unpack, cast

from sigmascope._host.memory import resolve_memory
from sigmascope._host.threads import resolve_threads
from sigmascope._words.text import amount
from sigmascope.matrices.matrix import Matrix
from sigmascope.matrices.products import Products

from . import arguments, rounding
from .devices import CPU, Device, device_for
from .keywords import ByteProgress, CallKeywords
from .memory import MINIMUM, Need
from .product_operator import ProductOperator

Progress = Callable[[int], object]


def offset_progress(progress: Progress | None, done: int) -> Progress | None:
    """Return a listener that adds `done` bytes and passes the sum on to `progress`."""
    return None if progress is None else lambda more: progress(done + more)


def with_total(progress: ByteProgress | None, total: int | None) -> Progress | None:
    """Return a listener of the bytes done; it also passes on `total` if `progress` needs it."""
    if progress is None:
        return None
    if not callable(progress):
        raise TypeError(f"progress must be a function of the bytes used, or None, not {progress!r}")
    if _needs_two(progress):
        both: Any = progress
        return lambda done: both(done if total is None else min(done, total), total)
    return cast("Progress", progress)


def _needs_two(function: Callable[..., object]) -> bool:
    """Return True for a function that needs two arguments instead of one."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some functions written in C have no signature
        return False
    try:
        signature.bind(0)
    except TypeError:
        return True
    return False


@dataclass(frozen=True, slots=True)
class CallOptions:
    """The options that every algorithm shares, resolved.

    :class:`sigmascope._execution.memory_plan.MemoryPlan` says how a call with them reads a matrix.

    Attributes
    ----------
    threads : int
        From `num_threads`; no result depends on it.
    memory : int
        Bytes of all memory of the call, from `memory_limit` ("2GiB", 500_000_000; None: half of
        what is free); see :mod:`sigmascope._execution.memory`. A limit below 64 MiB bounds what
        grows with the matrix, and about 64 MiB bound the rest. A matrix that the caller holds does
        not count.
    reserved : int
        Bytes of `memory` that are in use already: by scales and zeros of the matrix, by a matrix
        that is read ahead or shared by several calls.
    panel_rows : int
        From `panel_rows`; rows decoded at a time, 0: chosen for the cache. No result depends on it.
    precision : str
        Precision of the blocks, "float32" or "float64". With "split" the blocks are float32, and
        search steps use 16 bits of every number, two parts of bfloat16, where the processor is
        faster with these. With "mixed" they use 8 bits at first, bfloat16.
    progress : callable or None
        From `progress`; called with the stored bytes used so far, about 20 times a second.
    executor : concurrent.futures.Executor or None
        From `executor`. Its workers read the matrix in blocks of rows and multiply with it
        (:mod:`sigmascope._execution.distributed`); smaller arrays stay in this process. Workers are
        threads, processes, or anything with that interface. Except for a ThreadPoolExecutor, the
        matrix must be in files that the workers can open. No bit depends on the workers. If one is
        lost, another one computes its block.
    operator : ProductOperator or None
        The linear operator of a matrix that is known only by its products. The matrix of the call
        then has only its shape and dtype.
    worker_threads : int
        Threads of each worker: `num_threads`, or 1.
    device : Device
        From `device`: "cpu"; "cuda", the first CUDA device, or "cuda:1" for another. By default the
        GPU that holds the arrays of the matrix, else "cpu". A scan passes a Device, with the share
        of its memory that a call may take. `memory` limits the host; a call may take what is free
        on a device. The matrix stays there if it fits, else every pass copies it. Arrays on a GPU
        are used where they are, and singular vectors are returned as arrays of the same library on
        that GPU (CuPy or torch; NumPy if it is another library, or if there are several).
        Gram matrices are formed faster with the libraries of the extra `cuda`.
    fro2 : float or None
        ||A||_F^2, if it is known already; together with a fingerprint it saves one pass.
    fingerprint : int or None
        64 bits that, together with the seed, decide the random numbers. None: a hash of the numbers
        of the matrix (docs/architecture.md). Matrices with one fingerprint have the same probes.
    """

    threads: int
    memory: int
    reserved: int
    panel_rows: int
    precision: str
    progress: Callable[[int], object] | None
    executor: Executor | None = None
    operator: ProductOperator | None = None
    worker_threads: int = 1
    device: Device = CPU
    fro2: float | None = None
    fingerprint: int | None = None

    @classmethod
    def of(
        cls,
        a: Matrix,
        *,
        precisions: tuple[str, ...] = ("float32", "float64"),
        reads: int | None = None,
        products: Products | None = None,
        **options: Unpack[CallKeywords],
    ) -> Self:
        """Resolve the options of one call on `a`; ValueError or DeviceError if they are wrong.

        `precisions`: precisions of blocks that the calling function supports. `reads`: most reads
        of `a`, if known. `products`: of a linear operator; `a` only has its shape and dtype.
        """
        assert options.keys() <= CallKeywords.__annotations__.keys(), options.keys()
        precision, panel_rows = options.get("precision"), options.get("panel_rows")
        executor, device = options.get("executor"), options.get("device")
        chosen = device if isinstance(device, Device) else device_for(a, device)
        if chosen.index is not None and executor is not None:
            raise ValueError(
                f"workers of an executor compute only on 'cpu', not on {chosen.name!r}"
            )
        if products is not None:
            if executor is not None or chosen.index is not None:
                raise ValueError(
                    "sparse matrices and operators are multiplied in this process: omit executor "
                    "and device"
                )
            precisions = ("float32", "float64")
            precision = precision or a.precision
        if 0 in a.shape:
            raise ValueError(f"a matrix of shape {a.shape} has no singular values")
        if precision not in (None, *precisions):
            raise ValueError(f"precision must be one of {', '.join(precisions)}, not {precision!r}")
        if panel_rows is not None and panel_rows < 1:
            raise ValueError(f"panel_rows must be at least 1, not {panel_rows}")
        total = None if reads is None or products is not None else reads * a.nbytes
        counted = with_total(options.get("progress"), total)
        if executor is not None and not isinstance(executor, Executor):
            raise TypeError(f"executor must be a concurrent.futures.Executor, not {executor!r}")
        if (reserved := options.get("reserved", 0)) < 0:
            raise ValueError(f"reserved must be at least 0, not {reserved}")
        arguments.check_fingerprint(options.get("fingerprint") or 0)
        if precision is None:
            precision = rounding.coarsest_for(a, precisions, on_cuda=chosen.is_cuda)
        return cls(
            threads=resolve_threads(options.get("num_threads")),
            memory=resolve_memory(options.get("memory_limit")),
            reserved=reserved + a.native.parameter_nbytes + (products.nbytes if products else 0),
            panel_rows=panel_rows or 0,
            precision=precision,
            progress=counted,
            executor=executor,
            operator=ProductOperator(products, precision, counted) if products else None,
            worker_threads=options.get("num_threads") or 1,
            device=chosen,
            fro2=options.get("fro2"),
            fingerprint=options.get("fingerprint"),
        )

    def with_reserved(self, nbytes: int) -> Self:
        """Return the same options, with `nbytes` of the memory reserved."""
        return self if nbytes == self.reserved else replace(self, reserved=nbytes)

    def with_precision(self, precision: str) -> Self:
        """Return the same options with blocks of another precision."""
        if precision == self.precision:
            return self
        operator = self.operator and self.operator.examined_in(precision)
        return replace(self, precision=precision, operator=operator)

    def has(self, need: Need) -> bool:
        """Return whether the memory suffices for a need."""
        peak = self.reserved + need.peak
        return self.reserved + need.arrays <= self.memory and peak <= max(self.memory, MINIMUM)

    def refusal(self, what: str, needed: str) -> str:
        """Return the message that something is too large: its need, and the memory limit."""
        return f"{what} needs {needed}, but the memory limit is {amount(self.memory)}"

    def file_nbytes(self, a: Matrix) -> int:
        """Return the stored bytes of a matrix that this process reads from files; else 0."""
        return a.nbytes if self.executor is None and not a.in_memory else 0

    def reread_nbytes(self, a: Matrix) -> int:
        """Return the file bytes that every pass reads again: 0 if half the memory holds them."""
        stored = self.file_nbytes(a)
        return stored if stored > self.memory // 2 else 0

    @property
    def forms_gram(self) -> bool:
        """Whether this process forms Gram matrices from the numbers of the matrix.

        Otherwise every worker would have to send one, or an operator would multiply the identity,
        which costs as much as many searches.
        """
        return self.executor is None and self.operator is None

    @property
    def itemsize(self) -> int:
        """Bytes of a number of a block."""
        return 8 if self.precision == "float64" else 4

    @property
    def products(self) -> str:
        """Precision of the products that a search begins with."""
        return rounding.PRODUCTS[self.precision]
