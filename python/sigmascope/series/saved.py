# SPDX-License-Identifier: BSD-3-Clause
"""Saved tables of series. Their columns identify them, since the files have no header record."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sigmascope._tables.saving import read_text
from sigmascope._tables.schema import Row

from .reference import COLUMNS as REFERENCE
from .reference import PLACED
from .sources import common_seed
from .tables import SEEDS, SeriesTable
from .trajectory import COLUMNS as TRAJECTORY
from .trajectory import Trajectory

_KINDS = TRAJECTORY, REFERENCE, PLACED
_TEXTS = ("tower", "role", "measure")
_INTEGERS = ("layer", "count", *SEEDS)


def load_series(path: Path) -> SeriesTable | None:
    """Read a saved series; return None if the columns of the file do not belong to a series.

    Files do not have the list of matrices that some steps lack, so a loaded trajectory lacks it.

    Raises
    ------
    ValueError
        If a line has other columns than the first, or a cell of another type.
    OSError
        If the file cannot be read.
    """
    if path.suffix not in (".csv", ".jsonl"):
        return None
    lines = read_text(path).splitlines()
    stored = _columns(lines[0], path.suffix) if lines else ()
    columns = kind_of(stored)
    if columns is None:
        return None
    read = _csv_rows(path, lines) if path.suffix == ".csv" else _json_rows(path, lines, stored)
    rows: list[Row] = [{name: row.get(name) for name in columns} for row in read]
    seed = common_seed(row["seed"] for row in rows)
    if columns != TRAJECTORY:
        return SeriesTable(columns, rows, seed)
    steps = tuple(sorted({row["step"] for row in rows}))
    return Trajectory(rows, steps, tuple(dict.fromkeys(row["measure"] for row in rows)), {}, seed)


def kind_of(stored: Iterable[str]) -> tuple[str, ...] | None:
    """Return all columns of the series with these saved columns; None for any other table."""
    names = set(stored)
    return next((kind for kind in _KINDS if set(kind) - SEEDS <= names <= set(kind)), None)


def saved_trajectory(path: Path, measures: Sequence[str] | None = None) -> Trajectory | None:
    """Read some or (by default) all measures of a saved trajectory; None for any other file.

    Raises
    ------
    ValueError, OSError
        As for :func:`load_series`; ValueError also for a measure that the trajectory lacks.
    """
    table = load_series(path) if path.is_file() else None
    if not isinstance(table, Trajectory):
        return None
    wanted = tuple(measures or table.measures)
    for measure in wanted:
        if measure not in table.measures:
            raise ValueError(
                f"{path}: there is no {measure!r}; its measures are {', '.join(table.measures)}"
            )
    rows = [row for row in table if row["measure"] in wanted]
    return Trajectory(rows, table.steps, wanted, {}, table.seed)


def _columns(line: str, suffix: str) -> tuple[str, ...]:
    if suffix == ".csv":
        return tuple(next(csv.reader([line]), ()))
    try:
        record = json.loads(line)
    except ValueError:
        return ()
    return tuple(record) if isinstance(record, dict) else ()


def _json_rows(path: Path, lines: Sequence[str], columns: Sequence[str]) -> list[Row]:
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{path}: line {number} is not JSON: {error}") from None
        if not isinstance(row, dict) or list(row) != list(columns):
            raise ValueError(f"{path}: line {number} has other columns than the first line")
        rows.append(row)
    return rows


def _csv_rows(path: Path, lines: Sequence[str]) -> list[Row]:
    reader = csv.DictReader(lines)
    return [
        {name: _cell(path, reader.line_num, name, line[name]) for name in reader.fieldnames or ()}
        for line in reader
    ]


def _cell(path: Path, number: int, name: str, cell: str | None) -> Any:
    if not cell:
        return "" if name == "tower" else None
    try:
        return cell if name in _TEXTS else int(cell) if name in _INTEGERS else float(cell)
    except ValueError:
        raise ValueError(f"{path}: line {number}: {name} is {cell!r}, not a number") from None
