# SPDX-License-Identifier: BSD-3-Clause
"""The result of an extraction, and the columns of its rows.

name, tuned
    Names of the tensor in the base and in the tuned model.
module
    Module that is adapted, if the tensor is its weight; for stacked experts their parameter.
status
    "extracted": the adapter has the change. "saved whole": it has the tuned tensor. "unchanged":
    both are equal. "below the edge": no value of the change is clearly above its noise edge,
    or its values have no such edge, as `reason` says.
    "not carried": an adapter cannot have the change, and `reason` says why. "unpaired",
    "not analysed", "excluded", "failed": as in a comparison.
rank
    Rank of the factors.
delta_fro_norm, relative_change
    ||dW||_F; for tensors that were compared entry by entry, also ||dW||_F / ||W||_F.
remaining, remaining_error
    ||dW - B A||_F for the factors as stored, and a bound on its error.
relative_error, relative_error_error
    Both divided by ||dW||_F.
spectral_bound
    Upper bound of ||dW - B A||_2.
mp_edge, mp_outliers, mp_outliers_error
    With the criterion "edge": the noise edge of dW, and the number of values above it. `rank`
    counts only values that are clearly above.
device
    Device that computed the singular vectors: "cpu", or "cuda:0".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sigmascope._tables.pair_table import PairTable
from sigmascope._tables.schema import Kind, Row, Schema
from sigmascope.comparing.rows import COLUMNS as PAIR_COLUMNS

FROM_PAIR: dict[str, Kind] = {
    name: PAIR_COLUMNS[name]
    for name in (
        "name",
        "before_file",
        "after_file",
        "before_dtype",
        "after_dtype",
        "before_shape",
        "nbytes",
        "kind",
        "layer",
        "role",
        "tower",
        "expert",
        "status",
        "reason",
        "notes",
    )
}
"""Columns that a comparison has too."""

COLUMNS: dict[str, Kind] = FROM_PAIR | {
    "tuned": "str",
    "module": "str",
    "failure": "str",
    "rank": "int",
    "delta_fro_norm": "float",
    "relative_change": "float",
    "remaining": "float",
    "remaining_error": "float",
    "relative_error": "float",
    "relative_error_error": "float",
    "spectral_bound": "float",
    "mp_edge": "float",
    "mp_outliers": "float",
    "mp_outliers_error": "float",
    "converged": "bool",
    "method": "str",
    "precision": "str",
    "passes": "int",
    "seed": "uint",
    "seconds": "float",
    "num_threads": "int",
    "device": "str",
}

EXTRACTION = Schema("sigmascope.extraction", 1, "extraction", COLUMNS, (1,))

EXTRACTED = "extracted"
SAVED = "saved whole"
NOT_CARRIED = "not carried"
BELOW_EDGE = "below the edge"


@dataclass(frozen=True, slots=True, repr=False, eq=False, kw_only=True)
class Extraction(PairTable):
    """The result of an extraction: a row per tensor, in the order of the base.

    Attributes
    ----------
    before, after
        Paths of the base and of the tuned model.
    options
        The criterion, dtype, fan_in_fan_out, whole, tol, max_passes, precision, seed, num_threads,
        memory_limit, include, exclude; on a CUDA device also device and device_memory.
    rows
        Records with the columns that :mod:`sigmascope.comparing.extracting.result` lists.
    expected, notes, files, engine, architecture, shard
        As for :class:`PairTable`.
    """

    schema: ClassVar[Schema] = EXTRACTION

    @property
    def analysed(self) -> list[Row]:
        """Rows whose change is in the adapter."""
        return [row for row in self.rows if row["status"] == EXTRACTED]

    @property
    def saved(self) -> list[Row]:
        """Rows of changed tensors that the adapter stores in full."""
        return [row for row in self.rows if row["status"] == SAVED]

    @property
    def not_carried(self) -> list[Row]:
        """Rows of changed tensors whose change an adapter cannot have."""
        return [row for row in self.rows if row["status"] == NOT_CARRIED]

    @property
    def below_edge(self) -> list[Row]:
        """Rows of changed matrices without a singular value clearly above the noise edge."""
        return [row for row in self.rows if row["status"] == BELOW_EDGE]

    @property
    def written(self) -> bool:
        """True if the adapter is complete: every row is there, and none failed."""
        return self.complete and not self.failed and bool(self.analysed or self.saved)

    def __repr__(self) -> str:
        parts = [f"{len(self.analysed)} changes extracted"]
        counts = {SAVED: self.saved, NOT_CARRIED: self.not_carried, "failed": self.failed}
        parts += [f"{len(rows)} {what}" for what, rows in counts.items() if rows]
        parts += [] if self.complete else [f"{len(self.rows)} of {self.expected} rows"]
        names = f"{self.before!r}, {self.after!r}"
        return f"Extraction({names}: {', '.join(parts)}, {self.seconds:.1f} s)"
