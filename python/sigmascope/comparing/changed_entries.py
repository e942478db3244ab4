# SPDX-License-Identifier: BSD-3-Clause
"""Entry-by-entry comparison of matrices whose total change is not larger than rounding errors.

If one entry of a large matrix changes by half its value, the norm changes by less than the rounding
of all entries. Only a comparison of single entries shows it.
"""

from __future__ import annotations

import numpy as np

from sigmascope._tables.schema import Row
from sigmascope.checkpoint.elements import CHUNK
from sigmascope.spectra.statistics import pairs
from sigmascope.spectra.statistics.entries import VectorChange

from .matrix_pairs import MatrixPair, StoredPair
from .pair_norms import PairNorms

_PLAIN = {"f64", "f32", "f16", "bf16"}
"""Formats in which a number determines its rounding error, without scales."""


def changed_entries(pair: MatrixPair, norms: PairNorms) -> Row:
    """Count the entries that changed, and the entries that changed by more than rounding.

    If the change is zero, or its norm is above the rounding floor, return an empty dict. Otherwise
    both matrices are read once more, a megabyte at a time. A single entry beyond rounding is a
    change, even if the spectrum of the difference looks like rounding noise.
    """
    if not isinstance(pair, StoredPair) or pair.quantised:
        return {}
    if not {pair.before.storage, pair.after.storage} <= _PLAIN:
        return {}
    change2, floor = norms.change.change2, norms.floor
    if change2 == 0.0 or floor is None or pairs.above_rounding(change2, floor):
        return {}
    one, two = pair.before, pair.after
    if one.native.column_major:  # decode along the contiguous direction
        one, two = one.T, two.T
    difference = VectorChange((one.storage, two.storage))
    height = max(CHUNK // one.shape[1], 1)
    for start in range(0, one.shape[0], height):
        rows = (a[start : start + height] for a in (one, two))
        difference.add(*(np.asarray(part, dtype=np.float64).ravel() for part in rows))
    return {
        "changed_entries": difference.changed,
        "beyond_rounding": difference.beyond,
        "delta_abs_max": difference.largest,
    }
