# SPDX-License-Identifier: BSD-3-Clause
"""The findings that precede all medians, and the table of tensors without a spectrum.

These findings are the verdict, special matrices, and matrices that medians leave out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Any

from sigmascope._display.glossary import entry
from sigmascope._display.quantised import hurt, quantised, sentences
from sigmascope._display.specials import omissions, specials
from sigmascope._words.rows import Row
from sigmascope._words.text import counted, number_of, printable, short
from sigmascope._words.verdicts import outcome, verdict

from .findings import Finding, Kind, listing, more

_LINES = 1000
"""Largest number of tensors without a spectrum that a page lists; the rest is counted."""


def special_matrices(rows: Iterable[Row]) -> Iterator[Finding]:
    """Yield the finding on matrices with a special structure, if there are any."""
    rows = list(rows)
    special = specials(rows)
    if special:
        few = len(special) == 1
        text = (
            f"{counted(len(special), 'matrix', 'matrices')} of {len(rows):,} "
            f"{'is' if few else 'are'} zero, constant or rank-deficient, or "
            f"{'has' if few else 'have'} equal rows or columns. Most measures are meaningless "
            "for a matrix that is nearly zero, constant or of low rank."
        )
        yield Finding("Degenerate matrices", text + more(len(special)), "problem", listing(special))


def left_out(rows: Sequence[Row], measures: Iterable[str]) -> Iterator[Finding]:
    """Yield a finding on each set of matrices that some medians leave out."""
    for omission in omissions(rows, measures):
        labels = ", ".join(entry(name).label for name in omission.measures)
        text = f"Median over only {omission.count:,} of {omission.total:,}: {labels}. "
        text += "The others have no value."
        items = [(name, why) for name, why in omission.names]
        yield Finding("Left out of medians", text + more(len(items)), "notice", listing(items))


def verdict_on(header: dict[str, Any], rows: Sequence[Row]) -> Finding:
    """Return the finding with the verdict on two checkpoints."""
    result = verdict(rows, header.get("expected"))
    return Finding("Verdict", str(result), "plain" if result.complete else "notice")


def of_quantised(pairs: Iterable[Row]) -> Iterator[Finding]:
    """Yield the finding on pairs in which one matrix is quantised, if there are any."""
    rows = quantised(pairs)
    if rows:
        items = hurt(rows)
        kind: Kind = "notice" if items else "plain"
        text = sentences(rows) + more(len(items))
        yield Finding("Quantisation", text, kind, listing(items))


def below_floor(pairs: Iterable[Row]) -> list[Row]:
    """Return the pairs with a change whose norm does not exceed rounding.

    Pairs with a quantised matrix are not among them, since they have their own finding.
    """
    return [
        row
        for row in pairs
        if row.get("above_rounding") is False
        and outcome(row) != "identical"
        and row.get("effective_bits") is None
    ]


def on_below_floor(below: Sequence[Row], total: int) -> Finding:
    """Return the finding on pairs below the rounding floor, some of which have changed entries."""
    single = sum(outcome(row) == "changed" for row in below)
    text = f"{counted(len(below), 'pair')} of {total:,} changed, as a whole, by no more than "
    text += "rounding to the storage formats does. "
    if single < len(below):
        text += "Whether anything else changed cannot be seen"
        text += f", but in {single:,} of them single entries did. " if single else ". "
    else:
        text += "Yet single entries changed by more than that. "
    text += "The findings on the shape of the change omit these pairs."
    items = [(row["name"], _change_and_entries(row)) for row in below]
    return Finding("Below the rounding floor", text + more(len(below)), "notice", listing(items))


def _change_and_entries(row: Row) -> str:
    text = f"‖ΔW‖/‖W‖ {number_of(row, 'relative_change')}"
    beyond = row.get("beyond_rounding")
    return f"{text}, {counted(beyond, 'entry', 'entries')} beyond rounding" if beyond else text


def changed_entrywise(rows: Iterable[Row]) -> Iterator[Finding]:
    """Yield the finding on tensors without a spectrum that changed, the largest change first."""
    others = [row for row in rows if row["status"] == "entrywise"]
    changed = [row for row in others if outcome(row) == "changed"]
    if not changed:
        return
    changed.sort(key=lambda row: -_size(row))
    text = (
        f"{len(changed):,} of {counted(len(others), 'tensor')} without a spectrum (vectors, "
        "scalars, integers, scales) changed. They are compared entry by entry."
    )
    items = [(row["name"], _kind_and_change(row)) for row in changed]
    yield Finding("Other tensors", text + more(len(items)), "plain", listing(items))


def _size(row: Row) -> float:
    change = row.get("relative_change")
    return float("inf") if change is None else float(change)


def _kind_and_change(row: Row) -> str:
    change = row.get("relative_change")
    size = "from zero" if change is None else f"‖Δv‖/‖v‖ {short(change)}"
    return f"{row.get('kind')}: {size}, {counted(row['changed_entries'], 'entry', 'entries')}"


_SCAN = {"fro_norm": "norm", "abs_max": "largest entry", "mean": "mean", "zeros": "zeros"}
_PAIR = {
    "relative_change": "‖Δv‖/‖v‖",
    "cosine": "cosine",
    "changed_entries": "entries changed",
    "beyond_rounding": "beyond rounding",
    "before_abs_max": "largest before",
    "after_abs_max": "largest after",
    "delta_abs_max": "largest change",
}


def without_spectrum(rows: Sequence[Row], pairs: bool) -> str:
    """Return the table of tensors whose numbers were read one by one; changed ones first."""
    tensors = [row for row in rows if row["status"] == "entrywise"]
    if not tensors:
        return "<p>There are none: every tensor is a matrix, or is listed below.</p>"
    if pairs:
        tensors.sort(key=lambda row: (outcome(row) != "changed", -_size(row)))
    columns = _PAIR if pairs else _SCAN
    heads = "".join(f"<th scope='col' class='number'>{head}</th>" for head in columns.values())
    lines = "".join(_line(row, columns, pairs) for row in tensors[:_LINES])
    rest = len(tensors) - _LINES
    note = f"<p class='note'>And {rest:,} more; a saved table lists all.</p>" if rest > 0 else ""
    return (
        f"<p>{counted(len(tensors), 'tensor')} without a spectrum, read entry by entry.</p>"
        "<div class='scroll' tabindex='0' role='region' aria-label='Without a spectrum'><table>"
        "<thead><tr><th scope='col'>Tensor</th><th scope='col'>Kind</th>"
        f"{'<th scope=col>Verdict</th>' * pairs}{heads}</tr></thead>"
        f"<tbody>{lines}</tbody></table></div>{note}"
    )


def _line(row: Row, columns: Iterable[str], pairs: bool) -> str:
    texts = [outcome(row)] if pairs else []
    cells = "".join(f"<td>{text}</td>" for text in texts)
    cells += "".join(f"<td class='number'>{short(row.get(column))}</td>" for column in columns)
    name, kind = (escape(printable(str(row.get(column)))) for column in ("name", "kind"))
    return f"<tr><td><code>{name}</code></td><td>{kind}</td>{cells}</tr>"
