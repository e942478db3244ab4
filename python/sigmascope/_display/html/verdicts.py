# SPDX-License-Identifier: BSD-3-Clause
"""What may be said of a comparison: verdicts that need the least size, and exclude chance.

Each kind of finding has the level `COMPARISON`, shared out among all that it looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import median

from sigmascope._display.text import bounds, short

from .chance import COMPARISON, LEAST, Pair, apart, interval, sure
from .estimates import Middle, middle, pairs_of
from .findings import Row

NO_TREND = "has no trend with depth that is distinguishable"


def differ(one: Iterable[Row], other: Iterable[Row], tests: int) -> bool:
    """Whether two groups changed to an extent that differs, in one of so many comparisons."""
    groups = [pairs_of(rows, "relative_change") for rows in (one, other)]
    low, high = sorted(median(value for value, _ in group) for group in groups)
    return low > 0 and high / low >= LEAST.factor and tests * apart(*groups) <= COMPARISON


def trend(first: Middle, last: Middle) -> str:
    """Say how layers that differ do so, with an interval that both medians' intervals allow."""
    grows = first.value < last.value
    low, high = (first, last) if grows else (last, first)
    least = max(high.low, 0.0) / low.high
    ends = bounds(least, high.high / low.low if low.low > 0 else math.inf, 2)
    factor = f"{short(high.value / low.value, 2)} [{', '.join(ends)}]"
    return f"{'grows' if grows else 'falls'} with depth, by a factor of {factor}"


def percent(share: Middle) -> str:
    """Show a share of something in per cent."""
    within = replace(share, low=max(share.low, 0.0), high=min(share.high, 1.0))
    return within.times(100.0).text(2, " %")


def turn(side: str, angles: Sequence[Pair]) -> str:
    """Say by how much the directions of one side turned, or that they may be the same."""
    shown = middle([angle for angle, _ in angles], [error for _, error in angles])
    low, _ = interval(angles, COMPARISON / 2)
    turned = low > 0 and shown.value >= LEAST.turned
    same = "" if turned else ": not distinguishable from unchanged"
    return f"{replace(shown, low=max(shown.low, 0.0)).text(unit='°')} ({side}{same})"


def old_or_new(gaps: Sequence[Pair]) -> str:
    """Say whether a change is along what there was: by how much closer than chance, in degrees."""
    low, high = interval(gaps, COMPARISON)
    if low > LEAST.chance:
        return "The change reinforces, in part, directions that W already has."
    if high < -LEAST.chance:
        return "The change keeps away from the directions that W already has."
    return "That is not distinguishable from chance: the directions are new ones."


def moved(shares: Sequence[Pair]) -> list[bool]:
    """Return which effective ranks changed, beyond their errors and by a share that matters."""
    beyond = sure(shares, COMPARISON / 2)
    return [
        yes and abs(share) >= LEAST.expands for yes, (share, _) in zip(beyond, shares, strict=True)
    ]


def expansion(shares: Sequence[Pair]) -> str:
    """Say what the effective ranks do as a whole."""
    low, high = interval(shares, COMPARISON / 2)
    if low <= 0 <= high:
        return "not distinguishable from none"
    if abs(median(share for share, _ in shares)) < LEAST.expands:
        return "less than a hundredth of the rank, which is no change that matters"
    return "it expands" if low > 0 else "it contracts"


def decay(share: float, coefficients: Sequence[Pair]) -> str:
    """End the sentence on how much of the energy of a change is a multiple of what it changes."""
    low, high = interval(coefficients, COMPARISON)
    if share < LEAST.decay or low <= 0 <= high:
        return ": no weight decay that is distinguishable from none."
    left_out = "the measures “without decay” leave it out."
    if high < 0:
        return f", as weight decay makes it; {left_out}"
    return f", by which it grew: no weight decay; {left_out}"
