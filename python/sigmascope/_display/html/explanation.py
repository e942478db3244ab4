# SPDX-License-Identifier: BSD-3-Clause
"""Three sentences for a colleague: what was examined, what it means, what it cannot tell.

They are generated from the results, and also hold for empty, unfinished and failed ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from sigmascope._display.glossary import entry
from sigmascope._display.quantised import quantised
from sigmascope._words.rows import Row, RowView, full_rank
from sigmascope._words.text import counted, printable, short, with_error
from sigmascope._words.verdicts import outcome

from .changes import is_changed, total_change
from .estimates import groups, middle, of_column
from .few import largest_changes
from .findings import EXTENT, Finding

_RANKS = ("effective_rank", "stable_rank")


class Explanation(NamedTuple):
    """The sentences on what was examined, what it means, and what it cannot tell."""

    examined: str
    meaning: str
    limits: str

    def html(self) -> str:
        """Return the sentences as a list, each with a heading."""
        heads = ("What was examined", "What it means", "What it cannot tell")
        lines = "".join(
            f"<dt>{head}</dt><dd>{escape(printable(sentence))}</dd>"
            for head, sentence in zip(heads, self, strict=True)
        )
        return f"<dl class='explanation'>{lines}</dl>"

    def __str__(self) -> str:
        return " ".join(self)


def of_scan(
    header: Mapping[str, Any], rows: Sequence[Row], findings: Sequence[Finding]
) -> Explanation:
    """Explain a scan by its rows and findings."""
    analysed = [row for row in rows if row["status"] == "analysed"]
    count, total = len(analysed), counted(len(rows), "tensor")
    what = "a change that an adapter makes" if _are_products(analysed) else "a weight matrix"
    if count != 1:
        what = "changes that an adapter makes" if _are_products(analysed) else "weight matrices"
    examined = (
        f"{count:,} of {total}{_unfinished(header, rows)} {'is' if count == 1 else 'are'} "
        f"{what}, whose singular values were computed: they show along how many directions a "
        f"matrix acts, and how strongly{_others(rows, 'read')}."
    )
    if not count:
        none = f"No tensor of {len(rows):,}" if rows else "No tensor"
        examined = f"{none}{_unfinished(header, rows)} was analysed{_others(rows, 'read')}."
    return Explanation(examined, _meaning_of_scan(analysed, findings), _limits_of_scan(analysed))


def _meaning_of_scan(analysed: Sequence[Row], findings: Sequence[Finding]) -> str:
    if not analysed:
        return "No matrix was analysed, so nothing is known about the weights."
    titles = {f.title: f for f in findings if f.kind == "problem" and f.title != EXTENT}
    notices = [finding.title.lower() for finding in findings if finding.kind == "notice"]
    if titles:
        heads = ", ".join(title.lower() for title in titles)
        state = f"Something needs attention first (see the findings: {heads})"
    elif notices:
        state = f"No matrix looks damaged, but something is unusual (see: {', '.join(notices)})"
    else:
        state = "No matrix looks damaged, and no outlier was found in any role"
    name = next((n for n in _RANKS if any(r.get(n) is not None for r in analysed)), None)
    if name is None:
        return f"{state}."
    shares = [100 * row[name] / full_rank(row, name) for row in analysed if row.get(name)]
    if not shares:
        return f"{state}."
    return (
        f"{state}; the {entry(name).label} of a typical matrix is {short(middle(shares).value, 2)} "
        "% of the largest that its shape allows."
    )


def _limits_of_scan(analysed: Sequence[Row]) -> str:
    stored = {str(row.get("dtype")) for row in analysed} - {"None"}
    rounded = stored and not stored & {"F64", "F32", "F16", "BF16"}
    return (
        "Singular values do not say whether the model answers well, what it was trained on, or "
        "whether a matrix can be removed"
        + ("; they describe the rounded weights in the file" if rounded else "")
        + "."
    )


def of_comparison(header: Mapping[str, Any], rows: Sequence[Row]) -> Explanation:
    """Explain a comparison by its rows."""
    pairs = [row for row in rows if row["status"] == "analysed"]
    others = [row for row in rows if row["status"] == "entrywise"]
    second = "the change that an adapter makes" if _are_products(pairs) else "their difference ΔW"
    examined = (
        f"Each weight matrix of one checkpoint was compared with the same matrix of the other, "
        f"{counted(len(pairs), 'pair')}{_unfinished(header, rows)}, by the singular values of both "
        f"and of {second}{_others(rows, 'compared')}."
    )
    return Explanation(examined, _meaning_of_change(pairs, others), _limits_of_change(rows))


def _meaning_of_change(pairs: Sequence[Row], others: Sequence[Row]) -> str:
    changed = [row for row in pairs if is_changed(row)]
    moved = sum(outcome(row) == "changed" for row in others)
    rest = f", while {moved:,} of {counted(len(others), 'other tensor')} changed" if moved else ""
    if not pairs and not others:
        return "No tensor was compared, so nothing is known about the change."
    if not pairs:
        return f"No matrix was compared; {moved:,} of {counted(len(others), 'tensor')} changed."
    if not changed:
        return f"{_unchanged(pairs)}{rest}."
    if any(outcome(row) == "changed" for row in quantised(changed)):
        return (
            "Matrices differ by more than the rounding to fewer bits explains, or this is unknown."
        )
    total = total_change(list(pairs))
    if total is None:
        return f"Matrices that were zero before now hold numbers{rest}."
    size = with_error(100 * total[0], 100 * total[1])
    return f"Training or editing moved the weights by {size} % of their size{_shape(changed)}."


def _unchanged(pairs: Sequence[Row]) -> str:
    if all(outcome(row) == "identical" for row in pairs):
        return "All matrices are identical in every entry"
    if quantised(pairs):
        return "The matrices differ by no more than rounding to fewer bits explains"
    return "The matrices differ by no more than the rounding of their number formats"


def _shape(changed: Sequence[Row]) -> str:
    """Say where the change is largest, and how much of it a low-rank adapter could hold."""
    largest = largest_changes(changed)
    text = f", by far the most in {largest.rows[0]['name']}" if largest else ""
    ten = of_column(changed, "delta_concentration_10")
    if ten is None:
        return text
    share = short(100 * ten.value, 2)
    return f"{text}; ten directions hold {share} % of a typical change (its squared norm)"


def _limits_of_change(rows: Sequence[Row]) -> str:
    unseen = sum(outcome(row) == "not compared" for row in rows)
    text = "It does not say whether the model became better or worse, or what it learned"
    if unseen:
        who = counted(unseen, "tensor")
        text = text.replace(", or", ",")
        text += f", or anything about {who} that {'was' if unseen == 1 else 'were'} not compared"
    return f"{text}."


def of_trajectory(rows: Sequence[RowView], steps: Sequence[float]) -> Explanation:
    """Explain the spectra of a run by the rows of its trajectory."""
    places = groups(list(map(dict, rows)), "tower", "role", "layer")
    if not rows or not steps:
        return Explanation(
            "No tensor was measured.",
            "Nothing is known about the run.",
            _LIMITS_OF_RUN,
        )
    examined = (
        f"{counted(len(places), 'tensor')} of a model in training "
        f"{'was' if len(places) == 1 else 'were'} measured at {counted(len(steps), 'step')}, from "
        f"{min(steps):.12g} to {max(steps):.12g}."
    )
    return Explanation(examined, _largest_move(rows), _LIMITS_OF_RUN)


_LIMITS_OF_RUN = (
    "A trajectory shows when and where spectra changed, not why: learning rate, decay and data "
    "can all cause the same change."
)


def _largest_move(rows: Sequence[RowView]) -> str:
    """Name the place whose measure changed most from its first value, beyond its error."""
    best: tuple[float, RowView] | None = None
    for row in {(r["tower"], r["role"], r["layer"], r["measure"]): r for r in rows}.values():
        change, error = row.get("change"), row.get("change_error")
        if change is None or error is None or row.get("value") is None:
            continue
        first = row["value"] - change
        if first and abs(change) > 2 * error and (best is None or abs(change / first) > best[0]):
            best = abs(change / first), row
    if best is None:
        return "From the first step to the last, no measure changed by more than its error."
    size, row = best
    place = row["role"] if row["layer"] is None else f"{row['role']} in layer {row['layer']}"
    verb = "rose" if row["change"] > 0 else "fell"
    return (
        f"From the first step to the last, the largest relative change is that of the "
        f"{entry(row['measure']).label} of {place}, which {verb} by {short(100 * size, 2)} %."
    )


def _are_products(rows: Sequence[Row]) -> bool:
    return bool(rows) and all(row.get("product_rank") is not None for row in rows)


def _unfinished(header: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """Say that the table is a part, in a clause; "" if it is complete."""
    expected = header.get("expected") or len(rows)
    return f" so far ({len(rows):,} of {expected:,})" if len(rows) < expected else ""


def _others(rows: Sequence[Row], verb: str) -> str:
    """Say what happened to the tensors that are not matrices, and how many failed."""
    entrywise = sum(row["status"] == "entrywise" for row in rows)
    failed = sum(
        row["status"] == "failed"
        or (row["status"] == "not analysed" and row.get("kind") == "unreadable")
        for row in rows
    )
    verb = f"{'was' if entrywise == 1 else 'were'} {verb}"
    text = f"; {counted(entrywise, 'other tensor')} {verb} entry by entry" if entrywise else ""
    return text + (f"; {failed:,} failed or cannot be read" if failed else "")
