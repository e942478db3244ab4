# SPDX-License-Identifier: BSD-3-Clause
"""The result of a scan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from sigmascope._tables.journal import Header
from sigmascope._tables.schema import Row, Schema
from sigmascope._tables.shards import Shard
from sigmascope._tables.table import Table

from .rows import SCAN
from .weightwatcher_frame import details_frame

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, repr=False, eq=False, kw_only=True)
class Scan(Table):
    """The result of a scan: one row per tensor of the checkpoint, in file order.

    Attributes
    ----------
    checkpoint
        Path of the checkpoint that was scanned; empty if loaded from a CSV.
    options
        effort, k, tol, accuracy, measures, seed, num_threads, memory_limit (bytes), include,
        exclude.
    rows
        Records with the columns that :mod:`sigmascope.scanning.rows` lists, as plain JSON.
    expected, notes, files, engine, architecture, shard
        As for :class:`Table`.
    """

    schema: ClassVar[Schema] = SCAN

    checkpoint: str

    def __repr__(self) -> str:
        parts = [f"{len(self.analysed)} matrices analysed"]
        parts += [f"{len(self.entrywise)} without a spectrum read"] if self.entrywise else []
        parts += [f"{len(self.failed)} failed"] if self.failed else []
        parts += [] if self.complete else [f"{len(self.rows)} of {self.expected} rows"]
        return f"Scan({self.checkpoint!r}: {', '.join(parts)}, {self.seconds:.1f} s)"

    @property
    def unreadable(self) -> list[Row]:
        """Rows of weights that this version cannot decode, without those that were excluded."""
        return [
            row
            for row in self.rows
            if row["kind"] == "unreadable" and row["status"] == "not analysed"
        ]

    def header(self) -> Header:
        """Return the first line of a saved scan: the schema and every attribute but the rows."""
        return {
            "schema": self.schema.name,
            "version": self.schema.version,
            "checkpoint": self.checkpoint,
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
        """Make a scan from a header and its rows; the header of a CSV is nearly empty."""
        return cls(
            checkpoint=header.get("checkpoint", ""),
            options=header.get("options", {}),
            rows=rows,
            expected=header.get("expected", len(rows)),
            notes=tuple(header.get("notes", ())),
            files=tuple(header.get("files", ())),
            engine=header.get("engine", {}),
            architecture=header.get("architecture"),
            shard=Shard.of_header(header.get("shard")),
        )

    def to_weightwatcher(self) -> pd.DataFrame:
        """Return the columns of weightwatcher 0.7.7's details, one line per analysed matrix.

        Names, units and rules are those of weightwatcher; :mod:`sigmascope.spectra.weightwatcher`
        lists the exceptions. Values that the effort of a row does not give are missing; the power
        law needs effort "exact". ``layer_id`` counts the analysed matrices from 0.

        Raises
        ------
        ImportError
            Without the extra ``table``.
        """
        frame: pd.DataFrame = details_frame(self.analysed)
        return frame
