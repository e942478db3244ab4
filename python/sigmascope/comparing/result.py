# SPDX-License-Identifier: BSD-3-Clause
"""The result of a comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from sigmascope._display.verdicts import COMPARED, Verdict, verdict
from sigmascope._tables.journal import Header
from sigmascope._tables.schema import Row, Schema
from sigmascope._tables.table import Table

from .rows import COMPARISON


@dataclass(frozen=True, slots=True, repr=False, eq=False, kw_only=True)
class Comparison(Table):
    """What a comparison found: one row per pair, in the order of `before`, then what has none.

    Attributes
    ----------
    before, after
        Paths of what was compared; empty if loaded from a CSV.
    options
        effort, k, tol, seed, num_threads, memory_limit (bytes), include, exclude.
    rows
        Records of the columns that :mod:`sigmascope.comparing.rows` lists; they are plain JSON.
    expected, notes, files, engine
        As for :class:`Table`; the names of files are preceded by "before/" and "after/".
    """

    schema: ClassVar[Schema] = COMPARISON

    before: str
    after: str

    def __repr__(self) -> str:
        parts = [f"{len(self.analysed)} pairs analysed"]
        parts += [f"{len(self.entrywise)} compared entry by entry"] if self.entrywise else []
        parts += [f"{len(self.unpaired)} without a partner"] if self.unpaired else []
        parts += [f"{len(self.failed)} failed"] if self.failed else []
        parts += [] if self.complete else [f"{len(self.rows)} of {self.expected} rows"]
        names = f"{self.before!r}, {self.after!r}"
        return f"Comparison({names}: {', '.join(parts)}, {self.seconds:.1f} s)"

    @property
    def compared(self) -> list[Row]:
        """The rows whose numbers were compared: matrices, and what has no spectrum."""
        return [row for row in self.rows if row["status"] in COMPARED]

    @property
    def verdict(self) -> Verdict:
        """What the two are to each other: every tensor in one group, and a sentence on them all."""
        return verdict(self.rows, self.expected)

    @property
    def unpaired(self) -> list[Row]:
        """The rows of tensors without a partner that they could be compared with."""
        return [row for row in self.rows if row["status"] == "unpaired"]

    @property
    def unreadable(self) -> list[Row]:
        """The rows of weights that this version cannot decode; excluded ones do not count."""
        return [
            row
            for row in self.rows
            if row["kind"] == "unreadable" and row["status"] == "not analysed"
        ]

    def header(self) -> Header:
        """Return the first line of a saved comparison: schema, version, and all but the rows."""
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
        }

    @classmethod
    def of_header(cls, header: Header, rows: list[Row]) -> Self:
        """Return the comparison that a header and its rows make; a CSV's header says nothing."""
        return cls(
            before=header.get("before", ""),
            after=header.get("after", ""),
            options=header.get("options", {}),
            rows=rows,
            expected=header.get("expected", len(rows)),
            notes=tuple(header.get("notes", ())),
            files=tuple(header.get("files", ())),
            engine=header.get("engine", {}),
        )
