# SPDX-License-Identifier: BSD-3-Clause
"""Weights of codes in groups, packed and decoded as the layouts are specified, in plain NumPy.

Nothing here is shared with the package: a row of codes is packed as one large integer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from tests.support.checkpoints import Stored, of_array

Ints = NDArray[np.integer]
Floats = NDArray[np.float32]

NAMES = {"float16": "F16", "float32": "F32", "bfloat16": "BF16", "float8_e4m3fn": "F8_E4M3"}


def words_of(codes: Sequence[int], bits: int) -> list[int]:
    """Pack codes into words of 32 bits, the first one lowest, across words if they do not fit."""
    number = sum(int(code) << bits * i for i, code in enumerate(codes))
    count = -(-len(codes) * bits // 32)
    return [number >> 32 * i & 0xFFFFFFFF for i in range(count)]


def packed_rows(codes: Ints, bits: int) -> NDArray[np.int32]:
    """Pack each row of codes."""
    return np.array([words_of(row, bits) for row in codes], np.uint32).view(np.int32)


def packed_columns(codes: Ints, bits: int) -> NDArray[np.int32]:
    """Pack each column of codes."""
    return np.ascontiguousarray(packed_rows(codes.T, bits).T)


def awq_words(codes: Ints) -> NDArray[np.int32]:
    """Pack rows of 4-bit codes as AWQ does: nibble i of a word holds code ORDER[i] of eight."""
    order = [0, 2, 4, 6, 1, 3, 5, 7]
    rows = [
        [code for start in range(0, len(row), 8) for code in row[start : start + 8][order]]
        for row in codes
    ]
    return packed_rows(np.array(rows), 4)


def stored(name: str, array: NDArray[Any]) -> Stored:
    """Return a tensor of the dtype of an array."""
    known = {"int32": "I32", "uint8": "U8", "int8": "I8", "int64": "I64", "uint32": "U32"}
    return of_array(name, (known | NAMES)[array.dtype.name], array)


def scales(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any = np.float16) -> Any:
    """Return random scales, of both signs and several magnitudes."""
    numbers = rng.standard_normal(shape) * np.exp2(rng.integers(-8, 3, shape))
    return numbers.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)


def gptq(
    rng: np.random.Generator,
    shape: tuple[int, int],
    bits: int,
    size: int,
    *,
    version: int = 1,
    act_order: bool = False,
    name: str = "q_proj",
) -> tuple[list[Stored], Floats]:
    """Return the tensors of a random weight (out, in) in the layout of GPTQ, and its numbers."""
    outputs, inputs = shape
    groups = -(-inputs // size)
    codes = rng.integers(0, 1 << bits, (inputs, outputs))
    codes.flat[: 1 << bits] = np.arange(1 << bits)[: codes.size]
    zeros = rng.integers(1, 1 << bits, (groups, outputs))
    grid = scales(rng, (groups, outputs))
    index = np.arange(inputs) // size
    if act_order:
        rng.shuffle(index)
    kept = [
        stored(f"{name}.qweight", packed_columns(codes, bits)),
        stored(f"{name}.qzeros", packed_rows(zeros - (version == 1), bits)),
        stored(f"{name}.scales", grid),
        stored(f"{name}.g_idx", index.astype(np.int32)),
    ]
    difference = (codes - zeros[index]).astype(np.float32)
    return kept, np.ascontiguousarray((difference * grid.astype(np.float32)[index]).T)


def awq(
    rng: np.random.Generator, shape: tuple[int, int], size: int, name: str = "q_proj"
) -> tuple[list[Stored], Floats]:
    """Return the tensors of a random weight (out, in) in the layout of AWQ, and its numbers."""
    outputs, inputs = shape
    groups = -(-inputs // size)
    codes, zeros = rng.integers(0, 16, (inputs, outputs)), rng.integers(0, 16, (groups, outputs))
    grid, index = scales(rng, (groups, outputs)), np.arange(inputs) // size
    kept = [
        stored(f"{name}.qweight", awq_words(codes)),
        stored(f"{name}.qzeros", awq_words(zeros)),
        stored(f"{name}.scales", grid),
    ]
    difference = (codes - zeros[index]).astype(np.float32)
    return kept, np.ascontiguousarray((difference * grid.astype(np.float32)[index]).T)


def compressed(
    rng: np.random.Generator,
    shape: tuple[int, int],
    bits: int,
    size: int | None,
    *,
    zeros: bool = False,
    act_order: bool = False,
    gaps: bool = False,
) -> tuple[list[Stored], Floats]:
    """Return the tensors of a random weight in words of compressed-tensors, and its numbers.

    A size of None is one scale per row. With gaps, no code crosses a word.
    """
    rows, columns = shape
    size = size or columns
    groups, least = -(-columns // size), 1 << bits - 1
    codes = rng.integers(0, 1 << bits, shape)
    grid = scales(rng, (rows, groups), "bfloat16")
    index = np.arange(columns) // size
    if act_order:
        rng.shuffle(index)
    pack = packed_with_gaps if gaps else packed_rows
    kept = [
        stored("q_proj.weight_packed", pack(codes, bits)),
        stored("q_proj.weight_scale", grid),
        stored("q_proj.weight_shape", np.array(shape, np.int64)),
    ]
    offsets = (
        rng.integers(-least, least, (rows, groups)) if zeros else np.zeros((rows, groups), int)
    )
    if zeros:
        packed = np.ascontiguousarray(pack((offsets + least).T, bits).T)
        kept.append(stored("q_proj.weight_zero_point", packed))
    if act_order:
        kept.append(stored("q_proj.weight_g_idx", index.astype(np.int32)))
    difference = (codes - least - offsets[:, index]).astype(np.float32)
    return kept, difference * grid.astype(np.float32)[:, index]


def packed_with_gaps(codes: Ints, bits: int) -> NDArray[np.int32]:
    """Pack as many codes of each row into a word as fit."""
    each = 32 // bits
    rows = [
        [
            word
            for start in range(0, len(row), each)
            for word in words_of(row[start : start + each], bits)
        ]
        for row in codes
    ]
    return np.array(rows, np.uint32).view(np.int32)


E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)


def pairs(
    rng: np.random.Generator, shape: tuple[int, int], kind: str
) -> tuple[list[Stored], Floats]:
    """Return the tensors of a random weight of E2M1 codes, and its numbers.

    `kind` is "nvfp4" or "mxfp4" of compressed-tensors, or "modelopt".
    """
    rows, columns = shape
    codes = rng.integers(0, 16, shape)
    numbers = np.where(codes > 7, -E2M1[codes & 7], E2M1[codes & 7])
    stored_codes = (codes[:, ::2] | codes[:, 1::2] << 4).astype(np.uint8)
    size = 32 if kind == "mxfp4" else 16
    groups = -(-columns // size)
    if kind == "mxfp4":
        exponents = rng.integers(100, 140, (rows, groups)).astype(np.uint8)
        grid = np.exp2(exponents.astype(np.float32) - 127)
        kept = [
            stored("q_proj.weight_packed", stored_codes),
            stored("q_proj.weight_scale", exponents),
        ]
        return kept, numbers * grid.repeat(size, axis=1)[:, :columns]
    small = scales(rng, (rows, groups), ml_dtypes.float8_e4m3fn)
    factor = np.float32(rng.uniform(0.001, 3000))
    named = {
        "nvfp4": ("weight_packed", "weight_global_scale"),
        "modelopt": ("weight", "weight_scale_2"),
    }
    kept = [
        stored(f"q_proj.{named[kind][0]}", stored_codes),
        stored("q_proj.weight_scale", small),
        stored(f"q_proj.{named[kind][1]}", np.array([factor], np.float32)),
    ]
    exact = small.astype(np.float32)
    grid = exact / factor if kind == "nvfp4" else exact * factor
    return kept, numbers * grid.repeat(size, axis=1)[:, :columns]


def bitsandbytes(
    rng: np.random.Generator, shape: tuple[int, int], block: int, *, nested: bool, kind: str = "nf4"
) -> tuple[list[Stored], Floats]:
    """Return the tensors of a random weight of bitsandbytes in 4 bits, and its numbers."""
    codes = rng.integers(0, 16, shape[0] * shape[1])
    table = np.sort(rng.uniform(-1, 1, 16)).astype(np.float32)
    count = -(-codes.size // block)
    state: dict[str, Any] = {
        "quant_type": kind,
        "blocksize": block,
        "dtype": "bfloat16",
        "shape": list(shape),
    }
    name = "q_proj.weight"
    pairs = np.pad(codes, (0, codes.size % 2))
    kept = [
        stored(name, (pairs[::2] << 4 | pairs[1::2]).astype(np.uint8)[:, None]),
        stored(f"{name}.quant_map", table),
    ]
    if nested:
        of_scales = np.sort(rng.uniform(-1, 1, 256)).astype(np.float32)
        bytes_ = rng.integers(0, 256, count).astype(np.uint8)
        outer = rng.uniform(0.1, 2, -(-count // 256)).astype(np.float32)
        state |= {"nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": 0.0431}
        kept += [
            stored(f"{name}.absmax", bytes_),
            stored(f"{name}.nested_absmax", outer),
            stored(f"{name}.nested_quant_map", of_scales),
        ]
        scale = of_scales[bytes_] * outer.repeat(256)[:count] + np.float32(0.0431)
    else:
        scale = rng.uniform(0.1, 2, count).astype(np.float32)
        kept.append(stored(f"{name}.absmax", scale))
    text = np.frombuffer(json.dumps(state).encode(), np.uint8)
    kept.append(stored(f"{name}.quant_state.bitsandbytes__{kind}", text))
    return kept, (table[codes] * scale.repeat(block)[: codes.size]).reshape(shape)


def mlx(
    rng: np.random.Generator, shape: tuple[int, int], bits: int, size: int, dtype: Any = np.float16
) -> tuple[list[Stored], Floats]:
    """Return the tensors of a random weight of MLX, and its numbers."""
    rows, columns = shape
    codes = rng.integers(0, 1 << bits, shape)
    grid, biases = (scales(rng, (rows, columns // size), dtype) for _ in range(2))
    kept = [
        stored("q_proj.weight", packed_rows(codes, bits).view(np.uint32)),
        stored("q_proj.scales", grid),
        stored("q_proj.biases", biases),
    ]
    wide = [each.astype(np.float32).repeat(size, axis=1) for each in (grid, biases)]
    return kept, codes.astype(np.float32) * wide[0] + wide[1]
