# SPDX-License-Identifier: BSD-3-Clause
"""The function merge, which joins the parts of a scan or a comparison to one table."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from sigmascope._host.keywords import public
from sigmascope._tables.provenance import differences
from sigmascope._tables.schema import Row
from sigmascope._tables.shards import Shard
from sigmascope.comparing import Comparison
from sigmascope.scanning import Scan

from .sources import load

Parts = Scan | Comparison


@public
def merge(parts: Iterable[str | os.PathLike[str] | Parts], *, partial: bool = False) -> Parts:
    """Join the parts of a scan or a comparison that were made with the option `shard`.

    Parameters
    ----------
    parts : paths, Scans or Comparisons
        `.jsonl` or `.parquet` files, in any order.
    partial : bool
        Whether to allow missing and unfinished parts. The result is then incomplete.

    Returns
    -------
    Scan or Comparison
        The same rows, in the same order, as one scan of the whole checkpoint or one comparison of
        both. If the parts drew different seeds, each row has the seed of its part. If the parts ran
        on different instruction sets or with a different BLAS, their numbers agree within their
        errors but not to the bit. A note reports either case.

    Raises
    ------
    ValueError
        If there is no part, a table is not a part or is given twice, or parts have different
        checkpoints or options. Unless `partial`, also if a part is missing or unfinished.
    OSError
        If a file cannot be read.

    See Also
    --------
    scan, compare : Make the parts, with their option `shard`.

    Examples
    --------
    >>> merge(["part-0.jsonl", "part-1.jsonl"]).save("scan.parquet")    # doctest: +SKIP
    """
    by_index: dict[int, tuple[str, Shard, Parts]] = {}
    first: Parts | None = None
    notes: list[str] = []
    for part in parts:
        table = part if isinstance(part, Scan | Comparison) else load(Path(part))
        first = first or table
        label = repr(part) if isinstance(part, Scan | Comparison) else os.fspath(part)
        shard = _shard_of(label, table, first)
        if shard.index in by_index:
            raise ValueError(f"{label}: shard {shard} is also in {by_index[shard.index][0]}")
        by_index[shard.index] = label, shard, table
        notes += [note for note in table.notes if note not in notes]
    if first is None or first.shard is None:
        raise ValueError("there are no parts to merge")
    if not partial:
        _require_all(by_index, first.shard.count)
    engines = [table.engine for _, _, table in by_index.values()]
    if any(engine != engines[0] for engine in engines):
        kinds = sorted({", ".join(map(str, engine.values())) for engine in engines})
        notes.append(f"parts computed by different engines: {'; '.join(kinds)}")
    options, total = dict(first.options), first.shard.total
    seeds = {table.options.get("seed") for _, _, table in by_index.values()}
    if len(seeds) > 1:  # parts that were made without a seed
        options["seed"] = None
        notes.append(
            f"the parts used {len(seeds)} different seeds, and every row has that of its part; "
            "only parts with the same seed give the bits of an unsharded run"
        )
    rows: dict[int, Row] = {}
    for _, shard, table in by_index.values():
        # An unfinished part has the first of its rows.
        rows |= zip(shard.positions, table.rows, strict=False)
    ordered = [rows[position] for position in sorted(rows)]
    return replace(
        first, rows=ordered, expected=total, notes=tuple(notes), options=options, shard=None
    )


def _shard_of(label: str, table: Parts, first: Parts) -> Shard:
    what, other = first.schema.what, table.schema.what
    if what != other:
        raise ValueError(f"{label} is a {other}, not a part of a {what}")
    if table.shard is None:
        raise ValueError(f"{label} is not a part of a {what}: it was made without a shard")
    mismatches = differences(first.header(), table.header())
    if first.shard is not None and table.shard.count != first.shard.count:
        mismatches.append(f"{first.shard.count} shards in one, {table.shard.count} in the other")
    if mismatches:
        raise ValueError(f"{label} is a part of another {what}: {'; '.join(mismatches)}")
    return table.shard


def _require_all(by_index: dict[int, tuple[str, Shard, Parts]], count: int) -> None:
    missing = [f"{index}/{count}" for index in range(count) if index not in by_index]
    if missing:
        raise ValueError(f"shards missing: {', '.join(missing)}")
    for label, shard, table in by_index.values():
        if not table.complete:
            raise ValueError(
                f"{label}: shard {shard} has {len(table)} of {table.expected} rows: resume it first"
            )
