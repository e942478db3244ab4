# SPDX-License-Identifier: BSD-3-Clause
"""Rows of pairs without a spectrum (vectors, scalars, integers, scales), compared entrywise."""

from __future__ import annotations

import math
import time

import numpy as np

from sigmascope._running.tasks import TENSOR_ERRORS, failed
from sigmascope._tables.schema import Row
from sigmascope.adapters.scannable import Scannable
from sigmascope.checkpoint.elements import Elements
from sigmascope.matrices.matrix import Matrix
from sigmascope.scanning.entrywise import evidence, mask, nonfinite, nonfinite_counts
from sigmascope.scanning.structure import iter_blocks, mask_statistics
from sigmascope.spectra.statistics.entries import VectorChange, VectorStatistics
from sigmascope.spectra.statistics.pairs import ROUNDING

from .members import Pair


def compared_entrywise(both: tuple[Scannable, Scannable], pair: Pair) -> Row:
    """Compare the numbers of two tensors; an error becomes the reason in the row.

    Returns
    -------
    dict
        The columns of the row that the headers do not give.

    Notes
    -----
    Takes one pass over both, a megabyte at a time, in float64; integers are compared exactly.
    """
    began = time.perf_counter()
    try:
        elements = _elements(both, pair)
        one, two = elements
        if [piece.entry.shape for piece in one.pieces] != [p.entry.shape for p in two.pieces]:
            reason = (
                f"stored in pieces of different shapes: {one.count} numbers before, {two.count} "
                "after"
            )
            return {"status": "unpaired", "reason": reason}
        difference = VectorChange((one.dtype, two.dtype))
        for before, after in zip(one, two, strict=True):
            difference.add(before, after)
    except TENSOR_ERRORS as error:
        return failed(error, began)
    row = {"status": "entrywise", "converged": True} | evidence(began)
    for side, seen, stored in (
        ("before", difference.before, one),
        ("after", difference.after, two),
    ):
        row |= _side(side, seen, stored)
    row |= {"changed_entries": difference.changed, "delta_abs_max": difference.largest}
    if difference.before.is_mask and difference.after.is_mask:
        return row | {"reason": mask(difference.before)}
    if difference.before.finite and difference.after.finite:
        return row | _change(difference)
    wrong = [
        f"the {pair.row()['kind']} {side} holds {nonfinite_counts(seen, stored)}"
        for side, seen, stored in (
            ("before", difference.before, one),
            ("after", difference.after, two),
        )
        if not seen.finite
    ]
    return row | nonfinite("; ".join(wrong))


def _elements(both: tuple[Scannable, Scannable], pair: Pair) -> tuple[Elements, Elements]:
    """Return the numbers of both tensors.

    If one has more copies on ranks than the other, a single copy of each is returned.
    """
    assert pair.before is not None
    assert pair.after is not None
    one, two = both[0].elements(pair.before.key), both[1].elements(pair.after.key)
    assert one is not None
    assert two is not None
    if len(one.pieces) != len(two.pieces):
        one, two = one.once(), two.once()
    return one, two


def compared_masks(before: Matrix, after: Matrix) -> Row | None:
    """Compare two attention masks; return None for any other pair of matrices."""
    began = time.perf_counter()
    one, two = mask_statistics(before), mask_statistics(after)
    if one is None or two is None:
        return None
    changed = sum(
        int(np.sum(x != y)) for x, y in zip(iter_blocks(before), iter_blocks(after), strict=True)
    )
    row: Row = {"status": "entrywise", "converged": True, "changed_entries": changed}
    row |= {"before_nan": 0, "after_nan": 0, "before_inf": one.inf, "after_inf": two.inf}
    return row | {"reason": mask(one)} | evidence(began)


def _side(side: str, seen: VectorStatistics, stored: Elements) -> Row:
    """Return the columns for one of the two tensors."""
    return {
        f"{side}_nan": seen.nan,
        f"{side}_inf": seen.inf,
        f"{side}_first_nonfinite": None if seen.first is None else stored.place(seen.first),
        f"{side}_abs_max": seen.largest,
    }


def _change(difference: VectorChange) -> Row:
    """Return the measures of a pair of finite numbers."""
    row: Row = {
        "beyond_rounding": difference.beyond,
        "rounding_floor": difference.floor,
        "above_rounding": difference.above_rounding,
    }
    for name in ("relative_change", "cosine", "decay_coefficient"):
        measure = getattr(difference, name)
        if measure is not None and math.isfinite(measure.value):
            row[name], row[f"{name}_error"] = measure.value, measure.error
    norms = {
        "before": difference.before.squares,
        "after": difference.after.squares,
        "delta": difference.change,
    }
    for group, total in norms.items():
        norm = total.root()
        if norm is not None:
            row[f"{group}_fro_norm"], row[f"{group}_fro_norm_error"] = norm, ROUNDING * norm
    if "before_fro_norm" in row and "after_fro_norm" in row:
        row["change_fro_norm"] = row["after_fro_norm"] - row["before_fro_norm"]
        errors = (row["before_fro_norm_error"], row["after_fro_norm_error"])
        row["change_fro_norm_error"] = sum(errors) if difference.changed else 0.0
    return row
