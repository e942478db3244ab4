# SPDX-License-Identifier: BSD-3-Clause
"""The result of a scan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sigmascope._tables.schema import Schema
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
        Options of the run that a journal records (docs/reference/run-options.md); memory in bytes.
    rows
        Records with the columns that :mod:`sigmascope.scanning.rows` lists, as plain JSON.
    expected, notes, files, engine, architecture, shard
        As for :class:`Table`.
    """

    schema: ClassVar[Schema] = SCAN
    sources: ClassVar[tuple[str, ...]] = ("checkpoint",)

    checkpoint: str

    def __repr__(self) -> str:
        parts = [f"{len(self.analysed)} matrices analysed"]
        parts += [f"{len(self.entrywise)} without a spectrum read"] if self.entrywise else []
        parts += [f"{len(self.failed)} failed"] if self.failed else []
        parts += [] if self.complete else [f"{len(self.rows)} of {self.expected} rows"]
        return f"Scan({self.checkpoint!r}: {', '.join(parts)}, {self.seconds:.1f} s)"

    def to_weightwatcher(self) -> pd.DataFrame:
        """Return the columns of weightwatcher 0.7.7's details, one line per analysed matrix.

        The table follows weightwatcher's names, units and rules, with the exceptions that
        :mod:`sigmascope.spectra.weightwatcher` lists. Values that the effort of a row does not give
        are missing; the power law needs effort "exact". ``layer_id`` counts the analysed matrices
        from 0.

        Raises
        ------
        ImportError
            Without the extra ``table``.
        """
        frame: pd.DataFrame = details_frame(self.analysed)
        return frame
