# SPDX-License-Identifier: BSD-3-Clause
"""Extracted and resized adapters as terminal tables: ranks, and what remains of each change."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Console

from sigmascope._tables.schema import Row
from sigmascope._words.text import (
    at_most,
    counted,
    duration,
    printable,
    seed_text,
    short,
    size,
    with_error,
)
from sigmascope.adapters.resizing import Resized
from sigmascope.comparing.extracting import Extraction

from .tables import by_reason, print_section, show_table

_HEADERS = ["tensor", "rank", "|dW|", "remains", "|dW - B A| / |dW|", "2-norm at most"]


def show_extraction(out: Console, extraction: Extraction) -> None:
    """Print the rows of an adapter, the changes that it lacks, and totals."""
    names = f"{printable(extraction.before)} -> {printable(extraction.after)}"
    out.print(names, soft_wrap=True)
    rows = extraction.analysed
    if rows:
        headers, cells = list(_HEADERS), [_line(row) for row in rows]
        if any(row["mp_outliers"] is not None for row in rows):
            headers.insert(2, "above noise")
            for line, row in zip(cells, rows, strict=True):
                line.insert(2, _above_noise(row))
        show_table(out, "", headers, cells)
    more = "the journal lists all"
    for title, chosen in (
        ("Changed, but not in the adapter:", extraction.not_carried),
        ("No value above the noise, so not in the adapter:", extraction.below_edge),
        ("Failed:", extraction.failed),
        ("Without a partner:", extraction.unpaired),
    ):
        lines = [(row["name"], row["reason"] or "") for row in chosen]
        by_reason(out, title, lines, more, {row["name"]: row["delta_fro_norm"] for row in chosen})
    unconverged = [
        f"{row['name']}: {counted(row['passes'], 'read')}" for row in extraction.unconverged
    ]
    print_section(
        out, "Search or criterion not reached (the remaining errors are right):", unconverged
    )
    print_section(out, "Remarks:", list(extraction.notes))
    _totals(out, extraction)


def show_resized(out: Console, products: Sequence[Resized]) -> None:
    """Print the ranks of an adapter before and after, and what remains of each product."""
    lines = [
        [
            each.name,
            f"{each.before} -> {each.rank}",
            short(each.fro_norm),
            with_error(each.remaining.value, each.remaining.error),
            with_error(each.relative_error.value, each.relative_error.error),
            at_most(each.spectral_bound, 3),
        ]
        for each in products
    ]
    show_table(out, "", _HEADERS, lines)


def _line(row: Row) -> list[str]:
    return [
        row["name"],
        str(row["rank"]),
        short(row["delta_fro_norm"]),
        with_error(row["remaining"], row["remaining_error"]),
        with_error(row["relative_error"], row["relative_error_error"]),
        at_most(row["spectral_bound"], 3),
    ]


def _above_noise(row: Row) -> str:
    count = row["mp_outliers"]
    return "-" if count is None else with_error(count, row["mp_outliers_error"])


def _totals(out: Console, extraction: Extraction) -> None:
    """Print counts of all rows, and whether the adapter is complete."""
    status = [row["status"] for row in extraction.rows]
    parts = [
        f"{counted(len(extraction.analysed), 'change')} in the adapter, in "
        f"{duration(extraction.seconds)}"
    ]
    for what in ("saved whole", "unchanged", "below the edge", "excluded", "failed"):
        parts += [f"{status.count(what):,} {what}"] if what in status else []
    if not extraction.complete:
        parts.append(f"interrupted after {len(status):,} of {extraction.expected:,} rows")
    elif not extraction.written:
        parts.append("no adapter was written")
    out.print("; ".join(parts) + ".")
    if extraction.options.get("seed_drawn"):
        out.print(f"Search with {seed_text(extraction.options)}.")
    if extraction.analysed and extraction.complete:
        out.print(_advice(extraction))


_ENERGY = 0.9
"""Share of the energy for which the size of the adapter is estimated."""


def _advice(extraction: Extraction) -> str:
    """Say how much of all changes the adapter holds, its size, and the size by another criterion.

    The energy of the k largest directions of a change is concave in k. The share at one rank
    therefore bounds the rank of every other share from both sides.
    """
    rows = extraction.analysed
    largest = max(row["delta_fro_norm"] for row in rows) or 1.0  # no square overflows
    whole = sum((row["delta_fro_norm"] / largest) ** 2 for row in rows)
    lost = sum((row["remaining"] / largest) ** 2 for row in rows)
    itemsize = 4 if extraction.options["dtype"] == "float32" else 2
    each = [(sum(_sides(row)) * itemsize, _rank_bounds(row)) for row in rows]
    now = sum(nbytes * row["rank"] for (nbytes, _), row in zip(each, rows, strict=True))
    low, high = (sum(nbytes * bounds[i] for nbytes, bounds in each) for i in (0, 1))
    held = f"{100 * (1 - lost / whole):.3g} % of the energy |dW|^2" if whole else "every change"
    text = f"The adapter holds {held} of all its changes, in {size(now)} of factors"
    if extraction.options["criterion"] == f"energy = {_ENERGY}":
        return f"{text}."
    sizes = size(high) if low == high else f"between {size(low)} and {size(high)}"
    return f"{text}; with --energy {_ENERGY} for each change they would take {sizes}."


def _sides(row: Row) -> tuple[int, int]:
    """Return rows and columns of the matrix of a row, from the shape of its tensor."""
    shape = row["before_shape"]
    first, *others = shape[1:] if row["expert"] is not None and len(shape) == 3 else shape
    return first, math.prod(others)


def _rank_bounds(row: Row) -> tuple[int, int]:
    """Return the smallest and largest rank at which a change may have `_ENERGY` of its energy."""
    rank, most = row["rank"], min(_sides(row))
    share = 1 - min(row["relative_error"], 1.0) ** 2
    if share >= _ENERGY:
        return 1, max(math.ceil(rank * _ENERGY / share), 1)
    low = math.ceil(rank * _ENERGY / share) if share > 0 else rank + 1
    high = rank + math.ceil((most - rank) * (_ENERGY - share) / (1 - share))
    return min(low, most), min(high, most)
