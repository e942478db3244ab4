# SPDX-License-Identifier: BSD-3-Clause
"""The findings of a comparison: where, how much, and in what shape a model changed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from sigmascope.curves import least_random_angle
from sigmascope.text import counted, duration, short, with_error
from sigmascope.verdicts import outcome

from .estimates import Middle, groups, middle, of_column
from .findings import Finding, Row, listing, more, outcomes, role_name, several_towers
from .remarkable import (
    below_floor,
    changed_entrywise,
    left_out,
    on_below_floor,
    special_matrices,
    verdict_on,
)
from .standing import standing_out

_MARGIN = 3.0
"""Degrees within which angles agree with chance, whose least angle fluctuates."""

_LEFT_OUT = ("delta_effective_rank", "delta_effective_rank_above_edge", "delta_mp_outliers")
"""Medians that some pairs may have no number for, beside those that follow them."""

_FEWEST_LAYERS = 6
"""Fewer layers than this are not divided into thirds."""


def findings(header: dict[str, Any], rows: list[Row]) -> list[Finding]:
    """Return the sentences that a page of a comparison opens with, what matters first."""
    pairs = [row for row in rows if row["status"] == "analysed"]
    found = [*special_matrices(pairs), verdict_on(header, rows), _extent(header, rows, pairs)]
    found += changed_entrywise(rows)
    if pairs:
        changed = [row for row in pairs if is_changed(row)]
        found += [*_amount(pairs, changed), *left_out(pairs, ("relative_change",))]
        found += left_out(changed, _LEFT_OUT)
        found += [*_by_role(changed), *_by_depth(changed)]
        found += [*_shape(changed), *_turned(changed), *_reinforced(changed)]
        found += [*_rank(pairs), *_decay(changed)]
        if changed:
            found.append(standing_out(changed, ("relative_change", "delta_stable_rank")))
    return [*found, *outcomes(rows, ("pair", "pairs")), *_unpaired(rows)]


def is_changed(row: Row) -> bool:
    """Whether a pair differs, as a whole, by more than the rounding of its formats."""
    return row.get("above_rounding") is not False and outcome(row) == "changed"


def _extent(header: dict[str, Any], rows: list[Row], pairs: list[Row]) -> Finding:
    seconds = sum(row.get("seconds") or 0.0 for row in rows)
    read = sum(row["status"] == "entrywise" for row in rows)
    others = len(rows) - len(pairs) - read
    text = f"{counted(len(pairs), 'pair')} of matrices in {duration(seconds)}."
    text += f" Number by number: {counted(read, 'pair')} without a spectrum." if read else ""
    text += f" Not compared: {counted(others, 'tensor')}, listed below." if others else ""
    expected = header.get("expected", len(rows))
    if len(rows) < expected:
        text += f" The comparison is not finished: {len(rows):,} of {expected:,} rows."
    return Finding("Compared", text, "problem" if len(rows) < expected else "plain")


def _amount(pairs: list[Row], changed: list[Row]) -> Iterator[Finding]:
    """How much: the relative change as a whole, and what is below the rounding floor."""
    whole = _whole(pairs)
    among = of_column(pairs, "relative_change")
    same = [row for row in pairs if outcome(row) == "identical"]
    below = below_floor(pairs)
    if among is not None:
        text = f"‖ΔW‖/‖W‖ is {short(whole)} over all pairs together; " if whole is not None else ""
        text += f"the median of a pair is {among}."
        if not changed:
            text += " No pair of matrices changed, as a whole, by more than rounding."
        elif not below and any(row.get("above_rounding") for row in pairs):
            text += " Every change is above the rounding floor of the storage formats."
        yield Finding("How much", text, "notice" if not changed else "plain")
    if same:
        items = [(row["name"], "") for row in same]
        yield Finding(
            "Identical",
            f"{counted(len(same), 'pair')} {'is' if len(same) == 1 else 'are'} the same, "
            f"number for number.{more(len(same))}",
            "plain",
            listing(items),
        )
    if below:
        yield on_below_floor(below, len(pairs))


def _whole(pairs: list[Row]) -> float | None:
    """Relative change of all pairs taken as one vector."""
    sizes = [(row.get("relative_change"), row.get("before_fro_norm")) for row in pairs]
    known = [(change, norm) for change, norm in sizes if change is not None and norm]
    total = math.fsum(norm**2 for _, norm in known)
    if not total:
        return None
    return math.sqrt(math.fsum((change * norm) ** 2 for change, norm in known) / total)


def _by_role(changed: list[Row]) -> Iterator[Finding]:
    with_tower = several_towers(changed)
    medians = {
        role_name(group[0], with_tower): found
        for group in groups(changed, "tower", "role").values()
        if len(group) > 1 and (found := of_column(group, "relative_change")) is not None
    }
    if len(medians) < 2:
        return
    least, most = (f(medians, key=lambda role: medians[role].value) for f in (min, max))
    text = f"By role, the relative change is largest in {most}, {medians[most]}, "
    text += f"and smallest in {least}, {medians[least]}"
    apart = medians[least].high < medians[most].low
    text += "." if apart else ": the intervals overlap, so the roles are not distinguishable."
    yield Finding("Which roles", text)


def _by_depth(changed: list[Row]) -> Iterator[Finding]:
    """The relative change in the first, middle and last third of the layers of each tower."""
    layered = [row for row in changed if row.get("layer") is not None]
    with_tower = several_towers(layered)
    for (tower,), group in groups(layered, "tower").items():
        layers = sorted({row["layer"] for row in group})
        if len(layers) < _FEWEST_LAYERS:
            continue
        cuts = [layers[len(layers) * i // 3] for i in (1, 2)]
        thirds = [
            of_column(
                (r for r in group if sum(r["layer"] >= c for c in cuts) == i), "relative_change"
            )
            for i in range(3)
        ]
        first, centre, last = thirds
        if first is None or centre is None or last is None:
            continue
        text = (
            f"{f'In the {tower} tower, the' if with_tower else 'The'} relative change "
            f"{_trend(first, last)}: {first} in the first third of {len(layers)} layers, "
            f"{centre} in the middle, {last} in the last."
        )
        yield Finding("Which layers", text)


def _trend(first: Middle, last: Middle) -> str:
    if first.high < last.low:
        return f"grows with depth, by a factor of {short(last.value / first.value, 2)}"
    if last.high < first.low:
        return f"falls with depth, by a factor of {short(first.value / last.value, 2)}"
    return "has no trend with depth that is distinguishable"


def _shape(changed: list[Row]) -> Iterator[Finding]:
    """How concentrated the change is, beside what rounding alone would look like."""
    above = of_column(changed, "delta_effective_rank_above_edge")
    count = of_column(changed, "delta_mp_outliers")
    ten = of_column(changed, "delta_concentration_10")
    raw = of_column(changed, "delta_effective_rank")
    rounding = of_column(changed, "rounding_effective_rank")
    parts = []
    if count is not None:
        full = middle([min(row["rows"], row["columns"]) for row in changed])
        rank = f" with an effective rank of {above}" if above is not None else ""
        parts.append(
            f"Above the noise edge, ΔW has {count} singular values{rank} "
            f"(medians of {count.count:,} pairs; the full rank is {short(full.value)})"
        )
    if ten is not None:
        parts.append(f"Its ten strongest directions hold {_percent(ten)} of its energy")
    if raw is not None:
        text = f"Its raw effective rank, which counts noise too, is {raw}"
        text += f"; rounding alone would read {rounding}" if rounding is not None else ""
        parts.append(text)
    if parts:
        yield Finding("Shape of the change", ". ".join(parts) + ".")


def _percent(share: Middle) -> str:
    low, high = max(share.low, 0.0), min(share.high, 1.0)
    return f"{short(100 * share.value, 2)} % [{short(100 * low, 2)}, {short(100 * high, 2)}]"


def _turned(changed: list[Row]) -> Iterator[Finding]:
    """By how much the leading subspaces turned."""
    sides = {
        side: middle(
            [_median_degrees(row[f"angles_{side}"]) for row in having],
            [math.degrees(row.get(f"angles_{side}_error") or 0.0) for row in having],
        )
        for side in ("left", "right")
        if (having := [row for row in changed if row.get(f"angles_{side}")])
    }
    if sides:
        k = max(len(row.get("angles_left") or row.get("angles_right") or ()) for row in changed)
        parts = " and ".join(
            f"{replace(angle, low=max(angle.low, 0.0))}° "
            f"({side}{'' if angle.low > 0 else ': not distinguishable from unchanged'})"
            for side, angle in sides.items()
        )
        text = (
            f"The subspaces of up to {k} leading singular vectors turned by {parts}: the median "
            "of their principal angles, median over the pairs. 0° is unchanged, 90° is new."
        )
        yield Finding("Directions", text)


def _median_degrees(angles: Sequence[float]) -> float:
    return math.degrees(sorted(angles)[len(angles) // 2])


def _reinforced(changed: list[Row]) -> Iterator[Finding]:
    """Whether the change lies along what W already has, closer than chance."""
    closest, chance = [], []
    for row in changed:
        for side, dimension in (("left", "rows"), ("right", "columns")):
            angles = row.get(f"delta_angles_{side}")
            random = least_random_angle(len(angles), row[dimension]) if angles else None
            if random is not None:
                closest.append(math.degrees(min(row[f"delta_angles_{side}"])))
                chance.append(math.degrees(random))
    if not closest:
        return
    near, gap = middle(closest), middle([c - n for n, c in zip(closest, chance, strict=True)])
    text = (
        f"The leading directions of ΔW come within {near}° of those of W; random ones would come "
        f"within about {middle(chance).value:.0f}°. "
    )
    if gap.low > _MARGIN:
        text += "The change reinforces, in part, directions that W already has."
    elif gap.high < -_MARGIN:
        text += "The change keeps away from the directions that W already has."
    else:
        text += "That is not distinguishable from chance: the directions are new ones."
    yield Finding("Old or new directions", text)


def _rank(pairs: Iterable[Row]) -> Iterator[Finding]:
    """The signed change of the effective rank."""
    name = "change_effective_rank"
    pairs = list(pairs)
    having = [row for row in pairs if row.get(name) is not None]
    among = of_column(pairs, name)
    if among is None:
        return
    sure = [row for row in having if abs(row[name]) > 2 * (row.get(f"{name}_error") or 0.0)]
    up, down = sum(row[name] > 0 for row in sure), sum(row[name] < 0 for row in sure)
    verdict = {1: "it expands", -1: "it contracts", 0: "not distinguishable from none"}[among.sign]
    text = (
        f"The effective rank rose beyond its error in {up:,} of {counted(len(having), 'pair')}, "
        f"and fell in {down:,}. The median change is {among}: {verdict}."
    )
    far = sorted(sure, key=lambda row: -abs(row[name]))[:3]
    items = [(row["name"], _signed(row[name], row.get(f"{name}_error"))) for row in far]
    yield Finding("Effective rank", text, "plain", tuple(items))


def _signed(value: float, error: float | None) -> str:
    return f"{'+' if value > 0 else ''}{with_error(value, error)}"


def _decay(changed: Iterable[Row]) -> Iterator[Finding]:
    """How much of the change is a multiple of W."""
    having = [
        row
        for row in changed
        if row.get("decay_coefficient") is not None and row.get("relative_change")
    ]
    if not having:
        return
    coefficient = of_column(having, "decay_coefficient")
    share = middle([(r["decay_coefficient"] / r["relative_change"]) ** 2 for r in having])
    assert coefficient is not None
    text = (
        f"{_percent(share)} of the energy of ΔW is a multiple of W (coefficient {coefficient}), as "
        "weight decay makes it; the measures “without decay” leave it out."
    )
    yield Finding("Weight decay", text)


def _unpaired(rows: Iterable[Row]) -> Iterator[Finding]:
    found = [row for row in rows if row["status"] == "unpaired"]
    if found:
        text = (
            f"{counted(len(found), 'tensor')} {'has' if len(found) == 1 else 'have'} no partner in "
            "the other checkpoint; nothing was guessed."
        )
        items = [(row["name"], row.get("reason") or "") for row in found]
        yield Finding("Not paired", text + more(len(found)), "notice", listing(items))
