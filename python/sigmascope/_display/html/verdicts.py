# SPDX-License-Identifier: BSD-3-Clause
"""Decisions in a comparison's findings, by the least size and by significance.

Each kind of finding has the level `COMPARISON`, which is divided among all its tests.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import median

from sigmascope._display.rows import Row
from sigmascope._display.text import bounds, short

from .chance import COMPARISON, LEAST, Pair, interval, sure, welch
from .estimates import Middle, middle, pairs_of

NO_TREND = "has no trend with depth that is distinguishable"


def differ(one: Iterable[Row], other: Iterable[Row], tests: int) -> bool:
    """Return True if two groups' relative changes differ, significantly in one of `tests`."""
    groups = [pairs_of(rows, "relative_change") for rows in (one, other)]
    low, high = sorted(median(value for value, _ in group) for group in groups)
    return low > 0 and high / low >= LEAST.factor and tests * welch(*groups) <= COMPARISON


def trend(first: Middle, last: Middle) -> str:
    """Write how layers that differ change with depth, with an interval of the factor."""
    grows = first.value < last.value
    low, high = (first, last) if grows else (last, first)
    least = max(high.low, 0.0) / low.high
    ends = bounds(least, high.high / low.low if low.low > 0 else math.inf, 2)
    factor = f"{short(high.value / low.value, 2)} [{', '.join(ends)}]"
    return f"{'grows' if grows else 'falls'} with depth, by a factor of {factor}"


def percent(share: Middle) -> str:
    """Write a fraction in per cent."""
    within = replace(share, low=max(share.low, 0.0), high=min(share.high, 1.0))
    return within.times(100.0).text(2, " %")


def rotation(side: str, angles: Sequence[Pair]) -> str:
    """Write by which angle the directions of one side turned, or that they may be unchanged."""
    shown = middle([angle for angle, _ in angles], [error for _, error in angles])
    low, _ = interval(angles, COMPARISON / 2)
    rotated = low > 0 and shown.value >= LEAST.rotation
    same = "" if rotated else ": not distinguishable from unchanged"
    return f"{replace(shown, low=max(shown.low, 0.0)).text(unit='°')} ({side}{same})"


def old_or_new(gaps: Sequence[Pair]) -> str:
    """Write whether a change lies along directions of W, closer than random directions do.

    `gaps` are angles of random directions less those of the change, in degrees.
    """
    low, high = interval(gaps, COMPARISON)
    if low > LEAST.chance:
        return "The change reinforces, in part, directions that W already has."
    if high < -LEAST.chance:
        return "The change keeps away from the directions that W already has."
    return "That is not distinguishable from chance: the directions are new ones."


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
        return "not distinguishable from none"
    if abs(median(share for share, _ in shares)) < LEAST.expands:
        return "less than a hundredth of the rank, which is no change that matters"
    return "it expands" if low > 0 else "it contracts"


def decay(share: float, coefficients: Sequence[Pair]) -> str:
    """Write the end of the sentence on weight decay."""
    low, high = interval(coefficients, COMPARISON)
    if share < LEAST.decay or low <= 0 <= high:
        return ": no weight decay that is distinguishable from none."
    left_out = "the measures “without decay” leave it out."
    if high < 0:
        return f", as weight decay makes it; {left_out}"
    return f", by which it grew: no weight decay; {left_out}"
