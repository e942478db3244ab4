# SPDX-License-Identifier: BSD-3-Clause
"""Checkpoints and scans as terminal tables (extra ``cli``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from sigmascope._display.html import headline, scanned
from sigmascope._tables.schema import Row
from sigmascope._words.rows import full_rank, role_in_tower
from sigmascope._words.text import (
    at_most,
    counted,
    dimensions,
    duration,
    kinds,
    number_of,
    printable,
    seed_text,
    size,
    with_error,
)
from sigmascope.adapters.adapter import Adapter
from sigmascope.adapters.scannable import Scannable
from sigmascope.checkpoint.record import TensorRecord
from sigmascope.scanning import Scan

from . import summary
from .remarkable import show_omissions, show_specials, show_unread_bytes
from .tables import by_reason, print_section, print_unconverged, show_table, split_columns

_LABELS = {
    "effective_rank": "effective rank",
    "stable_rank": "stable rank",
    "spectral_norm": "sigma_1",
    "mp_outliers": "above noise",
    "alpha": "alpha",
}

BY_ROLE = "By role: median (least to greatest, errors included)"
NO_ERROR = "Where no ± is given, the error is below the last digit shown."
"""The rule by which every table writes errors: see :func:`sigmascope._words.text.with_error`."""

_PRECISE = ("effective_rank", "stable_rank", "spectral_norm")


def show_info(out: Console, checkpoint: Scannable, *, every: bool = False) -> None:
    """Print the tensors of a checkpoint, by role or one by one, remarks and unreadable tensors."""
    records = checkpoint.info()
    total = sum(record["nbytes"] for record in records if record["status"] != "tied")
    out.print(printable(str(checkpoint.path)), soft_wrap=True)
    if checkpoint.architecture:
        out.print(printable(checkpoint.architecture), soft_wrap=True)
    out.print(
        f"{counted(len(set(checkpoint.files)), 'file')}, {counted(len(records), 'tensor')}, "
        f"{counted(len(checkpoint), 'matrix', 'matrices')} to analyse, {size(total)}\n"
    )
    plain = Counter(r["status"] for r in records if not r["matrices"] and not _is_unreadable(r))
    if every:
        _every_tensor(out, checkpoint, records)
    else:
        shown = [r for r in records if r["matrices"] or _is_unreadable(r)]
        _grouped_tensors(out, checkpoint, shown)
        if plain:
            out.print(f"Without a spectrum: {kinds(plain)}; --all lists every tensor.\n")
    print_section(out, "Remarks:", list(checkpoint.notes))
    more = "a pipe or --json prints all"
    by_reason(out, "Cannot be read:", checkpoint.unreadable.items(), more)


def _is_unreadable(record: TensorRecord) -> bool:
    return record["status"] == "unreadable"


def _every_tensor(out: Console, checkpoint: Scannable, records: Sequence[TensorRecord]) -> None:
    lines = [
        [
            *(r["name"], r["status"], r["dtype"], dimensions(r["shape"])),
            *_terms(checkpoint, r["name"]),
            size(r["nbytes"]),
        ]
        for r in records
    ]
    headers = ["tensor", "kind", "dtype", "shape", *_terms_of(checkpoint), "size"]
    show_table(out, "", headers, lines, left=3)


def _terms_of(checkpoint: Scannable) -> tuple[str, ...]:
    """Return the headers of the numbers of each change s B A; empty without an adapter."""
    return ("r", "alpha", "scale") if isinstance(checkpoint, Adapter) else ()


def _terms(checkpoint: Scannable, name: str) -> tuple[str, ...]:
    """Return rank, alpha and scale of a change as text; "-" for a tensor that is saved whole."""
    if not isinstance(checkpoint, Adapter):
        return ()
    terms = checkpoint.terms_of(name)
    return ("-", "-", "-") if terms is None else tuple(f"{value:.6g}" for value in terms)


def _grouped_tensors(out: Console, checkpoint: Scannable, records: Sequence[TensorRecord]) -> None:
    several = len({record["tower"] for record in records}) > 1
    groups: dict[tuple[str, ...], list[TensorRecord]] = {}
    for record in records:
        role = role_in_tower(record["tower"], record["role"]) if several else record["role"]
        shape = dimensions(record["shape"])
        key: tuple[str, ...] = (role, record["status"], record["dtype"], shape)
        key += _terms(checkpoint, record["name"])
        groups.setdefault(key, []).append(record)
    lines = [
        [*key, f"{len(group):,}", size(sum(record["nbytes"] for record in group))]
        for key, group in groups.items()
    ]
    if lines:
        terms = _terms_of(checkpoint)
        headers = ["role", "kind", "dtype", "shape", *terms, "tensors", "size"]
        show_table(out, "", headers, lines, left=3)


def show_scan(out: Console, scan: Scan) -> None:
    """Print a scan: measures by role and by layer, extremes, problems, and totals."""
    if scan.checkpoint:
        out.print(f"{printable(scan.checkpoint)}\n", soft_wrap=True)
    show_unread_bytes(out, scan.rows, "analysed")
    rows = scan.analysed
    header = scan.header()
    sentence = headline.scanned(scan.rows, scanned.findings(header, scan.rows))
    out.print(printable(f"{headline.unfinished(header, scan.rows)}{sentence}"))
    out.print()
    show_specials(out, rows)
    if rows:
        _roles(out, rows)
        show_omissions(out, rows, _LABELS)
        _layers(out, rows)
        _extremes(out, rows)
        _logits(out, rows)
    _problems(out, scan)
    _totals(out, scan)


def _roles(out: Console, rows: Sequence[Row]) -> None:
    """Print one line per role, with the median, its error, and the range if values differ."""
    measures = [name for name in _LABELS if any(row[name] is not None for row in rows)]
    headers = ["role", "n", "shape", *(_LABELS[name] for name in measures)]
    lines = []
    for group in summary.by_role(rows):
        shapes = {(row["rows"], row["columns"]) for row in group.rows}
        lines.append(
            [
                group.name,
                str(len(group.rows)),
                dimensions(shapes.pop()) if len(shapes) == 1 else "various",
                *(ranged(summary.spread(group.rows, name)) for name in measures),
            ]
        )
    show_table(out, BY_ROLE, headers, lines)


def ranged(spread: summary.Spread | None) -> str:
    """Return a spread as text, or "-" without one."""
    return "-" if spread is None else str(spread)


def _layers(out: Console, rows: Sequence[Row]) -> None:
    """Print the rank by layer and role, in as many tables as the width requires."""
    grid = summary.by_layer(rows)
    if len(grid.layers) < 2:
        return
    texts = [[_cell(cell, grid.measure) for cell in line] for line in grid.cells]
    many = any(len(cell) > 1 for line in grid.cells for cell in line)
    title = (
        "By layer: "
        f"{_LABELS[grid.measure]}{', median and count where there are several' if many else ''}"
    )
    widths = [max(len(role), *(len(t[j]) for t in texts)) for j, role in enumerate(grid.roles)]
    room = out.width - max(len("layer"), *map(len, grid.layers)) - 2
    for columns in split_columns(widths, room):
        headers = ["layer", *(grid.roles[j] for j in columns)]
        lines = [
            [name, *(t[j] for j in columns)] for name, t in zip(grid.layers, texts, strict=True)
        ]
        show_table(out, title, headers, lines)


def _cell(rows: Sequence[Row], measure: str) -> str:
    spread = summary.spread(rows, measure)
    if spread is None:
        return "-" if rows else ""
    text = with_error(spread.median, spread.error)
    if len(rows) == 1:
        return text
    return (
        f"{text}, {spread.count} of {len(rows)}"
        if spread.count < len(rows)
        else f"{text} of {len(rows)}"
    )


def _extremes(out: Console, rows: Sequence[Row]) -> None:
    """Print the matrices of lowest and highest rank, each number with its error."""
    measure = summary.rank_measure(rows)
    low, high = summary.extremes(rows)
    shown = [name for name in _PRECISE if any(row[name] is not None for row in low + high)]
    headers = ["matrix", "share", *(_LABELS[name] for name in shown)]
    for extreme, which in ((low, "Lowest"), (high, "Highest")):
        lines = [
            [
                row["name"],
                f"{number_of(row, measure, 100 / full_rank(row))} %",
                *(number_of(row, name) for name in shown),
            ]
            for row in extreme
        ]
        if lines:
            title = f"{which} {_LABELS[measure]} as a share of {summary.whole_of(rows)}"
            show_table(out, title, headers, lines)


def _logits(out: Console, rows: Sequence[Row]) -> None:
    """Print the circuits with the largest bounds on attention logits; nothing without a bound."""
    lines = [
        [
            row["name"],
            *(
                at_most(row[f"logit_bound_{which}"], 4)
                for which in ("same_position", "any_positions")
            ),
        ]
        for row in summary.largest_logits(rows)
    ]
    if lines:
        headers = ["circuit", "same position", "any positions"]
        show_table(out, "Largest bounds on the magnitude of an attention logit", headers, lines)


def _problems(out: Console, scan: Scan) -> None:
    for title, rows in (("Failed:", scan.failed), ("Cannot be read:", scan.unreadable)):
        by_reason(out, title, [(row["name"], row["reason"]) for row in rows])
    print_unconverged(out, scan.unconverged)
    print_section(out, "Remarks:", list(scan.notes))


def _totals(out: Console, scan: Scan) -> None:
    rows = scan.analysed
    parts = [
        f"{counted(len(rows), 'matrix', 'matrices')} analysed, "
        f"{size(scan.bytes)} in {duration(scan.seconds)}"
    ]
    parts += [f"{len(scan.failed):,} failed"] if scan.failed else []
    parts += [f"{len(scan.unreadable):,} cannot be read"] if scan.unreadable else []
    excluded = sum(row["status"] == "excluded" for row in scan.rows)
    parts += [f"{excluded:,} excluded"] if excluded else []
    left = summary.without_spectrum(scan.rows)
    parts += [f"without a spectrum: {kinds(left)}"] if left else []
    parts += summary.part_of(scan)
    if not scan.complete:
        parts.append(f"interrupted after {len(scan.rows):,} of {scan.expected:,} tensors")
    out.print("; ".join(parts) + ".")
    out.print(f"{options_of(scan.options)} {NO_ERROR}")
    worst = summary.least_certain(rows, _PRECISE)
    if worst is not None:
        row, measure = worst
        value, error = row[measure], row[f"{measure}_error"]
        if error > 1e-4 * abs(value):
            out.print(
                f"Least certain: {_LABELS[measure]} of {printable(row['name'])}, "
                f"{number_of(row, measure)}."
            )


def options_of(options: Mapping[str, Any]) -> str:
    """Return a sentence with the options that decide numbers."""
    if not options:
        return "The file does not record the options of the run."
    return (
        f"Effort {options['effort']}, k = {options['k']}, tol = {options['tol']:g}, "
        f"{seed_text(options)}."
    )


def show_saved(out: Console, paths: Sequence[Path]) -> None:
    """Print the paths of the files in which the rows were saved, if there are any."""
    if paths:
        out.print(f"Saved: {', '.join(printable(str(path)) for path in paths)}.", soft_wrap=True)
