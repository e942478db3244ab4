# SPDX-License-Identifier: BSD-3-Clause
"""The findings of a scan: what was analysed, what stands out, what is missing, how sure it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import median
from typing import Any

from sigmascope._display.curves import noise_rank
from sigmascope._display.glossary import entry
from sigmascope._display.text import counted, duration, kinds, number_of, size

from .chance import LEAST, SCAN, Pair, apart
from .estimates import groups, middle
from .findings import Finding, Row, listing, more, outcomes, role_name, several_towers
from .outliers import standing_out
from .remarkable import left_out, special_matrices

_TELLING = ("effective_rank", "stable_rank", "spectral_norm", "fro_norm")
"""The measures by which a matrix may stand out; the others follow them."""

_LIKE_NOISE = 0.01
"""More than this above the effective rank of noise, and one, is a flat spectrum and no noise."""

_UNCERTAIN = 1e-3
"""A relative error that is worth a sentence."""


def findings(header: dict[str, Any], rows: list[Row]) -> list[Finding]:
    """Return the sentences that a page of a scan opens with, what matters first."""
    analysed = [row for row in rows if row["status"] == "analysed"]
    found = [*special_matrices(analysed), _extent(header, rows, analysed)]
    found += outcomes(rows, ("matrix", "matrices"))
    if analysed:
        found += left_out(analysed, _TELLING)
        found += [standing_out(analysed, _TELLING, SCAN), *_ranks(analysed), *_noise(analysed)]
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
    with_tower = several_towers(rows)
    having = [row for row in rows if row.get(name) is not None]
    roles = {
        role_name(group[0], with_tower): group
        for group in groups(having, "tower", "role").values()
        if len(group) > 1
    }
    if len(roles) < 2:
        return
    shares = {role: _shares(group, name) for role, group in roles.items()}
    medians = {role: middle(*zip(*pairs, strict=True)) for role, pairs in shares.items()}
    low, high = (f(medians, key=lambda role: medians[role].value) for f in (min, max))
    counts = [f"{len(roles[role]):,}" for role in (low, high)]
    text = (
        f"As a share of the full rank, the {entry(name).label} is lowest in {low}, "
        f"{medians[low]} %, and highest in {high}, {medians[high]} % (medians of "
        f"{' and '.join(counts)} matrices)"
    )
    tests = len(roles) * (len(roles) - 1) / 2
    known = all(
        _differ(measured[low], measured[high], tests)
        for measured in (shares, {r: _shares(g, name, noise_rank) for r, g in roles.items()})
    )
    unsure = "; the roles are not distinguishable beyond their shapes and chance."
    yield Finding("Rank by role", text + ("." if known else unsure))


def _full_rank(_: str, shape: tuple[int, int]) -> float:
    return float(min(shape))


def _shares(
    rows: Iterable[Row], name: str, of: Callable[[str, tuple[int, int]], float] = _full_rank
) -> list[Pair]:
    """A rank in per cent of the full one, or of that of noise of the same shape."""
    return [
        (100 * row[name] / whole, 100 * (row.get(f"{name}_error") or 0.0) / whole)
        for row in rows
        if (whole := of(name, _shape(row)))
    ]


def _differ(low: Sequence[Pair], high: Sequence[Pair], tests: float) -> bool:
    """Whether two roles differ by what matters, in one of so many comparisons."""
    factor = median(v for v, _ in high) / (median(v for v, _ in low) or 1.0)
    return max(factor, 1 / factor) >= LEAST.rank and tests * apart(low, high) <= SCAN


def _noise(rows: list[Row]) -> Iterator[Finding]:
    """Which matrices look like noise throughout."""
    having = [row for row in rows if row.get("mp_outliers") is not None]
    blank = [row for row in having if _is_blank(row)]
    if blank:
        text = (
            f"{counted(len(blank), 'matrix', 'matrices')} of {len(having):,} "
            f"{'has' if len(blank) == 1 else 'have'} no singular value that is surely above the "
            "noise edge: by their values alone they are not distinguishable from random numbers."
        )
        items = [
            (row["name"], f"{number_of(row, 'mp_outliers')} above the noise edge") for row in blank
        ]
        yield Finding("Like noise", text + more(len(items)), "notice", listing(items))


def _is_blank(row: Row) -> bool:
    """Nothing above the edge, and no flat spectrum, as orthogonal matrices have."""
    rank, expected = row.get("effective_rank"), noise_rank("effective_rank", _shape(row))
    error = 1.0 + _LIKE_NOISE * expected + 2 * (row.get("effective_rank_error") or 0.0)
    flat = rank is not None and rank > expected + error
    return not flat and bool(row["mp_outliers"] <= (row.get("mp_outliers_error") or 0))


def _shape(row: Row) -> tuple[int, int]:
    return row["rows"], row["columns"]


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
            f"{'has' if len(found) == 1 else 'have'} rows or columns of at least twice the median "
            "norm (outlier channels). Noise has such ones in less than one matrix of a million."
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
            f"{number_of(row, name)}."
        )
        yield Finding("Least certain", text, "plain", ((row["name"], ""),))
