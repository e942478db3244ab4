# SPDX-License-Identifier: BSD-3-Clause
"""The findings of a comparison: the places, the size and the shape of a model's change."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from sigmascope._display.curves import least_random_angle
from sigmascope._display.folding import fold_names
from sigmascope._words.rows import Row
from sigmascope._words.text import counted, duration, number_of, short, with_error
from sigmascope._words.verdicts import outcome

from . import verdicts
from .chance import COMPARISON, Pair
from .changes import is_changed, role_extremes, total_change
from .estimates import groups, middle, of_column, pairs_of
from .few import alone, largest_changes
from .findings import Finding, listing, more, outcomes, several_towers
from .outliers import standing_out
from .remarkable import (
    below_floor,
    changed_entrywise,
    left_out,
    of_quantised,
    on_below_floor,
    special_matrices,
    verdict_on,
)

_LEFT_OUT = ("delta_effective_rank", "delta_effective_rank_above_edge", "delta_mp_outliers")
"""Measures whose medians may leave out some pairs; a finding names these pairs."""

_FEWEST_LAYERS = 6
"""Least number of layers that are divided into thirds."""


def findings(header: dict[str, Any], rows: list[Row]) -> list[Finding]:
    """Return the findings at the top of a comparison's page, the most important first."""
    pairs = [row for row in rows if row["status"] == "analysed"]
    parts = [*special_matrices(pairs), verdict_on(header, rows), _extent(header, rows, pairs)]
    parts += changed_entrywise(rows)
    if pairs:
        changed = [row for row in pairs if is_changed(row)]
        parts += [*_amount(pairs, changed), *left_out(pairs, ("relative_change",))]
        parts += of_quantised(pairs)
        parts += left_out(changed, _LEFT_OUT)
        largest = largest_changes(changed)
        parts += [largest.finding()] if largest else []
        parts += [*_by_role(changed), *_by_depth(changed)]
        parts += [*_shape(changed), *_rotation(changed), *_reinforced(changed)]
        parts += [*_rank(pairs), *_decay(changed)]
        if changed:
            columns = ("relative_change", "delta_stable_rank")
            parts.append(standing_out(changed, columns, COMPARISON))
    return [*parts, *outcomes(rows, ("pair", "pairs")), *_unpaired(rows)]


def _extent(header: dict[str, Any], rows: list[Row], pairs: list[Row]) -> Finding:
    seconds = sum(row.get("seconds") or 0.0 for row in rows)
    read = sum(row["status"] == "entrywise" for row in rows)
    others = len(rows) - len(pairs) - read
    text = f"{counted(len(pairs), 'pair')} of matrices in {duration(seconds)}."
    text += (
        f" {counted(read, 'pair')} without a spectrum {'was' if read == 1 else 'were'} compared "
        "entry by entry."
        if read
        else ""
    )
    text += (
        f" {counted(others, 'tensor')}, listed below, {'was' if others == 1 else 'were'} not "
        "compared."
        if others
        else ""
    )
    expected = header.get("expected", len(rows))
    if len(rows) < expected:
        text += f" The comparison is not finished: {len(rows):,} of {expected:,} rows."
    return Finding("Compared", text, "problem" if len(rows) < expected else "plain")


def _amount(pairs: list[Row], changed: list[Row]) -> Iterator[Finding]:
    """Yield findings on the size of the change, and on pairs below the rounding floor."""
    total = total_change(pairs)
    among = of_column(pairs, "relative_change")
    same = [row for row in pairs if outcome(row) == "identical"]
    below = below_floor(pairs)
    if among is not None:
        text = f"‖ΔW‖/‖W‖ is {with_error(*total)} over all pairs together; " if total else ""
        text += f"{'its median' if total else 'The median of ‖ΔW‖/‖W‖'} over pairs is {among}."
        if not changed:
            text += " As a whole, no pair of matrices changed by more than rounding."
        elif not below and any(row.get("above_rounding") for row in pairs):
            text += " Every change is above the rounding floor of the storage formats."
        yield Finding("How much", text, "notice" if not changed else "plain")
    if same:
        folds = fold_names(row["name"] for row in same)
        items = [(f.text, counted(len(f.names), "pair") if len(f.names) > 1 else "") for f in folds]
        are = "is" if len(same) == 1 else "are"
        text = f"{counted(len(same), 'pair')} {are} identical in every entry.{more(len(items))}"
        yield Finding("Identical", text, "plain", listing(items))
    if below:
        yield on_below_floor(below, len(pairs))


