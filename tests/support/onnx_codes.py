# SPDX-License-Identifier: BSD-3-Clause
"""Codes of ONNX operators with their numbers, by the definitions of the operators in NumPy."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from tests.support.onnx_blocks import DTYPES, packed_bytes
from tests.support.onnx_files import RAW, content, tensor

Shape = tuple[int, ...]

BITS = {"I8": 8, "U8": 8, "I4": 4, "U4": 4, "I2": 2, "U2": 2, "F8_E4M3": 8, "F8_E5M2": 8}
BYTES: dict[str, Any] = {
    "I8": np.int8,
    "U8": np.uint8,
    "F8_E4M3": ml_dtypes.float8_e4m3fn,
    "F8_E5M2": ml_dtypes.float8_e5m2,
}

TYPES = {"I2": 26, "U2": 25}
"""Types of ONNX that safetensors has not."""


class Stored(NamedTuple):
    """A tensor: its type, shape and bytes."""

    dtype: str
    shape: Shape
    raw: bytes

    def tensor(self, name: str) -> bytes:
        """The initialiser."""
        return tensor(name, TYPES.get(self.dtype, self.dtype), self.shape, content(RAW, self.raw))


def codes(shape: Shape, dtype: str, seed: int) -> tuple[Stored, NDArray[np.float32]]:
    """Random codes that follow each other, and their numbers."""
    bits = BITS[dtype]
    result = np.random.default_rng([*shape, seed]).integers(0, 1 << bits, prod(shape))
    if dtype.startswith("F8"):
        result &= 0xBB  # no infinity or NaN
    numbers = result.astype(np.float32)
    if bits == 8:
        numbers = result.astype(np.uint8).view(BYTES[dtype]).astype(np.float32)
    elif dtype.startswith("I"):
        numbers[result >= 1 << (bits - 1)] -= 1 << bits
    stored = Stored(dtype, shape, packed_bytes(result, bits).tobytes())
    return stored, numbers.reshape(shape)


def spread(x: NDArray[Any], shape: Shape, sizes: Shape) -> NDArray[Any]:
    """Repeat what the elements of blocks share; the last block of an axis may be cut."""
    for axis, (n, size) in enumerate(zip(shape, sizes, strict=True)):
        x = np.repeat(x, size, axis).take(range(n), axis)
    return x


def scales_of(shape: Shape, dtype: str = "F32") -> tuple[Stored, NDArray[np.float32]]:
    """Random scales."""
    result = np.random.default_rng([*shape, 7]).uniform(-0.1, 0.1, shape).astype(DTYPES[dtype])
    return Stored(dtype, shape, result.tobytes()), result.astype(np.float32)
