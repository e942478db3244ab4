# SPDX-License-Identifier: BSD-3-Clause
"""Cells of numbers in blocks of GGML: the reals that the reference quantisers turn into the codes.

A block of 32 numbers has a factor d and, in some layouts, a least number m, both stored in
float16. The quantiser of llama.cpp computes them in float32 and rounds the numbers with these, so
the factor that it used is known only up to the cell of the stored one: delta lies in cell16(d).
It computes x / delta as x * (1 / delta), whose relative error is at most 2^-22: that of the
division, of the reciprocal and of the product, each 2^-24, and one to spare.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .number_formats import FORMATS, Reals

Bytes = NDArray[np.uint8]
Codes = NDArray[np.int64]

SIZE = 32
"""Numbers of a block."""

RELATIVE = 2.0**-22
"""Relative error of a quotient x / delta in float32."""

SUM = 2.0**-18
"""Error of x / delta + 8.5 or 16.5 in float32: below half a unit of [16, 64), 2^-19."""


@dataclass(frozen=True, slots=True)
class BlockCells:
    """Cells of the numbers of some blocks.

    Attributes
    ----------
    low, high
        Ends of the closed intervals, of shape (blocks, 32); low > high if a scale is not finite.
    searched
        Blocks that the reference quantiser cannot have written: their scales were searched for, as
        with an importance matrix, and their cells are not known.
    """

    low: Reals
    high: Reals
    searched: NDArray[np.bool_]


def times(low: Reals, high: Reals, least: Reals, largest: Reals) -> tuple[Reals, Reals]:
    """Return the ends of the products of two intervals, rounded outwards."""
    with np.errstate(invalid="ignore"):
        products = [low * least, low * largest, high * least, high * largest]
    first, last = np.minimum.reduce(products), np.maximum.reduce(products)
    return first - np.abs(first) * 2.0**-52, last + np.abs(last) * 2.0**-52


def cells_of_blocks(layout: str, blocks: Bytes) -> BlockCells:
    """Return the cells of blocks of bytes, of shape (blocks, bytes of a block)."""
    return _READERS[layout](np.ascontiguousarray(blocks))


def _halves(blocks: Bytes, start: int) -> Reals:
    """Return a float16 number of each block, of shape (blocks, 1)."""
    raw = np.ascontiguousarray(blocks[:, start : start + 2])
    with np.errstate(invalid="ignore"):
        return raw.view("<f2").astype(np.float64)


def _nibbles(packed: Bytes) -> Codes:
    """Return codes of 4 bits: the low halves of 16 bytes, then the high halves."""
    return np.concatenate([packed & 15, packed >> 4], axis=1).astype(np.int64)


def _fifth_bits(packed: Bytes) -> Codes:
    bits = np.unpackbits(packed, axis=1, bitorder="little")
    return bits.astype(np.int64) << 4


def _only(marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the marked number of each block in which no other is marked."""
    return np.asarray(marked & (marked.sum(axis=1, keepdims=True) == 1))


def _finished(low: Reals, high: Reals, stored: Reals, searched: NDArray[np.bool_]) -> BlockCells:
    known = np.isfinite(stored)
    low, high = np.where(known, low, np.inf), np.where(known, high, -np.inf)
    return BlockCells(low, high, searched & known[:, 0])


def q8_0_cells(blocks: Bytes) -> BlockCells:
    """Return the cells of Q8_0: code q = round(x / delta), delta = max |x| / 127.

    So x / delta is in [q - 1/2, q + 1/2] (ties are away from zero, and either is in the closed
    interval), and |x| <= 127 delta. The largest |x| is 127 delta with the code 127 or -127: if one
    number of a block has such a code, it is that one, and is known as well as delta. A block that
    has none was not written by this quantiser. If d is 0, then delta is at most 2^-25 and all that
    is known is |x| <= 127 delta: for delta below float32 the codes have no meaning.
    """
    d, q = _halves(blocks, 0), blocks[:, 2:].view(np.int8).astype(np.int64)
    least, largest = FORMATS["f16"].cells(d)
    least, largest = np.maximum(least, 0.0), np.maximum(largest, 0.0)
    low, high = np.maximum(q - 0.5, -127.0), np.minimum(q + 0.5, 127.0)
    extreme = np.abs(q) == 127
    alone = _only(extreme)
    low, high = np.where(alone, q, low), np.where(alone, q, high)
    zero = d == 0
    low, high = np.where(zero, -127.0, low), np.where(zero, 127.0, high)
    low, high = times(*_widened(low, high), least, largest)
    searched = ((q == -128).any(axis=1) | ~extreme.any(axis=1)) & ~zero[:, 0] | (d[:, 0] < 0)
    return _finished(low, high, d, searched)


