# SPDX-License-Identifier: BSD-3-Clause
"""Blocks of numbers of a tensor: in the base, in the merged file, and their changes by donors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .number_formats import NumberFormat, Reals

FLOAT32 = 2.0**-24
"""Largest relative error of one rounding to float32."""

LEAST_FLOAT32 = 2.0**-144
"""More than the absolute errors of the float32 operations on one number, near zero."""


@dataclass(frozen=True, slots=True)
class Formats:
    """The formats that a merger of one tensor may have rounded to.

    Attributes
    ----------
    base
        Format of the base, in which a merger keeps W while it adds.
    merged
        Format of the merged file.
    change
        Format of the donors: of a model's numbers, or of an adapter's factors.
    factors
        Format to which a merger has rounded the factors of adapters first, or None.
    """

    base: NumberFormat
    merged: NumberFormat
    change: NumberFormat
    factors: NumberFormat | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """The change of n numbers by one donor at weight 1.

    Attributes
    ----------
    exact
        The change in float64: F - W of a model, s B A of an adapter.
    error
        Bound of the error of the change if it is computed in float32; 0 for a model.
    scale
        The factor s of an adapter, which a merger may apply after it has rounded B A; 1 for a
        model.
    """

    exact: Reals
    error: Reals
    scale: float = 1.0


@dataclass(frozen=True)
class Block:
    """The same n numbers of one tensor in all operands.

    Attributes
    ----------
    base, merged
        Stored numbers, in float64, of shape (n,).
    changes
        One change for each of p donors.
    formats
        The formats of the tensor.
    coded
        Ends of the cells of merged numbers that are stored as codes with scales; otherwise None.
    unsure
        Largest distance of each number of the base from the one that the merger had; None if the
        merger had these numbers.
    """

    base: Reals
    merged: Reals
    changes: tuple[Change, ...]
    formats: Formats
    coded: tuple[Reals, Reals] | None = None
    unsure: Reals | None = None

    @cached_property
    def donors(self) -> Reals:
        """Changes at weight 1, of shape (p, n)."""
        return np.array([change.exact for change in self.changes]).reshape(-1, len(self.base))

    @cached_property
    def errors(self) -> Reals:
        """Errors of float32 in the changes, of shape (p, n)."""
        return np.array([change.error for change in self.changes]).reshape(-1, len(self.base))

    @cached_property
    def sizes(self) -> Reals:
        """Magnitudes of the changes at weight 1, of shape (p, n)."""
        return np.abs(self.donors)

    @cached_property
    def cells(self) -> tuple[Reals, Reals]:
        """Ends of the cells of the merged numbers."""
        return self.formats.merged.cells(self.merged) if self.coded is None else self.coded

    @cached_property
    def lost(self) -> NDArray[np.bool_]:
        """Infinities and NaNs of the base that became finite numbers, as no merger makes them.

        The largest number is left out, since some casts store it instead; and a base or a merged
        file in codes, since what a quantiser makes of an infinity is not known.
        """
        if self.coded is not None or self.unsure is not None:
            return np.zeros(len(self.base), bool)
        finite = np.abs(self.merged) < self.formats.merged.largest
        return np.asarray(finite & ~np.isfinite(self.base))

    @cached_property
    def reach(self) -> Reals:
        """Largest distance of each number of the base from the one that the merger had."""
        return np.zeros_like(self.base) if self.unsure is None else self.unsure

    @property
    def distances(self) -> tuple[Reals, ...]:
        """Bounds of the distances of coded numbers from those that a merger had in float16."""
        far = () if self.unsure is None else (self.unsure,)
        if self.coded is None:
            return far
        with np.errstate(invalid="ignore"):
            reach = np.maximum(self.merged - self.coded[0], self.coded[1] - self.merged)
        return (np.maximum(reach, 0.0) + 2.0**-24, *far)

    def stored_as(self, low: Reals, high: Reals) -> NDArray[np.bool_]:
        """Return whether a number between these ends may be stored as the merged one."""
        return np.asarray((self.cells[0] <= high) & (low <= self.cells[1]))

    @cached_property
    def still(self) -> NDArray[np.bool_]:
        """Numbers that no donor changes."""
        return np.asarray(~np.any(self.donors, axis=0))

    def ends(self) -> tuple[Reals, Reals]:
        """Return the least and largest changes that float32 may have, of shape (p, n)."""
        return self.donors - self.errors, self.donors + self.errors

    def rounded_ends(self, number_format: NumberFormat) -> tuple[Reals, Reals]:
        """Return the ends of the changes if each is rounded before it is scaled.

        They differ where the float32 product is too near a tie to know.
        """
        low, high = self.ends()
        scales = np.array([change.scale for change in self.changes])[:, None]
        one = scales * number_format.round(low / scales)
        other = scales * number_format.round(high / scales)
        return np.minimum(one, other), np.maximum(one, other)

    def part(self, chosen: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Block:
        """Return a block of some of the numbers."""
        changes = tuple(Change(c.exact[chosen], c.error[chosen], c.scale) for c in self.changes)
        coded = None if self.coded is None else (self.coded[0][chosen], self.coded[1][chosen])
        unsure = None if self.unsure is None else self.unsure[chosen]
        base, merged = self.base[chosen], self.merged[chosen]
        return Block(base, merged, changes, self.formats, coded, unsure)


def join(blocks: Sequence[Block]) -> Block:
    """Return one block with the numbers of several blocks of a tensor."""
    changes = tuple(
        Change(
            np.concatenate([change.exact for change in same]),
            np.concatenate([change.error for change in same]),
            same[0].scale,
        )
        for same in zip(*(block.changes for block in blocks), strict=True)
    )
    base = np.concatenate([block.base for block in blocks])
    merged = np.concatenate([block.merged for block in blocks])
    whole = Block(base, merged, changes, blocks[0].formats)
    cells = [block.coded for block in blocks if block.coded is not None]
    unsure = [block.unsure for block in blocks if block.unsure is not None]
    if cells:
        low, high = (np.concatenate(ends) for ends in zip(*cells, strict=True))
        whole = replace(whole, coded=(low, high))
    return replace(whole, unsure=np.concatenate(unsure)) if unsure else whole
