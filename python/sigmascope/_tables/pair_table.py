# SPDX-License-Identifier: BSD-3-Clause
"""A table with one row for every pair of tensors of two checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from .journal import Header
from .schema import Row
from .shards import Shard
from .table import Table


@dataclass(frozen=True, slots=True, repr=False, eq=False, kw_only=True)
class PairTable(Table):
    """The common base of tables of two checkpoints.

    Attributes
    ----------
    before, after
        Paths of the two checkpoints; empty if loaded from a CSV.
    options, rows, expected, notes, files, engine, architecture, shard
        As for :class:`Table`.
    """

    before: str
    after: str

    @property
    def unpaired(self) -> list[Row]:
        """Rows of tensors without a partner, or with a partner of another shape."""
        return [row for row in self.rows if row["status"] == "unpaired"]

    def header(self) -> Header:
        """Return the first line of a saved table: schema and attributes except the rows."""
        return {
            "schema": self.schema.name,
            "version": self.schema.version,
            "before": self.before,
            "after": self.after,
            "options": self.options,
            "expected": self.expected,
            "notes": list(self.notes),
            "files": [dict(file) for file in self.files],
            "engine": self.engine,
            "architecture": self.architecture,
            "shard": None if self.shard is None else self.shard.to_header(),
        }

    @classmethod
    def of_header(cls, header: Header, rows: list[Row]) -> Self:
        """Make a table from a header and its rows; the header of a CSV is nearly empty."""
        return cls(
            before=header.get("before", ""),
            after=header.get("after", ""),
            options=header.get("options", {}),
            rows=rows,
            expected=header.get("expected", len(rows)),
            notes=tuple(header.get("notes", ())),
            files=tuple(header.get("files", ())),
            engine=header.get("engine", {}),
            architecture=header.get("architecture"),
            shard=Shard.of_header(header.get("shard")),
        )
