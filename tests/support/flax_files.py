# SPDX-License-Identifier: BSD-3-Clause
"""Files of flax.serialization, written by hand as MessagePack."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

CHUNKED = "__msgpack_chunked_array__"


class Raw(NamedTuple):
    """Bytes that are a value already."""

    content: bytes


def counted(count: int, few: tuple[int, int], *larger: int) -> bytes:
    """The first bytes of a value with a count; `few` is a first byte, and the counts it has."""
    if count < few[1]:
        return bytes([few[0] | count])
    for first, size in zip(larger, (1, 2, 4)[3 - len(larger) :], strict=True):
        if count < 1 << 8 * size:
            return bytes([first]) + count.to_bytes(size, "big")
    raise AssertionError(count)


def packed(value: Any) -> bytes:
    """A value; arrays as flax writes them."""
    if isinstance(value, Raw):
        return value.content
    if isinstance(value, Mapping):
        inner = (packed(each) for pair in value.items() for each in pair)
        return counted(len(value), (0x80, 16), 0xDE, 0xDF) + b"".join(inner)
    if isinstance(value, str):
        raw = value.encode("utf-8", "surrogatepass")
        return counted(len(raw), (0xA0, 32), 0xD9, 0xDA, 0xDB) + raw
    if isinstance(value, bytes):
        return counted(len(value), (0, 0), 0xC4, 0xC5, 0xC6) + value
    if isinstance(value, np.ndarray):
        return array(value)
    if isinstance(value, Sequence):
        return counted(len(value), (0x90, 16), 0xDC, 0xDD) + b"".join(map(packed, value))
    if value is None or isinstance(value, bool):
        return bytes([0xC0 if value is None else 0xC2 + value])
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    return number(value)


def number(value: int) -> bytes:
    if -32 <= value < 128:
        return struct.pack("b", value)
    for first, code in zip(range(0xCC, 0xD4), "BHIQbhiq", strict=True):
        size = 8 * struct.calcsize(f">{code}")
        least, most = (0, 1 << size) if code.isupper() else (-1 << size - 1, 1 << size - 1)
        if least <= value < most:
            return bytes([first]) + struct.pack(f">{code}", value)
    raise AssertionError(value)


def extension(code: int, raw: bytes) -> bytes:
    fixed = {1: 0xD4, 2: 0xD5, 4: 0xD6, 8: 0xD7, 16: 0xD8}
    if len(raw) in fixed:
        return bytes([fixed[len(raw)]]) + struct.pack("b", code) + raw
    return counted(len(raw), (0, 0), 0xC7, 0xC8, 0xC9) + struct.pack("b", code) + raw


def array(
    numbers: NDArray[Any], *, code: int = 1, shape: Any = None, dtype: Any = None, more: bytes = b""
) -> bytes:
    """An array, of which parts may be others."""
    sizes = numbers.shape if shape is None else shape
    parts = (list(sizes) if isinstance(sizes, tuple) else sizes, dtype or numbers.dtype.name)
    return extension(code, packed([*parts, numbers.tobytes()]) + more)


def chunked(numbers: NDArray[Any], size: int) -> dict[str, Any]:
    """An array in flat chunks of a size."""
    flat = numbers.ravel()
    starts = range(0, flat.size, size)
    chunks = {str(i): flat[at : at + size] for i, at in enumerate(starts)}
    shape = {str(axis): length for axis, length in enumerate(numbers.shape)}
    return {CHUNKED: True, "shape": shape, "chunks": chunks}


def write_flax(path: Path, tree: Any) -> Path:
    path.write_bytes(packed(tree))
    return path
