# SPDX-License-Identifier: BSD-3-Clause
"""Levels of families of tests, and groups of checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log10
from typing import TypeVar

K = TypeVar("K")


def holm(log10_p: Mapping[K, float]) -> dict[K, float]:
    """Return p-values that are adjusted for a family, as logarithms.

    The probability that any true null hypothesis has an adjusted p-value of at most α is at most α,
    however the tests depend on each other.

    References
    ----------
    Holm, A simple sequentially rejective multiple test procedure, 1979.

    Examples
    --------
    >>> {name: round(10**value, 3) for name, value in holm({"a": -3, "b": -1}).items()}
    {'a': 0.002, 'b': 0.1}
    """
    adjusted, largest = {}, -float("inf")
    ordered = sorted(log10_p, key=lambda name: log10_p[name])
    for place, name in enumerate(ordered):
        largest = max(largest, log10_p[name] + log10(len(ordered) - place))
        adjusted[name] = min(largest, 0.0)
    return {name: adjusted[name] for name in log10_p}


def bonferroni(log10_p: float, count: int) -> float:
    """Return the least of `count` p-values, adjusted for their number."""
    return min(log10_p + log10(max(count, 1)), 0.0)


def group_by_links(names: Sequence[str], links: Sequence[tuple[int, int]]) -> list[list[str]]:
    """Return groups by single linkage: the connected components, in the order of the names."""
    group = list(range(len(names)))
    for a, b in links:
        first, second = sorted((group[a], group[b]))
        group = [first if value == second else value for value in group]
    return [
        [name for name, value in zip(names, group, strict=True) if value == root]
        for root in dict.fromkeys(group)
    ]
