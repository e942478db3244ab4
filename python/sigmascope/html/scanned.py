# SPDX-License-Identifier: BSD-3-Clause
"""The findings of a scan: what was analysed, what stands out, what is missing, how sure it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from sigmascope.glossary import entry
from sigmascope.text import counted, duration, kinds, size, with_error

from .estimates import Middle, groups, middle
from .findings import Finding, Row, listing, more, outcomes, role_name, several_towers
from .remarkable import left_out, special_matrices
from .standing import standing_out

_TELLING = ("effective_rank", "stable_rank", "spectral_norm", "fro_norm")
"""The measures by which a matrix may stand out; the others follow them."""

_UNCERTAIN = 1e-3
"""A relative error that is worth a sentence."""


def findings(header: dict[str, Any], rows: list[Row]) -> list[Finding]:
    """Return the sentences that a page of a scan opens with, what matters first."""
    analysed = [row for row in rows if row["status"] == "analysed"]
    found = [*special_matrices(analysed), _extent(header, rows, analysed)]
    found += outcomes(rows, ("matrix", "matrices"))
    if analysed:
        found += left_out(analysed, _TELLING)
        found += [standing_out(analysed, _TELLING), *_ranks(analysed), *_noise(analysed)]
        found += [*_uneven(analysed), *_least_certain(analysed)]
    return found


def _extent(header: dict[str, Any], rows: list[Row], analysed: list[Row]) -> Finding:
    seconds = sum(row.get("seconds") or 0.0 for row in rows)
    nbytes = sum(row.get("nbytes") or 0 for row in analysed)
    text = (
        f"{counted(len(analysed), 'matrix', 'matrices')} of {counted(len(rows), 'tensor')}: "
        f"{size(nbytes)} in {duration(seconds)}, effort “{header['options'].get('effort')}”."
        if header.get("options")
        else f"{counted(len(analysed), 'matrix', 'matrices')} of {counted(len(rows), 'tensor')}."
    )
    read = Counter(row["kind"] for row in rows if row["status"] == "entrywise")
    text += f" Without a spectrum, and read number by number: {kinds(read)}." if read else ""
    rest = Counter(
        row["status"] if row["status"] == "excluded" else row["kind"]
        for row in rows
        if row["status"] in ("not analysed", "excluded") and row["kind"] != "unreadable"
    )
    text += f" The others are no matrices to analyse: {kinds(rest)}." if rest else ""
    expected = header.get("expected", len(rows))
    if len(rows) < expected:
        text += f" The scan is not finished: {len(rows):,} of {expected:,} tensors."
    if analysed and all(row.get("converged") for row in analysed):
        text += " All reached the tolerance that was asked for."
    return Finding("Analysed", text, "problem" if len(rows) < expected else "plain")


def _ranks(rows: list[Row]) -> Iterator[Finding]:
    """Which roles use most, and which least, of the rank they could have."""
    name = next((n for n in _TELLING[:2] if any(r.get(n) is not None for r in rows)), None)
    if name is None:
        return
    shares: dict[str, Middle] = {}
    with_tower = several_towers(rows)
    for group in groups(rows, "tower", "role").values():
        having = [row for row in group if row.get(name) is not None]
        if len(having) > 1:
            full = [min(row["rows"], row["columns"]) / 100 for row in having]
            shares[role_name(group[0], with_tower)] = middle(
                [row[name] / m for row, m in zip(having, full, strict=True)],
                [(row.get(f"{name}_error") or 0) / m for row, m in zip(having, full, strict=True)],
            )
    if len(shares) < 2:
        return
    low = min(shares, key=lambda role: shares[role].value)
    high = max(shares, key=lambda role: shares[role].value)
    apart = shares[low].high < shares[high].low
    text = (
        f"As a share of the full rank, the {entry(name).label} is lowest in {low}, "
        f"{shares[low]} %, and highest in {high}, {shares[high]} % (medians over the layers)"
        + ("." if apart else "; the intervals overlap: not distinguishable.")
    )
    yield Finding("Rank by role", text)


def _noise(rows: list[Row]) -> Iterator[Finding]:
    """Which matrices look like noise throughout."""
    having = [row for row in rows if row.get("mp_outliers") is not None]
    blank = [row for row in having if row["mp_outliers"] <= (row.get("mp_outliers_error") or 0)]
    if blank:
        text = (
            f"{counted(len(blank), 'matrix', 'matrices')} of {len(having):,} "
            f"{'has' if len(blank) == 1 else 'have'} no singular value that is surely above the "
            "noise edge: by their values alone they are not distinguishable from random numbers."
        )
        items = [(row["name"], _above(row)) for row in blank]
        yield Finding("Like noise", text + more(len(items)), "notice", listing(items))


def _above(row: Row) -> str:
    return f"{with_error(row['mp_outliers'], row.get('mp_outliers_error'))} above the noise edge"


def _uneven(rows: Iterable[Row]) -> Iterator[Finding]:
    """Rows and columns far above the median norm: outlier channels."""
    counts = [
        (row.get("outlier_rows") or 0, row.get("outlier_columns") or 0, row["name"]) for row in rows
    ]
    found = [
        (name, f"{counted(m, 'row')}, {counted(n, 'column')}")
        for m, n, name in sorted(counts, key=lambda count: -count[0] - count[1])
        if m + n > 0
    ]
    if found:
        text = (
            f"{counted(len(found), 'matrix', 'matrices')} "
            f"{'has' if len(found) == 1 else 'have'} rows or columns with a norm far above the "
            "median (outlier channels)."
        )
        yield Finding("Outlier channels", text + more(len(found)), "plain", listing(found))


def _least_certain(rows: Iterable[Row]) -> Iterator[Finding]:
    worst: tuple[float, Row, str] | None = None
    for row in rows:
        for name in _TELLING:
            value, error = row.get(name), row.get(f"{name}_error")
            if value and error and (worst is None or error / abs(value) > worst[0]):
                worst = error / abs(value), row, name
    if worst is not None and worst[0] > _UNCERTAIN:
        _, row, name = worst
        text = (
            f"Of the ranks and norms the least certain is the {entry(name).label} of one matrix: "
            f"{with_error(row[name], row[f'{name}_error'])}."
        )
        yield Finding("Least certain", text, "plain", ((row["name"], ""),))
