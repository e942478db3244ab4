# SPDX-License-Identifier: BSD-3-Clause
"""The largest singular triplets, by a search or by the Gram matrix: whichever costs less."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sigmascope._execution import arguments, costs
from sigmascope._execution.memory_plan import CallMemory
from sigmascope._execution.options import CallOptions, offset_progress
from sigmascope.matrices.matrix import Matrix
from sigmascope.spectra import SVD

from .gram import GramTriplets
from .krylov import GIVEN_UP, KrylovSearch, KrylovSettings, krylov_notes, triplets_of


@dataclass(frozen=True, slots=True)
class TripletsRequest:
    """The arguments of one call of :func:`sigmascope.svds`, checked.

    `estimates`: estimates of the values, from an abandoned search.
    """

    k: int
    tol: float
    seed: int
    vectors: bool = True
    method: str = "auto"
    max_passes: int = 300
    block: int | None = None
    estimates: NDArray[np.float64] | None = None

    def compute(self, a: Matrix, call: CallOptions) -> SVD:
        """Compute the triplets of one matrix."""
        started, memory = time.perf_counter(), CallMemory(a, call)
        method = self.choose(memory)
        plan = memory.plan(method.need(memory), method.what)
        if isinstance(method, GramTriplets):
            return method.run(plan)
        result = method.run(plan)
        if not result["costly"]:
            seconds = time.perf_counter() - started
            return triplets_of(result, call, method.settings, self.seed, seconds)
        call = replace(call, progress=offset_progress(call.progress, result["reads"] * a.nbytes))
        every = replace(self, method="gram", estimates=result["s"]).compute(a, call)
        passes = every.passes + result["reads"]
        notes = (*krylov_notes(result), GIVEN_UP, *every.notes)
        seconds = time.perf_counter() - started
        return replace(every, passes=passes, steps=result["steps"], notes=notes, seconds=seconds)

    def suffices(self, a: Matrix, call: CallOptions) -> bool:
        """Return whether the memory allows every method, and a basis of min(m, n) columns."""
        memory = CallMemory(a, call)
        if not self._gram(a).fits(memory, complete=True):
            return False
        method = self.choose(memory)
        if isinstance(method, GramTriplets):
            return True
        settings = method.settings
        return memory.fits_held(settings.grown_need(settings.columns, min(a.shape)))

    def choose(self, memory: CallMemory) -> GramTriplets | KrylovSearch:
        """Return the method that is requested, or else the one that costs less and fits."""
        a, call = memory.a, memory.options
        gram, block = self._gram(a).within(memory), self._block(a, call)
        if self._prefers_gram(memory, gram, block):
            return gram
        settings = KrylovSettings(
            a.shape,
            self.k,
            self.tol,
            block,
            call.precision,
            self.vectors,
            density=False,
            tolerance_of="residuals" if self.vectors else "errors",
        )
        what = f"a basis for the {self.k} largest singular values of {arguments.of_shape(a.shape)}"
        bounded = call.operator is None and (gram.complete or gram.fits(memory))
        search = KrylovSearch(settings, what, self.max_passes, self.seed, False, bounded)
        return search.within(memory)

    def _gram(self, a: Matrix) -> GramTriplets:
        return GramTriplets(
            a.shape, self.k, self.tol, self.seed, self.vectors, estimates=self.estimates
        )

    def _block(self, a: Matrix, call: CallOptions) -> int:
        """Return the number of columns of a Krylov step: as requested, else with the lowest cost.

        The latter is large enough for `max_passes` steps to hold k vectors.
        """
        k, block = self.k, self.block
        if call.operator is not None:
            return min(block or call.operator.block(k), *a.shape)
        cheapest = costs.best_block(work_of_search(a, call, k, self.tol))
        return min(block or max(cheapest, -(-k // self.max_passes)), *a.shape)

    def _prefers_gram(self, memory: CallMemory, gram: GramTriplets, block: int) -> bool:
        """Return whether the Gram matrix is requested, or is cheaper and fits."""
        a, call = memory.a, memory.options
        if self.method != "auto" or not call.forms_gram:
            return self.method == "gram"
        search = work_of_search(a, call, self.k, self.tol)._replace(block=block)
        return costs.prefers_gram(search) and (gram.complete or gram.fits(memory))


def work_of_search(a: Matrix, call: CallOptions, k: int, tol: float) -> costs.Search:
    """Describe the search for the k largest triplets of a matrix, to estimate its cost."""
    reread, on_cuda = call.reread_nbytes(a), call.device.is_cuda
    return costs.Search(a.shape, k, tol, call.precision, file_bytes=reread, on_cuda=on_cuda)
