# SPDX-License-Identifier: BSD-3-Clause
"""The function verify: is a file base + weights . changes, and with which weights?"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sigmascope import Checkpoint
from sigmascope.adapters import Adapter
from sigmascope.extension import public
from sigmascope.extension.pairs import Scannable, as_scannable, identities

from .combining import narrow_orders
from .copies import find_copies
from .expectations import read_expectations
from .journal import FORMAT, Journal, write_row
from .operands import Operands
from .result import Verification
from .tensors import Key, Row, verify_tensor

Progress = Callable[[Row], None]

Source = Scannable | Mapping[str, Any] | str | os.PathLike[str]


@public
def verify(
    base: Source,
    merged: Source,
    donors: Source | Sequence[Source] = (),
    *,
    expect: str | Sequence[str] | None = None,
    tolerance: float = 0.0,
    reading: str | None = None,
    resume: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Decide whether a file is a base plus weighted changes, and with which weights.

    Examples
    --------
    >>> result = verify("base/", "merged/", "adapter/", expect="adapter")   # doctest: +SKIP
    >>> result.verdict, result.weights                                      # doctest: +SKIP

    Parameters
    ----------
    base, merged : Checkpoint, path, URL, or mapping of names to arrays
        The file before and after. As for :func:`sigmascope.open_checkpoint`.
    donors : the same, or Adapter, or a sequence of these
        Adapters, whose change is s B A, and models of the same base, whose change is F - W.
    expect : str or sequence of str, optional
        Claims: "identical" (every number is that of the base, in the same format), "rounding" (the
        base, rounded to the merged format), "adapter" (every weight is 1), "weights=.5,.5",
        "linear" (some weights, the same in all tensors) or "survived>=.9". Default: "linear".
    tolerance : float
        Largest accepted difference from a claimed weight. 0: the claimed weights themselves must
        store every number.
    reading : str, optional
        As for :func:`sigmascope.open_checkpoint`.
    resume : path, optional
        A `.jsonl` to continue, or to create: it gets each row as soon as it is made.
    progress : callable, optional
        Function that is called with the row of each tensor.

    Returns
    -------
    Verification
        `verdict` is "confirmed" if the claimed weights store every number of the file in some order
        of rounding that mergers use, "refuted" if the claimed weights are outside of the interval
        or no weights store the file, and else "undetermined".

    Raises
    ------
    CheckpointError
        If a file cannot be opened.
    ValueError
        If an expectation is unknown, base or merged file is an adapter, or `resume` is the journal
        of another verification.
    OSError
        If the journal cannot be written; its rows are kept.
    ImportError
        If there are two donors or more, and SciPy is not installed (extra ``scipy``).

    See Also
    --------
    compare : Spectra of two checkpoints and of the change, in every format.
    extract : A change as an adapter.

    Notes
    -----
    A stored number is known up to the interval of reals that round to it, so each number bounds the
    weights. The intervals of the weights are those that all numbers leave, over all orders of
    rounding that can explain the file. They are not estimates: no model of rounding errors is used.
    Orders that are not in docs/verify.md are not tried. One pass over the files, two where nothing
    fits at first; memory for a few blocks of 131,072 numbers.
    """
    first, second = as_scannable(base, reading), as_scannable(merged, reading)
    for name, source in (("base", first), ("merged", second)):
        if isinstance(source, Adapter):
            raise ValueError(f"{name}: {source.path} is an adapter, not a checkpoint")
        if not isinstance(source, Checkpoint):
            raise ValueError(f"{name}: {source.path} was opened with circuits, not for its weights")
    assert isinstance(first, Checkpoint)
    assert isinstance(second, Checkpoint)
    sources = _listed(donors)
    opened = [as_scannable(donor, reading) for donor in sources]
    for donor in opened:
        if not isinstance(donor, Checkpoint | Adapter):
            raise ValueError(f"{donor.path} was opened with circuits, not for its weights")
    expectations = read_expectations(expect, len(opened))
    if not 0 <= tolerance < float("inf"):
        raise ValueError(f"tolerance must be finite and not negative, not {tolerance}")
    operands = Operands(first, second, opened)
    claim = next((e.weights for e in expectations if e.weights), None)
    if claim is None and opened and all(isinstance(donor, Adapter) for donor in opened):
        claim = (1.0,) * len(opened)
    journal = Journal(
        None if resume is None else Path(resume), _header(first, second, opened, claim)
    )
    rows: list[Row] = []
    likely: dict[Key, set[str]] = {}
    with journal.writing() as file:
        for index, operand in enumerate(operands):
            if index < len(journal.rows):
                row = journal.rows[index]
            else:
                row = verify_tensor(operands, operand, claim, likely)
                write_row(file, row)
            narrow_orders(likely, row)
            rows.append(row)
            if progress is not None:
                progress(row)
    find_copies(operands, rows)
    return Verification(
        base=str(first.path),
        merged=str(second.path),
        donors=tuple(str(donor.path) for donor in opened),
        rows=rows,
        expectations=expectations,
        tolerance=tolerance,
        notes=tuple(dict.fromkeys((*first.notes, *second.notes))),
        unpaired_changes=operands.unpaired_changes,
    )


def _header(
    base: Checkpoint, merged: Checkpoint, donors: Sequence[Scannable], claim: Sequence[float] | None
) -> dict[str, Any]:
    """Return what a journal must share with a run that continues it."""
    names = ["base", "merged", *(f"donor {i + 1}" for i in range(len(donors)))]
    files = {n: list(identities(c)) for n, c in zip(names, (base, merged, *donors), strict=True)}
    return {"format": FORMAT, "claim": None if claim is None else list(claim), **files}


def _listed(donors: Source | Sequence[Source]) -> list[Source]:
    if isinstance(donors, str | os.PathLike | Mapping) or not isinstance(donors, Sequence):
        return [donors]
    return list(donors)
