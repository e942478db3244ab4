# SPDX-License-Identifier: BSD-3-Clause
"""Rows of tensors without a spectrum (vectors, scalars, integers, scales), read entry by entry."""

from __future__ import annotations

import time

from sigmascope._running.tasks import TENSOR_ERRORS, failed
from sigmascope._tables.schema import Row
from sigmascope.adapters.scannable import Scannable
from sigmascope.checkpoint.elements import Elements
from sigmascope.spectra.statistics.entries import VectorStatistics
from sigmascope.spectra.statistics.pairs import ROUNDING

METHOD = "entry by entry"


def entrywise(checkpoint: Scannable, name: str, kind: str) -> Row:
    """Read the numbers of a tensor; an error becomes the reason in its row.

    Parameters
    ----------
    checkpoint, name
        The tensor; :meth:`Checkpoint.elements` must return its numbers.
    kind
        The status of the tensor: "vector", "scalar", "integer" and so on.

    Returns
    -------
    dict
        The columns of its row that the headers do not give.

    Notes
    -----
    Takes one pass, a megabyte at a time, in float64. Identical copies on several ranks count once.
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
    if seen.is_mask:
        row["reason"] = mask(seen)
    elif not seen.finite:
        row |= nonfinite(f"the {kind} holds {nonfinite_counts(seen, elements)}")
    return row | evidence(began)


def columns_of(seen: VectorStatistics, elements: Elements) -> Row:
    """Return the statistics of the numbers of one tensor."""
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


def mask(seen: VectorStatistics) -> str:
    """Return the reason why a mask of attention has no spectrum, which is not an error."""
    return f"a mask: {seen.zeros} entries are 0, and {seen.inf} are -inf"


def nonfinite_counts(seen: VectorStatistics, elements: Elements) -> str:
    """Say how many entries of a tensor are not finite, and where the first one is."""
    assert seen.first is not None
    place = elements.place(seen.first)
    return f"{seen.nan} NaN and {seen.inf} infinite entries, the first at {place}"


def nonfinite(reason: str) -> Row:
    """Return the columns of a row that fails because some entries are not finite."""
    return {"status": "failed", "reason": reason, "failure": "data", "converged": False}


def evidence(began: float) -> Row:
    """Return the columns that state how an entrywise row was computed."""
    return {
        "method": METHOD,
        "precision": "float64",
        "passes": 1,
        "seconds": time.perf_counter() - began,
        "num_threads": 1,
        "device": "cpu",
    }
