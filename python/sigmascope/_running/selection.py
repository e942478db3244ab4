# SPDX-License-Identifier: BSD-3-Clause
"""Selection of tensors by patterns of their names."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

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

    def reason(self, names: set[str]) -> str | None:
        """Return why a tensor of these names is excluded; None if it is wanted."""
        included = [pattern for pattern in self._include if _matches(names, pattern)]
        self._unmatched -= set(included)
        excluded = next((pattern for pattern in self._exclude if _matches(names, pattern)), None)
        if self._include and not included:
            return "matches no pattern to include"
        return None if excluded is None else f"matches {excluded!r}"

    def check(self, where: str) -> None:
        """Raise ValueError if a pattern to include has matched nothing."""
        if self._unmatched:
            raise ValueError(
                f"{where}: no tensor matches {', '.join(map(repr, sorted(self._unmatched)))}"
            )


def _matches(names: set[str], pattern: str) -> bool:
    return any(name == pattern or fnmatchcase(name, pattern) for name in names)