def _widened(low: Reals, high: Reals, error: float = 0.0) -> tuple[Reals, Reals]:
    """Widen intervals of x / delta by the errors of float32."""
    return (
        low - np.abs(low) * RELATIVE - error,
        high + np.abs(high) * RELATIVE + error,
    )


def _signed_cells(d: Reals, q: Codes, zero_code: int) -> BlockCells:
    """Return the cells of codes q = trunc(x / delta + z + 1/2), at most 2 z - 1.

    The factor is delta = y / -z, where y is the number of the largest magnitude; it has the code
    0. So x / delta is in [q - z - 1/2, q - z + 1/2] and in [-z, z]; the last code also holds z. If
    one number of a block has the code 0, it is y = -z delta without an error, and a block that has
    none was not written by this quantiser. If d is 0, only |x| <= z |delta| is known.
    """
    z = float(zero_code)
    least, largest = FORMATS["f16"].cells(d)
    extreme = q == 0
    alone = _only(extreme)
    low = np.maximum(q - z - 0.5, -z)
    high = np.where(q == 2 * zero_code - 1, z, q - z + 0.5)
    low, high = _widened(low, high, SUM)
    zero = d == 0
    low, high = np.where(alone, -z, low), np.where(alone, -z, high)
    low, high = np.where(zero, -z, low), np.where(zero, z, high)
    low, high = times(low, high, least, largest)
    return _finished(low, high, d, ~extreme.any(axis=1) & ~zero[:, 0])


def q4_0_cells(blocks: Bytes) -> BlockCells:
    """Return the cells of Q4_0; see :func:`_signed_cells`, with z = 8."""
    return _signed_cells(_halves(blocks, 0), _nibbles(blocks[:, 2:]), 8)


def q5_0_cells(blocks: Bytes) -> BlockCells:
    """Return the cells of Q5_0; see :func:`_signed_cells`, with z = 16."""
    q = _nibbles(blocks[:, 6:]) + _fifth_bits(blocks[:, 2:6])
    return _signed_cells(_halves(blocks, 0), q, 16)


def _cells_above_least(d: Reals, m: Reals, q: Codes, last: int) -> BlockCells:
    """Return the cells of codes q = trunc((x - least) / delta + 1/2), at most `last`.

    The factor is delta = (largest - least) / last, and `least` is in the cell of m. So
    (x - least) / delta is in [q - 1/2, q + 1/2] and in [0, last]. The least number has the code 0
    and the largest the last code, so a block without one of them was not written by this quantiser;
    the only number with the code 0 is the least number itself. If d is 0, only
    least <= x <= least + last delta is known.
    """
    factors, offsets = FORMATS["f16"].cells(d), FORMATS["f16"].cells(m)
    least, largest = np.maximum(factors[0], 0.0), np.maximum(factors[1], 0.0)
    alone = _only(q == 0)
    low, high = np.maximum(q - 0.5, 0.0), np.minimum(q + 0.5, float(last))
    low, high = _widened(low, high, SUM)
    zero = d == 0
    low = np.where(alone | zero, 0.0, np.maximum(low, 0.0))
    high = np.where(zero, last * (1 + RELATIVE), np.where(alone, 0.0, high))
    low, high = times(low, high, least, largest)
    low, high = offsets[0] + low, offsets[1] + high
    low, high = low - np.abs(low) * 2.0**-52, high + np.abs(high) * 2.0**-52
    both = (q == 0).any(axis=1) & (q == last).any(axis=1)
    searched = (~both & ~zero[:, 0]) | (d[:, 0] < 0)
    return _finished(low, high, d + m, searched)


def q4_1_cells(blocks: Bytes) -> BlockCells:
    """Return the cells of Q4_1; see :func:`_cells_above_least`."""
    d, m = _halves(blocks, 0), _halves(blocks, 2)
    return _cells_above_least(d, m, _nibbles(blocks[:, 4:]), 15)


def q5_1_cells(blocks: Bytes) -> BlockCells:
    """Return the cells of Q5_1; see :func:`_cells_above_least`."""
    d, m = _halves(blocks, 0), _halves(blocks, 2)
    q = _nibbles(blocks[:, 8:]) + _fifth_bits(blocks[:, 4:8])
    return _cells_above_least(d, m, q, 31)


_READERS: dict[str, Callable[[Bytes], BlockCells]] = {
    "q8_0": q8_0_cells,
    "q4_0": q4_0_cells,
    "q4_1": q4_1_cells,
    "q5_0": q5_0_cells,
    "q5_1": q5_1_cells,
}
