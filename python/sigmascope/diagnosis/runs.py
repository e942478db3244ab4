# SPDX-License-Identifier: BSD-3-Clause
"""Runs of known data: their labels, the digests of their comparisons, and both as plain JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .places import Place, Spread, Update
from .validation import Labelled
from .verdicts import Side

Label = str | float | int | None
"""Label of a run: "narrow", "broad", a breadth (number of tasks, 1 or more), or None."""

NARROW_AT_MOST, BROAD_AT_LEAST = 2.0, 32.0
"""Thresholds on breadth that assign a run to a class."""


@dataclass(frozen=True, slots=True)
class CalibrationRun:
    """A run of known data.

    Attributes
    ----------
    label : str, float or None
        "narrow", "broad", a breadth, or None for a run that only extends the ranges of the guards.
    group : str
        Group of the run: its base model.
    update : Update
        Digest of its comparison with the base.
    source : str
        Path of the comparison; empty if it was not read from a file.
    """

    label: Label
    group: str
    update: Update
    source: str = ""


def check_label(label: Label, source: str) -> None:
    """Raise ValueError, with the source of the run, if this is not a label."""
    if label is None or label in ("narrow", "broad"):
        return
    if isinstance(label, bool) or not isinstance(label, int | float) or not 1 <= label < math.inf:
        raise ValueError(
            f"{source}: a label must be 'narrow', 'broad', a breadth of 1 or more, or None, not "
            f"{label!r}"
        )


def labelled_runs(
    runs: Sequence[CalibrationRun], narrow_at_most: float, broad_at_least: float
) -> list[Labelled]:
    """Return numbers and classes; breadths count in octaves if every label is a breadth."""
    words = any(isinstance(run.label, str) for run in runs)
    labelled = []
    for run in runs:
        side: Side | None = None
        number = math.nan
        if isinstance(run.label, str):
            side = "narrow" if run.label == "narrow" else "broad"
        elif run.label is not None:
            number = math.log2(run.label)
            if run.label <= narrow_at_most:
                side = "narrow"
            elif run.label >= broad_at_least:
                side = "broad"
        if words or math.isnan(number):
            number = {"narrow": 0.0, "broad": 1.0, None: math.nan}[side]
        labelled.append(Labelled(run.update.places, number, side, run.group))
    return labelled


def run_record(run: CalibrationRun) -> dict[str, Any]:
    """Return a run as plain JSON."""
    record = asdict(run)
    update = record["update"]
    del update["above_rounding"], update["tokens"]  # a calibration has no use for them
    record["seeds"] = list(update.pop("seeds"))
    update["spreads"] = [
        [*spread.place, spread.layer, spread.role, spread.value] for spread in run.update.spreads
    ]
    update["profile"] = [None if math.isnan(x) else x for x in run.update.profile]
    return record


def run_of(record: Mapping[str, Any]) -> CalibrationRun:
    """Return the run that plain JSON describes."""
    update = dict(record["update"])
    update["spreads"] = tuple(
        Spread(Place(tower, group, band), layer, role, value)
        for tower, group, band, layer, role, value in update["spreads"]
    )
    update["profile"] = tuple(math.nan if x is None else x for x in update["profile"])
    update["formats"] = tuple(update["formats"])
    update["shapes"] = {role: (m, n) for role, (m, n) in update["shapes"].items()}
    update["seeds"] = tuple(record.get("seeds", ()))  # those of earlier versions are not known
    return CalibrationRun(record["label"], record["group"], Update(**update), record["source"])
