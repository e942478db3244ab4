# SPDX-License-Identifier: BSD-3-Clause
"""Patterns of weights that differ from tensor to tensor.

Four are looked for, in this order: each tensor has the change or does not have it, or is that of
one model (passthrough); a model stock; weights that are constant by layer or by role (gradients);
equal weights of all donors in each tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .combining import allows, common_box, intersection
from .equal_weights import expected_mean
from .fitting import hull
from .number_formats import Reals
from .places import role_of
from .tensors import MERGED, Row
from .verdicts import Evidence

IN_PART, STOCK, BY_LAYER, BY_ROLE, EQUAL = (
    "in part",
    "model stock",
    "by layer",
    "by role",
    "equal in each tensor",
)

STOCK_ERROR = 2.0**-6
"""Relative error of the weights of a model stock that was computed in bfloat16."""


class Part(NamedTuple):
    """Tensors that have the same weights.

    Attributes
    ----------
    rows
        Rows of these tensors.
    box
        Intervals of all p weights, of shape (p, 2).
    """

    rows: tuple[Row, ...]
    box: Reals


class Pattern(NamedTuple):
    """Tensors of a merge by their weights.

    Attributes
    ----------
    kind
        "in part", "model stock", "by layer", "by role" or "equal in each tensor".
    parts
        Tensors of the same weights.
    undecided
        Tensors whose numbers allow two of the weights of the others.
    """

    kind: str
    parts: tuple[Part, ...]
    undecided: tuple[Row, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the pattern as a record for JSON."""
        return {
            "kind": self.kind,
            "parts": [
                {
                    "tensors": [row["name"] for row in part.rows],
                    "weights": [[_finite(low), _finite(high)] for low, high in part.box],
                }
                for part in self.parts
            ],
            "undecided": [row["name"] for row in self.undecided],
        }


def find_pattern(evidence: Evidence, claims: Sequence[float | None]) -> Pattern | None:
    """Return the pattern of weights that differ by tensor, if it is a known one.

    Parameters
    ----------
    evidence
        The rows.
    claims
        For each donor, the claimed weight, or None for the weight 1.
    """
    rows = evidence.of(MERGED)
    if evidence.box is not None or len(rows) < 2:
        return None
    whole = np.array([1.0 if claim is None else claim for claim in claims])
    equal = _by_equal_weights(evidence)
    first = _in_part(evidence, whole) or (equal if equal and equal.kind == STOCK else None)
    if first is not None:
        return first
    by_layer = _by_key(evidence, BY_LAYER, lambda row: row["layer"])
    by_role = _by_key(evidence, BY_ROLE, role_of)
    tables = [each for each in (by_layer, by_role) if each is not None]
    return min(tables, key=lambda each: len(each.parts)) if tables else equal


def _finite(end: float) -> float | None:
    return float(end) if np.isfinite(end) else None


def _boxes(evidence: Evidence) -> Iterable[tuple[Row, Reals, Sequence[str]]]:
    """List all tensors with the intervals of their weights, and the orders that these hold for."""
    for group in evidence.groups:
        for row in group.rows:
            orders = group.shared or [fit["order"] for fit in row["orders"]]
            yield row, group.box_of(row, evidence.donors), orders


def _in_part(evidence: Evidence, whole: Reals) -> Pattern | None:
    """Return which tensors are the base, have one donor's change, or those of all donors.

    A tensor is counted only if its numbers exclude all of these but one.
    """
    choices = [np.zeros_like(whole), *np.diag(whole)]
    if len(whole) > 1:
        choices.append(whole)
    chosen: dict[int, list[Row]] = {}
    undecided: list[Row] = []
    for row, box, orders in _boxes(evidence):
        touched = row["donors"]
        fitting = {
            tuple(choice[touched]): index
            for index, choice in reversed(list(enumerate(choices)))
            if ((box[:, 0] <= choice) & (choice <= box[:, 1]))[touched].all()
            and allows(row, orders, choice[touched])
        }
        if not fitting:
            return None
        if len(fitting) == 1:
            chosen.setdefault(next(iter(fitting.values())), []).append(row)
        else:
            undecided.append(row)
    if len(chosen) < 2:
        return None
    parts = [
        Part(tuple(rows), np.stack([choices[index]] * 2, axis=1))
        for index, rows in sorted(chosen.items())
    ]
    return Pattern(IN_PART, tuple(parts), tuple(undecided))


def _by_key(evidence: Evidence, kind: str, key_of: Callable[[Row], Any]) -> Pattern | None:
    """Return tables of weights that all tensors with one key have in common."""
    p = evidence.donors
    boxes: dict[Any, list[Reals]] = {}
    rows: dict[Any, list[Row]] = {}
    for group in evidence.groups:
        by_key: dict[Any, list[Row]] = {}
        for row in group.rows:
            key = key_of(row)
            by_key.setdefault(row["name"] if key is None else key, []).append(row)
        shared: dict[Any, list[Reals]] = {key: [] for key in by_key}
        for order in group.shared:
            common = {key: common_box(same, order, p) for key, same in by_key.items()}
            if all(box is not None for box in common.values()):
                for key, box in common.items():
                    shared[key] += [] if box is None else [box]
        if not all(shared.values()):
            return None
        for key, same in by_key.items():
            boxes.setdefault(key, []).append(hull(shared[key]))
            rows.setdefault(key, []).extend(same)
    if not 1 < len(rows) < len(evidence.of(MERGED)):
        return None
    joined = {key: intersection(each) for key, each in boxes.items()}
    if any(box is None for box in joined.values()):
        return None
    parts = [Part(tuple(rows[key]), box) for key, box in joined.items() if box is not None]
    return Pattern(kind, tuple(parts))


def _by_equal_weights(evidence: Evidence) -> Pattern | None:
    """Return the common weight of all donors in each tensor, and whether it is a model stock."""
    p = evidence.donors
    if p < 2:
        return None
    parts, stock = [], True
    for group in evidence.groups:
        fits = [{fit["order"]: fit.get("equal") for fit in row["orders"]} for row in group.rows]
        orders = [order for order in group.shared if all(each[order] for each in fits)]
        if not orders:
            return None
        for row, each in zip(group.rows, fits, strict=True):
            low, high = min(each[o][0] for o in orders), max(each[o][1] for o in orders)
            if len(row["donors"]) < p or not np.isfinite(high - low):
                return None
            mean = expected_mean(row["gram"])
            error = STOCK_ERROR * abs(mean or 0.0)
            stock &= mean is not None and low - error <= mean <= high + error
            parts.append(Part((row,), np.tile([low, high], (p, 1))))
    return Pattern(STOCK if stock else EQUAL, tuple(parts))
