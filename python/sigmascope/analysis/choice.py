# SPDX-License-Identifier: BSD-3-Clause
"""Choice of the cheapest route for a call of :func:`sigmascope.spectrum`."""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace
from typing import Any

from sigmascope._execution import arguments, costs
from sigmascope._execution.memory_plan import CallMemory
from sigmascope._execution.options import CallOptions
from sigmascope._execution.rounding import DENSITIES, SEARCHES, coarsest
from sigmascope.matrices.matrix import Matrix
from sigmascope.solvers.krylov import KrylovSettings

from .routes import EFFORTS, Route


def options_for(a: Matrix, effort: str, **options: Any) -> CallOptions:
    """Resolve the options of :func:`sigmascope.spectrum`; the effort decides allowed precisions."""
    precisions = SEARCHES if effort == "top" else DENSITIES
    return CallOptions.of(a, precisions=precisions, **options)


@dataclass(frozen=True, slots=True)
class SpectrumArguments:
    """The arguments of :func:`sigmascope.spectrum` that decide what runs on a matrix."""

    effort: str
    k: int
    tol: float
    accuracy: str
    measures: tuple[str, ...]
    vectors: bool


def route(memory: CallMemory, request: SpectrumArguments) -> Route:
    """Choose what to run on a matrix.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    effort, tol, accuracy, vectors = request.effort, request.tol, request.accuracy, request.vectors
    if effort not in EFFORTS:
        raise ValueError(f"effort must be one of {', '.join(EFFORTS)}, not {effort!r}")
    if operator.index(request.k) < 1:
        raise ValueError(f"k = {request.k} must be at least 1")
    arguments.check_positive(tol=tol)
    arguments.check_accuracy(accuracy)
    a, call = memory.a, memory.options
    effort, k = str(effort), min(request.k, *a.shape)
    width = 8 if a.precision == "float64" else 4
    vectors_too = _vector_search(a, k, tol, call) if vectors else None
    every = Route(
        effort, "exact", a.shape, k, accuracy, None, width, request.measures, vectors, vectors_too
    )
    if effort == "exact" or min(a.shape) == 1:  # no density has a single value
        return every
    search = _search(a, effort, k, tol, call, vectors=vectors)
    base = "float64" if call.precision == "float64" else "float32"
    work = costs.Search(a.shape, k, tol, base, search.block, on_cuda=call.device.is_cuda)
    cheaper = call.executor is None and costs.prefers_values(work, effort=effort, vectors=vectors)
    alone = memory.alone
    if cheaper and every.fits(alone):
        return every
    search_route = replace(every, effort=effort, search=search)
    if not cheaper:
        return search_route
    # If neither fits, the refusal is about the one that takes less.
    needs = (alone.least(each.need_of(alone)) for each in (every, search_route))
    return every if next(needs) < next(needs) else search_route


def _search(
    a: Matrix, effort: str, k: int, tol: float, call: CallOptions, *, vectors: bool
) -> KrylovSettings:
    """Return the search of effort "top" or "density"."""
    density = effort == "density"
    if density:
        precision = "split" if call.precision == "mixed" else call.precision
        block = _wide(k, a.shape)
    else:
        precision, block = call.precision, _block(a, k, tol, call.precision, call)
    return KrylovSettings(
        a.shape, k, tol, block, precision, density=density, vectors=vectors, tolerance_of="either"
    )


def _vector_search(a: Matrix, k: int, tol: float, call: CallOptions) -> KrylovSettings:
    """Return the search for the leading vectors, if every value is computed without vectors."""
    precision = call.precision
    if precision != "float64":
        precision = coarsest(SEARCHES, a, on_cuda=call.device.is_cuda)
    block = _block(a, k, tol, precision, call)
    return KrylovSettings(a.shape, k, tol, block, precision, density=False, vectors=True)


def _block(a: Matrix, k: int, tol: float, precision: str, call: CallOptions) -> int:
    """Return the columns of a Krylov step that cost the least."""
    work = costs.Search(a.shape, k, tol, precision, on_cuda=call.device.is_cuda)
    return min(costs.best_block(work), *a.shape)


def _wide(k: int, shape: tuple[int, int]) -> int:
    """Columns of a block from which a density is read: its probes."""
    return min(32 if k <= 128 else 64, *shape)
