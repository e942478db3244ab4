# SPDX-License-Identifier: BSD-3-Clause
"""Sources of the rows of a series: scans, comparisons, files of either, or checkpoints."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sigmascope._tables.schema import OtherTableError, Row
from sigmascope._words.verdicts import COMPARED
from sigmascope.adapters.scannable import Scannable
from sigmascope.checkpoint.remote.urls import is_url, without_secrets
from sigmascope.checkpoint.tensors import HasStateDict, Tensors
from sigmascope.comparing import Comparison
from sigmascope.scanning import Scan, scan
from sigmascope.scanning.keywords import ScanOptions

MEASURES = ("effective_rank", "stable_rank", "spectral_norm", "fro_norm")
"""Default measures of a series."""

_SAVED = (".jsonl", ".csv", ".parquet")


class HasRows(Protocol):
    """An object with the rows of a scan or a comparison."""

    @property
    def rows(self) -> list[Row]:
        """A record for each tensor."""


Source = HasRows | Sequence[Mapping[str, Any]] | Scannable | Tensors | str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Cell:
    """The value of one measure of one matrix.

    Attributes
    ----------
    name : str
        Name of the row.
    tower, role : str
        For a matrix whose role is not known, an empty string and the name of the matrix.
    layer : int or None
    depth : float or None
        Relative depth of the layer, from 0 for the first of its tower to 1 for the last; None
        without a layer.
    value, error : float
        The measure, and its error; 0 if the row has no error.
    seed : int or None
        Seed of the row; None if it has no random start, or was saved without one.
    """

    name: str
    tower: str
    role: str
    layer: int | None
    depth: float | None
    value: float
    error: float
    seed: int | None


@dataclass(frozen=True, slots=True)
class SourceRows:
    """The rows of a source.

    Attributes
    ----------
    rows : list of dict
    label : str
        Label of the source: its path, or its number.
    identity : frozenset of str
        Digests of the scanned files; empty if they are not known.
    seed : int or None
        Seed of the scan that was run for the source; None if it needed no scan.
    """

    rows: list[Row]
    label: str
    identity: frozenset[str]
    seed: int | None


def seed_of(sources: Iterable[SourceRows]) -> int | None:
    """Return the seed of the scans that were run for the sources; None without such scans."""
    return next((source.seed for source in sources if source.seed is not None), None)


def common_seed(seeds: Iterable[int | None]) -> int | None:
    """Return the seed that all rows have; None if they differ, or have no random start."""
    distinct = {seed for seed in seeds if seed is not None}
    return distinct.pop() if len(distinct) == 1 else None


def read_source(source: Source, options: ScanOptions, number: int = 0) -> SourceRows:
    """Read the rows of a source; a checkpoint is scanned.

    Raises
    ------
    TypeError
        If the source has no rows and is not a checkpoint.
    CheckpointError, ValueError, OSError
        As for :func:`scan`, :meth:`Scan.load` and :meth:`Comparison.load`.
    """
    table: object = source
    seed: int | None = None
    if isinstance(source, str | os.PathLike) and Path(source).suffix in _SAVED:
        table = load(Path(source))
    elif isinstance(source, str | os.PathLike | Scannable | Mapping | HasStateDict):
        table = scan(source, **options)
        seed = table.options["seed"]
    rows = getattr(table, "rows", table)
    if not isinstance(rows, Sequence) or not all(isinstance(row, Mapping) for row in rows):
        kind = type(source).__name__
        raise TypeError(f"expected a scan, a file or a checkpoint; got {kind}")
    files = getattr(table, "files", ())
    return SourceRows(
        rows=[dict(row) for row in rows],
        label=path_of(source) or path_of(table) or f"number {number}",
        identity=frozenset(file["digest"] for file in files),
        seed=seed,
    )


def read_sources(sources: Iterable[Source], options: ScanOptions) -> list[SourceRows]:
    """Read the rows of several sources; all checkpoints are scanned with the seed of the first."""
    tables: list[SourceRows] = []
    for number, source in enumerate(sources, 1):
        tables.append(read_source(source, options, number))
        if tables[-1].seed is not None:
            options = {**options, "seed": tables[-1].seed}
    return tables


def load(path: Path) -> Scan | Comparison:
    """Load a saved scan or comparison; the header of the file says which of them it is."""
    try:
        return Scan.load(path)
    except OtherTableError as error:
        with suppress(OtherTableError):
            return Comparison.load(path)
        raise error


def path_of(source: object) -> str:
    """Return the path or URL of a source or its checkpoint; an empty string without one."""
    if isinstance(source, str | os.PathLike):
        path = os.fspath(source)
        return without_secrets(path) if is_url(path) else path
    names = ("checkpoint", "after", "path")
    paths = (getattr(source, name, None) for name in names)
    return next((os.fspath(p) for p in paths if isinstance(p, str | os.PathLike)), "")


def cells_of(rows: Sequence[Row], measure: str, *, by_name: bool = False) -> Iterator[Cell]:
    """List the values of one measure, without rows that lack it.

    A row whose role is not known is left out. With `by_name` it is kept instead, and its name
    replaces the role: a separate place without tower and layer.
    """
    last: dict[str, int] = {}
    for row in rows:
        if row.get("layer") is not None and row.get("tower") is not None:
            last[row["tower"]] = max(last.get(row["tower"], 0), row["layer"])
    for row in rows:
        value, role = row.get(measure), row.get("role")
        read = row.get("status") in COMPARED  # also tensors without a spectrum, which have a norm
        if not read or value is None:
            continue
        error = float(row.get(f"{measure}_error") or 0.0)
        name, numbers = row["name"], (float(value), error, row.get("seed"))
        if role in (None, "other"):
            if by_name:
                yield Cell(name, "", name, None, None, *numbers)
            continue
        layer, tower = row.get("layer"), row.get("tower") or ""
        depth = None if layer is None else layer / max(last.get(tower, 0), 1)
        yield Cell(name, tower, role, layer, depth, *numbers)


def check_measures(measures: Sequence[str] | str, rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the measures as a tuple; ValueError for one that no row has."""
    wanted = (measures,) if isinstance(measures, str) else tuple(measures)
    for measure in wanted:
        if not any(measure in row for row in rows):
            raise ValueError(f"the rows have no column {measure!r}")
    return wanted
