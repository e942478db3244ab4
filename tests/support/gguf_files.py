# SPDX-License-Identifier: BSD-3-Clause
"""GGUF files from their parts, so that each part can be wrong; random blocks of each layout."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope.checkpoint.formats.ggml import TYPES

NUMBERS = {layout.name: number for number, layout in TYPES.items()}
FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q"}
UINT32, STRING, ARRAY, INT64 = 4, 8, 9, 11


def u32(value: int) -> bytes:
    return struct.pack("<I", value)


def u64(value: int) -> bytes:
    return struct.pack("<Q", value)


def text(value: str | bytes, length: int | None = None) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return u64(len(raw) if length is None else length) + raw


def pair(key: str, value: Any, kind: int | None = None) -> bytes:
    """One pair of metadata; `kind` is found from the value if it is not given."""
    if isinstance(value, list):
        inner = STRING if value and isinstance(value[0], str) else INT64
        items = b"".join(text(v) if inner == STRING else struct.pack("<q", v) for v in value)
        return text(key) + u32(ARRAY) + u32(inner) + u64(len(value)) + items
    if isinstance(value, str):
        return text(key) + u32(STRING) + text(value)
    kind = UINT32 if kind is None else kind
    return text(key) + u32(kind) + struct.pack(f"<{FORMATS[kind]}", value)


def info(name: str, shape: Sequence[int], kind: str | int, offset: int) -> bytes:
    """The record of one tensor; the shape is in C order."""
    dimensions = b"".join(map(u64, reversed(shape)))
    number = NUMBERS[kind] if isinstance(kind, str) else kind
    return text(name) + u32(len(shape)) + dimensions + u32(number) + u64(offset)


def framed(
    pairs: Sequence[bytes] = (),
    infos: Sequence[bytes] = (),
    data: bytes = b"",
    *,
    version: int = 3,
    counts: tuple[int, int] | None = None,
    alignment: int = 32,
) -> bytes:
    """A file; `counts` are the numbers of tensors and pairs that it claims."""
    tensors, items = counts or (len(infos), len(pairs))
    head = b"GGUF" + u32(version) + u64(tensors) + u64(items) + b"".join([*pairs, *infos])
    return head + bytes(-len(head) % alignment) + data


def write_gguf(path: Path, tensors: dict[str, tuple[str, NDArray[Any]]], **metadata: Any) -> Path:
    """Write tensors as (type, array); the array of a block layout holds bytes of rows."""
    infos, data = [], b""
    for name, (kind, array) in tensors.items():
        values = TYPES[NUMBERS[kind]]
        shape = list(array.shape)
        if values.elements > 1:
            shape[-1] = shape[-1] // values.nbytes * values.elements
        infos.append(info(name, shape, kind, len(data)))
        data += array.tobytes()
        data += bytes(-len(data) % 32)
    pairs = [pair(key.replace("__", "."), value) for key, value in metadata.items()]
    path.write_bytes(framed(pairs, infos, data))
    return path


def blocks(layout: str, count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Random blocks, of which a few hold infinite or NaN scales."""
    nbytes = TYPES[NUMBERS[layout.upper()]].nbytes
    return np.random.default_rng(seed).integers(0, 256, (count, nbytes), np.uint8)


def finite_rows(layout: str, rows: int, across: int, seed: int = 0) -> NDArray[np.uint8]:
    """Rows of so many random blocks without infinities, of moderate numbers."""
    import gguf

    kind = gguf.GGMLQuantizationType[layout.upper()]
    result, chosen = blocks(layout, 16 * rows * across + 200, seed), []
    with np.errstate(all="ignore"):
        numbers = np.abs(gguf.dequantize(result, kind).astype(np.float64))
    for block, size in zip(result, numbers.max(axis=1), strict=True):
        if np.isfinite(size) and 1e-3 < size < 1e5:
            chosen.append(block)
    assert len(chosen) >= rows * across
    return np.stack(chosen[: rows * across]).reshape(rows, -1)
