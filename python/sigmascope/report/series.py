# SPDX-License-Identifier: BSD-3-Clause
"""Series of scans as terminal tables (extra ``cli``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console

from sigmascope._display.html.explanation import of_trajectory
from sigmascope._tables.schema import Row
from sigmascope._words.rows import role_in_tower
from sigmascope._words.text import bounds, counted, with_error
from sigmascope.series import Trajectory
from sigmascope.series.tables import SeriesTable

from . import summary
from .pages import NO_ERROR
from .tables import show_table

_STEPS = 6
"""Largest number of steps that are shown: the first, the last, and some between."""

_NOT_SHOWN = ("error", "quantile_low", "quantile_high", "seed", "reference_seed")
"""Columns that are shown together with another number, or below the table."""


def show_trajectory(out: Console, run: Trajectory) -> None:
    """Print the median over the layers for each role, measure and step.

    If a layer has no value at a step, as in the trajectory of a monitor, its last earlier value
    counts.
    """
    count = min(_STEPS, len(run.steps))
    places = (i * (len(run.steps) - 1) // max(count - 1, 1) for i in range(count))
    shown = [run.steps[place] for place in places]
    groups: dict[tuple[str, str, str], dict[int | None, list[Row]]] = {}
    for row in run:
        key = row["measure"], row["tower"], row["role"]
        groups.setdefault(key, {}).setdefault(row["layer"], []).append(row)
    lines = []
    for (measure, tower, role), layers in groups.items():
        values = [_median(_rows_at(layers, step), "value", "error") for step in shown]
        moved = _median([rows[-1] for rows in layers.values()], "change", "change_error")
        lines.append([role_in_tower(tower, role), measure, str(len(layers)), moved, *values])
    headers = ["role", "measure", "n", "change", *(f"{step:.12g}" for step in shown)]
    out.print(f"{of_trajectory(run, run.steps)}\n")
    show_table(out, "Median over the n layers, by step", headers, lines, left=2)
    out.print(f"{NO_ERROR}\n")
    if any(len(rows) < len(run.steps) for layers in groups.values() for rows in layers.values()):
        out.print(
            "Some layers were not analysed at every step. Their last earlier value counts, and "
            "a median is shown only where all layers have a value.\n"
        )
    if run.missing:
        left = counted(len(run.missing), "matrix", "matrices")
        out.print(f"Omitted, because some steps lack them: {left}.\n")


def _rows_at(layers: Mapping[int | None, Sequence[Row]], step: float) -> list[Row]:
    """Return the last row of each layer up to a step; no rows unless every layer has one."""
    last = [[row for row in rows if row["step"] <= step][-1:] for rows in layers.values()]
    return [row for rows in last for row in rows] if all(last) else []


def _median(rows: Sequence[Row], column: str, error: str) -> str:
    spread = summary.spread_of([(row[column], row[error]) for row in rows])
    return "-" if spread is None else with_error(spread.median, spread.error)


def show_series(out: Console, table: SeriesTable) -> None:
    """Print a reference, or the place of a model in one, row by row."""
    if not table:
        out.print("No place in common with another model.\n")
        return
    numbers = [name for name in table.columns[6:] if name not in _NOT_SHOWN]
    lines = [
        [role_in_tower(row["tower"], row["role"]), row["measure"], _depth(row), str(row["count"])]
        + [_number(row, name) for name in numbers]
        for row in table
    ]
    names = [name.replace("_", " ") for name in numbers]
    headers = ["role", "measure", "depth", "models", *names]
    show_table(out, "", headers, lines, left=3)
    out.print(f"{NO_ERROR}\n")


def _number(row: Row, name: str) -> str:
    """Return a value with the error of its row, or a quantile with its interval."""
    if name != "quantile":
        return with_error(row[name], row["error"])
    low, high = bounds(row["quantile_low"], row["quantile_high"], 2)
    return f"{row[name]:.2f} [{low}, {high}]"


def _depth(row: Row) -> str:
    low, high = row["depth_from"], row["depth_to"]
    return "-" if low is None else f"{low:.2g} to {high:.2g}"
