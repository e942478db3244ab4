# SPDX-License-Identifier: BSD-3-Clause
"""Numbers of the codes of quantised weights, and the unpacking of codes in one step.

Zeros are packed like codes. They are few, so NumPy unpacks them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .scales import decode_e4m3

AWQ_ORDER = (0, 4, 1, 5, 2, 6, 3, 7)
"""Position of each of eight codes in a word of AWQ: even codes are in the low half, in order."""

E2M1 = np.array(
    [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], dtype=np.float32
)
"""Numbers of the 4-bit floating point codes of MXFP4 and NVFP4."""

E2M3 = np.array(
    [m / 8 for m in range(8)] + [(1 + m / 8) * 2.0**e for e in range(3) for m in range(8)],
    dtype=np.float32,
)
E2M3 = np.concatenate([E2M3, -E2M3])
"""Numbers of the 6-bit floating point codes of MXFP6, the sign in the highest bit."""

E3M2 = np.array(
    [m / 16 for m in range(4)] + [(1 + m / 4) * 2.0 ** (e - 2) for e in range(7) for m in range(4)],
    dtype=np.float32,
)
E3M2 = np.concatenate([E3M2, -E3M2])
"""Numbers of the other codes of 6 bits of MXFP6, with three bits for the exponent."""

SIGNED_BYTES = np.arange(256).astype(np.uint8).view(np.int8).astype(np.float32)
"""Numbers of the bytes of int8."""

SIGNED_NIBBLES = np.array([*range(8), *range(-8, 0)], np.float32)
"""Numbers of the codes of a signed integer of 4 bits."""

E4M3 = decode_e4m3(np.arange(256))
"""Numbers of the codes of F8_E4M3, two of which are NaN."""

with np.errstate(invalid="ignore"):  # AArch64 reports the conversion of signalling NaN
    E5M2 = (np.arange(256).astype(np.uint16) << 8).view(np.float16).astype(np.float32)
"""Numbers of the codes of F8_E5M2, the upper half of those of F16."""


def natural(count: int) -> tuple[int, ...]:
    """Return the order of a pack in which codes follow each other."""
    return tuple(range(count))


def dense(bits: int) -> tuple[int, ...]:
    """Return the natural order of a pack without gaps: 32 codes, or fewer that fill a word."""
    return natural(32 // bits if 32 % bits == 0 else 32)


def integers(bits: int, least: int = 0) -> NDArray[np.float32]:
    """Return the numbers of codes that count up from `least`."""
    return np.arange(least, least + (1 << bits)).astype(np.float32)


def unpacked_bytes(stored: NDArray[np.integer], bits: int, count: int) -> NDArray[np.uint8]:
    """Unpack `count` codes of each row of bytes (rows, bytes), the first code in the low bits."""
    words = np.pad(stored, ((0, 0), (0, -stored.shape[1] % 4))).view("<u4")
    return unpacked(words, bits, dense(bits), count)


def unpacked(
    words: NDArray[np.integer], bits: int, order: tuple[int, ...], count: int
) -> NDArray[np.uint8]:
    """Unpack codes along the rows of an array of little-endian words of 32 bits.

    Parameters
    ----------
    words : array (rows, words)
        The words.
    bits, order
        As of :class:`~sigmascope.matrices.groups.Packing`.
    count : int
        Number of codes in a row.

    Returns
    -------
    ndarray of uint8, shape (rows, count)
    """
    rows, packed = len(words), len(order)
    words = np.ascontiguousarray(words)
    if packed * bits == 32:  # the usual case, which shifts do in a tenth of the time
        shifts = np.array(order, np.uint32) * np.uint32(bits)
        values = words.view(np.uint32)[:, :, None] >> shifts & np.uint32((1 << bits) - 1)
        return values.astype(np.uint8).reshape(rows, -1)[:, :count]
    in_bits = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little")
    width = -(-packed * bits // 32) * 32  # bits of a pack
    packs = -(-count // packed)
    padded = np.zeros((rows, packs * width), np.uint8)
    kept = min(padded.shape[1], in_bits.shape[1])
    padded[:, :kept] = in_bits[:, :kept]
    places = padded.reshape(rows, packs, width)[:, :, : packed * bits]
    codes = np.packbits(places.reshape(rows, packs, packed, bits), axis=-1, bitorder="little")
    return codes[:, :, list(order), 0].reshape(rows, packs * packed)[:, :count]
