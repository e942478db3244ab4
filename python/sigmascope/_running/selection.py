# SPDX-License-Identifier: BSD-3-Clause
"""Which tensors are wanted: patterns of their names."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

Patterns = str | Sequence[str] | None


def as_list(patterns: Patterns) -> list[str]:
    """Return the patterns of an option, however it was given."""
    return [patterns] if isinstance(patterns, str) else list(patterns or ())


class Selection:
    """Which tensors are wanted: patterns to include and to exclude, and whether each is of use."""

    def __init__(self, include: list[str], exclude: list[str]) -> None:
        self._include = include
        self._exclude = exclude
        self._useless = set(include)

    def reason(self, names: set[str]) -> str | None:
        """Return why a tensor of these names is excluded; None if it is wanted."""
        found = [pattern for pattern in self._include if _matches(names, pattern)]
        self._useless -= set(found)
        dropped = next((pattern for pattern in self._exclude if _matches(names, pattern)), None)
        if self._include and not found:
            return "matches no pattern to include"
        return None if dropped is None else f"matches {dropped!r}"

    def check(self, where: str) -> None:
        """ValueError if some pattern to include has selected nothing."""
        if self._useless:
            raise ValueError(
                f"{where}: no tensor matches {', '.join(map(repr, sorted(self._useless)))}"
            )


def _matches(names: set[str], pattern: str) -> bool:
    return any(name == pattern or fnmatchcase(name, pattern) for name in names)
