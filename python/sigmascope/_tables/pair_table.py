# SPDX-License-Identifier: BSD-3-Clause
"""A table with one row for every pair of tensors of two checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .schema import Row
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

    sources: ClassVar[tuple[str, ...]] = ("before", "after")

    before: str
    after: str

    @property
    def unpaired(self) -> list[Row]:
        """Rows of tensors without a partner, or with a partner of another shape."""
        return [row for row in self.rows if row["status"] == "unpaired"]
