# SPDX-License-Identifier: BSD-3-Clause
"""The analysis of one matrix of a scan, in this process or in a worker of an executor."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite

from sigmascope._execution.options import CallOptions
from sigmascope._running.executors import WorkerTask
from sigmascope._running.prefetch import Prefetch
from sigmascope._running.tasks import TENSOR_ERRORS, ByteListener, Options, failed
from sigmascope._running.vectors import save_vectors
from sigmascope._tables.schema import Row
from sigmascope.adapters.circuits.product import CircuitProduct
from sigmascope.adapters.scannable import Scannable
from sigmascope.analysis.admission import SpectrumRequest, memory_left
from sigmascope.analysis.low_rank import LowRank
from sigmascope.analysis.spectrum import analysed
from sigmascope.errors import MemoryLimitError, NonFiniteError
from sigmascope.matrices.matrix import Matrix
from sigmascope.solvers.moments import element_moments
from sigmascope.spectra import Spectrum, weightwatcher

from .entrywise import evidence, mask
from .rows import moment_columns, spectrum_columns
from .structure import mask_statistics, structure, structure_columns


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixTask(WorkerTask):
    """The description of the analysis of one matrix of a checkpoint, with its options."""

    options: Options

    def analysed(self, checkpoints: Sequence[Scannable], read: ByteListener | None) -> Row:
        """Return the columns that :func:`analyse` gives."""
        (checkpoint,) = checkpoints
        remote = bool(checkpoint.sources)
        without_reading_ahead: Prefetch[Matrix | LowRank] = Prefetch(checkpoint, remote=remote)
        with without_reading_ahead as matrices:
            return analyse(matrices, self.name, self.options, read)


def analyse(
    matrices: Prefetch[Matrix | LowRank],
    name: str,
    options: Options,
    read: ByteListener | None = None,
) -> Row:
    """Analyse one matrix; an error becomes the reason in its row.

    Returns
    -------
    dict
        The columns of its row that the headers do not give.
    """
    began = time.perf_counter()
    a: Matrix | LowRank | None = None
    try:
        a = matrices.take(name)
        if isinstance(a, LowRank):
            wanted = options.vectors is not None
            result = a.spectrum(options.k, vectors=wanted, memory_limit=options.memory_limit)
        else:
            a = _read_once(a, options) if matrices.remote else a
            result = _spectrum(matrices, a, name, options, read)
        matrices.check_unchanged(name)  # the file may have changed while it was read
        if options.vectors is not None:
            save_vectors(options.vectors, name, {"": result.svd})
        fit = weightwatcher.power_law(result.values)
        row = {"status": "analysed", "product_rank": product_rank(a)} | logit_columns(a)
        return row | spectrum_columns(result) | fit | _structure(a, result)
    except TENSOR_ERRORS as error:
        row = failed(error, began)
        if isinstance(error, NonFiniteError) and isinstance(a, Matrix):
            with suppress(*TENSOR_ERRORS):
                row |= _nonfinite_columns(a, options, began)
        return row


def _nonfinite_columns(a: Matrix, options: Options, began: float) -> Row:
    """Return the moments of a matrix with NaN or infinity; masks of 0 and -inf are not errors."""
    if (seen := mask_statistics(a)) is not None:
        row: Row = {"status": "entrywise", "converged": True, "reason": mask(seen), "failure": None}
        numbers = {"zeros": seen.zeros, "nan": 0, "inf": seen.inf}
        return row | numbers | {"min": seen.least, "max": seen.greatest} | evidence(began)
    call = CallOptions.of(a, num_threads=options.num_threads, device=options.device)
    return moment_columns(element_moments(a, call, histogram=False))


def _read_once(a: Matrix, options: Options) -> Matrix:
    """Return a matrix in memory if it fits, so that its file is read once for all computations."""
    fits = not a.in_memory and memory_left(a, **options.of_spectrum()) > 0
    return a.load() if fits else a


def product_rank(a: Matrix | LowRank) -> int | None:
    """Return the largest possible rank of an adapter's change B A; None for other matrices."""
    return min(a.rank, *a.shape) if isinstance(a, LowRank) else None


def logit_columns(a: Matrix | LowRank) -> Row:
    """Return the bounds on the logits of a circuit; no columns for other matrices."""
    bound = a.logit_bound() if isinstance(a, CircuitProduct) else None
    values = {} if bound is None else bound._asdict()
    return {f"logit_bound_{name}": value for name, value in values.items() if isfinite(value)}


def _structure(a: Matrix | LowRank, result: Spectrum) -> Row:
    """Return the columns of a special structure, in which a change's low rank does not count."""
    if isinstance(a, Matrix) and result.moments is not None:
        return structure_columns(structure(a, result.moments), result)
    return {"structure": "all zero"} if result["fro_norm"].value == 0 else {}


def _spectrum(
    matrices: Prefetch[Matrix | LowRank],
    a: Matrix,
    name: str,
    options: Options,
    read: ByteListener | None,
) -> Spectrum:
    """Compute the spectrum while the next matrix is read into the remaining memory."""
    how, seed = options.of_spectrum(), options.seed
    # At effort "exact" computing takes far longer than reading a file, which is not read ahead.
    ahead = matrices.reads_ahead and (matrices.remote or options.effort != "exact")
    room = memory_left(a, **how) if ahead else 0
    loaded = a.nbytes if a.in_memory else 0
    with matrices.reading_next(name, room):
        try:
            query = SpectrumRequest.of(progress=read, reserved=room + loaded, **how)
            return analysed(a, query, seed=seed)
        except MemoryLimitError:
            if not (room or loaded):
                raise
    # The bytes of this matrix, or of the next one, leave too little memory: compute from the file.
    matrices.discard()
    return analysed(matrices.lookup(name), SpectrumRequest.of(progress=read, **how), seed=seed)
