# SPDX-License-Identifier: BSD-3-Clause
"""Decisions in a comparison's findings, by the least size and by significance.

Each kind of finding has the level `COMPARISON`, which is divided among all its tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import median

from sigmascope._words.rows import Row
from sigmascope._words.text import bounds, short

from .chance import (
    COMPARISON,
    LEAST,
    Pair,
    Trend,
    interval,
    paired_by_layer,
    sure,
    trend_within,
    welch,
)
from .estimates import Middle, groups, layered, middle, pairs_of

NO_TREND = "has no clear trend with depth"


def differ(one: Sequence[Row], other: Sequence[Row], tests: int) -> bool:
    """Return True if two roles' relative changes differ, significantly in one of `tests`.

    Roles of one tower are compared layer by layer where they share two layers.
    """
    pairs = [pairs_of(rows, "relative_change") for rows in (one, other)]
    low, high = sorted(median(value for value, _ in role) for role in pairs)
    if not (low > 0 and high / low >= LEAST.factor):
        return False
    p = None
    if {row.get("tower") for row in one} == {row.get("tower") for row in other}:
        p = paired_by_layer(*(layered(rows, "relative_change") for rows in (one, other)))
    return tests * (welch(*pairs) if p is None else p) <= COMPARISON


def depth_trend(rows: Iterable[Row]) -> Trend | None:
    """Return the trend of the relative change within the roles of a tower."""
    return trend_within(
        layered(group, "relative_change") for group in groups(rows, "role").values()
    )


def trend(trend: Trend | None, tests: int) -> str:
    """Write how the relative change varies with depth, with an interval for the factor."""
    if trend is None or tests * trend.p > COMPARISON or not _is_large(trend.factor):
        return NO_TREND
    low, factor, high = trend.low, trend.factor, trend.high
    if factor < 1:
        low, factor, high = 1 / high, 1 / factor, 1 / low
    ends = ", ".join(bounds(low, high, 2))
    word = "grows" if trend.factor > 1 else "falls"
    return f"{word} with depth, by a factor of {short(factor, 2)} [{ends}] within roles"


def _is_large(factor: float) -> bool:
    return max(factor, 1 / factor) >= LEAST.factor


def percent(share: Middle) -> str:
    """Write a fraction in per cent."""
    within = replace(share, low=max(share.low, 0.0), high=min(share.high, 1.0))
    return within.times(100.0).text(2, " %")


def rotation(side: str, angles: Sequence[Pair]) -> str:
    """Write the angle by which directions of one side turned, or that they may be unchanged."""
    shown = middle([angle for angle, _ in angles], [error for _, error in angles])
    low, _ = interval(angles, COMPARISON / 2)
    rotated = low > 0 and shown.value >= LEAST.rotation
    same = "" if rotated else ": no clear change"
    return f"{replace(shown, low=max(shown.low, 0.0)).text(unit='°')} ({side}{same})"


def old_or_new(gaps: Sequence[Pair]) -> str:
    """Write whether a change lies along directions of W, closer than random directions do.

    `gaps` are the angles of random directions minus the angles of the change, in degrees.
    """
    low, high = interval(gaps, COMPARISON)
    if low > LEAST.chance:
        return "The change partly reinforces directions that W already has."
    if high < -LEAST.chance:
        return "The change avoids the directions that W already has."
    return "This does not differ clearly from chance: the directions are new."


def moved(shares: Sequence[Pair]) -> list[bool]:
    """Return True for each effective rank that changed beyond its error and by the least size."""
    beyond = sure(shares, COMPARISON / 2)
    return [
        yes and abs(share) >= LEAST.expands for yes, (share, _) in zip(beyond, shares, strict=True)
    ]


def expansion(shares: Sequence[Pair]) -> str:
    """Write whether the effective ranks expand or contract in the median."""
    low, high = interval(shares, COMPARISON / 2)
    if low <= 0 <= high:
        return "no clear change"
    if abs(median(share for share, _ in shares)) < LEAST.expands:
        return "less than 1 % of the rank, which is too small to matter"
    return "an expansion" if low > 0 else "a contraction"


def decay(share: float, coefficients: Sequence[Pair]) -> str:
    """Write the end of the sentence on weight decay."""
    low, high = interval(coefficients, COMPARISON)
    if share < LEAST.decay or low <= 0 <= high:
        return ": no clear weight decay."
    left_out = "the measures “without decay” exclude it."
    if high < 0:
        return f", which weight decay causes; {left_out}"
    return f", by which W grew, so this is not weight decay; {left_out}"