def _by_role(changed: list[Row]) -> Iterator[Finding]:
    extremes = role_extremes(changed)
    if extremes is None:
        return
    low, high = (extremes.medians[role] for role in (extremes.least, extremes.most))
    text = f"By role, the relative change is largest in {extremes.most}, {high}, "
    text += f"and smallest in {extremes.least}, {low}"
    text += f" (medians of {high.count:,} and {low.count:,} pairs)"
    text += "." if extremes.known else "; there is no clear difference between the roles."
    items = [
        (row["name"], f"‖ΔW‖/‖W‖ {number_of(row, 'relative_change')}") for row in alone(changed)
    ]
    text += " Roles with only one matrix are listed below." if items else ""
    yield Finding("Which roles", text + more(len(items)), "plain", listing(items))


def _by_depth(changed: list[Row]) -> Iterator[Finding]:
    """Yield findings on the relative change in the thirds of the layers of each tower."""
    layered = [row for row in changed if row.get("layer") is not None]
    with_tower = several_towers(layered)
    towers = groups(layered, "tower")
    for (tower,), group in towers.items():
        layers = sorted({row["layer"] for row in group})
        if len(layers) < _FEWEST_LAYERS:
            continue
        cuts = [layers[len(layers) * i // 3] for i in (1, 2)]
        thirds = [[r for r in group if sum(r["layer"] >= c for c in cuts) == i] for i in range(3)]
        first, centre, last = (of_column(third, "relative_change") for third in thirds)
        if first is None or centre is None or last is None:
            continue
        trend = verdicts.trend(verdicts.depth_trend(group), len(towers))
        text = (
            f"{f'In the {tower} tower, the' if with_tower and tower else 'The'} relative change "
            f"{trend}: {first} in the first third of {len(layers)} layers, "
            f"{centre} in the middle, {last} in the last (medians of {first.count:,}, "
            f"{centre.count:,} and {last.count:,} pairs)."
        )
        yield Finding("Which layers", text)


def _shape(changed: list[Row]) -> Iterator[Finding]:
    """Yield the finding on the rank and concentration of the change, compared with rounding."""
    above = of_column(changed, "delta_effective_rank_above_edge")
    count = of_column(changed, "delta_mp_outliers")
    ten = of_column(changed, "delta_concentration_10")
    raw = of_column(changed, "delta_effective_rank")
    rounding = of_column(changed, "rounding_effective_rank")
    parts = []
    if count is not None:
        full = middle([min(row["rows"], row["columns"]) for row in changed])
        among = f" of {count.among:,}" if count.count < count.among else ""
        parts.append(
            f"ΔW has {replace(count, among=0)} singular values above the noise edge, out of "
            f"{short(full.value)} (median of {count.count:,}{among} pairs)"
        )
        if above is not None and count.high > 0:
            parts.append(f"Their effective rank is {replace(above, among=0)}")
    if ten is not None:
        parts.append(f"Its ten strongest directions hold {verdicts.percent(ten)} of its energy")
    if raw is not None:
        text = f"Its raw effective rank, which also counts noise, is {raw}"
        text += f"; the rank of rounding alone would be {rounding}" if rounding is not None else ""
        parts.append(text)
    if parts:
        yield Finding("Shape of the change", ". ".join(parts) + ".")


def _rotation(changed: list[Row]) -> Iterator[Finding]:
    """Yield the finding on the angles by which the leading subspaces turned."""
    sides = {
        side: [(_median_degrees(row[name]), _degrees(row.get(f"{name}_error"))) for row in having]
        for side in ("left", "right")
        if (having := [row for row in changed if row.get(name := f"angles_{side}")])
    }
    if sides:
        k = max(len(row.get("angles_left") or row.get("angles_right") or ()) for row in changed)
        count = " and ".join(sorted({f"{len(angles):,}" for angles in sides.values()}))
        parts = " and ".join(verdicts.rotation(side, angles) for side, angles in sides.items())
        text = (
            f"The subspaces of up to {k} leading singular vectors turned by {parts}. This is the "
            f"median principal angle of a pair, median over {count} pairs; 0° means unchanged, "
            "90° means new."
        )
        yield Finding("Directions", text)


def _degrees(error: float | None) -> float:
    return math.degrees(error or 0.0)


def _median_degrees(angles: Sequence[float]) -> float:
    return math.degrees(sorted(angles)[len(angles) // 2])


def _reinforced(changed: list[Row]) -> Iterator[Finding]:
    """Yield the finding on the angles between leading directions of the change and of W."""
    closest: list[Pair] = []
    chance: list[float] = []
    for row in changed:
        for side, dimension in (("left", "rows"), ("right", "columns")):
            name = f"delta_angles_{side}"
            angles = row.get(name)
            random = least_random_angle(len(angles), row[dimension]) if angles else None
            if random is not None:
                closest.append((math.degrees(min(row[name])), _degrees(row.get(f"{name}_error"))))
                chance.append(math.degrees(random))
    if not closest:
        return
    near = middle([n for n, _ in closest], [e for _, e in closest])
    gaps = [(c - n, e) for (n, e), c in zip(closest, chance, strict=True)]
    text = (
        f"The leading directions of ΔW come within {near.text(unit='°')} of those of W; random "
        f"ones would come within about {middle(chance).value:.0f}°. {verdicts.old_or_new(gaps)}"
    )
    yield Finding("Old or new directions", text)


def _rank(pairs: Iterable[Row]) -> Iterator[Finding]:
    """Yield the finding on the signed change of the effective rank."""
    name = "change_effective_rank"
    pairs = list(pairs)
    having = [row for row in pairs if row.get(name) is not None]
    among = of_column(pairs, name)
    if among is None:
        return
    shares = [_share(row, name) for row in having]
    moved = [row for row, yes in zip(having, verdicts.moved(shares), strict=True) if yes]
    up, down = sum(row[name] > 0 for row in moved), sum(row[name] < 0 for row in moved)
    text = (
        f"The effective rank rose by at least 1 %, and by more than its error, in {up:,} of "
        f"{counted(len(having), 'pair')}. It fell as clearly in {down:,}. The median change is "
        f"{among}: {verdicts.expansion(shares)}."
    )
    far = sorted(moved, key=lambda row: -abs(row[name]))[:3]
    items = [(row["name"], _signed(row[name], row.get(f"{name}_error"))) for row in far]
    yield Finding("Effective rank", text, "plain", tuple(items))


def _share(row: Row, name: str) -> Pair:
    """Return the change of the effective rank, with its error, relative to the rank before."""
    before = row.get("before_effective_rank") or float(min(row["rows"], row["columns"]))
    return row[name] / before, (row.get(f"{name}_error") or 0.0) / before


def _signed(value: float, error: float | None) -> str:
    return f"{'+' if value > 0 else ''}{with_error(value, error)}"


def _decay(changed: Iterable[Row]) -> Iterator[Finding]:
    """Yield the finding on the fraction of the change that is a multiple of W."""
    having = [
        row
        for row in changed
        if row.get("decay_coefficient") is not None and row.get("relative_change")
    ]
    if not having:
        return
    share = middle([(r["decay_coefficient"] / r["relative_change"]) ** 2 for r in having])
    text = (
        f"{verdicts.percent(share)} of the energy of ΔW is a multiple of W (coefficient "
        f"{of_column(having, 'decay_coefficient')}, medians of {share.count:,} pairs)"
        f"{verdicts.decay(share.value, pairs_of(having, 'decay_coefficient'))}"
    )
    yield Finding("Weight decay", text)


def _unpaired(rows: Iterable[Row]) -> Iterator[Finding]:
    alone = [row for row in rows if row["status"] == "unpaired"]
    if alone:
        text = (
            f"{counted(len(alone), 'tensor')} {'has' if len(alone) == 1 else 'have'} no partner "
            "in the other checkpoint; no partner was guessed."
        )
        items = [(row["name"], row.get("reason") or "") for row in alone]
        yield Finding("Not paired", text + more(len(alone)), "notice", listing(items))
