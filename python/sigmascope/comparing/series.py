# SPDX-License-Identifier: BSD-3-Clause
"""Several tables at once: how a measure moves along a run, and where a family of models has it.

Pure functions of the rows of scans or comparisons; nothing is computed again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope.checkpoint import Checkpoint, open_checkpoint
from sigmascope.scanning.rows import Row
from sigmascope.scanning.table import Table

from .loop import compare
from .result import Comparison

Array = NDArray[np.float64]
Source = Checkpoint | str | os.PathLike[str]


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """One measure of one tensor along a series of tables.

    Attributes
    ----------
    name, tower, layer, role, expert
        As in the rows of the first table that has it.
    values, errors
        (t,) NaN where a table does not have it.
    """

    name: str
    tower: str
    layer: int | None
    role: str
    expert: int | None
    values: Array
    errors: Array


@dataclass(frozen=True, slots=True)
class Reference:
    """Where the models of a family have one measure, for one role and part of the depth.

    Attributes
    ----------
    tower, role
        As in the rows.
    depth
        (low, high) of layer / (layers - 1), from 0 to 1; None for what belongs to no layer.
    count, models
        Values, and how many tables they come from.
    low, median, high
        Quantiles 0.05, 0.5 and 0.95 of the values.
    """

    tower: str
    role: str
    depth: tuple[float, float] | None
    count: int
    models: int
    low: float
    median: float
    high: float


def compare_series(checkpoints: Sequence[Source], **options: Any) -> list[Comparison]:
    """Compare the first of several checkpoints of one run with each of the others.

    Parameters
    ----------
    checkpoints : sequence of Checkpoint or path
        In their order, at least two.
    **options
        As for :func:`compare`; `out` and `resume` name one file and do not fit here.

    Raises
    ------
    ValueError
        Fewer than two checkpoints.
    TypeError
        `out` or `resume` is given.
    """
    if len(checkpoints) < 2:
        raise ValueError(f"a series has 2 checkpoints or more, not {len(checkpoints)}")
    if given := sorted({"out", "resume"} & set(options)):
        raise TypeError(f"{given[0]} is one file, a series is several comparisons")
    first, *others = checkpoints
    if not isinstance(first, Checkpoint):
        first = open_checkpoint(first, reading=options.get("reading") or "buffered")
    return [compare(first, other, **options) for other in others]


def trajectories(tables: Sequence[Table], measure: str) -> list[Trajectory]:
    """Follow one measure of every tensor through tables of one run, in their order.

    Parameters
    ----------
    tables : sequence of Scan or Comparison
        All of one kind.
    measure : str
        A column of numbers; its error is taken from ``<measure>_error``, if there is one.

    Raises
    ------
    ValueError
        There is no table, they are of two kinds, or have no such column.
    """
    _check(tables, measure)
    found: dict[str, Trajectory] = {}
    for t, table in enumerate(tables):
        for row in _having(table, measure):
            name = row["name"]
            if name not in found:
                values, errors = np.full((2, len(tables)), np.nan)
                found[name] = Trajectory(
                    name=name,
                    tower=row["tower"],
                    layer=row["layer"],
                    role=row["role"],
                    expert=row["expert"],
                    values=values,
                    errors=errors,
                )
            found[name].values[t] = row[measure]
            error = row.get(f"{measure}_error")
            found[name].errors[t] = 0.0 if error is None else error
    return list(found.values())


def reference(tables: Sequence[Table], measure: str, *, parts: int = 4) -> list[Reference]:
    """Summarise one measure over the models of a family, by role and part of the depth.

    Parameters
    ----------
    tables : sequence of Scan or Comparison
        One for each model; models of several depths compare by layer / (layers - 1).
    measure : str
        A column of numbers.
    parts : int
        Into how many parts of equal length the depth is cut.

    Raises
    ------
    ValueError
        As for :func:`trajectories`; `parts` < 1.
    """
    _check(tables, measure)
    if parts < 1:
        raise ValueError(f"parts must be at least 1, not {parts}")
    found: dict[tuple[str, str, int], list[tuple[int, float]]] = {}
    for index, table in enumerate(tables):
        rows = list(_having(table, measure))
        last: dict[str, int] = {}
        for row in rows:
            if row["layer"] is not None:
                last[row["tower"]] = max(last.get(row["tower"], 0), row["layer"])
        for row in rows:
            part = -1
            if row["layer"] is not None:
                depth = row["layer"] / max(last[row["tower"]], 1)
                part = min(int(depth * parts), parts - 1)
            key = row["tower"], row["role"], part
            found.setdefault(key, []).append((index, row[measure]))
    return [_summary(key, values, parts) for key, values in sorted(found.items())]


def _summary(key: tuple[str, str, int], values: list[tuple[int, float]], parts: int) -> Reference:
    tower, role, part = key
    low, median, high = np.quantile([value for _, value in values], [0.05, 0.5, 0.95])
    return Reference(
        tower=tower,
        role=role,
        depth=None if part < 0 else (part / parts, (part + 1) / parts),
        count=len(values),
        models=len({index for index, _ in values}),
        low=float(low),
        median=float(median),
        high=float(high),
    )


def _check(tables: Sequence[Table], measure: str) -> None:
    if not tables:
        raise ValueError("there is no table")
    kinds = sorted({table.schema.what for table in tables})
    if len(kinds) > 1:
        raise ValueError(f"tables of one kind are needed, these are {' and '.join(kinds)}s")
    if tables[0].schema.columns.get(measure) not in ("float", "int"):
        raise ValueError(f"a {kinds[0]} has no column of numbers {measure!r}")


def _having(table: Table, measure: str) -> Iterator[Row]:
    return (row for row in table.analysed if row[measure] is not None)
