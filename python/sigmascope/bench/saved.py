# SPDX-License-Identifier: BSD-3-Clause
"""Results of a benchmark, read from their JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from .results import (
    SCHEMA,
    BackendComparison,
    BackendResult,
    Growth,
    Line,
    Point,
    Rung,
    Timing,
)

T = TypeVar("T")


def is_benchmark(record: Mapping[str, Any]) -> bool:
    """Return True for the record of a comparison of backends, or of a growing matrix."""
    return {"machine", "turns"} <= record.keys() and record.get("kind") in ("comparison", "growth")


def result_of(record: Mapping[str, Any]) -> BackendComparison | Growth:
    """Return the result whose `record` method made a record.

    Raises
    ------
    ValueError
        If the record is of another version, or incomplete.
    """
    if record.get("schema") != SCHEMA:
        raise ValueError(f"benchmark version {record.get('schema')}, not {SCHEMA}")
    try:
        if record["kind"] == "growth":
            lines = [_line(line) for line in record["lines"]]
            return _made(Growth, record, lines=lines)
        entries = [_entry(entry) for entry in record["entries"]]
        shape = tuple(record["shape"])
        return _made(BackendComparison, record, entries=entries, shape=shape)
    except (KeyError, TypeError) as error:
        raise ValueError(f"the record of a benchmark is incomplete: {error}") from error


def _made(kind: type[T], record: Mapping[str, Any], **parts: Any) -> T:
    """Make an object of its attributes in a record, which has others too."""
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: record[name] for name in names if name in record} | parts)


def _entry(record: Mapping[str, Any]) -> BackendResult:
    rungs = [
        _made(Rung, rung, seconds=_finite(rung["seconds"]), error=_finite(rung["error"]))
        for rung in record["rungs"]
    ]
    timings = [_timing(timing) for timing in record["timings"]]
    return _made(BackendResult, record, rungs=rungs, timings=timings)


def _timing(record: Mapping[str, Any]) -> Timing:
    errors, residuals = ([_finite(x) for x in record[name]] for name in ("errors", "residuals"))
    return _made(Timing, record, errors=errors, residuals=residuals)


def _line(record: Mapping[str, Any]) -> Line:
    points = [
        _made(Point, point, shape=tuple(point["shape"]), timing=_timing(point["timing"]))
        for point in record["points"]
    ]
    line = Line(record["series"], record["backend"], points)
    line.fit()
    return line


def _finite(number: float | None) -> float:
    """Return a number; infinity for null, by which JSON stands for it."""
    return float("inf") if number is None else number
