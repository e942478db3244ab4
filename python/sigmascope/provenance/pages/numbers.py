# SPDX-License-Identifier: BSD-3-Clause
"""Numbers of a verification's rows: intervals of weights, survival, and their words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, floor, inf, isfinite, log10
from typing import Any

from sigmascope.provenance.intervals import nominal_weight

Row = Mapping[str, Any]

FORMATS = {
    "bf16": "bfloat16",
    "f16": "float16",
    "f32": "float32",
    "f8_e4m3": "float8 (e4m3)",
    "f8_e5m2": "float8 (e5m2)",
}
"""Names of number formats in words."""


def interval_of(row: Row, donor: int) -> tuple[float, float] | None:
    """Return the interval of a donor's weight over all orders of rounding that explain a tensor."""
    if donor not in row["donors"] or not row.get("orders"):
        return None
    place = row["donors"].index(donor)
    ends = [fit["weights"][place] for fit in row["orders"]]
    low = min(-inf if each[0] is None else each[0] for each in ends)
    high = max(inf if each[1] is None else each[1] for each in ends)
    return low, high


def interval_text(low: float, high: float) -> str:
    """Return an interval, rounded outwards to two digits of its width."""
    if not isfinite(low + high):
        return "unbounded"
    width = max(high - low, 1e-12)
    digits = min(max(1 - floor(log10(width)), 1), 12)
    step = 10.0**-digits
    return f"{floor(low / step) * step:.{digits}f} to {ceil(high / step) * step:.{digits}f}"


def nominal_weights(record: Mapping[str, Any]) -> list[float]:
    """Return the weights for which survival is stated: 1 where they are not known."""
    weights = record["weights"]
    if weights is None or any(row["status"] == "unexplained" for row in record["rows"]):
        return [1.0] * len(record["donors"])
    return [
        1.0 if None in (each["low"], each["high"]) else nominal_weight(each["low"], each["high"])
        for each in weights
    ]


def survived(row: Row, weights: Sequence[float]) -> float | None:
    """Return <dW, M - W> / ||dW||^2 of a tensor; None if no donor changes it."""
    own = [weights[donor] for donor in row["donors"]]
    if not row.get("gram") or len(row["gram"]) != len(own):
        return None
    size = sum(a * g * b for a, line in zip(own, row["gram"], strict=True)
               for g, b in zip(line, own, strict=True))  # fmt: skip
    shared = sum(a * c for a, c in zip(own, row["cross"], strict=True))
    return shared / size if size > 0 else None


def expected(row: Row) -> float | None:
    """Return the part of the change that the format is expected to keep, by the closed form."""
    parts = row.get("expected")
    return None if parts is None else float(parts[row["formats"]["merged"]]["survived"])


def percent(part: float | None) -> str:
    """Return a part in per cent; "-" if there is none."""
    return "-" if part is None else f"{100 * part:.1f} %"


def name_of(row: Row) -> str:
    """Return the name of a tensor in the base, or else in the merged file."""
    return str(row["name"] or row["merged"])


def by_role(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return the tensors that have a layer, by their roles."""
    several = len({row.get("tower") for row in rows}) > 1
    roles: dict[str, list[Row]] = {}
    for row in rows:
        if row.get("layer") is not None:
            tower = f"{row['tower']} " if several and row.get("tower") else ""
            roles.setdefault(f"{tower}{row['role']}", []).append(row)
    return roles
