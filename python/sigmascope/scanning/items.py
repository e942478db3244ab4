# SPDX-License-Identifier: BSD-3-Clause
"""The rows of a scan before anything is analysed: which tensors are, which are not, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from sigmascope.adapters import Scannable
from sigmascope.checkpoint import TensorRecord

Patterns = str | Sequence[str] | None


@dataclass(frozen=True, slots=True)
class Item:
    """A row to come; a tensor that is to be analysed has `matrix` true, else there is a reason."""

    record: TensorRecord
    name: str
    matrix: bool
    status: str = "not analysed"
    reason: str | None = None

    @property
    def stored_bytes(self) -> int:
        """Of the matrix that is to be analysed; 0 if there is none."""
        return self.record["nbytes"] // len(self.record["matrices"]) if self.matrix else 0


def as_list(patterns: Patterns) -> list[str]:
    """Return the patterns of an option, however it was given."""
    return [patterns] if isinstance(patterns, str) else list(patterns or ())


def listed(checkpoint: Scannable, include: list[str], exclude: list[str]) -> Iterator[Item]:
    """List the rows to come, in file order; every pattern of `include` must select something."""
    useless = set(include)
    for tensor in checkpoint.info():
        for name in tensor["matrices"] or (tensor["name"],):
            record = checkpoint.record_of(name) if tensor["matrices"] else tensor
            names = {name, record["name"]}
            found = [pattern for pattern in include if _matches(names, pattern)]
            useless -= set(found)
            dropped = next((pattern for pattern in exclude if _matches(names, pattern)), None)
            if include and not found:
                yield Item(record, name, False, "excluded", "matches no pattern to include")
            elif dropped is not None:
                yield Item(record, name, False, "excluded", f"matches {dropped!r}")
            elif record["matrices"]:
                yield Item(record, name, True)
            else:
                yield Item(record, name, False, "not analysed", record["reason"])
    if useless:
        raise ValueError(
            f"{checkpoint.path}: no tensor matches {', '.join(map(repr, sorted(useless)))}"
        )


def _matches(names: set[str], pattern: str) -> bool:
    return any(name == pattern or fnmatchcase(name, pattern) for name in names)
