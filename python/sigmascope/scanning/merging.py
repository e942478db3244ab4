# SPDX-License-Identifier: BSD-3-Clause
"""The function merge: the parts of a scan joined to one table."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace

from sigmascope._host.keywords import public
from sigmascope._tables.provenance import differences
from sigmascope._tables.schema import Row

from .result import Scan
from .shards import Shard


@public
def merge(parts: Iterable[str | os.PathLike[str] | Scan], *, partial: bool = False) -> Scan:
    """Join the parts of a scan that ``scan(..., shard=(i, n))`` made.

    Parameters
    ----------
    parts : paths or Scans
        `.jsonl` or `.parquet` files, in any order.
    partial : bool
        Allow parts that are missing or unfinished; the result is then not complete.

    Returns
    -------
    Scan
        The same rows as one scan of the whole checkpoint, in file order. If parts were computed
        with different instruction sets, or a different BLAS, their numbers agree within their
        errors but not to the bit, and a note says so.

    Raises
    ------
    ValueError
        If there is no part, one is not a part or is given twice, parts are of different checkpoints
        or options, or, unless `partial`, one is missing or unfinished.
    OSError
        If a file cannot be read.

    See Also
    --------
    scan : Makes the parts, with its option `shard`.

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
        # An unfinished part has the first of its rows.
        rows |= zip(shard.positions, scan.rows, strict=False)
    merged = [rows[position] for position in sorted(rows)]
    return replace(first, rows=merged, expected=first.shard.total, notes=tuple(notes), shard=None)


def _shard_of(label: str, scan: Scan, first: Scan) -> Shard:
    if scan.shard is None:
        raise ValueError(f"{label}: not a part of a scan, made with a shard")
    mismatches = differences(first.header(), scan.header())
    if first.shard is not None and scan.shard.count != first.shard.count:
        mismatches.append(f"{first.shard.count} shards in the one, {scan.shard.count} in the other")
    if mismatches:
        raise ValueError(f"{label}: a part of another scan: {'; '.join(mismatches)}")
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
