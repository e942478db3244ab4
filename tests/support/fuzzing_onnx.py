# SPDX-License-Identifier: BSD-3-Clause
"""Strange ONNX models: valid ones, in which fields are changed, dropped or doubled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tests.support.onnx_files import (
    CODES,
    EXTERNAL,
    FLOATS,
    INT32S,
    INT64S,
    RAW,
    content,
    number,
    packed,
    varint,
)

Rng = np.random.Generator
Node = tuple[int, Any]
"""A field by its number: an integer, bytes, or a list of fields."""

SIZES = [0, 1, 2, 3, 7, 23, 24, 64, 2**20, 2**31, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1]
TEXTS = [b"", b"w", b"a", b"\0", b"\xff", b"x" * 1001, b"../data", b"/data", b"data", b"offset"]
TEXTS += [b"length", b"location", b"-1", b"24", b"1e3", b"9" * 30]
TENSOR = 5


def pick(rng: Rng, values: list[Any]) -> Any:
    return values[int(rng.integers(len(values)))]


def _tensor(rng: Rng, name: bytes) -> list[Node]:
    dtype, size = pick(rng, [("F32", 4), ("F16", 2), ("F64", 8), ("I64", 8), ("U8", 1), ("U4", 1)])
    shape = [int(n) for n in rng.integers(1, 5, int(rng.integers(0, 4)))]
    count = int(np.prod(shape, dtype=np.int64))
    nbytes = -(-count // 2) if dtype == "U4" else count * size
    out: list[Node] = [(1, n) for n in shape]
    out += [(2, CODES[dtype]), (8, name)]
    kind = int(rng.integers(4))
    if kind == 0:
        pairs = {b"location": b"data", b"offset": b"8", b"length": str(nbytes).encode()}
        out += [(EXTERNAL, [(1, key), (2, value)]) for key, value in pairs.items()]
        return [*out, (14, 1)]
    if kind == 1 and dtype in ("F16", "U8", "F32", "I64"):
        field = {"F32": FLOATS, "I64": INT64S}.get(dtype, INT32S)
        values = [int(n) for n in rng.integers(0, 256, count)]
        return [*out, (field, packed(field, values)[2 if count * 4 < 128 else 3 :])]
    return [*out, (RAW, rng.bytes(nbytes))]


def _model(rng: Rng) -> list[Node]:
    node: list[Node] = [(1, b"x"), (1, b"a.weight"), (2, b"y"), (4, b"MatMul")]
    node.append((3, b"/model/layers.0/self_attn/q_proj/MatMul"))
    names = [b"a.weight", b"b.weight", b"c", b"w"][: int(rng.integers(1, 5))]
    attribute = [(1, b"value"), (5, _tensor(rng, b""))]
    constant: list[Node] = [(2, b"k"), (4, b"Constant"), (5, attribute)]
    graph: list[Node] = [(1, node), (1, constant), (2, b"main"), *_blocks(rng), *_codes(rng)]
    graph += [(TENSOR, _tensor(rng, name)) for name in names]
    return [(1, 10), (7, graph), (8, [(1, b""), (2, 21)])]


def _blocks(rng: Rng) -> list[Node]:
    """A node of MatMulNBits and its tensors."""
    bits, zeros, index = (pick(rng, each) for each in ([2, 4, 8], ["U8", "F32", ""], ["g", ""]))
    n, k, size = int(rng.integers(1, 4)), int(rng.integers(1, 40)), 16
    count = -(-k // size)
    integers = {b"N": n, b"K": k, b"bits": bits, b"block_size": size}
    attributes = [(5, [(1, key), (3, value), (20, 2)]) for key, value in integers.items()]
    inputs = [b"x", b"n_Q4", b"n_scales", b"n_zeros" if zeros else b"", index.encode()]
    node: list[Node] = [(1, each) for each in inputs]
    node += [(2, b"z"), (4, b"MatMulNBits"), (7, b"com.microsoft"), *attributes]
    arrays = {
        b"n_Q4": ("U8", rng.integers(0, 256, (n, count, size * bits // 8), np.uint8)),
        b"n_scales": ("F32", rng.standard_normal((n, count), np.float32)),
    }
    width = -(-count * bits // 8)
    if zeros:
        whole = rng.integers(0, 256, (n, width), np.uint8)
        arrays[b"n_zeros"] = (zeros, whole if zeros == "U8" else arrays[b"n_scales"][1])
    if index:
        arrays[b"g"] = ("I32", rng.integers(0, count, k, np.int32))
    return [(1, node), *_stored(arrays)]


def _stored(arrays: dict[bytes, tuple[str, Any]]) -> list[Node]:
    faults: list[Node] = []
    for name, (dtype, array) in arrays.items():
        dims = [(1, length) for length in array.shape]
        faults.append((TENSOR, [*dims, (2, CODES[dtype]), (8, name), (RAW, array.tobytes())]))
    return faults


def _codes(rng: Rng) -> list[Node]:
    """A node of another operator that takes bytes, and its tensors."""
    operator = pick(rng, [b"DequantizeLinear", b"GatherBlockQuantized", b"QMoE"])
    e, m, k, size = (int(n) for n in (*rng.integers(1, 4, 3), 16))
    integers: dict[bytes, int]
    if operator == b"QMoE":
        shape, grid = (e, m, k * size), (e, m, k)
        integers = {b"expert_weight_bits": 8, b"block_size": size, b"weights_prepacked": 0}
        inputs = [b"x", b"r", b"q_codes", b"q_scales", *[b""] * 7, b"q_zeros"]
    else:
        shape, grid = (m, k * size - 1), (m, k)
        integers = {b"axis": 1, b"block_size": size}
        inputs = [b"q_codes", b"q_scales", b"q_zeros"]
    if operator == b"GatherBlockQuantized":
        integers = {b"quantize_axis": 1, b"block_size": size, b"bits": 8}
        inputs = [b"q_codes", b"i", b"q_scales", b"q_zeros"]
    domain = b"" if operator == b"DequantizeLinear" else b"com.microsoft"
    node: list[Node] = [(1, each) for each in inputs]
    node += [(2, b"q"), (4, operator), (7, domain)]
    node += [(5, [(1, key), (3, value), (20, 2)]) for key, value in integers.items()]
    arrays = {
        b"q_codes": ("U8", rng.integers(0, 256, shape, np.uint8)),
        b"q_scales": ("F32", rng.standard_normal(grid, np.float32)),
        b"q_zeros": ("U8", rng.integers(0, 256, grid, np.uint8)),
    }
    return [(1, node), *_stored(arrays)]


def _changed(rng: Rng, fields: list[Node]) -> None:
    """Change one field of a message, or of a message in it."""
    if not fields:
        return
    at = int(rng.integers(len(fields)))
    field, value = fields[at]
    if isinstance(value, list) and rng.random() < 0.85:
        _changed(rng, value)
        return
    how = int(rng.integers(6))
    if how == 0:
        del fields[at]
    elif how == 1:
        fields.insert(at, fields[at])
    elif how == 2:
        fields[at] = (int(pick(rng, [*range(16), 2**29 - 1])), value)
    elif how == 3:
        fields[at] = (field, pick(rng, [*SIZES, *TEXTS]))
    elif isinstance(value, int):
        fields[at] = (field, value + int(rng.integers(-2, 3)))
    else:
        fields[at] = (field, pick(rng, TEXTS))


def _written(rng: Rng, fields: list[Node]) -> bytes:
    out = []
    for field, value in fields:
        if isinstance(value, int):
            out.append(number(field, value))
            continue
        raw = value if isinstance(value, bytes) else _written(rng, value)
        length = int(pick(rng, SIZES)) if rng.random() < 0.003 else None
        out.append(content(field, raw, length))
    return b"".join(out)


def onnx(rng: Rng, folder: Path, noise: Callable[[Rng, bytes, float], bytes]) -> Path:
    """Make a model of random tensors; `noise` changes its bytes at last."""
    (folder / "data").write_bytes(rng.bytes(600))
    fields = _model(rng)
    for _ in range(int(pick(rng, [0, 1, 1, 1, 2, 3]))):
        _changed(rng, fields)
    raw = _written(rng, fields)
    if rng.random() < 0.05:
        raw += varint(int(pick(rng, SIZES)))
    (folder / "x.onnx").write_bytes(noise(rng, raw, 0.15))
    return folder / "x.onnx"
