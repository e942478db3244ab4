# SPDX-License-Identifier: BSD-3-Clause
"""Names of tensors in the width of a column, shortened so that they stay distinct."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sigmascope._words.text import printable

CUT = "…"
"""Mark of the characters that a shortened name lacks."""


@dataclass(frozen=True, slots=True)
class ShortNames:
    """Shortened names in their order, and the ends that were cut from all of them.

    Attributes
    ----------
    texts
        The names; "…" stands for characters that are left out.
    prefix, suffix
        Beginning and end of all names, which the texts lack; empty if they have them.
    """

    texts: tuple[str, ...]
    prefix: str = ""
    suffix: str = ""

    def legend(self) -> str:
        """Return a sentence on the common beginning and end that are left out; "" without them."""
        parts = [f'begin with "{self.prefix}"'] if self.prefix else []
        parts += [f'end with "{self.suffix}"'] if self.suffix else []
        return f"All names {' and '.join(parts)}." if parts else ""


def short_names(names: Sequence[str], width: int) -> ShortNames:
    """Shorten names to a width: common ends first, then the middle where they stay distinct.

    Examples
    --------
    >>> short_names(["model.layers.1.q", "model.layers.2.q"], 11).texts
    ('…layers.1.q', '…layers.2.q')
    """
    texts = tuple(map(printable, names))
    if _widest(texts) <= width:
        return ShortNames(texts)
    prefix, without = "", texts
    for prefix in _beginnings(_common_beginning(texts)):
        without = tuple(CUT + text[len(prefix) :] for text in texts)
        if _widest(without) <= width:
            return ShortNames(without, prefix)
    suffix = _common_beginning([text[::-1] for text in without])[::-1] if len(texts) > 1 else ""
    without = tuple(text[: len(text) - len(suffix)] + CUT if suffix else text for text in without)
    return ShortNames(_cut(without, width), prefix, suffix)


def stay_distinct(names: Sequence[str], width: int) -> bool:
    """Return True if distinct names stay distinct when they are shortened to a width."""
    return len(set(short_names(names, width).texts)) == len(set(names))


def _widest(texts: Sequence[str]) -> int:
    return max(map(len, texts), default=0)


def _common_beginning(texts: Sequence[str]) -> str:
    """Return the longest beginning, up to a dot, that all texts share."""
    first, last = min(texts), max(texts)  # all texts between these two begin like both
    pairs = zip(first, last, strict=False)
    count = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(first), len(last)))
    return first[: first.rfind(".", 0, count) + 1]


def _beginnings(text: str) -> list[str]:
    """Return the beginnings of a text up to each of its dots, the shortest first."""
    return [text[: place + 1] for place, letter in enumerate(text) if letter == "."]


def _cut(texts: tuple[str, ...], width: int) -> tuple[str, ...]:
    """Cut the middle of texts that are too long, with the longest end that keeps most distinct."""
    if _widest(texts) <= width:
        return texts
    best: tuple[str, ...] = ()
    for end in range(max(width - 1, 0), -1, -1):
        cut = tuple(_without_middle(text, width, end) for text in texts)
        if len(set(cut)) > len(set(best)):
            best = cut
        if len(set(best)) == len(set(texts)):
            break
    return best


def _without_middle(text: str, width: int, end: int) -> str:
    """Return the beginning and the last `end` characters of a text, in `width` characters."""
    if len(text) <= width:
        return text
    return text[: max(width - 1 - end, 0)] + CUT + text[len(text) - end :]
