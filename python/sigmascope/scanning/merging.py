# SPDX-License-Identifier: BSD-3-Clause
"""The parts of a scan put together."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace

from sigmascope._tables.provenance import differences
from sigmascope._tables.schema import Row

from .result import Scan
from .shards import Shard


def merge(parts: Iterable[str | os.PathLike[str] | Scan], *, partial: bool = False) -> Scan:
    """Put the parts of a scan together that ``scan(..., shard=(i, n))`` made.

    Parameters
    ----------
    parts : paths or Scans
        `.jsonl` or `.parquet` files, in any order.
    partial : bool
        Whether parts may be missing, or have rows to come; the result is not complete then.

    Returns
    -------
    Scan
        Row for row what one scan of everything gives, in file order. If the parts were computed
        with other instruction sets, or another BLAS, their numbers agree within their errors and
        not to the bit: a note says so.

    Raises
    ------
    ValueError
        There is no part, one is a whole scan or stands twice, they are of different checkpoints
        or options, or, unless `partial`, one is missing or unfinished.
    OSError
        A file cannot be read.

    Examples
    --------
    >>> merge(["part-0.jsonl", "part-1.jsonl"]).save("scan.parquet")    # doctest: +SKIP
    """
    by_index: dict[int, tuple[str, Shard, Scan]] = {}
    first: Scan | None = None
    notes: list[str] = []
    for part in parts:
        scan = part if isinstance(part, Scan) else Scan.load(part)
        first = first or scan
        label = repr(part) if isinstance(part, Scan) else os.fspath(part)
        shard = _shard_of(label, scan, first)
        if shard.index in by_index:
            raise ValueError(f"{label}: shard {shard} is in {by_index[shard.index][0]} too")
        by_index[shard.index] = label, shard, scan
        notes += [note for note in scan.notes if note not in notes]
    if first is None or first.shard is None:
        raise ValueError("no part to merge")
    if not partial:
        _require_all(by_index, first.shard.count)
    engines = [scan.engine for _, _, scan in by_index.values()]
    if any(engine != engines[0] for engine in engines):
        kinds = sorted({", ".join(map(str, engine.values())) for engine in engines})
        notes.append(f"parts computed by different engines: {'; '.join(kinds)}")
    rows: dict[int, Row] = {}
    for _, shard, scan in by_index.values():
        rows |= zip(shard.positions, scan.rows, strict=False)  # an unfinished part has the first
    whole = [rows[position] for position in sorted(rows)]
    return replace(first, rows=whole, expected=first.shard.total, notes=tuple(notes), shard=None)


def _shard_of(label: str, scan: Scan, first: Scan) -> Shard:
    if scan.shard is None:
        raise ValueError(f"{label}: not a part of a scan, made with a shard")
    found = differences(first.header(), scan.header())
    if first.shard is not None and scan.shard.count != first.shard.count:
        found.append(f"{first.shard.count} shards in the one, {scan.shard.count} in the other")
    if found:
        raise ValueError(f"{label}: a part of another scan: {'; '.join(found)}")
    return scan.shard


def _require_all(by_index: dict[int, tuple[str, Shard, Scan]], count: int) -> None:
    missing = [f"{index}/{count}" for index in range(count) if index not in by_index]
    if missing:
        raise ValueError(f"shards missing: {', '.join(missing)}")
    for label, shard, scan in by_index.values():
        if not scan.complete:
            raise ValueError(
                f"{label}: shard {shard} has {len(scan)} of {scan.expected} rows: resume it first"
            )
