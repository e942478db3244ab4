# SPDX-License-Identifier: BSD-3-Clause
"""The findings of a scan: its extent, outliers, ranks by role, noise, and uncertain numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from statistics import median
from typing import Any

from sigmascope._display.curves import noise_rank
from sigmascope._display.glossary import entry
from sigmascope._words.rows import Row, full_rank, largest_first, rank_of_product
from sigmascope._words.text import counted, duration, kinds, number_of, short, size, with_shape

from .chance import LEAST, SCAN, Pair, paired_by_layer, welch
from .estimates import Unit, groups, layered, middle
from .few import alone_in_role
from .findings import EXTENT, Finding, Kind, listing, more, outcomes, role_name, several_towers
from .outliers import standing_out
from .remarkable import left_out, special_matrices

_TELLING = ("effective_rank", "stable_rank", "spectral_norm", "fro_norm")
"""The measures that are tested for outliers; most other measures depend on them."""

_LIKE_NOISE = 0.01
"""Relative excess over the effective rank of noise, plus 1, at which a spectrum is flat."""

_FEW_ABOVE, _SHARE_ABOVE = 4, 0.02
"""Most values of even noise above its edge: 4, or this share of all."""

_NAMED = 3
"""Largest number of outlier rows, or columns, that a finding names of one matrix."""

_UNCERTAIN = 1e-3
"""Least relative error that a finding reports."""


def findings(header: dict[str, Any], rows: list[Row]) -> list[Finding]:
    """Return the findings at the top of a scan's page, the most important first."""
    analysed = [row for row in rows if row["status"] == "analysed"]
    parts = [*special_matrices(analysed), _extent(header, rows, analysed)]
    parts += outcomes(rows, ("matrix", "matrices"))
    if analysed:
        parts += left_out(analysed, _TELLING)
        parts += [standing_out(analysed, _TELLING, SCAN), *_ranks(analysed)]
        parts += [*alone_in_role(analysed, _rank_measure(analysed)), *_noise(analysed)]
        parts += [*_outlier_channels(analysed), *_least_certain(analysed)]
    return parts


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
    text += f" Read entry by entry, without a spectrum: {kinds(read)}." if read else ""
    rest = Counter(
        row["status"] if row["status"] == "excluded" else row["kind"]
        for row in rows
        if row["status"] in ("not analysed", "excluded") and row["kind"] != "unreadable"
    )
    text += f" The others are not matrices to analyse: {kinds(rest)}." if rest else ""
    expected = header.get("expected", len(rows))
    if len(rows) < expected:
        text += f" The scan is not finished: {len(rows):,} of {expected:,} tensors."
    if analysed and all(row.get("converged") for row in analysed):
        text += " All matrices reached the requested tolerance."
    return Finding(EXTENT, text, "problem" if len(rows) < expected else "plain")


def _ranks(rows: list[Row]) -> Iterator[Finding]:
    """Yield the finding on the roles with the largest and the smallest fraction of full rank."""
    name = _rank_measure(rows)
    with_tower = several_towers(rows)
    having = [row for row in rows if row.get(name) is not None]
    roles = {
        role_name(group[0], with_tower): group
        for group in groups(having, "tower", "role").values()
        if len(group) > 1
    }
    if len(roles) < 2:
        return
    shares = {role: _shares(group, name, full_rank_of(name)) for role, group in roles.items()}
    medians = {role: middle(*zip(*pairs, strict=True)) for role, pairs in shares.items()}
    low, high = (f(medians, key=lambda role: medians[role].value) for f in (min, max))
    counts = [f"{len(roles[role]):,}" for role in (low, high)]
    products = all(row.get("product_rank") is not None for row in having)
    whole = rank_of_product(having) if products else "the full rank"
    text = (
        f"As a share of {whole}, the {entry(name).label} is lowest in {low}, "
        f"{medians[low]} %, and highest in {high}, {medians[high]} % (medians of "
        f"{' and '.join(counts)} matrices)"
    )
    tests = len(roles) * (len(roles) - 1) / 2
    # Matrices of noise differ, too, if their shapes do.
    units = [full_rank_of(name)] if products else [full_rank_of(name), noise_rank_of(name)]
    known = all(_differ(roles[low], roles[high], name, unit, tests) for unit in units)
    unsure = "; beyond shapes and chance, there is no clear difference between the roles."
    yield Finding("Rank by role", text + ("." if known else unsure))


def _rank_measure(rows: Iterable[Row]) -> str:
    """Return the first measure of rank that some row has."""
    rows = list(rows)
    return next((n for n in _TELLING[:2] if any(r.get(n) is not None for r in rows)), _TELLING[1])


def full_rank_of(name: str) -> Unit:
    """Return the unit of the full rank."""
    return lambda row: full_rank(row, name)


