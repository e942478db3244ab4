# SPDX-License-Identifier: BSD-3-Clause
"""Comparisons as terminal tables: the change by role or pair by pair, problems, and totals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console

from sigmascope._display.folding import fold_names
from sigmascope._display.html import headline
from sigmascope._display.quantised import hurt, quantised, sentences
from sigmascope._tables.schema import Row
from sigmascope._words.text import counted, duration, number_of, printable, short, size
from sigmascope._words.verdicts import outcome
from sigmascope.comparing import Comparison
from sigmascope.comparing.noise import WITHOUT_COUNT

from . import summary
from .pages import BY_ROLE, NO_ERROR, options_of, ranged
from .remarkable import show_entrywise, show_omissions, show_specials, show_unread_bytes
from .tables import by_reason, print_section, print_unconverged, show_table

_LABELS = {
    "relative_change": "|dW|/|W|",
    "delta_mp_outliers": "dW above noise",
    "delta_stable_rank": "stable rank dW",
    "delta_effective_rank": "eff. rank dW",
    "change_effective_rank": "change of eff. rank",
    "decay_coefficient": "decay",
    "effective_bits": "effective bits",
}

_FEW = 12
"""Largest number of pairs that are shown one by one."""


def show_comparison(out: Console, comparison: Comparison) -> None:
    """Print a comparison: its verdict, changes by role or pair by pair, problems, and totals."""
    if comparison.before:
        names = f"{printable(comparison.before)} -> {printable(comparison.after)}"
        out.print(names, soft_wrap=True)
    show_unread_bytes(out, comparison.rows, "compared")
    out.print(str(comparison.verdict))
    rows = comparison.analysed
    if rows:
        sentence = headline.compared(rows).replace("‖ΔW‖/‖W‖", _LABELS["relative_change"])
        out.print(printable(sentence))
    out.print()
    show_specials(out, rows)
    if rows:
        measures = [name for name in _LABELS if any(row.get(name) is not None for row in rows)]
        if len(rows) <= _FEW:
            _pairs(out, rows, measures)
        else:
            _roles(out, rows, measures)
            show_omissions(out, rows, {name: _LABELS[name] for name in measures})
        _quantised(out, rows)
    show_entrywise(out, comparison.entrywise)
    _problems(out, comparison)
    _totals(out, comparison)


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


def _quantised(out: Console, rows: Sequence[Row]) -> None:
    """Print what the quantisation of some matrices did, and the directions that it hurts."""
    having = quantised(rows)
    if having:
        out.print(sentences(having))
        lines = [f"{name}: {what}" for name, what in hurt(having)]
        print_section(out, "Hurt by quantisation:", lines)
        out.print()


def _without_edge(rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """Yield the changed matrices that have no count above noise, and why."""
    for row in rows:
        for part in (row["notes"] or "").split("; "):
            groups, _, note = part.partition(": ")
            if "delta" in groups.split(", ") and note in WITHOUT_COUNT:
                yield row["name"], note


def _problems(out: Console, comparison: Comparison) -> None:
    for title, rows in (
        ("Failed:", comparison.failed),
        ("Cannot be read:", comparison.unreadable),
        ("Without a partner:", comparison.unpaired),
    ):
        by_reason(out, title, [(row["name"], row["reason"]) for row in rows])
    print_unconverged(out, comparison.unconverged)
    by_reason(out, "Without a count above noise:", _without_edge(comparison.analysed))
    print_section(
        out, "Identical:", [fold.text for fold in fold_names(comparison.verdict.identical)]
    )
    below = [
        row
        for row in comparison.compared
        if row["above_rounding"] is False
        and outcome(row) != "identical"
        and row.get("effective_bits") is None
    ]
    print_section(
        out,
        "Not clearly above rounding:",
        [
            f"{row['name']}: |dW| {number_of(row, 'delta_fro_norm')}, "
            f"rounding alone {short(row['rounding_floor'])}{_beyond(row)}"
            for row in below
        ],
    )
    print_section(out, "Remarks:", list(comparison.notes))


def _beyond(row: Row) -> str:
    """Write how many single entries changed by more than rounding."""
    count = row.get("beyond_rounding")
    return f"; {counted(count, 'entry', 'entries')} beyond rounding" if count else ""


def _totals(out: Console, comparison: Comparison) -> None:
    rows = comparison.analysed
    parts = [
        f"{counted(len(rows), 'pair')} analysed, "
        f"{size(comparison.bytes)} in {duration(comparison.seconds)}"
    ]
    others = len(comparison.entrywise)
    parts += [f"{counted(others, 'tensor')} without a spectrum compared"] if others else []
    parts += [f"{len(comparison.failed):,} failed"] if comparison.failed else []
    parts += [f"{len(comparison.unreadable):,} cannot be read"] if comparison.unreadable else []
    parts += [f"{len(comparison.unpaired):,} without a partner"] if comparison.unpaired else []
    excluded = sum(row["status"] == "excluded" for row in comparison.rows)
    parts += [f"{excluded:,} excluded"] if excluded else []
    parts += summary.part_of(comparison)
    if not comparison.complete:
        parts.append(f"interrupted after {len(comparison.rows):,} of {comparison.expected:,} rows")
    out.print("; ".join(parts) + ".")
    out.print(f"{options_of(comparison.options)} dW: after minus before. {NO_ERROR}")
