# SPDX-License-Identifier: BSD-3-Clause
"""Orders of rounding: the sequences in which mergers round, and what each tells of the weights.

A merger stores W + c_1 D_1 + ... + c_p D_p. A stored number is known up to its cell; an order turns
the cell into an interval for the sum of the changes, and weights into the number to be stored. The
orders are those of PEFT, mergekit, unsloth, llama.cpp and sd-scripts, as their sources have them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .blocks import FLOAT32, LEAST_FLOAT32, Block, Formats
from .number_formats import NumberFormat, Reals

Ends = tuple[Reals, Reals]


class Order(ABC):
    """A sequence of roundings."""

    @property
    @abstractmethod
    def words(self) -> str:
        """The order in words: "rounded once, from float32"."""

    @property
    def rounds_weights(self) -> bool:
        """True if the merger may hold the weights in half precision."""
        return False

    @abstractmethod
    def bounds(self, block: Block, most: Reals) -> Ends:
        """Return an interval for the sum of changes of each number; low > high if none is possible.

        It contains the sum for all weights with |c_i| <= most_i that store the merged number.
        """

    @abstractmethod
    def play(self, block: Block, low: Reals, high: Reals) -> Ends:
        """Return the least and the largest numbers that weights in a box may store.

        Each rounding, sum and scaling is monotone in each weight, so these are the numbers of two
        corners of the box, moved outwards by the errors of float32.
        """

    def stores(self, block: Block, low: Reals, high: Reals) -> NDArray[np.bool_]:
        """Return, for each number, whether weights in a box may store it.

        A NaN or an infinity of the base stays as it is, whatever the weights.
        """
        with np.errstate(invalid="ignore"):
            least, largest = self.play(block, low, high)
            possible = (least <= block.merged) & (block.merged <= largest)
            if block.coded is not None:  # a code stands for all numbers of its cell
                possible = block.stored_as(least, largest)
        return stored_or_kept(block, possible)


def stored_or_kept(block: Block, possible: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Replace the decision where the base has a NaN or an infinity: it stays as it is."""
    finite = np.isfinite(block.base)
    if finite.all():
        return possible
    kept = (block.merged == block.base) | (np.isnan(block.merged) & np.isnan(block.base))
    return np.where(finite, possible, kept)


def scaled_ends(changes: Ends, low: Reals, high: Reals) -> Ends:
    """Return the ends of every c_i D_i as float32 may have them, of shape (p, n)."""
    weights = (low,) if np.array_equal(low, high) else (low, high)
    products = [change * weight[:, None] for change in changes for weight in weights]
    least, largest = np.minimum.reduce(products), np.maximum.reduce(products)
    error = FLOAT32 * np.maximum(np.abs(least), np.abs(largest)) + LEAST_FLOAT32
    return least - error, largest + error


def added(base: Ends, least: Reals, largest: Reals, terms: int) -> Ends:
    """Return the ends of base + change as float32 may have them."""
    size = np.maximum(np.abs(base[0]), np.abs(base[1]))
    error = terms * FLOAT32 * (size + np.maximum(np.abs(least), np.abs(largest)))
    return base[0] + least - error, base[1] + largest + error


def base_ends(block: Block) -> Ends:
    """Return the ends of the numbers that the merger may have had as its base."""
    return block.base - block.reach, block.base + block.reach


def half_of(number_format: NumberFormat, size: Reals) -> Reals:
    """Return the largest error of rounding a number of at most this size, itself rounded before."""
    return number_format.spacing(size * (1 + 2.0 ** (2 - number_format.digits))) / 2


