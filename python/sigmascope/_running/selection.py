# SPDX-License-Identifier: BSD-3-Clause
"""Selection of tensors by patterns of their names."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from sigmascope._host.keywords import similar

Patterns = str | Sequence[str] | None


def as_list(patterns: Patterns) -> list[str]:
    """Return the patterns of an option as a list."""
    return [patterns] if isinstance(patterns, str) else list(patterns or ())


class Selection:
    """Patterns of tensors to include and to exclude, and those to include that matched nothing."""

    def __init__(self, include: list[str], exclude: list[str]) -> None:
        self._include = include
        self._exclude = exclude
        self._unmatched = set(include)
        self._names: dict[str, None] = {}  # in order, for suggestions

    def reason(self, names: set[str]) -> str | None:
        """Return why a tensor with these names is excluded; None if it is selected."""
        self._names |= dict.fromkeys(sorted(names))
        included = [pattern for pattern in self._include if _matches(names, pattern)]
        self._unmatched -= set(included)
        excluded = next((pattern for pattern in self._exclude if _matches(names, pattern)), None)
        if self._include and not included:
            return "matches no include pattern"
        return None if excluded is None else f"matches {excluded!r}"

    def check(self, where: str) -> None:
        """Raise ValueError if a pattern to include has matched nothing."""
        if self._unmatched:
            parts = [f"{pattern!r}{self._near(pattern)}" for pattern in sorted(self._unmatched)]
            raise ValueError(f"{where}: no tensor matches {', '.join(parts)}")

    def _near(self, pattern: str) -> str:
        """Return names that would have matched, for the message of a pattern without a match."""
        if "[head" in pattern and not any("[head " in name for name in self._names):
            return " (attention heads are separate matrices only with the option heads)"
        wider = f"*{pattern.strip('*')}*"
        names = [name for name in self._names if _matches({name}, wider)]
        if names:
            others = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
            return f" ({wider!r} would match {names[0]!r}{others})"
        return similar(pattern, self._names)


def _matches(names: set[str], pattern: str) -> bool:
    """Return True if a pattern matches a name.

    A name may be given as tables show it: "…" stands for any characters, and the brackets of
    "experts[3]" and "q_proj.weight[head 3]" for themselves.
    """
    shown = pattern.replace("…", "*")
    literal = shown.replace("[", "[[]")
    return any(
        name == pattern or fnmatchcase(name, shown) or fnmatchcase(name, literal) for name in names
    )
