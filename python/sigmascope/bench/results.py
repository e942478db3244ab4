# SPDX-License-Identifier: BSD-3-Clause
"""Results of a benchmark, as plain records."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

ABSENT = ("not installed", "no device")
"""Statuses of backends that cannot run."""

SCHEMA = 1
"""Version of the JSON, increased when a name in it changes its meaning or is removed."""


@dataclass
class Rung:
    """One setting that was tried in the search for the accuracies.

    Attributes
    ----------
    setting : dict
    seconds, error : float
        Least time and worst error over the seeds tried; infinite if it failed.
    message : str
        Reason of a failure, or warnings of the library.
    """

    setting: dict[str, Any]
    seconds: float = float("inf")
    error: float = float("inf")
    message: str = ""


@dataclass
class Timing:
    """The measurements of a chosen setting over all turns.

    Attributes
    ----------
    accuracies : list of float
        The accuracies for which this is the fastest setting.
    setting : dict
    seconds, busy, peaks, errors, residuals : lists
        For every timed run: wall time; processor time over wall time; peak of the added bytes;
        worst relative error of the values; worst residual over sigma_1.
    passes : int, optional
        Reads of the matrix, if the backend reports them.
    messages : list of str
        Reasons of failures, and warnings of the library.
    device_seconds : list of float
        Wall time of runs whose matrix was on the device before; empty where it cannot be.
        `seconds` are of runs from the host's memory.
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
    device_seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Median of the seconds; infinite if no run finished."""
        return float(np.median(self.seconds)) if self.seconds else float("inf")

    @property
    def device_median(self) -> float:
        """Median of the seconds from the device's memory; infinite if there was no such run."""
        return float(np.median(self.device_seconds)) if self.device_seconds else float("inf")

    @property
    def processor_seconds(self) -> float:
        """Median processor time of all cores, which other programs disturb less than wall time."""
        if not self.seconds:
            return float("inf")
        return float(np.median(np.multiply(self.seconds, self.busy)))

    @property
    def quartiles(self) -> tuple[float, float]:
        """First and third quartile of the seconds."""
        if not self.seconds:
            return float("inf"), float("inf")
        low, high = np.percentile(self.seconds, [25, 75])
        return float(low), float(high)

    @property
    def is_steady(self) -> bool:
        """True if the quartiles differ by at most a quarter of the median, or 20 ms."""
        if not self.seconds:
            return True
        low, high = self.quartiles
        return high - low <= max(0.25 * self.median, 0.02)

    @property
    def peak(self) -> int | None:
        """Largest peak of the added memory, in bytes."""
        return max(self.peaks, default=None)

    @property
    def error(self) -> float:
        """Largest error of all turns."""
        return max(self.errors, default=float("inf"))

    @property
    def residual(self) -> float:
        """Largest residual of all turns."""
        return max(self.residuals, default=float("inf"))

    def add(self, run: dict[str, Any]) -> None:
        """Add the runs of one process, as its worker reported them."""
        if run["message"] and not self.messages:  # the same warning differs by its numbers
            self.messages.append(run["message"])
        self.seconds += run["seconds"]
        self.busy += run["busy"]
        if run["peak"] is not None:
            self.peaks.append(run["peak"])
        if run["error"] is not None:
            self.errors.append(run["error"])
        if run["residual"] is not None:
            self.residuals.append(run["residual"])
        self.device_seconds += run["device_seconds"]
        self.passes = run["passes"] or self.passes

    def record(self) -> dict[str, Any]:
        """Return the measurements and their statistics as JSON."""
        record = asdict(self)
        record |= {"median": self.median, "quartiles": list(self.quartiles), "peak": self.peak}
        record |= {"processor_seconds": self.processor_seconds}
        record |= {"device_median": self.device_median}
        return record | {"error": self.error, "residual": self.residual}


@dataclass
class BackendResult:
    """The results of one backend.

    Attributes
    ----------
    name, title, version, install : str
    status : {"done", "not installed", "no device", "did not finish", "crashed"}
        Status of the first process that did not finish its job, or "done". "no device": the library
        is installed and cannot compute on a CUDA device; the message says what it lacks.
    message : str
        Message to that status.
    can : dict
        Abilities, as tried or as declared: see docs/benchmarking.md.
    import_seconds : list of float
    rungs : list of Rung
    timings : list of Timing
    device : str
        Chip and versions of a backend on a CUDA device; empty for the processor.
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
    device: str = ""

    @property
    def absent(self) -> bool:
        """True if the backend cannot run on this machine as it is installed."""
        return self.status in ABSENT

    @property
    def vectors(self) -> bool:
        """False if it computes only singular values."""
        return bool(self.can.get("vectors", True))

    def timing(self, accuracy: float) -> Timing | None:
        """Return the timing of the setting for an accuracy; None if no setting reaches it."""
        return next((t for t in self.timings if accuracy in t.accuracies), None)

    def stands(self, accuracy: float) -> bool:
        """Return True if an accuracy was reached in every turn."""
        timing = self.timing(accuracy)
        return timing is not None and bool(timing.seconds) and timing.error <= accuracy

    def record(self) -> dict[str, Any]:
        """Return the results as JSON."""
        return asdict(self) | {"timings": [timing.record() for timing in self.timings]}


@dataclass
class BackendComparison:
    """The results of all backends on one workload.

    `limits` is the record of :func:`sigmascope.bench.cuda.limits.measure_limits` from the same run;
    empty where no backend computed on a CUDA device or no library could measure it. `seed` is that
    of a synthetic matrix; None for a given one, and in records of earlier versions. The seeds of
    the backends are the numbers of the turns.
    """

    workload: str
    shape: tuple[int, int]
    dtype: str
    k: int
    accuracies: list[float]
    turns: int
    checked_on_another_matrix: bool
    machine: dict[str, Any]
    entries: list[BackendResult] = field(default_factory=list)
    limits: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None

    def record(self) -> dict[str, Any]:
        """Return the results as JSON."""
        record: dict[str, Any] = {"schema": SCHEMA, "kind": "comparison", **asdict(self)}
        record["entries"] = [entry.record() for entry in self.entries]
        return finite_record(record)


@dataclass
class Point:
    """The measurements at one size of a growing matrix."""

    shape: tuple[int, int]
    stored: int
    timing: Timing


@dataclass
class Line:
    """The points of one way to grow, and slopes of log time and log memory over log m n."""

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
    """Time and memory of svds for matrices of growing size, which are made from `seed`."""

    spectrum: str
    dtype: str
    k: int
    tol: float
    turns: int
    machine: dict[str, Any]
    lines: list[Line] = field(default_factory=list)
    seed: int | None = None

    def record(self) -> dict[str, Any]:
        """Return the results as JSON."""
        record: dict[str, Any] = {"schema": SCHEMA, "kind": "growth", **asdict(self)}
        for line_record, line in zip(record["lines"], self.lines, strict=True):
            for point_record, point in zip(line_record["points"], line.points, strict=True):
                point_record["timing"] = point.timing.record()
        return finite_record(record)


def slope(x: list[float], y: list[float]) -> float:
    """Fit the slope of log y over log x by least squares, where y is positive and finite."""
    logs = np.log([(a, b) for a, b in zip(x, y, strict=True) if 0 < b < float("inf")])
    return float(np.polyfit(logs[:, 0], logs[:, 1], 1)[0]) if len(logs) > 1 else float("nan")


def finite_record(record: dict[str, Any]) -> dict[str, Any]:
    """Replace infinity and NaN, which JSON does not have, by null."""
    return {name: _finite(value) for name, value in record.items()}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return finite_record(value)
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
