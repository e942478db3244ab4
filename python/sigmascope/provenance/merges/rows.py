# SPDX-License-Identifier: BSD-3-Clause
"""Rows of numbers: what each number of a block says about the weights, in one order of rounding."""

from __future__ import annotations

import numpy as np

from .blocks import Block
from .number_formats import Reals
from .number_rows import Indices, NumberRows
from .orders import Order

LEAST_HALF = 1e-290
"""Least half of an interval. Cells of all formats are wider; only their ends meet in a point."""

FLOAT64 = 2.0**-50
"""Relative errors of float64 in a row: in its interval, in the sum of changes, and in scaling."""


def rows_of(order: Order, block: Block, most: Reals, places: Indices) -> NumberRows:
    """Return the rows of a block's numbers; weights are at most `most` in magnitude.

    A number whose base is not finite says nothing of the weights, but that no weights explain a
    finite number in its place. A number that no donor changes must have 0 in its interval.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        low, high = order.bounds(block, most)
        # An infinity bounds from one side; weights up to `most` bound from the other.
        cap = most @ block.sizes * (1 + FLOAT64)
        low, high = np.where(low == -np.inf, -cap, low), np.where(high == np.inf, cap, high)
        still = block.still
        impossible = ~(low <= high) | (still & ((low > 0) | (high < 0)))
    impossible = impossible & np.isfinite(block.base) | block.lost
    chosen = np.isfinite(low) & np.isfinite(high) & ~still & ~impossible
    base, donors, kept = block.base, block.donors, places
    if not chosen.all():
        low, high, base, kept = low[chosen], high[chosen], base[chosen], places[chosen]
        donors = donors[:, chosen]
    inverse = 1 / np.maximum((high - low) / 2, LEAST_HALF)
    size = np.abs(base) + most @ np.abs(donors)
    return NumberRows(
        a=donors * inverse,
        t=(low + high) / 2 * inverse,
        b=1 + FLOAT64 * size * inverse,
        places=kept,
        impossible=places[impossible],
    )


def largest_weights(block: Block) -> tuple[Reals, bool]:
    """Return bounds of the magnitudes of weights that can explain a block, in any order.

    A merged number is W + sum c_i D_i up to three units of the merged and the base's format, and
    up to three roundings of each change. The sum of squares then bounds the weights: with unit
    changes, sqrt(l) |c - c_0| <= |rest| + |units| + e (|c_0| + |c - c_0|), where l is the least
    eigenvalue of their Gram matrix, c_0 are the least squares weights and e bounds the roundings.

    Returns
    -------
    most : array (p,)
    proved : bool
        False if the squares do not bound the weights; then `most` is only a limit of the search.
    """
    formats, merged = block.formats, block.merged
    fine = np.isfinite(merged) & np.isfinite(block.base) & ~block.still
    for each in block.distances:
        fine &= np.isfinite(each)
    donors, target = block.donors[:, fine], merged[fine] - block.base[fine]
    p = len(donors)
    sizes = np.sqrt((donors * donors).sum(axis=1))
    if not fine.any() or not sizes.all():
        return np.full(p, LIMIT), False
    unit = donors / sizes[:, None]
    values, vectors = np.linalg.eigh(unit @ unit.T)
    keep = values > 1e-12 * values[-1]
    centre = (vectors[:, keep] / values[keep]) @ (vectors[:, keep].T @ (unit @ target))
    rest = np.linalg.norm(target - centre @ unit)
    units = sum(
        np.linalg.norm(3 * each.spacing(block.base[fine] + target))
        + np.linalg.norm(3 * each.spacing(block.base[fine]))
        for each in (formats.merged, formats.base)
    )
    for each in block.distances:
        units += np.linalg.norm(each[fine])
    digits = min(formats.change.digits, formats.base.digits)
    rounding = 3 * 2.0 ** (1 - digits) * np.sqrt(p)
    least = np.sqrt(max(values[0], 0.0)) - rounding
    if least <= 0 or not keep.all():
        return np.maximum(LIMIT, 2 * np.abs(centre) / sizes), False
    spread = (rest + units + rounding * np.linalg.norm(centre)) / least
    return (np.abs(centre) + spread) / sizes * (1 + 1e-9), True


LIMIT = 16.0
"""Magnitude of the weights that are searched where the numbers do not bound them."""
