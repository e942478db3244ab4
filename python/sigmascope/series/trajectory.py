# SPDX-License-Identifier: BSD-3-Clause
"""One run over its steps: how each measure moves, role by role and layer by layer."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sigmascope._tables.schema import Row

from .sources import MEASURES, Cell, Source, cells_of, check_measures, path_of, read_source
from .tables import Table

COLUMNS = (
    "step",
    "tower",
    "role",
    "layer",
    "measure",
    "count",
    "value",
    "error",
    "least",
    "greatest",
    "change",
    "change_error",
)

Place = tuple[str, str, int | None]
"""Tower, role, layer."""


class Trajectory(Table):
    """What :func:`trajectory` returns: a row for each step, place and measure, steps ascending.

    ===================  =========================================================================
    `step`               of the run
    `tower` … `layer`    the place; `layer` is None for what has none
    `measure`            as a column of a scan or a comparison
    `count`              matrices of that place (experts, heads); 1 for most
    `value`, `error`     their mean, and the mean of their errors: a bound where these are
    `least`, `greatest`  among them
    `change`             of the value since the first step, with `change_error`, the sum of both
    ===================  =========================================================================

    Attributes
    ----------
    steps : tuple of float
    measures : tuple of str
    missing : dict of (str, str) to tuple of float
        Matrices and measures that not every step has, with the steps that have them not: these
        are left out of every step, so that a mean is always of the same matrices.
    """

    def __init__(
        self,
        rows: list[Row],
        steps: tuple[float, ...],
        measures: tuple[str, ...],
        missing: dict[tuple[str, str], tuple[float, ...]],
    ) -> None:
        super().__init__(COLUMNS, rows)
        self.steps, self.measures, self.missing = steps, measures, missing

    def __repr__(self) -> str:
        places = len({(row["tower"], row["role"], row["layer"]) for row in self.rows})
        return (
            f"Trajectory({len(self.steps)} steps, {places} places, {', '.join(self.measures)}"
            + (f"; {len(self.missing)} left out" if self.missing else "")
            + ")"
        )


def trajectory(
    run: Mapping[float, Source] | Sequence[Source],
    *,
    steps: Sequence[float] | None = None,
    measures: Sequence[str] | str = MEASURES,
    **options: Any,
) -> Trajectory:
    """Follow measures over the steps of one training run.

    Parameters
    ----------
    run : mapping of step to source, or sequence of sources
        Scans or comparisons, files that they were saved in, or checkpoints, which are scanned.
    steps : sequence of float, optional
        Of a sequence: the step of each. Default: the last number in the name of its path
        ("checkpoint-500").
    measures : str or sequence of str
        Columns of the rows: of scans like "effective_rank", of comparisons like
        "delta_effective_rank" too.
    **options
        For the scan of a checkpoint, as for :func:`scan`.

    Returns
    -------
    Trajectory
        Matrices are told by their names, so a run must keep them.

    Raises
    ------
    ValueError
        Fewer than one source, steps that are not as many, not told by the names or not distinct,
        or a measure that no row has a column of.
    TypeError
        A source is none of these.

    Examples
    --------
    >>> run = trajectory(["run/checkpoint-100", "run/checkpoint-200"])   # doctest: +SKIP
    >>> run.where(role="up", layer=3, measure="effective_rank")          # doctest: +SKIP
    """
    sources = _by_step(run, steps)
    tables = {step: read_source(source, options).rows for step, source in sorted(sources.items())}
    wanted = check_measures(measures, [row for rows in tables.values() for row in rows])
    rows: list[Row] = []
    missing: dict[tuple[str, str], tuple[float, ...]] = {}
    for measure in wanted:
        cells = {
            step: {cell.name: cell for cell in cells_of(table, measure)}
            for step, table in tables.items()
        }
        names = list(dict.fromkeys(name for found in cells.values() for name in found))
        for name in names:
            if lacking := tuple(step for step in cells if name not in cells[step]):
                missing[name, measure] = lacking
        kept = [name for name in names if (name, measure) not in missing]
        rows += _rows(measure, {step: [cells[step][name] for name in kept] for step in cells})
    rows.sort(key=lambda row: row["step"])  # stable: places stay in the order of the files
    return Trajectory(rows, tuple(tables), wanted, missing)


def _by_step(
    run: Mapping[float, Source] | Sequence[Source], steps: Sequence[float] | None
) -> dict[float, Source]:
    if isinstance(run, Mapping):
        if steps is not None:
            raise ValueError("a mapping has its steps: no others can be given")
        found = dict(run)
    else:
        sources = list(run)
        numbers = list(steps) if steps is not None else [_step_of(s) for s in sources]
        if len(numbers) != len(sources):
            raise ValueError(f"{len(numbers)} steps for {len(sources)} sources")
        if len(set(numbers)) < len(numbers):
            raise ValueError(f"steps must be distinct, not {numbers}")
        found = dict(zip(numbers, sources, strict=True))
    if not found:
        raise ValueError("a trajectory needs a step at least")
    return found


def _step_of(source: Source) -> float:
    path = path_of(source)
    numbers = re.findall(r"\d+", Path(os.path.abspath(path)).stem) if path else []
    if not numbers:
        raise ValueError(f"the name {path!r} tells no step: give steps")
    return int(numbers[-1])


def _rows(measure: str, cells: Mapping[float, Sequence[Cell]]) -> list[Row]:
    """Make the rows of one measure; every step has the same matrices in the same order."""
    rows: list[Row] = []
    first: dict[Place, tuple[float, float]] = {}
    for step, found in cells.items():
        places: dict[Place, list[Cell]] = {}
        for cell in found:
            places.setdefault((cell.tower, cell.role, cell.layer), []).append(cell)
        for place, group in places.items():
            value = sum(cell.value for cell in group) / len(group)
            error = sum(cell.error for cell in group) / len(group)
            begun, begun_error = first.setdefault(place, (value, error))
            rows.append(
                {
                    "step": step,
                    "tower": place[0],
                    "role": place[1],
                    "layer": place[2],
                    "measure": measure,
                    "count": len(group),
                    "value": value,
                    "error": error,
                    "least": min(cell.value for cell in group),
                    "greatest": max(cell.value for cell in group),
                    "change": value - begun,
                    "change_error": 0.0 if step == next(iter(cells)) else error + begun_error,
                }
            )
    return rows
