# SPDX-License-Identifier: BSD-3-Clause
"""Series of scans as terminal tables (extra ``cli``)."""

from __future__ import annotations

from statistics import median

from rich.console import Console

from sigmascope.scanning.rows import Row
from sigmascope.series import Table, Trajectory
from sigmascope.text import counted, short, with_error

from .tables import show_table

_STEPS = 6
"""Steps that have columns of their own: the first, the last, and some between."""


def show_trajectory(out: Console, run: Trajectory) -> None:
    """Print for each role and measure the median over its layers, step by step."""
    count = min(_STEPS, len(run.steps))
    places = (i * (len(run.steps) - 1) // max(count - 1, 1) for i in range(count))
    shown = [run.steps[place] for place in places]
    groups: dict[tuple[str, str, str], dict[float, list[Row]]] = {}
    for row in run:
        key = row["measure"], row["tower"], row["role"]
        groups.setdefault(key, {}).setdefault(row["step"], []).append(row)
    lines = []
    for (measure, tower, role), steps in groups.items():
        values = [short(median(row["value"] for row in steps[step])) for step in shown]
        moved = median(row["change"] for row in steps[run.steps[-1]])
        error = max(row["change_error"] for row in steps[run.steps[-1]])
        lines.append([f"{tower} {role}", measure, with_error(moved, error), *values])
    headers = ["role", "measure", "change", *(f"{step:g}" for step in shown)]
    show_table(out, "Median over the layers, by step", headers, lines, left=2)
    if run.missing:
        left = counted(len(run.missing), "matrix", "matrices")
        out.print(f"Left out, since not every step has them: {left}.\n")


def show_series(out: Console, table: Table) -> None:
    """Print a reference, or where a model stands in one, row by row."""
    if not table:
        out.print("No place in common with another model.\n")
        return
    numbers = [name for name in table.columns[6:] if not name.endswith("error")]
    lines = [
        [f"{row['tower']} {row['role']}", row["measure"], _depth(row), str(row["count"])]
        + [short(row[name]) for name in numbers]
        for row in table
    ]
    names = [name.replace("_", " ") for name in numbers]
    headers = ["role", "measure", "depth", "models", *names]
    show_table(out, "", headers, lines, left=3)


def _depth(row: Row) -> str:
    low, high = row["depth_from"], row["depth_to"]
    return "-" if low is None else f"{low:.2g} to {high:.2g}"
