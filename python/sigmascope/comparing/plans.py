# SPDX-License-Identifier: BSD-3-Clause
"""The plan of a comparison: the work, memory and estimated time of each pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from sigmascope.scanning.plans import Plan


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class ComparisonPlan(Plan):
    """The plan of a comparison.

    Attributes
    ----------
    before, after
        Paths of the two checkpoints.
    options, tensors, unreadable, kept, shard, workers, processes, rates, notes, next_bytes
        As for :class:`sigmascope.scanning.plans.Plan`. Without processes, `workers` is 1, and each
        pair has all threads. `alone` is empty.
    """

    one: ClassVar[str] = "pair"
    many: ClassVar[str] = "pairs"
    what: ClassVar[str] = "comparison"

    before: str
    after: str

    @property
    def sources(self) -> tuple[str, ...]:
        """Paths of both checkpoints."""
        return self.before, self.after

    def totals(self) -> dict[str, Any]:
        """Return the sums over all pairs, the options and the rates, as plain JSON."""
        return {"before": self.before, "after": self.after} | Plan.totals(self)
