# SPDX-License-Identifier: BSD-3-Clause
"""Routes of :func:`sigmascope.spectrum`: its method for a matrix, by shape, options and memory.

The memory decides whether an effort is possible, what stays in memory, how often files are read,
and whether the whole spectrum may replace a part of it. It never decides a bit of a result.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from sigmascope._execution import arguments, costs
from sigmascope._execution.libraries import with_device_gram
from sigmascope._execution.memory import MINIMUM, Need, NeedOf, values_need
from sigmascope._execution.memory_plan import CallMemory, MemoryPlan
from sigmascope._execution.passes import PassLayout
from sigmascope._execution.reading import layout_of
from sigmascope.solvers.krylov import KrylovSettings

from .requested import GENERATORS, PERMUTING, farms_need, permutation_need

EFFORTS = ("top", "density", "exact")

SMALL = 256
"""Rows and columns of a matrix for which every effort takes less memory than MINIMUM."""


@dataclass(frozen=True, slots=True)
class Route:
    """The method and settings of one call.

    Attributes
    ----------
    requested_effort, effort : str
        The requested effort, and the one that runs: "exact" if that costs less.
    shape : (m, n)
    k : int
        The requested number of values, or min(m, n) if that is less.
    accuracy : str
        Accuracy of every value, as for :func:`svdvals`.
    search : KrylovSettings or None
        None at effort "exact".
    width : int
        Bytes of a decoded element.
    measures : tuple of str
        Measures on request (:mod:`sigmascope.analysis.requested`).
    vectors : bool
        Whether the vectors of the k largest values are requested as well.
    vector_search : KrylovSettings or None
        The search for these vectors, if every value is computed without vectors.
    """

    requested_effort: str
    effort: str
    shape: tuple[int, int]
    k: int
    accuracy: str
    search: KrylovSettings | None
    width: int = 4
    measures: tuple[str, ...] = ()
    vectors: bool = False
    vector_search: KrylovSettings | None = None

    @property
    def all_values(self) -> Route:
        """The route that computes every value and replaces a search."""
        return replace(self, effort="exact", search=None)

    def may_find_all(self, memory: CallMemory) -> bool:
        """Return whether there is memory for :attr:`all_values`.

        Memory that other calls use meanwhile does not count: no bit depends on them.
        """
        if memory.options.executor is not None:  # every worker would have to send a Gram matrix
            return False
        return self.all_values.fits(memory.alone)

    def fits(self, memory: CallMemory, *, grown: bool = False) -> bool:
        """Return whether there is memory for it, on the host and on the device of the call."""
        return self._is_small(memory) or memory.fits(self.need_of(memory, grown=grown))

    @property
    def what(self) -> str:
        """Description of the route, for a refusal."""
        call = (
            "svdvals" if self.requested_effort == "exact" else f"effort {self.requested_effort!r}"
        )
        extra = f" with {' and '.join(self.measures)}" if self.measures else ""
        return f"{call} of {arguments.of_shape(self.shape)}{extra}"

    @property
    def permutes(self) -> bool:
        """True if the matrix is analysed again with its entries in random order."""
        return bool(self._permuting) and self.effort != "top"

    @property
    def _permuting(self) -> list[str]:
        return [name for name in PERMUTING if name in self.measures]

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes of the result on the choice of the route."""
        notes = []
        if self.effort != self.requested_effort:
            notes.append(
                "every value is computed, which is cheaper here than effort "
                f"{self.requested_effort!r}"
            )
        if self._permuting and not self.permutes:
            names = " and no ".join(self._permuting)
            notes.append(
                f"no {names} at effort 'top', which does not estimate the remaining values"
            )
        return tuple(notes)

    @property
    def steps(self) -> int:
        """Expected number of Krylov steps, on slowly decaying spectra."""
        if self.search is None:
            return 0
        s = self.search
        columns = min(costs.basis_columns(s.k, s.block, s.tol), float(min(s.shape)))
        return max(-(-int(columns) // s.block), 1)

    @property
    def statistics_nbytes(self) -> int:
        """Bytes of the element statistics, held while the spectrum is computed."""
        return 32 * sum(self.shape)

    @property
    def passes(self) -> int:
        """Expected number of reads: statistics, range, steps, values; steered, a sharper step."""
        if self.search is None:
            reads = 6 if self.vectors else 3
        else:
            reads = self.steps + (4 if self.search.precision == "mixed" else 3)
        return reads + self.permutes

    def need(self, layout: PassLayout, *, grown: bool = False) -> Need:
        """Return the need of the call, with the statistics of the elements.

        With `grown`, this is the largest possible need, with bases of min(m, n) columns that are
        all read out; else the expected need.
        """
        needed = self._once(layout, grown)
        if "alpha_farms" in self.measures:
            needed = needed.followed_by(farms_need(layout).plus(self.statistics_nbytes))
        if self.permutes:
            gathered = permutation_need(layout, self.width).plus(self.statistics_nbytes)
            again = self._once(replace(layout, stored=self.width, files=False), grown)
            needed = needed.followed_by(gathered).followed_by(again.plus(gathered.arrays))
        return needed.plus_working(GENERATORS) if self.measures else needed

    def need_of(self, memory: CallMemory, *, grown: bool = False) -> NeedOf:
        """Return :meth:`need` as a function of the layout, for the device of a call."""
        need = partial(self.need, grown=grown)
        return need if self.search else with_device_gram(need, memory, "eigenvalues")

    def _once(self, layout: PassLayout, grown: bool) -> Need:
        def of(search: KrylovSettings) -> Need:
            if grown:
                return search.grown_need(search.columns, layout.N)(layout)
            return search.need()(layout)

        if self.search is None:
            needed = values_need(layout, fast=self.accuracy == "fast")
            if self.vector_search is not None:
                needed = needed.followed_by(of(self.vector_search))
        else:
            needed = of(self.search)
        counts_of_codes = 2**19
        return needed.plus(self.statistics_nbytes).plus_working(counts_of_codes)

    def plan(self, memory: CallMemory) -> MemoryPlan:
        """Choose what stays in memory; MemoryLimitError names the least limit that suffices."""
        a, call = memory.a, memory.options
        if self._is_small(memory):
            loaded = call.file_nbytes(a)
            layout = layout_of(a, call, held=loaded > 0)
            return MemoryPlan(memory, layout, loaded, False, False, 0)
        worst = self.need_of(memory, grown=True)
        return memory.plan(self.need_of(memory), self.what, worst=worst)

    def _is_small(self, memory: CallMemory) -> bool:
        """Return whether the matrix is so small that the call certainly fits, without a formula."""
        a, call = memory.a, memory.options
        if max(self.shape) > SMALL or a.nbytes > 8 * SMALL**2:
            return False
        if self.measures or call.device.index is not None:
            return False
        return call.memory - call.reserved >= MINIMUM

    def spare(self, plan: MemoryPlan) -> int:
        """Return the bytes of the limit that remain for a part of a matrix that is read again.

        0 if they are less than an eighth of the matrix. A sixteenth of the limit stays free, since
        the formulas do not know how an allocator rounds.
        """
        a, call = plan.memory.a, plan.memory.options
        if plan.loaded_nbytes or not call.file_nbytes(a):
            return 0
        needed = self.need(plan.layout).plus(call.reserved + plan.copy_nbytes)
        left = call.memory - call.memory // 16 - needed.peak
        return left if 8 * left >= a.nbytes else 0
