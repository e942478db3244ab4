# SPDX-License-Identifier: BSD-3-Clause
"""ONNX models, written by hand as the fields of protocol buffers."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

CODES = {
    "F32": 1,
    "U8": 2,
    "I8": 3,
    "U16": 4,
    "I16": 5,
    "I32": 6,
    "I64": 7,
    "STRING": 8,
    "BOOL": 9,
    "F16": 10,
    "F64": 11,
    "U32": 12,
    "U64": 13,
    "C64": 14,
    "C128": 15,
    "BF16": 16,
    "F8_E4M3": 17,
    "F8_E4M3FNUZ": 18,
    "F8_E5M2": 19,
    "F8_E5M2FNUZ": 20,
    "U4": 21,
    "I4": 22,
    "F4": 23,
    "F8_E8M0": 24,
}
"""Numbers of ONNX's types by their names in the safetensors format."""

FLOATS, INT32S, INT64S, RAW, DOUBLES, UINT64S, EXTERNAL = 4, 5, 7, 9, 10, 11, 13
"""Fields of a tensor that hold its numbers."""


def varint(value: int) -> bytes:
    value %= 2**64
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def content(field: int, raw: bytes | str, length: int | None = None) -> bytes:
    """A field of bytes, whose length may be another one."""
    raw = raw.encode() if isinstance(raw, str) else raw
    return varint(field << 3 | 2) + varint(len(raw) if length is None else length) + raw


def pair(key: str | bytes, value: str | bytes) -> bytes:
    return content(EXTERNAL, content(1, key) + content(2, value))


def elsewhere(**external: object) -> bytes:
    """The fields of a tensor whose numbers are in a file of their own."""
    pairs = b"".join(pair(key, str(value)) for key, value in external.items())
    return pairs + number(14, 1)


def tensor(
    name: str | bytes, dtype: str | int, shape: Iterable[int], numbers: bytes = b""
) -> bytes:
    """A tensor; `numbers` are the fields that hold its numbers."""
    code = CODES[dtype] if isinstance(dtype, str) else dtype
    dims = b"".join(number(1, size) for size in shape)
    return dims + number(2, code) + content(8, name) + numbers


def of_array(name: str, dtype: str, array: np.ndarray[Any, Any]) -> bytes:
    return tensor(name, dtype, array.shape, content(RAW, array.tobytes()))


def packed(field: int, values: Iterable[float]) -> bytes:
    """A list of numbers without tags between them."""
    if field in (FLOATS, DOUBLES):
        letter = "f" if field == FLOATS else "d"
        return content(field, b"".join(struct.pack(f"<{letter}", each) for each in values))
    return content(field, b"".join(varint(int(each)) for each in values))


def constant(output: str, tensor: bytes, operator: str = "Constant") -> bytes:
    """A node of a graph that holds a tensor."""
    attribute = content(1, "value") + content(5, tensor) + number(20, 4)
    return content(1, content(2, output) + content(4, operator) + content(5, attribute))


def operation(
    operator: str, *inputs: str, name: str = "", domain: str = "", **attributes: int | str
) -> bytes:
    """A node of a graph, with attributes that are integers or texts."""
    parts = [content(1, each) for each in inputs] + [content(2, f"{name}_output_0")]
    parts += [content(3, name), content(4, operator), content(7, domain)]
    for key, each in attributes.items():
        of_text = isinstance(each, str)
        held = content(4, each) if isinstance(each, str) else number(3, each)
        parts.append(content(5, content(1, key) + held + number(20, 3 if of_text else 2)))
    return content(1, b"".join(parts))


def value(field: int, name: str, *shape: int) -> bytes:
    """An input (field 11) or an output (12) of a graph, in float32."""
    dims = content(2, b"".join(content(1, number(1, length)) for length in shape))
    return content(field, content(1, name) + content(2, content(1, number(1, 1) + dims)))


def of_nodes(nodes: Iterable[bytes], *tensors: bytes, opset: int = 17) -> bytes:
    """A model whose graph has these nodes."""
    parts = [*nodes, content(2, "main"), *(content(5, each) for each in tensors)]
    opsets = [("", opset), ("com.microsoft", 1)]
    ends = b"".join(content(8, content(1, domain) + number(2, n)) for domain, n in opsets)
    return number(1, 9 if opset < 21 else 10) + content(7, b"".join(parts)) + ends


def graph(*tensors: bytes) -> bytes:
    node = content(1, "x") + content(1, "w") + content(2, "y") + content(4, "MatMul")
    return content(1, node) + content(2, "main") + b"".join(content(5, each) for each in tensors)


def model(*tensors: bytes) -> bytes:
    opset = content(8, content(1, "") + number(2, 21))
    return number(1, 10) + content(2, "by hand") + content(7, graph(*tensors)) + opset


def write_onnx(path: Path, *tensors: bytes) -> Path:
    path.write_bytes(model(*tensors))
    return path
