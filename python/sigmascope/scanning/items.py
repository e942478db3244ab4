# SPDX-License-Identifier: BSD-3-Clause
"""The rows of a scan before anything is analysed: which tensors are, which are not, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from sigmascope.adapters import Scannable
from sigmascope.checkpoint import TensorRecord

from .rows import Row, start_row

Patterns = str | Sequence[str] | None


@dataclass(frozen=True, slots=True)
class Item:
    """A row to come; a tensor that is to be analysed has `matrix` true, else there is a reason.

    `entrywise`: it has no spectrum, and its numbers are read one by one.
    """

    record: TensorRecord
    name: str
    matrix: bool
    status: str = "not analysed"
    reason: str | None = None
    entrywise: bool = False

    @property
    def stored_bytes(self) -> int:
        """Of the matrix that is to be analysed; 0 if there is none."""
        return self.record["nbytes"] // len(self.record["matrices"]) if self.matrix else 0

    def row(self) -> Row:
        """Begin its row, with what the headers tell."""
        return start_row(self.record, self.name, self.status, self.reason)


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


def listed(checkpoint: Scannable, include: list[str], exclude: list[str]) -> Iterator[Item]:
    """List the rows to come, in file order; every pattern of `include` must select something."""
    wanted = Selection(include, exclude)
    for tensor in checkpoint.info():
        for name in tensor["matrices"] or (tensor["name"],):
            record = checkpoint.record_of(name) if tensor["matrices"] else tensor
            excluded = wanted.reason({name, record["name"]})
            if excluded is not None:
                yield Item(record, name, False, "excluded", excluded)
            elif record["matrices"]:
                yield Item(record, name, True)
            else:
                readable = checkpoint.elements(name) is not None
                yield Item(record, name, False, "not analysed", record["reason"], readable)
    wanted.check(str(checkpoint.path))


def _matches(names: set[str], pattern: str) -> bool:
    return any(name == pattern or fnmatchcase(name, pattern) for name in names)