def noise_rank_of(name: str) -> Unit:
    """Return the unit of the rank of noise of the same shape."""
    return lambda row: noise_rank(name, _shape(row))


def _shares(rows: Iterable[Row], name: str, unit: Unit) -> list[Pair]:
    """Return ranks in per cent of a unit."""
    return [
        (100 * row[name] / total, 100 * (row.get(f"{name}_error") or 0.0) / total)
        for row in rows
        if (total := unit(row))
    ]


def _differ(one: list[Row], other: list[Row], name: str, unit: Unit, tests: float) -> bool:
    """Return True if two roles differ by the least factor, and significantly in one of `tests`.

    Roles of one tower are compared layer by layer where they share two layers.
    """
    low, high = (_shares(rows, name, unit) for rows in (one, other))
    factor = median(v for v, _ in high) / (median(v for v, _ in low) or 1.0)
    if max(factor, 1 / factor) < LEAST.rank:
        return False
    p = None
    if one[0].get("tower") == other[0].get("tower"):
        p = paired_by_layer(*(layered(rows, name, unit) for rows in (one, other)))
    return tests * (welch(low, high) if p is None else p) <= SCAN


def _noise(rows: list[Row]) -> Iterator[Finding]:
    """Yield the finding on matrices whose spectra look like noise."""
    having = [row for row in rows if row.get("mp_outliers") is not None]
    noise = [row for row in having if _is_noise(row)]
    if noise:
        few = len(noise) == 1
        text = (
            f"Of {counted(len(having), 'matrix', 'matrices')} with a noise edge, {len(noise):,} "
            f"{'has' if few else 'have'} no singular value clearly above it. "
            f"{'Its' if few else 'Their'} singular values do not distinguish "
            f"{'it from a matrix' if few else 'them from matrices'} of random numbers."
        )
        items = [
            (row["name"], with_shape(row, f"{number_of(row, 'mp_outliers')} above the noise edge"))
            for row in largest_first(noise)
        ]
        kind: Kind = "notice" if len(noise) > len(having) / 2 else "plain"
        yield Finding("Like noise", text + more(len(items)), kind, listing(items))


def _is_noise(row: Row) -> bool:
    """Return True if no value is above the noise edge, unless the spectrum is flat.

    Orthogonal matrices have a flat spectrum.
    """
    rank, expected = row.get("effective_rank"), noise_rank("effective_rank", _shape(row))
    error = 1.0 + _LIKE_NOISE * expected + 2 * (row.get("effective_rank_error") or 0.0)
    flat = rank is not None and rank > expected + error
    # A few values of even noise exceed the edge. More may do so by chance if a bulk is uneven, but
    # such a bulk is not that of random numbers of one size.
    few = row["mp_outliers"] <= max(_FEW_ABOVE, _SHARE_ABOVE * min(_shape(row)))
    return not flat and few and bool(row["mp_outliers"] <= (row.get("mp_outliers_error") or 0))


def _shape(row: Row) -> tuple[int, int]:
    return row["rows"], row["columns"]


def _outlier_channels(rows: Iterable[Row]) -> Iterator[Finding]:
    """Yield the finding on rows and columns far above the median norm."""
    far = [row for row in rows if row.get("outlier_rows") or row.get("outlier_columns")]
    far.sort(key=_farthest)
    items = [(row["name"], with_shape(row, "; ".join(_channels(row)))) for row in far]
    if items:
        text = (
            f"{counted(len(items), 'matrix', 'matrices')} {'has' if len(items) == 1 else 'have'} "
            "rows or columns of at least twice the median norm (outlier channels); × is the "
            "ratio to the median. In pure noise, fewer than one matrix in a million has any."
        )
        yield Finding("Outlier channels", text + more(len(items)), "plain", listing(items))


def _farthest(row: Row) -> tuple[float, int]:
    """Return a sort key: first by the farthest outlier channel, then by their number."""
    factors = [f for side in ("row", "column") for f in row.get(f"outlier_{side}_factors") or ()]
    return -max(factors, default=0.0), -row["outlier_rows"] - row["outlier_columns"]


def _channels(row: Row) -> Iterator[str]:
    """Yield the numbers of outlier rows and of outlier columns, each with the farthest ones."""
    for side in ("row", "column"):
        count = row[f"outlier_{side}s"] or 0
        if not count:
            continue
        indices = row.get(f"outlier_{side}_indices") or ()
        factors = row.get(f"outlier_{side}_factors") or ()
        named = [f"{i} ({short(x)} ×)" for i, x in zip(indices, factors, strict=False)][:_NAMED]
        which = "" if count == len(named) else "the farthest "
        yield counted(count, side) + (f": {which}{', '.join(named)}" if named else "")


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
            f"The least certain of the ranks and norms is the {entry(name).label} of one matrix: "
            f"{number_of(row, name)}."
        )
        yield Finding("Least certain", text, "plain", ((row["name"], ""),))
