# SPDX-License-Identifier: BSD-3-Clause
"""Orders of several donors, and the list of all orders that are tried."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from .blocks import FLOAT32, LEAST_FLOAT32, Block, Formats
from .coded_cells import CodedFormat
from .number_formats import FORMATS, NumberFormat, Reals
from .orders import (
    Ends,
    Once,
    Order,
    RoundedChange,
    added,
    base_ends,
    cells_in_place,
    error_of_products,
    half_of,
    scaled_ends,
)


@dataclass(frozen=True, slots=True)
class InTurn(Order):
    """One donor after the other: the base is rounded to its format after each of them.

    Attributes
    ----------
    sequence
        Indices of the donors, in the order in which they are added.
    change
        The format to which each change is rounded first; None if it stays in float32.
    products
        True if a change is also rounded before it is scaled.
    """

    sequence: tuple[int, ...]
    change: NumberFormat | None = None
    products: bool = False

    @property
    def words(self) -> str:
        """The order in words."""
        one_by_one = "added one after the other"
        numbers = ", ".join(str(i + 1) for i in self.sequence)
        if self.sequence != tuple(range(len(self.sequence))):
            one_by_one += f" ({numbers})"
        if self.change is None:
            return f"{one_by_one}, rounded after each"
        what = "each product and change" if self.products else "each change"
        return f"{what} rounded to {self.change.words}, {one_by_one}, rounded after each"

    def bounds(self, block: Block, most: Reals) -> Ends:
        """Return the interval that the cell leaves, widened by what was rounded before."""
        low, high = cells_in_place(block)
        p, change = len(most), most @ block.sizes
        size = np.abs(block.base) + block.reach + change
        error = block.reach + FLOAT32 * (2 * p + 2) * size + most @ block.errors + LEAST_FLOAT32
        error = error + (p - 1) * half_of(block.formats.base, size + most @ block.errors)
        if self.change is not None:
            one = half_of(self.change, most[:, None] * block.sizes)
            if self.products:
                one = error_of_products(self.change, block, most)
            error = error + one.sum(axis=0)
        return low - error - block.base, high + error - block.base

    def play(self, block: Block, low: Reals, high: Reals) -> Ends:
        """Round as the merger does, at both corners of the box."""
        ends = block.ends()
        if self.products and self.change is not None:
            ends = block.rounded_ends(self.change)
        least, largest = scaled_ends(ends, low, high)
        if self.change is not None:
            least, largest = self.change.round(least), self.change.round(largest)
        below, above = base_ends(block)
        base = block.formats.base
        for i in self.sequence:
            below, above = added((below, above), least[i], largest[i], 1)
            below, above = base.round(below), base.round(above)
        merged = block.formats.merged
        return (below, above) if merged == base else (merged.round(below), merged.round(above))


@dataclass(frozen=True, slots=True)
class ModelProducts(Order):
    """Weighted models in half precision: products and their sum rounded, divided by all weights.

    The base has the weight 1 - c_1 - ... - c_p. All weights are rounded to the format first, as
    mergekit's linear merge does it.

    Attributes
    ----------
    number_format
        The format of the models, in which the merger computes.
    """

    number_format: NumberFormat

    @property
    def words(self) -> str:
        """The order in words."""
        return f"each weighted model rounded to {self.number_format.words}, then their mean"

    def bounds(self, block: Block, most: Reals) -> Ends:
        """Return the interval that the cell leaves, widened by what was rounded before."""
        low, high = block.cells
        if self.number_format != block.formats.merged:
            low, high = self.number_format.sources(low, high)
        models = np.abs(block.base + block.donors)
        size = most @ models + (1 + most.sum()) * np.abs(block.base)
        # Weights, products, their sum and the sum of the weights are each off by half a unit.
        relative = (len(most) + 5) * 2.0**-self.number_format.digits
        least = 2.0 ** (self.number_format.least + 1) * (len(most) + 2)
        error = relative * (1 + relative) * size + least
        return low - error - block.base, high + error - block.base

    def play(self, block: Block, low: Reals, high: Reals) -> Ends:
        """Round as the merger does, at both corners of the box."""
        rounded = self.number_format.round
        weights = rounded(np.append(low, 1 - high.sum())), rounded(np.append(high, 1 - low.sum()))
        models = np.vstack([block.base + block.donors, block.base])
        one, other = models * weights[0][:, None], models * weights[1][:, None]
        least, largest = np.minimum(one, other), np.maximum(one, other)
        error = FLOAT32 * np.maximum(np.abs(least), np.abs(largest))
        least, largest = rounded(least - error), rounded(largest + error)
        error = FLOAT32 * len(models) * np.maximum(np.abs(least), np.abs(largest)).sum(axis=0)
        least, largest = rounded(least.sum(axis=0) - error), rounded(largest.sum(axis=0) + error)
        totals = [float(rounded(np.array(each.sum()))) for each in weights]
        return self._divided(block.formats, least, largest, *totals)

    def _divided(
        self, formats: Formats, least: Reals, largest: Reals, lowest: float, highest: float
    ) -> Ends:
        if lowest <= 0:
            everything = np.full_like(least, np.inf)
            return -everything, everything
        low = np.minimum(least / lowest, least / highest)
        high = np.maximum(largest / lowest, largest / highest)
        error = FLOAT32 * np.maximum(np.abs(low), np.abs(high))
        low, high = self.number_format.round(low - error), self.number_format.round(high + error)
        return formats.merged.round(low), formats.merged.round(high)


def iter_orders(formats: Formats, p: int, *, models: bool) -> Iterator[Order]:
    """List the orders in which mergers round p changes in these formats.

    `models` is True if all donors are models, and False if one is an adapter.
    """
    yield Once()
    if isinstance(formats.merged, CodedFormat):
        for half in (FORMATS["f16"], FORMATS["bf16"]):
            if half != formats.base:
                yield Once(through=half)
    if formats.merged.name == "bf16":
        yield Once("toward zero")
    float32 = formats.base.name == "f32"  # in which all mergers compute
    if formats.base != formats.merged and not float32:
        yield Once(through=formats.base)
    added_in = {f.name: f for f in (formats.change, formats.base) if f.name != "f32"}
    for change in added_in.values():
        for products in (False, True):
            yield RoundedChange(change, products)
        if models:
            yield ModelProducts(change)
    if p == 1:
        return
    sequences = list(permutations(range(p)))
    if p > 3:
        sequences = [tuple(range(p)), tuple(reversed(range(p)))]
    for sequence in sequences:
        if not float32:
            yield InTurn(sequence)
        for change in added_in.values():
            for products in (False, True):
                yield InTurn(sequence, change, products)


def words_of(order: Order, formats: Formats) -> str:
    """Return an order in words, with the format to which factors were rounded first."""
    first = formats.factors
    return order.words if first is None else f"{order.words}, from factors rounded to {first.words}"


AT_RANDOM = Once("either")
"""The weakest order, which is tried if no other fits."""
