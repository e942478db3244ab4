# SPDX-License-Identifier: BSD-3-Clause
"""What a comparison found, as plain records."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

SCHEMA = 1
"""Of the JSON; raised when a name in it changes its meaning or goes."""


@dataclass
class Rung:
    """One setting, tried while the accuracies were looked for.

    Attributes
    ----------
    setting : dict
    seconds, error : float
        Least time and worst error over the seeds tried; infinite if it failed.
    message : str
        Why it failed, or what the library warned of.
    """

    setting: dict[str, Any]
    seconds: float = float("inf")
    error: float = float("inf")
    message: str = ""


@dataclass
class Timing:
    """The setting chosen for some accuracies, in all turns.

    Attributes
    ----------
    accuracies : list of float
        The fastest setting that reached these.
    setting : dict
    seconds, busy, peaks, errors, residuals : lists
        Of every timed run: wall time; processor time over wall time; bytes added to the process at
        the peak; worst relative error of the values; worst residual over sigma_1.
    passes : int, optional
        Reads of the matrix, where the backend tells.
    messages : list of str
        Why a run failed, or what the library warned of.
    """

    accuracies: list[float]
    setting: dict[str, Any]
    seconds: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    peaks: list[int] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    residuals: list[float] = field(default_factory=list)
    passes: int | None = None
    messages: list[str] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Seconds; infinite if no run came to its end."""
        return float(np.median(self.seconds)) if self.seconds else float("inf")

    @property
    def processor_seconds(self) -> float:
        """Of all cores together: tells more than the wall where others use the machine."""
        if not self.seconds:
            return float("inf")
        return float(np.median(np.multiply(self.seconds, self.busy)))

    @property
    def quartiles(self) -> tuple[float, float]:
        """Of the seconds."""
        if not self.seconds:
            return float("inf"), float("inf")
        low, high = np.percentile(self.seconds, [25, 75])
        return float(low), float(high)

    @property
    def peak(self) -> int | None:
        """The largest, in bytes."""
        return max(self.peaks, default=None)

    @property
    def error(self) -> float:
        """The worst of all turns."""
        return max(self.errors, default=float("inf"))

    @property
    def residual(self) -> float:
        """The worst of all turns."""
        return max(self.residuals, default=float("inf"))

    def add(self, run: dict[str, Any]) -> None:
        """Take in what a worker reported of one process."""
        if run["message"] and not self.messages:  # its numbers differ from run to run
            self.messages.append(run["message"])
        self.seconds += run["seconds"]
        self.busy += run["busy"]
        if run["peak"] is not None:
            self.peaks.append(run["peak"])
        if run["error"] is not None:
            self.errors.append(run["error"])
            self.residuals.append(run["residual"])
        self.passes = run["passes"] or self.passes

    def record(self) -> dict[str, Any]:
        """As JSON, with the figures drawn from the runs."""
        found = asdict(self)
        found |= {"median": self.median, "quartiles": list(self.quartiles), "peak": self.peak}
        found |= {"processor_seconds": self.processor_seconds}
        return found | {"error": self.error, "residual": self.residual}


@dataclass
class Entry:
    """One backend.

    Attributes
    ----------
    name, title, version, install : str
    status : {"done", "not installed", "did not finish", "crashed"}
        How its last process ended.
    message : str
        What is to be said of that.
    can : dict
        Abilities, as tried or as declared: see docs/benchmarking.md.
    import_seconds : list of float
    rungs : list of Rung
    timings : list of Timing
    """

    name: str
    title: str
    version: str | None
    install: str
    status: str = "done"
    message: str = ""
    can: dict[str, Any] = field(default_factory=dict)
    import_seconds: list[float] = field(default_factory=list)
    rungs: list[Rung] = field(default_factory=list)
    timings: list[Timing] = field(default_factory=list)

    def timing(self, accuracy: float) -> Timing | None:
        """Of the setting chosen for an accuracy; None if none reaches it."""
        return next((t for t in self.timings if accuracy in t.accuracies), None)

    def stands(self, accuracy: float) -> bool:
        """Whether an accuracy was reached, and again in every turn."""
        timing = self.timing(accuracy)
        return timing is not None and bool(timing.seconds) and timing.error <= accuracy

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self) | {"timings": [timing.record() for timing in self.timings]}


@dataclass
class Comparison:
    """All backends on one workload."""

    workload: str
    shape: tuple[int, int]
    dtype: str
    k: int
    accuracies: list[float]
    turns: int
    checked_on_another_matrix: bool
    machine: dict[str, Any]
    entries: list[Entry] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """As JSON."""
        found: dict[str, Any] = {"schema": SCHEMA, "kind": "comparison", **asdict(self)}
        found["entries"] = [entry.record() for entry in self.entries]
        return finite_record(found)


@dataclass
class Point:
    """One size of the growth figure."""

    shape: tuple[int, int]
    stored: int
    timing: Timing


@dataclass
class Line:
    """One way to grow: its points, and the slopes of log time and log memory over log m n."""

    series: str
    backend: str
    points: list[Point]
    time_slope: float = float("nan")
    memory_slope: float = float("nan")

    def fit(self) -> None:
        """Fit both slopes by least squares."""
        sizes = [float(p.shape[0] * p.shape[1]) for p in self.points]
        self.time_slope = slope(sizes, [p.timing.median for p in self.points])
        self.memory_slope = slope(sizes, [float(p.timing.peak or 0) for p in self.points])


@dataclass
class Growth:
    """How time and memory of svds grow with the matrix."""

    spectrum: str
    dtype: str
    k: int
    tol: float
    turns: int
    machine: dict[str, Any]
    lines: list[Line] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """As JSON."""
        found: dict[str, Any] = {"schema": SCHEMA, "kind": "growth", **asdict(self)}
        for line, kept in zip(found["lines"], self.lines, strict=True):
            for point, of in zip(line["points"], kept.points, strict=True):
                point["timing"] = of.timing.record()
        return finite_record(found)


def slope(x: list[float], y: list[float]) -> float:
    """Of log y over log x, by least squares, over the points where y is positive and finite."""
    kept = np.log([(a, b) for a, b in zip(x, y, strict=True) if 0 < b < float("inf")])
    return float(np.polyfit(kept[:, 0], kept[:, 1], 1)[0]) if len(kept) > 1 else float("nan")


def finite_record(record: dict[str, Any]) -> dict[str, Any]:
    """The same with null for infinity and NaN, which JSON does not know."""
    return {name: _finite(value) for name, value in record.items()}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return finite_record(value)
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
