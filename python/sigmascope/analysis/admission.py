# SPDX-License-Identifier: BSD-3-Clause
"""Admission of a call of :func:`sigmascope.spectrum` to its memory, and advice on what fits."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import IntEnum
from operator import itemgetter
from typing import Any

from sigmascope._execution.memory import Need
from sigmascope._execution.memory_plan import CallMemory, MemoryPlan
from sigmascope._words.text import amount
from sigmascope.errors import MemoryLimitError
from sigmascope.matrices.matrix import Matrix

from .choice import SpectrumArguments, options_for, route
from .routes import EFFORTS, Route


@dataclass(frozen=True, slots=True)
class SpectrumRequest(SpectrumArguments):
    """Arguments of one call.

    `options` are the arguments of :meth:`sigmascope._execution.options.CallOptions.of`.
    """

    options: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        *,
        effort: str,
        k: int,
        tol: float,
        accuracy: str,
        measures: tuple[str, ...] = (),
        vectors: bool = False,
        **options: Any,
    ) -> SpectrumRequest:
        """Make a request of the arguments of :func:`sigmascope.spectrum` that decide its memory."""
        return cls(effort, k, tol, accuracy, measures, vectors, options)

    def chosen(self, a: Matrix) -> tuple[Route, CallMemory]:
        """Choose the route of a matrix; ValueError if an argument is out of range."""
        memory = CallMemory(a, options_for(a, self.effort, **self.options))
        return route(memory, self), memory

    def plan(self, chosen: Route, memory: CallMemory) -> MemoryPlan:
        """Choose which parts of a matrix stay in memory, after the choice of its route.

        Raises
        ------
        MemoryLimitError
            If the call does not fit. The message names the least limit that allows it, and smaller
            calls that fit into this limit.
        """
        try:
            return chosen.plan(memory)
        except MemoryLimitError as error:
            advice = _advice(memory.a, self._resolved(memory), chosen)
            raise MemoryLimitError(f"{error}; {advice}") from None

    def refused(
        self, chosen: Route, memory: CallMemory, error: MemoryLimitError
    ) -> MemoryLimitError:
        """Extend the error of a search whose basis outgrew the memory with calls sure to fit."""
        advice = _advice(memory.a, self._resolved(memory), chosen, surely=True)
        return MemoryLimitError(f"{error}; {advice}")

    def _resolved(self, memory: CallMemory) -> SpectrumRequest:
        """Return the same arguments with the memory of the call, which is resolved once."""
        resolved = {"memory_limit": memory.options.memory, "device": memory.options.device}
        return replace(self, options={**self.options, **resolved})


def memory_left(a: Matrix, **how: Any) -> int:
    """Return the bytes of the limit that :func:`sigmascope.spectrum` of `a` leaves unused.

    They are for the next matrix: 0 if the call would be refused, or reads the file again at each
    pass, since it then keeps as much of the file as it can. If `a` is in memory, its own bytes are
    subtracted as well, as if they had been read for this call. `how`: the arguments, as
    :meth:`SpectrumRequest.of` takes them.
    """
    chosen, memory = SpectrumRequest.of(**how).chosen(a)
    try:
        plan = chosen.plan(memory)
    except MemoryLimitError:
        return 0
    if not a.in_memory and not plan.loaded_nbytes:
        return 0
    needed = plan.needed(chosen.need_of(memory)).plus(a.nbytes if a.in_memory else 0)
    return max(memory.options.memory - memory.options.reserved - needed.peak, 0)


def in_memory(a: Matrix, **how: Any) -> tuple[Route, Need]:
    """Return the route of `a`, and its need without the bytes of `a`, for `a` in memory."""
    chosen, memory = SpectrumRequest.of(**how).chosen(a)
    return chosen, memory.host_need(chosen.need_of(memory))


def fits_share(a: Matrix, share: Mapping[str, Any], full: Mapping[str, Any]) -> bool:
    """Return whether a share of the memory allows the same method for `a` as all of it.

    On a CUDA device the stored numbers must fit into the share too. `share`, `full`: the arguments
    of :meth:`SpectrumRequest.of`, with a share of the memory and with all of it.
    """
    part, memory = SpectrumRequest.of(**share).chosen(a)
    whole, full_memory = SpectrumRequest.of(**full).chosen(a)
    same = part.effort == whole.effort
    same = same and part.may_find_all(memory) == whole.may_find_all(full_memory)
    if memory.options.device.index is None:
        return same
    return same and memory.planned_on_device(part.need_of(memory))[1]


# ------------------------------------------------------------------------------- smaller calls


class _Fits(IntEnum):
    """Degree to which a call fits: not at all, as it is expected to run, or at its worst."""

    NOT = 0
    EXPECTED = 1
    SURELY = 2


def _advice(a: Matrix, query: SpectrumRequest, refused: Route, *, surely: bool = False) -> str:
    """Name smaller calls that fit into the memory; without any, the need of the smallest."""
    single = [(words, _fits(a, less)) for words, less in _changes(a, query, refused)]
    sure = [words for words, fits in single if fits == _Fits.SURELY]
    hoped = [words for words, fits in single if fits == _Fits.EXPECTED]
    sure = sure or _combined(a, query, refused, _Fits.SURELY)
    if not sure and not hoped:
        hoped = _combined(a, query, refused, _Fits.EXPECTED)
    parts = [f"this fits: {', or '.join(sure)}"] if sure else []
    if hoped and not surely:
        parts.append(
            f"this fits unless the singular values span a wide range: {', or '.join(hoped)}"
        )
    return "; ".join(parts) or _least_of_all(a, query)


def _changes(
    a: Matrix, query: SpectrumRequest, refused: Route
) -> Iterator[tuple[str, SpectrumRequest]]:
    """Yield calls that differ from the request in one thing, the nearest first."""
    options = dict(query.options)
    if options.pop("panel_rows", None) is not None:
        yield "the same without panel_rows", replace(query, options=options)
    if query.measures:
        yield f"the same without {' and '.join(query.measures)}", replace(query, measures=())
    for effort in reversed(EFFORTS):
        if effort not in (query.effort, refused.effort):
            yield f"effort {effort!r}", replace(query, effort=effort)
    if query.effort != "exact" or query.vectors:
        ranks = (
            _largest_rank(a, query, refused.k - 1, fits) for fits in (_Fits.SURELY, _Fits.EXPECTED)
        )
        k = next(filter(None, ranks), 0)
        if k:
            yield f"k = {k}", replace(query, k=k)


def _combined(a: Matrix, query: SpectrumRequest, refused: Route, fits: _Fits) -> list[str]:
    """Return the first effort that fits without further measures, and the largest k that fits."""
    without = f", without {' and '.join(query.measures)}" if query.measures else ""
    for effort in reversed(EFFORTS):
        k = _largest_rank(a, replace(_bare(query), effort=effort), refused.k, fits)
        if k:
            return [f"effort {effort!r} with k = {k}{without}"]
    return []


def _least_of_all(a: Matrix, query: SpectrumRequest) -> str:
    least = [
        (memory.least(need := chosen.need_of(memory)), effort, memory, need)
        for effort in EFFORTS
        for chosen, memory in _valid(a, replace(_bare(query), effort=effort, k=1))
    ]
    needed, effort, memory, _ = min(least, key=itemgetter(0, 1))
    if not any(memory.fits_device(need) for _, _, memory, need in least):
        return f"no smaller call fits on {memory.options.device.name}"
    sure = "fits" if needed > memory.options.memory else "is certain to fit"
    return f"no smaller call {sure}: effort {effort!r} with k = 1 needs {amount(needed)}"


def _bare(query: SpectrumRequest) -> SpectrumRequest:
    """Return the same request without further measures, and with panels of default height."""
    options = {name: value for name, value in query.options.items() if name != "panel_rows"}
    return replace(query, measures=(), options=options)


def _largest_rank(a: Matrix, query: SpectrumRequest, most: int, fits: _Fits) -> int:
    """Return the largest k up to `most` that fits; 0 if none does."""

    def lacks(k: int) -> bool:
        return _fits(a, replace(query, k=k), fits) < fits

    return bisect_left(range(1, most + 1), True, key=lacks)


def _fits(a: Matrix, query: SpectrumRequest, wanted: _Fits = _Fits.SURELY) -> _Fits:
    """Return the degree to which a call fits the memory, at most the requested degree."""
    for chosen, memory in _valid(a, query):
        if chosen.fits(memory):
            surely = wanted == _Fits.SURELY and chosen.fits(memory, grown=True)
            return _Fits.SURELY if surely else _Fits.EXPECTED
    return _Fits.NOT


def _valid(a: Matrix, query: SpectrumRequest) -> Iterator[tuple[Route, CallMemory]]:
    """Yield the route of a call, unless its effort lacks the requested precision."""
    with suppress(ValueError):
        yield query.chosen(a)
