# SPDX-License-Identifier: BSD-3-Clause
"""Search for the largest singular triplets, or the Gram matrix where that costs less."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from sigmascope._execution import arguments, costs
from sigmascope._execution.memory_plan import fits_held
from sigmascope._execution.options import CallOptions, offset_progress
from sigmascope.matrices.matrix import Matrix
from sigmascope.spectra import SVD

from .gram import fits_gram, svds_by_gram
from .krylov import GIVEN_UP, KrylovSettings, krylov, krylov_notes, triplets_of


@dataclass(frozen=True, slots=True)
class SVDRequest:
    """The arguments of one call of :func:`sigmascope.svds`, checked."""

    k: int
    tol: float
    vectors: bool
    method: str
    max_passes: int
    block: int | None
    seed: int

    def compute(self, a: Matrix, call: CallOptions) -> SVD:
        """Compute the triplets of one matrix."""
        return triplets(
            a,
            call,
            self.k,
            tol=self.tol,
            vectors=self.vectors,
            method=self.method,
            max_passes=self.max_passes,
            block=self.block,
            seed=self.seed,
        )

    def suffices(self, a: Matrix, call: CallOptions) -> bool:
        """Tell whether the memory allows every method, and a basis of min(m, n) columns."""
        if not fits_gram(a, self.k, call, complete=True):
            return False
        block = choose_block(a, self.k, self.tol, self.block, call, self.max_passes)
        if prefers_gram(a, self.k, block, self.tol, self.method, call):
            return True
        settings = KrylovSettings(
            a.shape, self.k, self.tol, block, call.precision, self.vectors, density=False
        )
        return fits_held(a, call, settings.grown_need(settings.columns, min(a.shape)))


def triplets(
    a: Matrix,
    call: CallOptions,
    k: int,
    *,
    tol: float,
    seed: int,
    vectors: bool = True,
    method: str = "auto",
    max_passes: int = 300,
    block: int | None = None,
) -> SVD:
    """:func:`sigmascope.svds` of arguments that are checked, without a warning."""
    b = choose_block(a, k, tol, block, call, max_passes)
    started = time.perf_counter()
    if prefers_gram(a, k, b, tol, method, call):
        return svds_by_gram(a, k, tol, vectors, seed, call)
    settings = KrylovSettings(a.shape, k, tol, b, call.precision, vectors, density=False)
    what = f"a basis for the {k} largest singular values of {arguments.of_shape(a.shape)}"
    result = krylov(
        a,
        call,
        settings,
        what,
        max_steps=max_passes,
        seed=seed,
        strict=False,
        bounded=call.operator is None and fits_gram(a, k, call),
    )
    if not result["costly"]:
        return triplets_of(result, call, settings, seed, time.perf_counter() - started)
    call = replace(call, progress=offset_progress(call.progress, result["reads"] * a.nbytes))
    every = svds_by_gram(a, k, tol, vectors, seed, call, result["s"])
    passes = every.passes + result["reads"]
    notes = (*krylov_notes(result), GIVEN_UP, *every.notes)
    seconds = time.perf_counter() - started
    return replace(every, passes=passes, steps=result["steps"], notes=notes, seconds=seconds)


def choose_block(
    a: Matrix, k: int, tol: float, block: int | None, call: CallOptions, max_passes: int
) -> int:
    """Return the columns of a Krylov step: those asked for, else those of least cost.

    At least so many that `max_passes` steps can hold k vectors.
    """
    if call.operator is not None:
        return min(block or call.operator.block(k), *a.shape)
    reread, on_cuda = call.reread_nbytes(a), call.device.is_cuda
    cheapest = costs.best_block(a.shape, k, tol, call.precision, reread, on_cuda=on_cuda)
    return min(block or max(cheapest, -(-k // max_passes)), *a.shape)


def prefers_gram(a: Matrix, k: int, block: int, tol: float, method: str, call: CallOptions) -> bool:
    """Tell whether the Gram matrix was asked for, or is cheaper and fits."""
    if method != "auto" or not call.forms_gram:
        return method == "gram"
    reread, on_cuda = call.reread_nbytes(a), call.device.is_cuda
    cheaper = costs.prefers_gram(
        a.shape, k, block, tol, call.precision, file_bytes=reread, on_cuda=on_cuda
    )
    return cheaper and fits_gram(a, k, call)
