# SPDX-License-Identifier: BSD-3-Clause
"""The analysis of one matrix of a scan, in this process or wherever a task is sent."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import asdict, dataclass

from sigmascope._running.prefetch import Prefetch
from sigmascope._running.tasks import (
    TENSOR_ERRORS,
    Known,
    Options,
    Read,
    failed,
    known_files,
    opened,
)
from sigmascope._tables.schema import Row
from sigmascope.adapters import AdapterOrigin, Scannable
from sigmascope.analysis.admission import memory_left
from sigmascope.analysis.low_rank import LowRank
from sigmascope.analysis.spectrum import spectrum
from sigmascope.checkpoint import FileIdentity, Origin
from sigmascope.errors import MemoryLimitError, NonFiniteError
from sigmascope.matrices.matrix import Matrix
from sigmascope.solvers.moments import moments
from sigmascope.spectra import Spectrum, weightwatcher

from .rows import moment_columns, spectrum_columns
from .structure import structure, structure_columns


@dataclass(frozen=True, slots=True)
class Task:
    """One matrix to analyse, for whoever can open the same files: no array, a few kilobytes.

    Attributes
    ----------
    origin
        How the checkpoint was opened: absolute paths, and options.
    files
        Paths of its files, absolute, and what they are known by.
    name
        Of the matrix.
    options
        Of the analysis.
    attempt
        0, 1, ...: an executor that remembers results must not repeat a failure from memory.
    """

    origin: Origin | AdapterOrigin
    files: Known
    name: str
    options: Options
    attempt: int = 0

    @classmethod
    def of(
        cls,
        checkpoint: Scannable,
        files: tuple[FileIdentity, ...],
        name: str,
        options: Options,
    ) -> Task:
        """Describe the analysis of one matrix of a checkpoint."""
        return cls(checkpoint.origin, known_files(checkpoint, files), name, options)


def run(task: Task) -> Row:
    """Do a task: open the checkpoint, if this process does not hold it yet, and analyse.

    Returns
    -------
    dict
        The columns that :func:`analysed` gives; what is wrong with the file is one of them.
    """
    began = time.perf_counter()
    try:
        checkpoint = opened(task.origin, task.files)
    except TENSOR_ERRORS as error:
        return failed(error, began)
    alone: Prefetch[Matrix | LowRank] = Prefetch(checkpoint)
    with alone as matrices:
        return analysed(matrices, task.name, task.options)


def analysed(
    matrices: Prefetch[Matrix | LowRank], name: str, options: Options, read: Read | None = None
) -> Row:
    """Analyse one matrix; what is wrong with it becomes the reason in its row.

    Returns
    -------
    dict
        The columns of its row that reading the headers does not give.
    """
    began = time.perf_counter()
    a: Matrix | LowRank | None = None
    try:
        a = matrices.take(name)
        if isinstance(a, LowRank):
            found = a.spectrum(options.k, memory_limit=options.memory_limit)
        else:
            found = _spectrum(matrices, a, name, options, read)
        matrices.check_unchanged(name)  # while it was read, that is
        fit = weightwatcher.power_law(found.values)
        return {"status": "analysed"} | spectrum_columns(found) | fit | _structure(a, found)
    except TENSOR_ERRORS as error:
        row = failed(error, began)
        if isinstance(error, NonFiniteError) and isinstance(a, Matrix):
            with suppress(*TENSOR_ERRORS):
                row |= moment_columns(moments(a, histogram=False, num_threads=options.num_threads))
        return row


def _structure(a: Matrix | LowRank, found: Spectrum) -> Row:
    """Say what makes a matrix no ordinary one; a product of thin ones has a low rank by design."""
    if isinstance(a, Matrix) and found.moments is not None:
        return structure_columns(structure(a, found.moments), found)
    return {"structure": "all zero"} if found["fro_norm"].value == 0 else {}


def _spectrum(
    matrices: Prefetch[Matrix | LowRank], a: Matrix, name: str, options: Options, read: Read | None
) -> Spectrum:
    """Compute the spectrum, while the next matrix is read into the memory that is left."""
    how = asdict(options)
    seed = how.pop("seed")
    # Nothing at effort "exact", where computing takes far longer than reading.
    ahead = matrices.reads_ahead and options.effort != "exact"
    room = memory_left(a, **how) if ahead else 0
    held = a.nbytes if a.in_memory else 0
    with matrices.beside(name, room):
        try:
            return spectrum(a, seed=seed, progress=read, reserved=room + held, **how)
        except MemoryLimitError:
            if not (room or held):
                raise
    # Read ahead, it leaves too little for itself, or what is read beside it does: alone then.
    matrices.give_up()
    return spectrum(matrices.afresh(name), seed=seed, progress=read, **how)
