# SPDX-License-Identifier: BSD-3-Clause
"""Measures over the steps of a training run, by role and layer."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Unpack
from urllib.parse import urlsplit

from sigmascope._host.keywords import public_with_options_of
from sigmascope._tables.schema import Row
from sigmascope.checkpoint.remote.urls import is_url
from sigmascope.scanning import scan
from sigmascope.scanning.keywords import ScanOptions

from .sources import (
    MEASURES,
    Cell,
    Source,
    cells_of,
    check_measures,
    common_seed,
    path_of,
    read_sources,
    seed_of,
)
from .tables import SeriesTable

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
    "seed",
)

Place = tuple[str, str, int | None]
"""Tower, role, layer. For a matrix whose role is not known: an empty string, its name, None."""


class Trajectory(SeriesTable):
    """The result of :func:`trajectory`: a row for each step, place and measure.

    Steps are in ascending order.

    ===================  =========================================================================
    `step`               step of the run
    `tower` … `layer`    the place; `layer` is None for matrices without a layer. A matrix whose
                         role is not known is a separate place: `role` is its name
    `measure`            name of a column of a scan or a comparison
    `count`              number of matrices at that place (experts, heads); 1 for most
    `value`, `error`     mean of their values, and mean of their errors; a bound if these are bounds
    `least`, `greatest`  least and greatest of their values
    `change`             change of the value since the first step; `change_error` is the sum of both
                         errors
    `seed`               seed of all their rows; None if they differ, or have no random start
    ===================  =========================================================================

    The trajectory of a :class:`Monitor` has only the analysed places at each step.

    Attributes
    ----------
    steps : tuple of float
        Steps of the run.
    measures : tuple of str
        Measures of the rows.
    missing : dict of (str, str) to tuple of float
        Matrices and measures that some steps lack, with these steps. They are left out at every
        step, so all steps average the same matrices.
    """

    def __init__(
        self,
        rows: list[Row],
        steps: tuple[float, ...],
        measures: tuple[str, ...],
        missing: dict[tuple[str, str], tuple[float, ...]],
        seed: int | None = None,
    ) -> None:
        super().__init__(COLUMNS, rows, seed)
        self.steps, self.measures, self.missing = steps, measures, missing

    def __repr__(self) -> str:
        places = len({(row["tower"], row["role"], row["layer"]) for row in self.rows})
        return (
            f"Trajectory({len(self.steps)} steps, {places} places, {', '.join(self.measures)}"
            + (f"; {len(self.missing)} omitted" if self.missing else "")
            + ")"
        )


@public_with_options_of(scan)
def trajectory(
    run: Mapping[float, Source] | Sequence[Source],
    *,
    steps: Sequence[float] | None = None,
    measures: Sequence[str] | str = MEASURES,
    **options: Unpack[ScanOptions],
) -> Trajectory:
    """Follow measures over the steps of one training run.

    Parameters
    ----------
    run : mapping of step to source, or sequence of sources
        Scans or comparisons, files of saved ones, or checkpoints, which are scanned.
    steps : sequence of float, optional
        Step of each source of a sequence. Default: the last number in the name of its path
        ("checkpoint-500").
    measures : str or sequence of str
        Names of columns, such as "effective_rank" or, for comparisons, "delta_effective_rank".
    **options
        Options for the scan of a checkpoint, as for :func:`scan`.

    Returns
    -------
    Trajectory
        Measures at all steps; a matrix has the same name at each step.

    Raises
    ------
    ValueError
        If there is no source; if there are more or fewer steps than sources; if steps are equal, or
        missing from the names; or if no row has one of the measures.
    TypeError
        If a source is something else.

    See Also
    --------
    scan : One checkpoint.
    reference : A family of models to compare one with.

    Examples
    --------
    >>> run = trajectory(["run/checkpoint-100", "run/checkpoint-200"])   # doctest: +SKIP
    >>> run.where(role="up", layer=3, measure="effective_rank")          # doctest: +SKIP
    """
    sources = _by_step(run, steps)
    steps = sorted(sources)
    read = read_sources([sources[step] for step in steps], options)
    tables = {step: source.rows for step, source in zip(steps, read, strict=True)}
    wanted = check_measures(measures, [row for rows in tables.values() for row in rows])
    rows: list[Row] = []
    missing: dict[tuple[str, str], tuple[float, ...]] = {}
    for measure in wanted:
        cells = {
            step: {cell.name: cell for cell in cells_of(table, measure, by_name=True)}
            for step, table in tables.items()
        }
        names = list(dict.fromkeys(name for by_name in cells.values() for name in by_name))
        for name in names:
            if lacking := tuple(step for step in cells if name not in cells[step]):
                missing[name, measure] = lacking
        common = [name for name in names if (name, measure) not in missing]
        rows += _rows(measure, {step: [cells[step][name] for name in common] for step in cells})
    rows.sort(key=lambda row: row["step"])  # the sort is stable: places stay in file order
    return Trajectory(rows, tuple(tables), wanted, missing, seed_of(read))


def _by_step(
    run: Mapping[float, Source] | Sequence[Source], steps: Sequence[float] | None
) -> dict[float, Source]:
    if isinstance(run, Mapping):
        if steps is not None:
            raise ValueError("the keys of a mapping are its steps: omit steps=")
        by_step = dict(run)
    else:
        sources = list(run)
        numbers = list(steps) if steps is not None else [_step_of(s) for s in sources]
        if len(numbers) != len(sources):
            raise ValueError(f"{len(numbers)} steps for {len(sources)} sources")
        if len(set(numbers)) < len(numbers):
            raise ValueError(f"steps must be distinct, not {numbers}")
        by_step = dict(zip(numbers, sources, strict=True))
    if not by_step:
        raise ValueError("a trajectory needs at least one step")
    return by_step


def _step_of(source: Source) -> float:
    path = path_of(source)
    place = urlsplit(path).path if is_url(path) else os.path.abspath(path) if path else ""
    numbers = re.findall(r"\d+", Path(place).stem)
    if not numbers:
        raise ValueError(f"the name {path!r} has no number for the step: pass steps=")
    return int(numbers[-1])


def _rows(measure: str, cells: Mapping[float, Sequence[Cell]]) -> list[Row]:
    """Return the rows of one measure, for steps with the same matrices in the same order."""
    rows: list[Row] = []
    first: dict[Place, Row] = {}
    for step, at_step in cells.items():
        places: dict[Place, list[Cell]] = {}
        for cell in at_step:
            places.setdefault((cell.tower, cell.role, cell.layer), []).append(cell)
        for place, group in places.items():
            rows.append(row_of(step, measure, group, first.get(place)))
            first.setdefault(place, rows[-1])
    return rows


def row_of(step: float, measure: str, cells: Sequence[Cell], first: Row | None) -> Row:
    """Return the row of a place with the matrices `cells`; `first` is its first row, if any."""
    value = sum(cell.value for cell in cells) / len(cells)
    error = sum(cell.error for cell in cells) / len(cells)
    return {
        "step": step,
        "tower": cells[0].tower,
        "role": cells[0].role,
        "layer": cells[0].layer,
        "measure": measure,
        "count": len(cells),
        "value": value,
        "error": error,
        "least": min(cell.value for cell in cells),
        "greatest": max(cell.value for cell in cells),
        "change": 0.0 if first is None else value - first["value"],
        "change_error": 0.0 if first is None else error + first["error"],
        "seed": common_seed(cell.seed for cell in cells),
    }
