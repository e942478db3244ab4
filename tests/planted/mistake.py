# SPDX-License-Identifier: BSD-3-Clause
"""Mistakes that somebody might make, as replacements of text in one source file."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent / "mistakes"
COMPILED = (".cpp", ".hpp", ".cu", ".cuh", ".h")


@dataclass(frozen=True, slots=True)
class Mistake:
    """One replacement in a source file, and the tests that are nearest to it.

    `equivalent` is empty, or says why no caller can notice the mistake.
    """

    room: str
    name: str
    file: str
    right: str
    wrong: str
    tests: tuple[str, ...]
    equivalent: str = ""

    @property
    def compiled(self) -> bool:
        """Whether the file belongs to the native module."""
        return self.file.endswith(COMPILED)

    @property
    def for_device(self) -> bool:
        """Whether the file belongs to the module for CUDA."""
        return self.file.startswith("cuda/")

    def plant(self, text: str) -> str:
        """Return the text of the source file with the mistake; ValueError if it has no place."""
        count = text.count(self.right)
        if count != 1:
            raise ValueError(f"{self}: the right text is {count} times in {self.file}, not once")
        return text.replace(self.right, self.wrong)

    def __str__(self) -> str:
        return f"{self.room}: {self.name}"


def read_mistakes(folder: Path = FOLDER) -> Iterator[Mistake]:
    """Yield the mistakes of every room, in the order of the files."""
    for path in sorted(folder.glob("*.toml")):
        with path.open("rb") as file:
            yield from _mistakes_of(path.stem, tomllib.load(file))


def _mistakes_of(room: str, table: dict[str, Any]) -> Iterator[Mistake]:
    nearest = tuple(table["tests"])
    for entry in table["mistake"]:
        first = tuple(entry.pop("tests", ()))
        rest = tuple(each for each in nearest if each not in first)
        yield Mistake(room=room, tests=first + rest, **entry)
