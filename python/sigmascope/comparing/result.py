# SPDX-License-Identifier: BSD-3-Clause
"""The result of a comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sigmascope._tables.pair_table import PairTable
from sigmascope._tables.schema import Row, Schema
from sigmascope._words.verdicts import COMPARED, Verdict, verdict

from .rows import COMPARISON


@dataclass(frozen=True, slots=True, repr=False, eq=False, kw_only=True)
class Comparison(PairTable):
    """The result of a comparison: a row per pair, and per tensor without a partner.

    Pairs are in the order of `before`; tensors that only `after` has come last.

    Attributes
    ----------
    before, after
        Paths of the two checkpoints; empty if loaded from a CSV.
    options
        Options of the run that a journal records (docs/reference/run-options.md); memory in bytes.
    rows
        Records with the columns that :mod:`sigmascope.comparing.rows` lists, as plain JSON.
    expected, notes, files, engine, architecture, shard
        As for :class:`PairTable`; the names of files begin with "before/" or "after/".
    """

    schema: ClassVar[Schema] = COMPARISON

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
        """Rows whose tensors were compared, with or without spectra."""
        return [row for row in self.rows if row["status"] in COMPARED]

    @property
    def verdict(self) -> Verdict:
        """A sentence that sums up the comparison, and groups that count every tensor once."""
        return verdict(self.rows, self.expected)
