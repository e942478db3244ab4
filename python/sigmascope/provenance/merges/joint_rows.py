# SPDX-License-Identifier: BSD-3-Clause
"""Rows of several tensors together: the weights that a model's tensors have in common.

Rows that were kept of each tensor describe its weights, and the rows of all tensors together those
of the model. Boxes of the tensors say less: weights inside of all boxes may be outside of each set.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .number_formats import Reals
from .number_rows import Ellipsoid, Indices, NumberRows
from .weights import WeightSet

MOST = 64
"""Most rows of a tensor in one order that are kept for the model; each takes about 100 bytes."""

NOTHING: Indices = np.zeros(0, dtype=np.intp)


def rows_record(weights: WeightSet) -> dict[str, Any] | None:
    """Return the rows of a tensor that bound its weights most, for JSON.

    To leave out others is sound: the set of the weights that satisfy fewer rows is larger.
    """
    rows = weights.rows
    if rows is None or not len(rows.t):
        return None
    rows = rows.chosen(np.sort(weights.by_reach()[:MOST]))
    return {"a": rows.a.T.tolist(), "t": rows.t.tolist(), "b": rows.b.tolist()}


def read_rows(records: Sequence[dict[str, Any]]) -> NumberRows:
    """Return the rows of several tensors that the same donors change."""
    a = np.concatenate([np.array(record["a"], np.float64) for record in records]).T
    t, b = (np.concatenate([np.array(r[name], np.float64) for r in records]) for name in "tb")
    return NumberRows(a, t, b, np.arange(len(t), dtype=np.intp), NOTHING)


def joint_box(records: Sequence[dict[str, Any]]) -> Reals | None:
    """Return the intervals of the weights that satisfy all rows, if there are such weights."""
    rows = read_rows(records)
    ellipsoid = Ellipsoid.of(rows)
    if ellipsoid is None:
        return np.tile([-np.inf, np.inf], (len(rows.a), 1))
    weights = WeightSet(ellipsoid)
    weights.add(rows)
    return weights.box()


def satisfied(record: dict[str, Any], weights: Reals) -> bool:
    """Return whether weights satisfy the rows of a tensor."""
    rows = read_rows([record])
    return bool((np.abs(weights @ rows.a - rows.t) <= rows.b * (1 + 1e-9)).all())
