# SPDX-License-Identifier: BSD-3-Clause
"""Tensors that are compared number for number: integers, and those of an adapter in full."""

from __future__ import annotations

from typing import Any

import numpy as np

from sigmascope.adapters import Adapter
from sigmascope.extension import counted
from sigmascope.extension.pairs import Elements

from .operands import Operand, Operands
from .stored_formats import NotVerifiedError, elements_of, number_format

REPLACED = "replaced"
"""Status of a tensor that is the adapter's, number for number."""


def compare_replaced(operands: Operands, operand: Operand) -> dict[str, Any]:
    """Return columns of the row of a tensor that an adapter saves in full.

    Raises
    ------
    NotVerifiedError
        If one of the three tensors is read in parts, or has another count of numbers.
    CheckpointError
        If a file changed or ends early.
    """
    assert operand.replaced is not None
    index, change = operand.replaced
    donor, before, after = operands.donors[index], operand.pair.before, operand.pair.after
    assert isinstance(donor, Adapter)
    assert before is not None
    assert after is not None
    stored = donor.elements(change)
    if stored is None or before.name != before.record["name"]:
        raise NotVerifiedError(f"{donor.path} saves it in full, and it is read in parts")
    merged_format = number_format(operands.merged, after, "the merged file")
    base, merged = elements_of(operands.base, before), elements_of(operands.merged, after)
    counts = [each.count for each in (base, merged, stored)]
    if len(set(counts)) > 1:
        raise NotVerifiedError(f"the tensors have {', '.join(map(str, counts))} numbers")
    differ = changed = 0
    for chunks in zip(base, merged, stored, strict=True):
        first, second, third = (np.asarray(chunk, np.float64).ravel() for chunk in chunks)
        differ += _differences(merged_format.round(third), second)
        changed += _differences(merged_format.round(first), second)
    row: dict[str, Any] = {
        "status": "changed" if differ else REPLACED,
        "numbers": counts[0],
        "changed": changed,
        "donors": [],
    }
    if differ:
        row["reason"] = f"{donor.path} saves it in full, and {differ:,} numbers are not those"
    return row


def check_saved_base(operands: Operands, operand: Operand) -> None:
    """Check that a copy of a tensor beside its change in an adapter is that of the base.

    PEFT saves the whole embedding next to its change if `save_embedding_layers` says so.

    Raises
    ------
    NotVerifiedError
        If they differ, or the copy is read in parts.
    CheckpointError
        If a file changed or ends early.
    """
    assert operand.replaced is not None
    index, change = operand.replaced
    donor, before = operands.donors[index], operand.pair.before
    assert isinstance(donor, Adapter)
    assert before is not None
    problem = unlike(elements_of(operands.base, before), donor.elements(change))
    if problem is not None:
        raise NotVerifiedError(f"{donor.path} changes a copy of its own, {change}: {problem}")


def unlike(base: Elements, copy: Elements | None) -> str | None:
    """Return why a tensor is not a copy of that of the base, in words; None if it is one."""
    if copy is None:
        return "its numbers cannot be read"
    if base.shape != copy.shape:
        return f"its shape is {list(copy.shape)}, that of the base {list(base.shape)}"
    differ = 0
    for chunks in zip(base, copy, strict=True):
        first, second = (np.asarray(chunk, np.float64).ravel() for chunk in chunks)
        differ += _differences(first, second)
    return f"{counted(differ, 'number')} of it differ from the base" if differ else None


def _differences(numbers: np.ndarray, others: np.ndarray) -> int:
    equal = (numbers == others) | (np.isnan(numbers) & np.isnan(others))
    return int(np.count_nonzero(~equal))


def compare_integers(operands: Operands, operand: Operand) -> dict[str, Any] | None:
    """Return columns of the row of integers or booleans, which are not rounded; else None.

    Raises
    ------
    NotVerifiedError
        If they cannot be read, or have other counts.
    CheckpointError
        If a file changed or ends early.
    """
    before, after = operand.pair.before, operand.pair.after
    if operand.pair.matrix or before is None or after is None:
        return None
    base, merged = elements_of(operands.base, before), elements_of(operands.merged, after)
    if not (base.integer and merged.integer):
        return None
    if base.count != merged.count:
        raise NotVerifiedError(f"the tensors have {base.count} and {merged.count} numbers")
    changed = sum(
        int(np.count_nonzero(first != second)) for first, second in zip(base, merged, strict=True)
    )
    return {
        "status": "changed" if changed else "identical",
        "numbers": base.count,
        "changed": changed,
        "donors": [],
    }
