# SPDX-License-Identifier: BSD-3-Clause
"""Tensors without a spectrum in a scan: vectors, scalars, integers, scales, read one by one."""

from __future__ import annotations

import time

from sigmascope._running.tasks import TENSOR_ERRORS, failed
from sigmascope._tables.schema import Row
from sigmascope.adapters import Scannable
from sigmascope.checkpoint.elements import Elements
from sigmascope.statistics.entries import VectorStatistics
from sigmascope.statistics.pairs import ROUNDING

METHOD = "entry by entry"


def entrywise(checkpoint: Scannable, name: str, kind: str) -> Row:
    """Read the numbers of a tensor; what is wrong with it becomes the reason in its row.

    Parameters
    ----------
    checkpoint, name
        The tensor; :meth:`Checkpoint.elements` has numbers of it.
    kind
        What it is: "vector", "scalar", "integer" and so on.

    Returns
    -------
    dict
        The columns of its row that reading the headers does not give.

    Notes
    -----
    One pass, a megabyte at a time, in float64. Of pieces on several ranks that are all the same,
    one counts.
    """
    began = time.perf_counter()
    try:
        elements = checkpoint.elements(name)
        assert elements is not None
        elements = elements.once()
        seen = VectorStatistics()
        for numbers in elements:
            seen.add(numbers)
    except TENSOR_ERRORS as error:
        return failed(error, began)
    row = {"status": "entrywise", "converged": True} | columns_of(seen, elements)
    if not seen.finite:
        row |= nonfinite(f"the {kind} holds {told(seen, elements)}")
    return row | evidence(began)


def columns_of(seen: VectorStatistics, elements: Elements) -> Row:
    """Return what the numbers of one tensor tell."""
    norm = seen.squares.root()
    return {
        "min": seen.least,
        "max": seen.greatest,
        "abs_max": seen.largest,
        "mean": seen.mean,
        "zeros": seen.zeros,
        "nan": seen.nan,
        "inf": seen.inf,
        "first_nonfinite": None if seen.first is None else elements.place(seen.first),
        "fro_norm": norm,
        "fro_norm_error": None if norm is None else ROUNDING * norm,
    }


def told(seen: VectorStatistics, elements: Elements) -> str:
    """Say how much of a tensor is not finite, and where that begins."""
    assert seen.first is not None
    place = elements.place(seen.first)
    return f"{seen.nan} NaN and {seen.inf} infinite entries, the first at {place}"


def nonfinite(reason: str) -> Row:
    """Return the columns of a row that fails for what is in the tensor."""
    return {"status": "failed", "reason": reason, "failure": "data", "converged": False}


def evidence(began: float) -> Row:
    """Return how such a row was come by."""
    return {
        "method": METHOD,
        "precision": "float64",
        "passes": 1,
        "seconds": time.perf_counter() - began,
        "num_threads": 1,
    }
