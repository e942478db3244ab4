# SPDX-License-Identifier: BSD-3-Clause
"""The estimate of one matrix from headers: whether it fits, its passes, memory and time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sigmascope._execution.costs import Search
from sigmascope._execution.memory import OVERHEAD
from sigmascope._execution.memory_plan import CallMemory, MemoryPlan
from sigmascope._execution.rates import Rates
from sigmascope._running.tasks import TENSOR_ERRORS, Options, reason_of
from sigmascope.adapters.scannable import Scannable
from sigmascope.analysis.admission import SpectrumRequest
from sigmascope.analysis.low_rank import LowRank
from sigmascope.analysis.requested import PARTS, PERMUTATIONS, SIDE
from sigmascope.analysis.routes import Route
from sigmascope.errors import MemoryLimitError
from sigmascope.matrices.matrix import Matrix

from .items import Item
from .plans import TensorPlan


def estimated(checkpoint: Scannable, item: Item, options: Options, measured: Rates) -> TensorPlan:
    """Plan the analysis of one matrix; an error becomes the reason why it is refused."""
    record = item.record
    unknown = initial_plan(
        item.name,
        record,
        options,
        shape=record["shape"],
        dtype=record["dtype"],
        nbytes=item.stored_bytes,
    )
    try:
        a = checkpoint.outline(item.name)
        if isinstance(a, LowRank):
            return _of_product(a, unknown, options, measured)
        query = SpectrumRequest.of(**options.of_spectrum())
        chosen, memory = query.chosen(a)
    except TENSOR_ERRORS as error:
        return replace(unknown, refused=reason_of(error))
    search = chosen.search
    known = replace(
        unknown,
        rows=a.shape[0],
        columns=a.shape[1],
        nbytes=min(item.stored_bytes, a.nbytes),  # packed numbers take fewer bytes in files
        effort=chosen.effort,
        block=search.block if search else 0,
        basis_columns=search.columns if search else 0,
        precision=search.precision if search else "float64",
        passes=chosen.passes,
    )
    try:
        plan = query.plan(chosen, memory)
    except MemoryLimitError as error:
        need = chosen.need_of(memory)
        least = memory.least(need) if memory.fits_device(need) else 0
        return replace(known, refused=str(error), peak_bytes=least)
    needed = plan.needed(chosen.need_of(memory))
    part = min(chosen.spare(plan), a.nbytes)
    read = (a.nbytes - part) * _reads(chosen, plan) + part
    read = read * known.nbytes // a.nbytes
    return replace(
        known,
        held=plan.loaded_nbytes > 0,
        read_bytes=read,
        peak_bytes=needed.peak + part + a.native.parameter_nbytes,
        seconds=_seconds(chosen, plan, read, measured),
        **_on_device(chosen, memory),
    )


def _on_device(chosen: Route, memory: CallMemory) -> dict[str, Any]:
    """Return a plan's entries about the memory of a CUDA device."""
    if memory.options.device.index is None:
        return {}
    taken, stays = memory.planned_on_device(chosen.need_of(memory))
    return {"device_bytes": taken, "stays_on_device": stays}


def _of_product(a: LowRank, unknown: TensorPlan, options: Options, measured: Rates) -> TensorPlan:
    """Plan the change of an adapter, whose spectrum is exact at every effort."""
    needed = a.working_bytes + OVERHEAD
    known = replace(
        unknown,
        rows=a.shape[0],
        columns=a.shape[1],
        nbytes=a.nbytes,
        effort="exact",
        precision="float64",
        held=True,
        passes=1,
        read_bytes=a.nbytes,
        peak_bytes=needed,
    )
    try:
        a.check_memory(options.memory_limit)
    except MemoryLimitError as error:
        return replace(known, refused=str(error), peak_bytes=a.working_bytes)
    return replace(known, seconds=measured.product_seconds(a.shape, a.rank))


def initial_plan(
    name: str,
    record: Mapping[str, Any],
    options: Options,
    *,
    shape: tuple[int, ...],
    dtype: str,
    nbytes: int,
) -> TensorPlan:
    """Return the plan of a matrix or a pair with the entries known before it is opened.

    Parameters
    ----------
    name : str
        Name of the matrix or the pair.
    record : mapping
        The record of its tensor; for a pair, of the first tensor.
    options : Options
    shape : tuple of int
        Shape of the tensor. If it has two axes, it is also the shape of the matrix.
    dtype, nbytes : str, int
        Stored format and stored bytes of all its tensors.
    """
    rows, columns = shape if len(shape) == 2 else (0, 0)
    return TensorPlan(
        name=name,
        tensor=record["name"],
        role=record["role"],
        tower=record["tower"],
        rows=rows,
        columns=columns,
        dtype=dtype,
        nbytes=nbytes,
        requested_effort=options.effort,
        effort=options.effort,
        block=0,
        basis_columns=0,
        precision="",
        held=False,
        passes=0,
        read_bytes=0,
        peak_bytes=0,
        seconds=0.0,
    )


def _reads(chosen: Route, plan: MemoryPlan) -> int:
    """Return how often the stored bytes are read from disk."""
    if plan.loaded_nbytes or not plan.layout.files:
        return 1
    if plan.holds_copy:  # one read makes the copy, which all other steps read
        return chosen.passes - max(chosen.steps - 1, 0)
    return chosen.passes + (chosen.steps if plan.layout.wide else 0)  # each reads rows twice


def _seconds(chosen: Route, plan: MemoryPlan, read: int, measured: Rates) -> float:
    """Estimate the seconds of one matrix; later reads overlap with computing."""
    a, call = plan.memory.a, plan.memory.options
    if call.device.index is not None:
        return 0.0
    computing = computing_seconds(a, chosen, measured)
    reading = read / measured.file if measured.file and not a.in_memory else 0.0
    return computing + reading if plan.loaded_nbytes else max(computing, reading)


def computing_seconds(a: Matrix, chosen: Route, measured: Rates) -> float:
    """Estimate the seconds of one spectrum on the CPU, without reading files."""
    search = chosen.search
    computing = (2 if search else 3) * measured.elements_seconds(a.nbytes)
    if search is None:
        computing += measured.values_seconds(a.shape, fast=chosen.accuracy == "fast")
    else:
        work = Search(a.shape, search.k, search.tol, search.precision, search.block)
        computing += measured.krylov_seconds(work, density=search.density)
    if chosen.permutes:
        computing *= 1 + PERMUTATIONS
    if "alpha_farms" in chosen.measures:
        side = min(*a.shape, SIDE)
        computing += PARTS * measured.values_seconds((side, side), fast=False)
    return computing
