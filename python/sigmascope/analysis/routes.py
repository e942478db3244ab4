# SPDX-License-Identifier: BSD-3-Clause
"""How :func:`sigmascope.spectrum` goes about a matrix: from its shape, the options and the memory.

The memory decides whether an effort is possible, what is held and how often files are read, and
whether the whole spectrum may take the place of a part of it; never a bit of what is computed.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sigmascope._display.text import amount
from sigmascope._execution import arguments, costs
from sigmascope._execution.memory import Need, values_need
from sigmascope._execution.options import Run
from sigmascope._execution.passes import MIB, Reading
from sigmascope._execution.rounding import DENSITIES, SEARCHES, coarsest
from sigmascope.errors import MemoryLimitError
from sigmascope.matrices.matrix import Matrix
from sigmascope.solvers.krylov import Search

from .requested import GENERATORS, farms_need, permutation_need

EFFORTS = ("top", "density", "exact")


@dataclass(frozen=True, slots=True)
class Route:
    """What will be run.

    Attributes
    ----------
    asked, effort : str
        The effort that was asked for, and the one that runs: "exact" where that costs less.
    shape : (m, n)
    k : int
        min(m, n) if that is less than was asked for.
    accuracy : str
        Of every value.
    search : Search or None
        None at effort "exact".
    width : int
        Bytes of an element that is decoded.
    measures : tuple of str
        Those on request (:mod:`sigmascope.analysis.requested`).
    vectors : bool
        Whether the vectors of the k largest values are wanted as well.
    apart : Search or None
        The search that finds them, if every value is found without.
    """

    asked: str
    effort: str
    shape: tuple[int, int]
    k: int
    accuracy: str
    search: Search | None
    width: int = 4
    measures: tuple[str, ...] = ()
    vectors: bool = False
    apart: Search | None = None

    @classmethod
    def every(cls, a: Matrix, k: int, accuracy: str, measures: tuple[str, ...] = ()) -> Route:
        """The route of every value."""
        width = 8 if a.precision == "float64" else 4
        return cls("exact", "exact", a.shape, min(k, *a.shape), accuracy, None, width, measures)

    @property
    def all_values(self) -> Route:
        """The route of every value that takes the place of a search."""
        return replace(self, effort="exact", search=None)

    def may_find_all(self, a: Matrix, run: Run) -> bool:
        """Whether there is memory for :attr:`all_values`.

        What others have taken of the limit meanwhile does not count: no bit depends on neighbours.
        """
        if run.executor is not None:  # every worker would have to send a Gram matrix
            return False
        return replace(run, reserved=0).least(a, self.all_values.need) <= run.memory

    @property
    def what(self) -> str:
        """Its name in a refusal."""
        call = "svdvals" if self.asked == "exact" else f"effort {self.asked!r}"
        extra = f" with {' and '.join(self.measures)}" if self.measures else ""
        return f"{call} of {arguments.of_shape(self.shape)}{extra}"

    @property
    def permutes(self) -> bool:
        """Whether the matrix is analysed again with its entries in random order."""
        return "randomized_distance" in self.measures and self.effort != "top"

    @property
    def notes(self) -> tuple[str, ...]:
        """What the result says of the choice."""
        notes = []
        if self.effort != self.asked:
            notes.append(f"every value, cheaper here than effort {self.asked!r}")
        if "randomized_distance" in self.measures and not self.permutes:
            notes.append("no randomized_distance at effort 'top', which says nothing of the rest")
        return tuple(notes)

    @property
    def steps(self) -> int:
        """Krylov steps expected, on spectra that decay slowly."""
        if self.search is None:
            return 0
        s = self.search
        columns = min(costs.basis_columns(s.k, s.block, s.tol), float(min(s.shape)))
        return max(-(-int(columns) // s.block), 1)

    @property
    def seen_bytes(self) -> int:
        """Of the statistics of the elements, which are there while the spectrum is sought."""
        return 32 * sum(self.shape)

    @property
    def passes(self) -> int:
        """Reads expected: statistics, range, steps, values; steered, a sharper step."""
        if self.search is None:
            reads = 6 if self.vectors else 3
        else:
            reads = self.steps + (4 if self.search.precision == "mixed" else 3)
        return reads + self.permutes

    def need(self, reading: Reading, *, grown: bool = False) -> Need:
        """What it holds, the statistics of the elements included.

        `grown`: the most that it can come to, with bases of min(m, n) columns, all of them read
        out; else what is expected.
        """
        needed = self._once(reading, grown)
        if "alpha_farms" in self.measures:
            needed = needed.then(farms_need(reading).beside(self.seen_bytes))
        if self.permutes:
            gathered = permutation_need(reading, self.width).beside(self.seen_bytes)
            again = self._once(replace(reading, stored=self.width, files=False), grown)
            kept = 3 * MIB  # of other sizes, by the allocator, beyond OVERHEAD: measured
            needed = needed.then(gathered).then(again.beside(gathered.arrays + kept))
        return needed._replace(working=needed.working + GENERATORS) if self.measures else needed

    def _once(self, reading: Reading, grown: bool) -> Need:
        def of(search: Search) -> Need:
            if grown:
                return search.grown_need(reading, search.columns, reading.N)
            return search.need(reading)

        if self.search is None:
            needed = values_need(reading, fast=self.accuracy == "fast")
            if self.apart is not None:
                needed = needed.then(of(self.apart))
        else:
            needed = of(self.search)
        return Need(needed.arrays + self.seen_bytes, needed.working + 2**19)  # counts of codes

    def most(self, a: Matrix, run: Run) -> int:
        """The least limit that allows it whatever the values are."""
        return run.least(a, partial(self.need, grown=True))

    def within(self, a: Matrix, run: Run) -> Run:
        """Choose what is held; MemoryLimitError says the least limit that would allow it."""
        least = run.least(a, self.need)
        if least > run.memory:
            most = self.most(a, run)
            more = f" (up to {amount(most)} if its values span much)" if most > least else ""
            raise MemoryLimitError(run.refusal(self.what, amount(least) + more))
        return run.within(a, self.need, self.what)

    def spare(self, a: Matrix, run: Run) -> int:
        """Bytes of the limit that are left for a part of a matrix read again at each pass.

        0 if that is less than an eighth of the matrix; a sixteenth of the limit stays free, since
        the formulas do not know how an allocator rounds.
        """
        if run.load_bytes or not run.stored_bytes:
            return 0
        needed = self.need(run.reading(a)).beside(run.reserved + run.copy_bytes)
        left = run.memory - run.memory // 16 - needed.peak
        return left if 8 * left >= a.nbytes else 0


def run_for(a: Matrix, effort: str, **options: Any) -> Run:
    """Resolve the options of :func:`sigmascope.spectrum`, whose effort says what may be rounded."""
    precisions = SEARCHES if effort == "top" else DENSITIES
    return Run.of(a, precisions=precisions, **options)


def route(
    a: Matrix,
    effort: str,
    k: int,
    tol: float,
    accuracy: str,
    run: Run,
    measures: tuple[str, ...] = (),
    vectors: bool = False,
) -> Route:
    """Choose what to run on a matrix.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    if effort not in EFFORTS:
        raise ValueError(f"effort is one of {', '.join(EFFORTS)}, not {effort!r}")
    if operator.index(k) < 1:
        raise ValueError(f"k = {k} must be at least 1")
    arguments.check_positive(tol=tol)
    arguments.check_accuracy(accuracy)
    k = min(k, *a.shape)
    asked = replace(_route(a, str(effort), k, tol, accuracy, run, vectors), measures=measures)
    if asked.search is None:
        return asked
    base = "float64" if run.precision == "float64" else "float32"
    if min(a.shape) == 1:  # no density has a single value
        return asked.all_values
    cheaper = costs.prefers_gram(a.shape, k, _wide(k, a.shape), tol, base)
    if not cheaper or run.executor is not None:
        return asked
    if asked.may_find_all(a, run):
        return asked.all_values
    # If neither fits, what is refused is the one that takes less.
    alone, every = replace(run, reserved=0), asked.all_values
    return every if alone.least(a, every.need) < alone.least(a, asked.need) else asked


def _route(
    a: Matrix, effort: str, k: int, tol: float, accuracy: str, run: Run, vectors: bool
) -> Route:
    every = Route.every(a, k, accuracy)
    if vectors:
        precision = run.precision if run.precision == "float64" else coarsest(SEARCHES, a.shape)
        block = min(costs.best_block(a.shape, k, tol, precision), *a.shape)
        apart = Search(a.shape, every.k, tol, block, precision, vectors, density=False)
        every = replace(every, vectors=True, apart=apart)
    wanted = {"vectors": vectors, "of_values": vectors}
    if effort == "top":
        block = min(costs.best_block(a.shape, k, tol, run.precision), *a.shape)
        search = Search(a.shape, k, tol, block, run.precision, density=False, **wanted)
    elif effort == "density":
        precision = "split" if run.precision == "mixed" else run.precision
        search = Search(a.shape, k, tol, _wide(k, a.shape), precision, density=True, **wanted)
    else:
        return every
    return replace(every, asked=effort, effort=effort, search=search)


def _wide(k: int, shape: tuple[int, int]) -> int:
    """Columns of a block from which a density is read: its probes."""
    return min(32 if k <= 128 else 64, *shape)