@dataclass(frozen=True, slots=True)
class Once(Order):
    """All in float32, then one conversion to the merged format.

    Attributes
    ----------
    rounding
        How the conversion rounds, as for :meth:`NumberFormat.cells`.
    through
        A format in between, to which W + change is rounded first; or None.
    """

    rounding: str = "nearest"
    through: NumberFormat | None = None

    @property
    def words(self) -> str:
        """The order in words."""
        if self.rounding == "toward zero":
            return "added in float32, low digits cut off"
        if self.rounding == "either":
            return "added in float32, rounded up or down at random"
        if self.through is not None:
            return f"added in float32, rounded to {self.through.words} and then converted"
        return "added in float32, rounded once"

    def bounds(self, block: Block, most: Reals) -> Ends:
        """Return the interval that the cell leaves, widened by what was rounded before."""
        low, high = self._cells(block)
        if self.through is not None:
            low, high = self.through.sources(low, high)
        size = np.abs(block.base) + most @ block.sizes
        error = FLOAT32 * (len(most) + 2) * size + most @ block.errors + LEAST_FLOAT32
        error = error + block.reach * (1 + FLOAT32 * (len(most) + 2))
        return low - error - block.base, high + error - block.base

    def play(self, block: Block, low: Reals, high: Reals) -> Ends:
        """Round as the merger does, at both corners of the box."""
        least, largest = self._sums(block, low, high)
        merged = block.formats.merged
        if self.through is not None:
            least, largest = self.through.round(least), self.through.round(largest)
        if self.rounding == "nearest":
            return merged.round(least), merged.round(largest)
        unit_below, unit_above = merged.spacing(least), merged.spacing(largest)
        down, up = (
            np.floor(least / unit_below) * unit_below,
            np.ceil(largest / unit_above) * unit_above,
        )
        if self.rounding == "either":
            return down, up
        return np.where(least >= 0, down, np.ceil(least / unit_below) * unit_below), np.where(
            largest <= 0, up, np.floor(largest / unit_above) * unit_above
        )

    def stores(self, block: Block, low: Reals, high: Reals) -> NDArray[np.bool_]:
        """Return, for each number, whether weights in a box may store it: by its cell."""
        if self.through is not None:
            return Order.stores(self, block, low, high)
        lower, upper = self._cells(block)
        with np.errstate(invalid="ignore"):
            least, largest = self._sums(block, low, high)
            possible = (lower <= largest) & (least <= upper)
        return stored_or_kept(block, possible)

    def _cells(self, block: Block) -> Ends:
        if self.rounding == "nearest" or block.coded is not None:
            return block.cells
        return block.formats.merged.cells(block.merged, self.rounding)

    def _sums(self, block: Block, low: Reals, high: Reals) -> Ends:
        """Return the ends of W + change as float32 may have them."""
        least, largest = scaled_ends(block.ends(), low, high)
        size = np.abs(block.base) + np.maximum(np.abs(least), np.abs(largest)).sum(axis=0)
        error = FLOAT32 * (len(low) + 1) * size
        error = error + block.reach * (1 + FLOAT32 * (len(low) + 1))
        return block.base + least.sum(axis=0) - error, block.base + largest.sum(axis=0) + error


@dataclass(frozen=True, slots=True)
class RoundedChange(Order):
    """The sum of the changes is rounded to a format, then added in the base's format.

    Attributes
    ----------
    change
        The format of the sum.
    products
        True if each change is rounded before it is scaled, and again before the sum.
    """

    change: NumberFormat
    products: bool = False

    @property
    def words(self) -> str:
        """The order in words."""
        what = "each product and their sum" if self.products else "the change"
        return f"{what} rounded to {self.change.words}, added, rounded again"

    @property
    def rounds_weights(self) -> bool:
        """True for weighted products, as of task arithmetic in half precision."""
        return self.products

    def bounds(self, block: Block, most: Reals) -> Ends:
        """Return the interval that the cell leaves, widened by what was rounded before."""
        low, high = cells_in_place(block)
        p, change = len(most), most @ block.sizes
        error = FLOAT32 * (np.abs(block.base) + change) + block.reach * (1 + FLOAT32)
        low, high = self.change.sources(low - error - block.base, high + error - block.base)
        error = FLOAT32 * (p + 1) * change + most @ block.errors + LEAST_FLOAT32
        if self.products:
            error = error + error_of_products(self.change, block, most).sum(axis=0)
        return low - error, high + error

    def play(self, block: Block, low: Reals, high: Reals) -> Ends:
        """Round as the merger does, at both corners of the box."""
        if self.products:
            least, largest = scaled_ends(block.rounded_ends(self.change), low, high)
            least, largest = self.change.round(least), self.change.round(largest)
        else:
            least, largest = scaled_ends(block.ends(), low, high)
        size = np.maximum(np.abs(least), np.abs(largest)).sum(axis=0)
        error = FLOAT32 * (len(low) - 1) * size
        least = self.change.round(least.sum(axis=0) - error)
        largest = self.change.round(largest.sum(axis=0) + error)
        return stored_ends(block.formats, *added(base_ends(block), least, largest, 1))


def cells_in_place(block: Block) -> Ends:
    """Return the reals that become the merged numbers if they are rounded in the base's format."""
    base, merged = block.formats.base, block.formats.merged
    low, high = block.cells
    return (low, high) if base == merged else base.sources(low, high)


def stored_ends(formats: Formats, least: Reals, largest: Reals) -> Ends:
    """Return numbers as they are stored: in the base's format, then in the merged format."""
    least, largest = formats.base.round(least), formats.base.round(largest)
    if formats.merged == formats.base:
        return least, largest
    return formats.merged.round(least), formats.merged.round(largest)


def error_of_products(number_format: NumberFormat, block: Block, most: Reals) -> Reals:
    """Return bounds of what rounding before and after scaling changes, of shape (p, n)."""
    scales = np.array([abs(change.scale) for change in block.changes])[:, None]
    sizes = block.sizes + block.errors
    before = scales * half_of(number_format, sizes / scales)
    return most[:, None] * before + half_of(number_format, most[:, None] * (sizes + before))
