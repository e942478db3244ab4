# SPDX-License-Identifier: BSD-3-Clause
"""Saved runs: what was trained, and the rows of the comparison with the base."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from sigmascope.diagnosis.places import Update, update_of
from sigmascope.results import Comparison

from .plan import BROAD, NARROW
from .run import rows_path
from .runs import Run

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Found:
    """A run and the rows of its comparison with its base."""

    run: Run
    rows: Rows
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def update(self) -> Update:
        return update_of(self.rows)

    @property
    def spread(self) -> float:
        """The mean of the statistic over matrices."""
        return fmean(each.value for each in self.update.spreads)

    @property
    def label(self) -> str | float | None:
        """The class of a run, or its breadth."""
        if self.run.regime == "cells":
            return float(self.run.cells)
        regimes = {"narrow": NARROW, "broad": BROAD}
        return next((side for side, names in regimes.items() if self.run.regime in names), None)


def load(folder: Path) -> list[Found]:
    """Return every run whose comparison is there."""
    results = []
    for path in sorted((folder / "rows").glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        fields = {key: record[key] for key in Run.__dataclass_fields__}
        run = Run(**fields | {"snapshots": tuple(fields["snapshots"])})
        if run.base:
            rows = Comparison.load(rows_path(folder, run.name)).rows
            results.append(Found(run, rows, record))
    return results


def increments_of(result: Sequence[Found], folder: Path) -> list[Found]:
    """Return the last increments of the runs that have snapshots."""
    return [
        Found(
            replace(x.run, group=f"increment from step {step}"),
            Comparison.load(rows_path(folder, f"{x.run.name}-after-{step}")).rows,
        )
        for x in result
        for step in x.run.snapshots
    ]


def of(result: Sequence[Found], group: str, *regimes: str) -> list[Found]:
    return [x for x in result if x.run.group == group and (not regimes or x.run.regime in regimes)]
