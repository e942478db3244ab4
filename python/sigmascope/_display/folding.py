# SPDX-License-Identifier: BSD-3-Clause
"""Long lists of names, shortened without a loss: names that differ by numbers become one line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod

_NUMBER = re.compile(r"(?:(?<=[./])|^)(\d+)(?=[./]|$)")
"""A part of a name that is a number: of a layer or of an expert."""

_FEWEST = 3
"""Least number of names that are folded."""

Numbers = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Fold:
    """One line for some names.

    Attributes
    ----------
    text
        A name, or the common pattern: "encoder.layer.{0 to 5}: key.weight, query.weight".
    names
        The names that the line stands for.
    """

    text: str
    names: tuple[str, ...]


def fold_names(names: Iterable[str]) -> list[Fold]:
    """Return a line for each pattern of names, in the order of their first names.

    Examples
    --------
    >>> [fold.text for fold in fold_names(f"h.{i}.{x}.bias" for i in range(4) for x in "kq")]
    ['h.{0 to 3}: k.bias, q.bias']
    """
    names = list(dict.fromkeys(names))
    by_pattern: dict[tuple[str, ...], dict[Numbers, str]] = {}
    for name in names:
        parts = _NUMBER.split(name)
        numbers = tuple(map(int, parts[1::2]))
        canonical = [str(number) for number in numbers] == parts[1::2]  # "07" is not a 7
        key, value = (tuple(parts[::2]), numbers) if canonical else ((name,), ())
        by_pattern.setdefault(key, {})[value] = name
    by_numbers: dict[tuple[tuple[str, ...], tuple[Numbers, ...]], list[tuple[str, list[str]]]] = {}
    for texts, members in by_pattern.items():
        for group in _rectangles(members):
            key = (texts[:-1], tuple(sorted(group))) if texts[1:] else (texts, ())
            ending = texts[-1] if texts[1:] else ""
            by_numbers.setdefault(key, []).append((ending, [members[at] for at in sorted(group)]))
    lines = [line for key, endings in by_numbers.items() for line in _lines(*key, endings)]
    order = {name: i for i, name in enumerate(names)}
    return sorted(lines, key=lambda fold: order[fold.names[0]])


def _rectangles(members: Iterable[Numbers]) -> list[list[Numbers]]:
    """Divide tuples of numbers into groups that have every combination of their numbers."""
    rest = list(members)
    axes = [set(axis) for axis in zip(*rest, strict=True)]
    if len(rest) == prod(map(len, axes)):
        return [rest]
    groups: dict[Numbers, list[Numbers]] = {}
    for numbers in rest:
        groups.setdefault(numbers[:-1], []).append(numbers)
    return list(groups.values())


def _lines(
    texts: tuple[str, ...], numbers: Sequence[Numbers], endings: Sequence[tuple[str, list[str]]]
) -> list[Fold]:
    """Return one line for the names of some patterns with the same numbers, or one for each."""
    names = tuple(name for _, group in endings for name in group)
    if len(numbers) < 2 or len(names) < _FEWEST:
        return [Fold(name, (name,)) for name in names]
    axes = [sorted(set(axis)) for axis in zip(*numbers, strict=True)]
    ranges = [_range_text(axis) for axis in axes]
    start = "".join(text + shown for text, shown in zip(texts, ranges, strict=True))
    if len(endings) == 1:
        return [Fold(start + endings[0][0], names)]
    parts = ", ".join(ending.lstrip("./") or "itself" for ending, _ in endings)
    return [Fold(f"{start}: {parts}", names)]


def _range_text(numbers: Sequence[int]) -> str:
    """Write ascending numbers: "{0 to 5}", "{0 to 2, 7}", "3"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    texts = [f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    return str(numbers[0]) if len(numbers) == 1 else f"{{{', '.join(texts)}}}"
