# SPDX-License-Identifier: BSD-3-Clause
"""Two checkpoints side by side, pair by pair."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import replace

from sigmascope._display.text import path_text
from sigmascope._execution.build import engine
from sigmascope._execution.memory import keeping
from sigmascope._running.ahead import Threads, turns
from sigmascope._running.executors import Borrowed, at_once
from sigmascope._running.filling import Rows
from sigmascope._running.progress import Progress
from sigmascope._running.selection import Patterns, as_list
from sigmascope._running.sharing import Sharing
from sigmascope._running.tasks import Options, Read
from sigmascope._tables.outputs import Outputs, PathLike, Paths
from sigmascope._tables.provenance import identities
from sigmascope._tables.schema import Row
from sigmascope.adapters import Adapter, Scannable, as_scannable
from sigmascope.checkpoint import FileIdentity

from .adapted import adapted_pairs
from .entrywise import compared_entrywise
from .pairing import Pair, linked, members, selected
from .result import Comparison
from .tasks import Couples, Link, PairTask, compared, run

Source = Scannable | str | os.PathLike[str]
PairRows = Rows[Comparison, Pair]


def compare(
    before: Source,
    after: Source,
    *,
    effort: str = "density",
    k: int = 64,
    tol: float = 1e-3,
    accuracy: str = "reference",
    measures: str | Sequence[str] | None = None,
    seed: int = 0,
    num_threads: int | None = None,
    memory_limit: int | str | None = None,
    reading: str | None = None,
    include: Patterns = None,
    exclude: Patterns = None,
    out: Paths = None,
    resume: PathLike | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Compare every tensor of two checkpoints: matrices by their spectra, others entry by entry.

    Parameters
    ----------
    before, after : Checkpoint, Adapter or path
        As for :func:`open_checkpoint`; `after` may be a LoRA adapter of `before`, or both adapters.
    effort, k, tol, accuracy, measures, seed
        Of each of the four spectra of a pair, as for :func:`spectrum`. All four begin with the same
        random block.
    num_threads, memory_limit
        Of all spectra that are computed at once. Without a limit, a comparison that is resumed
        keeps the one it began with, if this machine has as much.
    reading : str, optional
        As for :func:`open_checkpoint`; an open checkpoint has its own.
    include, exclude : str or sequence of str, optional
        As for :func:`scan`; a pair is known by the names of both.
    out, resume, executor, workers, progress
        As for :func:`scan`.

    Returns
    -------
    Comparison
        One row per pair in the order of `before`, then what only `after` has; see
        :mod:`sigmascope.comparing.rows`. Tensors are paired by name, or by their place in the
        model (:mod:`sigmascope.comparing.pairing`); what has no partner has the status "unpaired"
        and the reason, as have two of different shapes, but for embeddings of vocabularies of two
        sizes, of which the common rows are compared. Tensors without a spectrum are compared number
        by number, status "entrywise". :attr:`Comparison.verdict` counts them all.

    Raises
    ------
    CheckpointError, ValueError, ImportError, OSError, OutputError, ScanInterrupted
        As for :func:`scan`; the last two carry the Comparison so far as `scan`. ValueError also if
        `before` is an adapter and `after` is not.

    Notes
    -----
    Of each pair W and W' are read once, if both fit into memory beside one spectrum, and the next
    pair is begun meanwhile, on the threads that this one leaves idle, if it fits as well. Passes:
    one over both for their norms, that of dW, <dW, W> and what rounding errs by (another over each
    of 8 bits, or with scales), one over each for what is special of it (a constant matrix, copies
    of rows; another where norms of rows agree), one more where the change is not above rounding as
    a whole, for its single entries, then those of :func:`spectrum` for W, W', dW = W' - W and
    dW - c W, c = <dW, W> / <W, W>. Memory as for :func:`spectrum`; as many of the four are computed
    at once, on a part of the threads each, as it allows: no number depends on that. A pair of
    identical matrices has one spectrum. dW is summed entry by entry as it is decoded.

    Examples
    --------
    >>> found = compare("base/", "tuned/", resume="pair.jsonl")                # doctest: +SKIP
    >>> found.to_pandas().groupby("role").change_effective_rank.median()       # doctest: +SKIP
    """
    options = Options.of(effort, k, tol, accuracy, seed, num_threads, memory_limit, measures)
    workers = at_once(executor, workers)
    both = as_scannable(before, reading), as_scannable(after, reading)
    where = f"{both[0].path} and {both[1].path}"
    pairs = selected(_pairs(*both), as_list(include), as_list(exclude), where)
    files = identities(both[0]), identities(both[1])
    with Outputs(out, resume, Comparison) as outputs:
        if memory_limit is None and outputs.memory_limit is not None:
            options = replace(options, memory_limit=outputs.memory_limit)
        begun = Comparison(
            before=path_text(both[0].path),
            after=path_text(both[1].path),
            options=options.recorded() | {"include": as_list(include), "exclude": as_list(exclude)},
            rows=[],
            expected=len(pairs),
            notes=tuple(_notes(*both)),
            files=(*_named("before", files[0]), *_named("after", files[1])),
            engine=engine(),
        )

        def look(pair: Pair) -> Row:
            return compared_entrywise(both, pair)

        rows = PairRows(outputs.begin(begun), pairs, f"{begun.before} with {begun.after}", look)
        if executor is None:
            _here(both, options, rows, outputs, progress)
        else:
            each = options.shared(workers)

            def task(index: int) -> PairTask:
                return PairTask.of(both, files, Link.of(pairs[index]), each)

            rows.fill(Borrowed(executor, task, workers, run), outputs, progress)
    return rows.table


def _pairs(before: Scannable, after: Scannable) -> Iterator[Pair]:
    """List the rows to come, by what is compared."""
    if isinstance(before, Adapter) == isinstance(after, Adapter):
        return linked(list(members(before)), list(members(after)))
    if isinstance(before, Adapter):
        raise ValueError(
            f"{before.path} is an adapter and {after.path} a checkpoint: "
            "the base comes first, then its adapter"
        )
    assert isinstance(after, Adapter)
    return adapted_pairs(before, after)


def _here(
    both: tuple[Scannable, Scannable],
    options: Options,
    rows: PairRows,
    outputs: Outputs[Comparison],
    progress: Progress | None,
) -> None:
    """Analyse what is left in this process, a pair and the next."""
    links = {index: Link.of(rows.items[index]) for index in rows.matrices}
    couples, sharing = Couples(*both, links.values()), Sharing(options.num_threads)

    def analyse(index: int, read: Read) -> Row:
        return compared(couples, links[index], options, sharing, read)

    begun = turns(rows.matrices, lambda index: rows.items[index].stored_bytes)
    with keeping():  # a third of what is loaded finds pages that are there
        rows.fill(Threads(analyse, 2), outputs, progress, begun)


def _notes(before: Scannable, after: Scannable) -> Iterator[str]:
    for side, checkpoint in (("before", before), ("after", after)):
        yield from (f"{side}: {note}" for note in checkpoint.notes)


def _named(side: str, files: tuple[FileIdentity, ...]) -> Iterator[FileIdentity]:
    for file in files:
        yield FileIdentity(name=f"{side}/{file['name']}", size=file["size"], digest=file["digest"])
