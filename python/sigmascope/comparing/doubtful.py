# SPDX-License-Identifier: BSD-3-Clause
"""Matrices whose change as a whole is no more than rounding makes: is that so entry by entry?

One entry that changed by half is less, in a large matrix, than what rounding does to all entries.
"""

from __future__ import annotations

import numpy as np

from sigmascope._tables.schema import Row
from sigmascope.checkpoint.elements import CHUNK
from sigmascope.statistics import pairs
from sigmascope.statistics.entries import VectorChange

from .couples import AnyCouple, Couple, Sums

_PLAIN = {"f64", "f32", "f16", "bf16"}
"""Formats whose numbers tell their own rounding; codes with scales do not."""


def entries_of(couple: AnyCouple, sums: Sums) -> Row:
    """Count the entries that changed, and those that rounding cannot have changed.

    Nothing where the change is zero, or above rounding as a whole: else one pass more over both,
    a megabyte at a time. A single entry beyond rounding is a change, though the spectrum of the
    difference may be that of rounding noise.
    """
    if not isinstance(couple, Couple) or not {couple.before.dtype, couple.after.dtype} <= _PLAIN:
        return {}
    change2, floor = sums.change.change2, sums.floor
    if change2 == 0.0 or floor is None or pairs.above_rounding(change2, floor):
        return {}
    one, two = couple.before, couple.after
    if one._native.column_major:  # read along what lies together
        one, two = one.T, two.T
    apart = VectorChange((one.dtype, two.dtype))
    height = max(CHUNK // one.shape[1], 1)
    for start in range(0, one.shape[0], height):
        rows = (a[start : start + height] for a in (one, two))
        apart.add(*(np.asarray(part, dtype=np.float64).ravel() for part in rows))
    return {
        "changed_entries": apart.changed,
        "beyond_rounding": apart.beyond,
        "delta_abs_max": apart.largest,
    }
