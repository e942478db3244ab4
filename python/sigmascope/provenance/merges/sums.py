# SPDX-License-Identifier: BSD-3-Clause
"""Counts and sums over all numbers of a tensor: what changed, and how much of a change survived."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from .blocks import Block
from .number_formats import Reals
from .survival import Binade, add_binades


@dataclass
class Sums:
    """Exact counts and float64 sums over all numbers of a tensor.

    Attributes
    ----------
    gram, cross
        Sums of D_i D_j, and of D_i (M - W), over numbers that are finite.
    moved
        Sum of (M - W)^2.
    changed
        Numbers with M != W, after W is rounded to the merged format.
    foreign
        Numbers with M != W that no donor changes.
    shown
        For each claim, the numbers that it would change if it were rounded once.
    weights
        Weights near those of the merge, for `binades`.
    binades
        For each exponent e of |W| in [2^(e-1), 2^e), and whether W is the power of two there: the
        count of numbers, and the sum of the squares of their changes at `weights`.
    """

    gram: Reals
    cross: Reals
    weights: Reals
    moved: float = 0.0
    changed: int = 0
    foreign: int = 0
    shown: list[int] = field(default_factory=list)
    binades: dict[Binade, tuple[int, float]] = field(default_factory=dict)

    @classmethod
    def start(cls, weights: Reals, claims: int) -> Sums:
        """Return the sums over no numbers."""
        p = len(weights)
        return cls(np.zeros((p, p)), np.zeros(p), weights, shown=[0] * claims)

    def add(self, block: Block, claims: Sequence[Reals]) -> None:
        """Add the numbers of a block."""
        formats = block.formats
        unrounded = formats.base == formats.merged
        rounded = block.base if unrounded else formats.merged.round(block.base)
        same = (rounded == block.merged) | (np.isnan(rounded) & np.isnan(block.merged))
        reach = block.reach
        by_cells = block.coded is not None or block.unsure is not None
        if by_cells:
            same |= block.stored_as(block.base - reach, block.base + reach)
        self.changed += int(np.count_nonzero(~same))
        self.foreign += int(np.count_nonzero(~same & block.still))
        with np.errstate(invalid="ignore"):
            moved = block.merged - block.base
        finite = np.isfinite(moved)
        donors, moved = (block.donors, moved) if finite.all() else _only(finite, block, moved)
        self.gram += donors @ donors.T
        self.cross += donors @ moved
        self.moved += float(moved @ moved)
        for i, claim in enumerate(claims):
            total = block.base + claim @ block.donors
            moves = formats.merged.round(total) != rounded
            if by_cells:
                moves = ~block.stored_as(total - reach, total + reach)
            self.shown[i] += int(np.count_nonzero(moves))
        add_binades(self.binades, block.base[finite], self.weights @ donors)

    def join(self, other: Sums) -> None:
        """Add the sums of other numbers."""
        self.gram += other.gram
        self.cross += other.cross
        self.moved += other.moved
        self.changed += other.changed
        self.foreign += other.foreign
        self.shown = [a + b for a, b in zip(self.shown, other.shown, strict=True)]
        for binade, (count, squares) in other.binades.items():
            number, total = self.binades.get(binade, (0, 0.0))
            self.binades[binade] = number + count, total + squares


def _only(finite: Reals, block: Block, moved: Reals) -> tuple[Reals, Reals]:
    return block.donors[:, finite], moved[finite]
