# SPDX-License-Identifier: BSD-3-Clause
"""Relative changes of all tensors of two checkpoints, from one read of both."""

from __future__ import annotations

from math import inf, log2, sqrt
from typing import Any

import numpy as np

from sigmascope import Checkpoint
from sigmascope.errors import SigmascopeError
from sigmascope.provenance.merges.operands import Operand
from sigmascope.provenance.merges.sources import BLOCK, numbers
from sigmascope.provenance.merges.stored_formats import NotVerifiedError, elements_of

Row = dict[str, Any]


def measure_change(before: Checkpoint, after: Checkpoint, operand: Operand) -> Row:
    """Return the row of a tensor: ||W' - W|| / ||W||, and -log2 of it, the effective bits.

    Numbers are decoded, whatever their format. Sums are in float64.

    Returns
    -------
    dict
        `status` is "measured", "unpaired", "not verified" or "failed"; the last three have a
        `reason`. `relative` is None where W is 0 and W' is not; `bits` is None for equal tensors.
    """
    row: Row = {
        "name": operand.name,
        "merged": operand.merged,
        "status": "unpaired",
        "reason": operand.reason,
        "relative": None,
        "bits": None,
        **operand.place,
    }
    if operand.name is None or operand.merged is None:
        return row
    if operand.reason is not None:
        return row | {"status": "not verified"}
    try:
        squares, changed = _sums(before, after, operand)
    except NotVerifiedError as error:
        return row | {"status": "not verified", "reason": str(error)}
    except (SigmascopeError, OSError, KeyError) as error:
        return row | {"status": "failed", "reason": str(error)}
    if not np.isfinite(squares + changed):
        return row | {"status": "failed", "reason": "a number is not finite"}
    relative = sqrt(changed / squares) if squares > 0 else (0.0 if changed == 0 else inf)
    return row | {
        "status": "measured",
        "relative": relative if relative < inf else None,
        "bits": -log2(relative) if 0 < relative < inf else None,
    }


def _sums(before: Checkpoint, after: Checkpoint, operand: Operand) -> tuple[float, float]:
    """Return the sums of W^2 and of (W' - W)^2."""
    first, second = operand.pair.before, operand.pair.after
    assert first is not None
    assert second is not None
    squares = changed = 0.0
    if operand.pair.matrix:
        one, other = before[first.key], after[second.key]
        height, width = operand.pair.rows or one.shape[0], one.shape[1]
        step = max(1, BLOCK // max(width, 1))
        pairs = (
            (numbers(one[top : min(top + step, height)]), numbers(other[top : top + step]))
            for top in range(0, height, step)
        )
    else:
        elements = elements_of(before, first), elements_of(after, second)
        if elements[0].count != elements[1].count:
            counts = " and ".join(str(each.count) for each in elements)
            raise NotVerifiedError(f"the tensors have {counts} numbers")
        pairs = (
            (np.asarray(a, np.float64).ravel(), np.asarray(b, np.float64).ravel())
            for a, b in zip(*elements, strict=True)
        )
    for a, b in pairs:
        squares += float(a @ a)
        with np.errstate(invalid="ignore", over="ignore"):
            change = b[: len(a)] - a
            changed += float(change @ change)
    return squares, changed
