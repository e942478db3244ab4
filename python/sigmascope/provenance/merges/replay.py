# SPDX-License-Identifier: BSD-3-Clause
"""Boxes of weights that replay a sample, found by halving a box."""

from __future__ import annotations

import numpy as np

from .blocks import Block
from .number_formats import Reals
from .orders import Order

ENOUGH = 1e-6
"""Width of a box, times the donor's share of all changes, below which halving stops."""

BOXES = 96
"""Largest number of boxes at a time."""

FIRST = 1024


def replayed_box(order: Order, sample: Block, box: Reals) -> Reals | None:
    """Return the hull of the parts of a box that may store a sample; None if no part may.

    Every rounding is monotone in each weight, so weights in a box store, number by number,
    something between what its two corners store. A part is impossible if one number of the sample
    is not. This closes what wide cells leave open where several roundings follow each other.
    """
    scale = np.sqrt((sample.donors * sample.donors).mean(axis=1))
    scale = np.where(scale > 0, scale, scale.max() or 1.0) / (scale.max() or 1.0)
    parts = [(box[:, 0].copy(), box[:, 1].copy())]
    if not _may_store(order, sample, *parts[0]):
        return None
    while True:
        widths = [((high - low) * scale).max() for low, high in parts]
        if max(widths) <= ENOUGH:
            break
        smaller = []
        for low, high in parts:
            axis = int(np.argmax((high - low) * scale))
            middle = (low[axis] + high[axis]) / 2
            below, above = high.copy(), low.copy()
            below[axis] = above[axis] = middle
            smaller += [
                half for half in ((low, below), (above, high)) if _may_store(order, sample, *half)
            ]
        if not smaller:
            return None
        if len(smaller) > BOXES:
            break
        parts = smaller
    low = np.min([part[0] for part in parts], axis=0)
    high = np.max([part[1] for part in parts], axis=0)
    return np.stack([low, high], axis=1)


def _may_store(order: Order, sample: Block, low: Reals, high: Reals) -> bool:
    """Return False if weights in a box cannot store some number; a few numbers settle most."""
    count = len(sample.base)
    for start, stop in ((0, FIRST), (FIRST, 8 * FIRST), (8 * FIRST, count)):
        if start < count and not order.stores(sample.part(slice(start, stop)), low, high).all():
            return False
    return True
