# SPDX-License-Identifier: BSD-3-Clause
"""What a saved table is: its schema, so that journals and files are written and read alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from .rows import ADDED, COLUMNS, READS, SCHEMA, VERSION, Kind, Row


class OtherTableError(ValueError):
    """A saved table is of another kind."""


class Schema(NamedTuple):
    """The rows of one kind of table.

    Attributes
    ----------
    name, version
        As in the header of a file.
    what
        In words: "scan".
    columns
        Every column of a row, in order, with its type.
    reads
        Versions that are read, `version` among them.
    added
        Columns that earlier versions lack.
    """

    name: str
    version: int
    what: str
    columns: Mapping[str, Kind]
    reads: tuple[int, ...]
    added: frozenset[str] = frozenset()

    def row(self, record: Mapping[str, object]) -> Row:
        """Return a row with every column there is, and no other."""
        return {name: record.get(name) for name in self.columns}


SCAN = Schema(SCHEMA, VERSION, "scan", COLUMNS, READS, frozenset(ADDED))
