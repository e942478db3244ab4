# SPDX-License-Identifier: BSD-3-Clause
"""Other operands that a merger may have taken by mistake: a transpose, another weight, codes.

Each is a tensor source of its own, which is fitted like the right one. They are tried only where
nothing linear fits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from sigmascope import LowRank
from sigmascope.adapters import Adapter
from sigmascope.extension.pairs import delta_of

from .blocks import Block, Formats
from .number_formats import NumberFormat, Reals
from .number_rows import Indices
from .operands import Operand, Operands
from .sources import AdapterDonor, MatrixSource, Source

NF4 = np.array(
    [
        -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
        -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
        0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
        0.7229568362236023, 1.0,
    ]
)  # fmt: skip
"""The 16 values of 4-bit NormalFloat (Dettmers et al., 2023)."""

NF4_BLOCK = 64


@dataclass(frozen=True)
class Alternative:
    """A source in which one operand is another one.

    Attributes
    ----------
    words
        The mistake in words.
    source
        The numbers with that operand.
    """

    words: str
    source: Source


def iter_alternatives(
    operands: Operands, operand: Operand, source: Source
) -> Iterator[Alternative]:
    """List operands that may have been taken instead of those of a matrix."""
    if not isinstance(source, MatrixSource):
        return
    for place, index in enumerate(operand.donors):
        if index in operand.changes:
            for words, product in _other_products(operands, operand, index):
                donors = list(source.donors)
                donors[place] = AdapterDonor(product)
                yield Alternative(words, replace(source, donors=donors))
    if source.base.shape[1] % NF4_BLOCK == 0:
        words = "merged into a 4-bit copy of the base (NF4, blocks of 64)"
        yield Alternative(words, DecodedSource(source, decoded_nf4))
    words = "merged into an 8-bit copy of the base (int8, a scale for each row)"
    yield Alternative(words, DecodedSource(source, decoded_int8))


def _other_products(
    operands: Operands, operand: Operand, index: int
) -> Iterator[tuple[str, LowRank]]:
    """List the transpose of a change, and changes of other weights of the same layer."""
    donor, before = operands.donors[index], operand.pair.before
    assert isinstance(donor, Adapter)
    assert before is not None
    own = delta_of(operands.base, before.name, donor, operand.changes[index])
    if own.shape[0] == own.shape[1]:
        yield "the change was added transposed", own.T
    layer = before.record["layer"], before.record["tower"], before.record["expert"]
    for name, change in operands.changes_of(index).items():
        record = operands.base.record_of(name)
        same = (record["layer"], record["tower"], record["expert"]) == layer
        if name != before.name and same:
            other = delta_of(operands.base, name, donor, change)
            if other.shape == own.shape:
                yield f"the change of {name} was added instead", other


@dataclass(frozen=True)
class DecodedSource:
    """A matrix whose base went through codes; donors change the original base.

    Attributes
    ----------
    source
        The matrix.
    decode
        Function of rows of numbers and their format, which returns them after the codes; NaN
        where the last digit depends on the order of products. The blocks have NaN as the merged
        number there too, so that it says nothing of the merge.
    """

    source: MatrixSource
    decode: Callable[[Reals, NumberFormat], Reals]

    @property
    def formats(self) -> Formats:
        """The formats of the matrix."""
        return self.source.formats

    @property
    def count(self) -> int:
        """The number of numbers."""
        return self.source.count

    def blocks(self) -> Iterator[tuple[int, Block]]:
        """Read whole rows, which are whole blocks of codes."""
        for start, block in self.source.blocks():
            yield start, self._coded(block)

    def sample(self) -> tuple[Indices, Block]:
        """Read the first numbers that a donor changes and whose codes are known."""
        start, block = next(self.blocks())
        live = np.flatnonzero(~block.still & np.isfinite(block.base))[:8192]
        return start + live, block.part(live)

    def place(self, index: int) -> list[int]:
        """Return row and column of a number."""
        return self.source.place(index)

    def _coded(self, block: Block) -> Block:
        rows = block.base.reshape(-1, self.source.base.shape[1])
        with np.errstate(invalid="ignore"):
            decoded = self.decode(rows, block.formats.base).ravel()
        merged = np.where(np.isnan(decoded), np.nan, block.merged)
        return replace(block, base=decoded, merged=merged)


def decoded_nf4(numbers: Reals, number_format: NumberFormat) -> Reals:
    """Return numbers after 4-bit codes: blocks of 64, each scaled by its largest magnitude."""
    blocks = numbers.astype(np.float32).reshape(-1, NF4_BLOCK)
    largest = np.abs(blocks).max(axis=1, keepdims=True)
    scaled = blocks / np.where(largest > 0, largest, 1)
    middles = ((NF4[1:] + NF4[:-1]) / 2).astype(np.float32)
    codes = np.searchsorted(middles, scaled)
    values = NF4.astype(np.float32)[codes] * largest
    return number_format.round(values.astype(np.float64))


def decoded_int8(rows: Reals, number_format: NumberFormat) -> Reals:
    """Return numbers after codes of int8: rows, each scaled by its largest magnitude."""
    largest = np.abs(rows).max(axis=1, keepdims=True)
    codes = rows * 127 / np.where(largest > 0, largest, 1)
    near_tie = np.abs(np.abs(codes - np.floor(codes)) - 0.5) < 127 * 2.0**-21
    values = np.where(near_tie, np.nan, np.rint(codes)) * largest / 127
    error = 2.0**-22 * np.abs(values)
    low, high = number_format.round(values - error), number_format.round(values + error)
    return np.where(low == high, low, np.nan)
