# SPDX-License-Identifier: BSD-3-Clause
"""The sentence at the head of a page, and the facts below it, for readers who read nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from sigmascope._display.quantised import headline as quantised
from sigmascope._words.rows import Row
from sigmascope._words.text import counted, short, with_error
from sigmascope._words.verdicts import outcome

from .changes import is_changed, role_extremes, total_change
from .estimates import middle, of_column
from .few import largest_changes
from .findings import EXTENT, Finding

_NO_PARAMETERS = ("tied", "other", "whole", "part", "scale", "integer", "empty")
"""Kinds of tensors whose entries do not count as parameters."""

_SMALL = "differ by no more than the rounding of their formats"

_FEW = 0.1
"""Share of the full rank up to which a number of directions is called few."""

_NEARLY_ALL = 0.9
"""Share of the energy in ten directions that are called few if no count above noise is known."""

_HALF = 0.5
"""Share of the energy in the ten strongest directions, below which a change has many."""


def scanned(rows: Sequence[Row], findings: Sequence[Finding]) -> str:
    """Say whether anything is wrong with the matrices of a checkpoint, or worth a look."""
    analysed = [row for row in rows if row["status"] == "analysed"]
    wrong = [each for each in findings if each.kind == "problem" and each.title != EXTENT]
    notable = [finding for finding in findings if finding.kind == "notice"]
    if not analysed:
        return "No matrix was analysed."
    count = counted(len(analysed), "matrix", "matrices")
    if not wrong and not notable:
        return f"{count}: no sign of damage, and no outlier in any role."
    heads = [finding.text.split(". ")[0].rstrip(".") for finding in (*wrong, *notable)]
    return f"{count}. {'. '.join(heads[:2])}."


def compared(rows: Sequence[Row]) -> str:
    """Say how large the change of a model is, where it lies, and of what kind it is."""
    pairs = [row for row in rows if row["status"] == "analysed"]
    others = [row for row in rows if row["status"] == "entrywise" and outcome(row) == "changed"]
    failed = [row for row in rows if row["status"] == "failed"]
    sentence = f"{_change(pairs)}."
    if others:
        sentence += f" {counted(len(others), 'tensor')} without a spectrum changed."
    return sentence + (f" {counted(len(failed), 'pair')} could not be compared." if failed else "")


def _change(pairs: Sequence[Row]) -> str:
    changed = [row for row in pairs if is_changed(row)]
    count = f"The {counted(len(pairs), 'pair')} of matrices"
    if not pairs:
        return "No pair of matrices was compared"
    if not changed:
        if all(outcome(row) == "identical" for row in pairs):
            return f"{count} are identical in every entry"
        return quantised(pairs) or f"{count} {_SMALL}"
    total = total_change(list(pairs))
    if total is None:
        count = counted(len(changed), "matrix", "matrices")
        return f"{count} changed from zero"
    size = with_error(100 * total[0], 100 * total[1])
    weights = f"The weights changed by {size} % (‖ΔW‖/‖W‖)"
    if len(changed) < len(pairs):
        weights += f", in {len(changed):,} of {counted(len(pairs), 'matrix', 'matrices')}"
    return f"{weights}, {_where(changed)}{_kind(changed)}"


def unfinished(header: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """Say that rows are missing, or in other parts; nothing if the table is complete."""
    expected, shard = header.get("expected", len(rows)), header.get("shard")
    part = f"Part {shard['index']}/{shard['count']} of the whole. " if shard else ""
    left = len(rows) < expected
    return part + (f"Not finished: {len(rows):,} of {expected:,} tensors. " if left else "")


def _where(changed: Sequence[Row]) -> str:
    """Name the matrices that changed most if they stand out, else the roles if these differ."""
    if len(changed) == 1:
        return f"that is {changed[0]['name']}"
    largest = largest_changes(changed)
    if largest is not None:
        return f"most in {largest.names().rstrip(',')}, by {largest.sizes()}; {largest.rest()}"
    extremes = role_extremes(list(changed))
    if extremes is None:
        return "with too few matrices of each role to compare roles"
    if not extremes.known:
        return "with no clear difference between roles"
    return f"most in {extremes.most} and least in {extremes.least}"


def _kind(changed: Sequence[Row]) -> str:
    """Say whether few or many directions hold the energy of a typical change."""
    ten = of_column(changed, "delta_concentration_10")
    if ten is None or ten.low <= _HALF <= ten.high:
        return ""
    if ten.high < _HALF:
        return ". In a typical matrix the change is spread over many directions"
    full = middle([min(row["rows"], row["columns"]) for row in changed]).value
    count = of_column(changed, "delta_mp_outliers")
    above = (
        ""
        if count is None
        else f"; {short(count.value)} of {short(full)} singular values exceed the noise edge"
    )
    if count is None:
        few = ten.low >= _NEARLY_ALL and _FEW * full >= 10
    else:
        few = 0 < count.value <= _FEW * full
    if few:
        return f". In a typical matrix the change lies along few directions{above}"
    share = f"{short(100 * ten.value, 2)} %"
    return f". In a typical matrix ten directions hold {share} of the energy of the change{above}"


def facts(header: Mapping[str, Any], rows: Sequence[Row], day: date | None) -> list[str]:
    """Return architecture, parameters, files and the day of the page, where they are known."""
    sizes = [
        math.prod(shape)
        for row in rows
        if row.get("kind") not in _NO_PARAMETERS
        and (shape := row.get("shape") or row.get("before_shape") or row.get("after_shape"))
    ]
    files = [
        file for side in ("files", "before_files", "after_files") for file in header.get(side) or ()
    ]
    phrases = [header["architecture"]] if header.get("architecture") else []
    phrases += [counted(sum(sizes), "parameter")] if sizes else []
    phrases += [counted(len(files), "file")] if files else []
    return phrases + ([f"page made on {day.isoformat()}"] if day else [])
