# SPDX-License-Identifier: BSD-3-Clause
"""What a saved table is: its schema, so that journals and files are written and read alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from .rows import COLUMNS, SCHEMA, VERSION, Kind, Row


class Schema(NamedTuple):
    """The rows of one kind of table.

    Attributes
    ----------
    name, version
        As in the header of a file; a file of another version is refused.
    what
        In words: "scan".
    columns
        Every column of a row, in order, with its type.
    """

    name: str
    version: int
    what: str
    columns: Mapping[str, Kind]

    def row(self, record: Mapping[str, object]) -> Row:
        """Return a row with every column there is, and no other."""
        return {name: record.get(name) for name in self.columns}


SCAN = Schema(SCHEMA, VERSION, "scan", COLUMNS)
