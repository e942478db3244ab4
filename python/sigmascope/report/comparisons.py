# SPDX-License-Identifier: BSD-3-Clause
"""Comparisons as terminal tables: the change by role, or pair by pair, and what is lacking."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from sigmascope._display.text import counted, duration, number_of, printable, short, size
from sigmascope._display.verdicts import outcome
from sigmascope._tables.schema import Row
from sigmascope.comparing import Comparison

from . import summary
from .pages import BY_ROLE, NO_ERROR, ranged
from .remarkable import show_entrywise, show_omissions, show_specials
from .tables import listed, show_table

_LABELS = {
    "relative_change": "|dW|/|W|",
    "delta_mp_outliers": "dW above noise",
    "delta_stable_rank": "stable rank dW",
    "delta_effective_rank": "eff. rank dW",
    "change_effective_rank": "change of eff. rank",
    "decay_coefficient": "decay",
}

_FEW = 12
"""So many pairs are shown one by one."""


def show_comparison(out: Console, found: Comparison) -> None:
    """Print a comparison: by role, or pair by pair if they are few, what went wrong, the totals."""
    out.print(f"{printable(found.before)} -> {printable(found.after)}", soft_wrap=True)
    out.print(str(found.verdict), soft_wrap=True)
    out.print()
    rows = found.analysed
    show_specials(out, rows)
    if rows:
        measures = [name for name in _LABELS if any(row[name] is not None for row in rows)]
        if len(rows) <= _FEW:
            _pairs(out, rows, measures)
        else:
            _roles(out, rows, measures)
            show_omissions(out, rows, {name: _LABELS[name] for name in measures})
    show_entrywise(out, found.entrywise)
    _problems(out, found)
    _totals(out, found)


def _pairs(out: Console, rows: Sequence[Row], measures: Sequence[str]) -> None:
    lines = [[row["name"], *(number_of(row, name) for name in measures)] for row in rows]
    show_table(out, "", ["pair", *(_LABELS[name] for name in measures)], lines)


def _roles(out: Console, rows: Sequence[Row], measures: Sequence[str]) -> None:
    lines = [
        [
            group.name,
            str(len(group.rows)),
            *(ranged(summary.spread(group.rows, name)) for name in measures),
        ]
        for group in summary.by_role(rows)
    ]
    headers = ["role", "n", *(_LABELS[name] for name in measures)]
    show_table(out, BY_ROLE, headers, lines)


def _problems(out: Console, found: Comparison) -> None:
    for title, rows in (
        ("Failed:", found.failed),
        ("Cannot be read:", found.unreadable),
        ("Without a partner:", found.unpaired),
    ):
        listed(out, title, [f"{row['name']}: {row['reason']}" for row in rows])
    listed(
        out,
        "Did not converge (the errors hold all the same):",
        [f"{row['name']}: {row['passes']} passes" for row in found.unconverged],
    )
    listed(out, "Identical:", found.verdict.identical)
    below = [
        row
        for row in found.compared
        if row["above_rounding"] is False and outcome(row) != "identical"
    ]
    listed(
        out,
        "Not clearly above rounding:",
        [
            f"{row['name']}: |dW| {number_of(row, 'delta_fro_norm')}, "
            f"rounding alone {short(row['rounding_floor'])}{_beyond(row)}"
            for row in below
        ],
    )
    listed(out, "Remarks:", list(found.notes))


def _beyond(row: Row) -> str:
    """Say what single entries tell that the whole does not."""
    count = row.get("beyond_rounding")
    return f"; {counted(count, 'entry', 'entries')} beyond rounding" if count else ""


def _totals(out: Console, found: Comparison) -> None:
    rows, options = found.analysed, found.options
    parts = [
        f"{counted(len(rows), 'pair')} analysed, {size(found.bytes)} in {duration(found.seconds)}"
    ]
    others = len(found.entrywise)
    parts += [f"{counted(others, 'tensor')} without a spectrum compared"] if others else []
    parts += [f"{len(found.failed):,} failed"] if found.failed else []
    parts += [f"{len(found.unreadable):,} cannot be read"] if found.unreadable else []
    parts += [f"{len(found.unpaired):,} without a partner"] if found.unpaired else []
    excluded = sum(row["status"] == "excluded" for row in found.rows)
    parts += [f"{excluded:,} excluded"] if excluded else []
    if not found.complete:
        parts.append(f"interrupted after {len(found.rows):,} of {found.expected:,} rows")
    out.print("; ".join(parts) + ".")
    out.print(
        f"Effort {options['effort']}, k = {options['k']}, tol = {options['tol']:g}, "
        f"seed {options['seed']}. dW: after minus before. {NO_ERROR}"
    )
