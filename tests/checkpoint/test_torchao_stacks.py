# SPDX-License-Identifier: BSD-3-Clause
"""Stacks of experts of torchao, and its microscaling kinds, by closed forms of their layouts."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.checkpoints import Stored, encoded, opened, record
from tests.support.group_formats import stored

import sigmascope as ss

RNG = np.random.default_rng(0)
EXPERTS, ROWS, COLUMNS, SIZE = 3, 128, 256, 32
SHAPE = (EXPERTS, ROWS, COLUMNS)
STEM = "layers.0.mlp.experts"
WEIGHT = f"{STEM}.up_proj"
QDATA, SCALE, ZERO, FACTOR = (
    f"{STEM}._up_proj_{end}" for end in ("qdata", "scale", "zero_point", "per_tensor_scale")
)
CONFIG = {"quantization_config": {"quant_method": "torchao", "quant_type": {}}}
E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)


def written(folder: Path, tensors: list[Stored], kind: str, **data: Any) -> ss.Checkpoint:
    """Open a file with the metadata that torchao writes for one weight."""
    metadata = {WEIGHT: json.dumps({"_type": kind, "_data": data})}
    (folder / "model.safetensors").write_bytes(encoded(tensors, metadata))
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return ss.open_checkpoint(folder)


def of_torch(name: str) -> dict[str, str]:
    return {"_type": "torch.dtype", "_data": name}


def assert_experts(checkpoint: ss.Checkpoint, wanted: NDArray[np.float32]) -> None:
    names = [f"{WEIGHT}[{index}]" for index in range(len(wanted))]
    assert list(checkpoint) == names, checkpoint.unreadable
    for index, name in enumerate(names):
        assert np.asarray(checkpoint[name]).tobytes() == wanted[index].tobytes()
        assert checkpoint.outline(name).shape == wanted[index].shape
        role = checkpoint.roles[name]
        assert (role.layer, role.role, role.expert) == (0, "up", index)
    part: Any = pickle.loads(pickle.dumps(checkpoint[names[1]][3:, ::5]))
    np.testing.assert_array_equal(np.asarray(part), wanted[1][3:, ::5])
    assert record(checkpoint, SCALE)["status"] == "scale"


def over(grid: NDArray[Any]) -> NDArray[np.float32]:
    """Repeat the numbers of blocks over the elements of all experts."""
    result = grid.astype(np.float32)
    for axis, size in enumerate(SHAPE):
        result = np.repeat(result, size // result.shape[axis], axis)
    return result


BLOCKS = [[1, 1, SIZE], [1, 1, COLUMNS], [1, ROWS, COLUMNS], [1, 64, 64], list(SHAPE), []]


@pytest.mark.parametrize("block", BLOCKS, ids=str)
@pytest.mark.parametrize("zeros", [False, True])
def test_bytes_of_experts(block: list[int], zeros: bool, tmp_path: Path) -> None:
    """Each expert has scales of its own, or all have the same."""
    codes = RNG.integers(-128, 128, SHAPE).astype(np.int8)
    shape = tuple(n // b for n, b in zip(SHAPE, block or SHAPE, strict=True))
    grid = RNG.uniform(0.01, 0.1, shape).astype(np.float32)
    offsets = RNG.integers(-8, 8, shape).astype(np.int8)
    tensors = [stored(QDATA, codes), stored(SCALE, grid)]
    tensors += [stored(ZERO, offsets)] if zeros else []
    result = written(tmp_path, tensors, "Int8Tensor", block_size=block)
    wanted = codes.astype(np.float32) - (over(offsets) if zeros else 0)
    assert_experts(result, wanted * over(grid))


def test_nibbles_of_experts(tmp_path: Path) -> None:
    """Grids (experts, groups, rows): scales and zeros lie turned."""
    codes = RNG.integers(-8, 8, SHAPE)
    packed = ((codes[..., ::2] & 15) | (codes[..., 1::2] & 15) << 4).astype(np.uint8)
    grid = RNG.uniform(0.01, 0.1, (EXPERTS, ROWS, COLUMNS // SIZE)).astype(np.float32)
    offsets = RNG.standard_normal(grid.shape).astype(np.float32)
    turned = [np.ascontiguousarray(each.swapaxes(1, 2)) for each in (grid, offsets)]
    tensors = [stored(QDATA, packed), stored(SCALE, turned[0]), stored(ZERO, turned[1])]
    result = written(tmp_path, tensors, "Int4Tensor", block_size=[1, 1, SIZE], shape=list(SHAPE))
    assert_experts(result, codes.astype(np.float32) * over(grid) + over(offsets))


def swizzled(grid: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Put the scales of a matrix into tiles, one number after the other, with 127 around them."""
    rows, columns = grid.shape
    tiles = np.full((-(-rows // 128), -(-columns // 4), 32, 16), 127, np.uint8)
    for i in range(rows):
        for j in range(columns):
            row = i % 128
            tiles[i // 128, j // 4, row % 32, 4 * (row // 32) + j % 4] = grid[i, j]
    return tiles.reshape(len(tiles) * 32, -1)


def e3m2(codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    return codes.view(ml_dtypes.float6_e3m2fn).astype(np.float32)


def e2m3(codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    return codes.view(ml_dtypes.float6_e2m3fn).astype(np.float32)


def elements(kind: str) -> tuple[Stored, NDArray[np.float32], Any]:
    """Return codes of a kind as they are stored, their numbers, and the name of the kind."""
    if kind.startswith("float8"):
        numbers = RNG.standard_normal(SHAPE).astype(getattr(ml_dtypes, kind))
        dtype = {"float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2"}[kind]
        result = Stored(QDATA, dtype, SHAPE, numbers.tobytes())
        return result, numbers.astype(np.float32), of_torch(kind)
    if kind.startswith("fp6"):
        codes = RNG.integers(0, 64, SHAPE).astype(np.uint8)
        return stored(QDATA, codes), (e3m2 if kind == "fp6_e3m2" else e2m3)(codes), kind
    codes = RNG.integers(0, 16, SHAPE).astype(np.uint8)
    return stored(QDATA, codes[..., ::2] | codes[..., 1::2] << 4), E2M1[codes], of_torch(kind)


ELEMENTS = ["float8_e4m3fn", "float8_e5m2", "float4_e2m1fn_x2", "fp6_e2m3", "fp6_e3m2"]


@pytest.mark.parametrize("tiles", [False, True])
@pytest.mark.parametrize("kind", ELEMENTS)
def test_exponents_of_two(kind: str, tiles: bool, tmp_path: Path) -> None:
    codes, numbers, element = elements(kind)
    powers = RNG.integers(100, 140, (EXPERTS, ROWS, COLUMNS // SIZE)).astype(np.uint8)
    scales = np.stack([swizzled(each) for each in powers]) if tiles else powers
    tensors = [codes, Stored(SCALE, "F8_E8M0", scales.shape, scales.tobytes())]
    data = {"elem_dtype": element, "block_size": SIZE, "is_swizzled_scales": tiles}
    result = written(tmp_path, tensors, "MXTensor", **data)
    assert_experts(result, numbers * over(np.exp2(powers.astype(np.float32) - 127)))


@pytest.mark.parametrize("kind", ["fp6_e2m3", "fp6_e3m2"])
def test_a_byte_beyond_the_codes_of_6_bits_is_nan(kind: str, tmp_path: Path) -> None:
    codes = RNG.integers(0, 64, (24, 64)).astype(np.uint8)
    codes[5, 7], codes[9, 2] = 64, 255
    tensors = [stored(QDATA, codes), Stored(SCALE, "F8_E8M0", (24, 2), bytes([127]) * 48)]
    result = written(tmp_path, tensors, "MXTensor", elem_dtype=kind, block_size=32)
    numbers = np.asarray(result[WEIGHT])
    assert np.argwhere(np.isnan(numbers)).tolist() == [[5, 7], [9, 2]]
    (row,) = ss.scan(result, effort="exact").rows[:1]
    assert (row["name"], row["status"], row["failure"]) == (WEIGHT, "failed", "data")
    assert "2 NaN" in row["reason"]


@pytest.mark.parametrize("tiles", [False, True])
@pytest.mark.parametrize("factors", [(), (1, 1, 1), (EXPERTS, 1, 1), None])
def test_scales_of_nvfp4(factors: Any, tiles: bool, tmp_path: Path) -> None:
    codes, numbers, _ = elements("float4_e2m1fn_x2")
    small = RNG.uniform(0.1, 400, (EXPERTS, ROWS, COLUMNS // 16)).astype(ml_dtypes.float8_e4m3fn)
    scales = small.view(np.uint8)
    scales = np.stack([swizzled(each) for each in scales]) if tiles else scales
    tensors = [codes, Stored(SCALE, "F8_E4M3", scales.shape, scales.tobytes())]
    wide = small.astype(np.float32)
    if factors is not None:
        factor = RNG.uniform(0.001, 0.01, factors).astype(np.float32)
        tensors.append(stored(FACTOR, np.asarray(factor, np.float32)))
        wide = wide * factor
    data = {"block_size": 16, "is_swizzled_scales": tiles}
    result = written(tmp_path, tensors, "NVFP4Tensor", **data)
    assert_experts(result, numbers * over(wide))
    if factors is not None:
        assert record(result, FACTOR)["status"] == "scale"


@pytest.mark.parametrize("rows", [1, 77, 128, 200])
def test_tiles_of_one_matrix_are_padded(rows: int, tmp_path: Path) -> None:
    codes = RNG.integers(0, 16, (rows, 96)).astype(np.uint8)
    powers = RNG.integers(100, 140, (rows, 3)).astype(np.uint8)
    scales = swizzled(powers)
    tensors = [
        stored(QDATA, codes[:, ::2] | codes[:, 1::2] << 4),
        Stored(SCALE, "F8_E8M0", scales.shape, scales.tobytes()),
    ]
    data = {"elem_dtype": of_torch("float4_e2m1fn_x2"), "block_size": SIZE}
    result = written(tmp_path, tensors, "MXTensor", **data, is_swizzled_scales=True)
    wanted = E2M1[codes] * np.exp2(powers.astype(np.float32) - 127).repeat(SIZE, 1)
    assert np.asarray(result[WEIGHT]).tobytes() == wanted.tobytes()


FP8, EXPONENTS = np.zeros((2, 24, 64), np.uint8), np.full((2, 24, 2), 127, np.uint8)
MX: dict[str, Any] = {"elem_dtype": of_torch("float8_e4m3fn"), "block_size": 32}


@pytest.mark.parametrize(
    ("kind", "data", "grid", "reason"),
    [
        ("MXTensor", MX | {"block_size": 48}, (2, 24, 2), "gives block_size 48 of"),
        ("MXTensor", MX | {"block_size": [32]}, (2, 24, 2), "gives block_size [32] of"),
        ("MXTensor", MX | {"elem_dtype": "int8"}, (2, 24, 2), "gives elem_dtype 'int8' of"),
        ("MXTensor", MX | {"elem_dtype": None}, (2, 24, 2), "gives elem_dtype None of"),
        ("MXTensor", MX | {"elem_dtype": of_torch("float4_e2m1fn_x2")}, (2, 24, 2), "not U8"),
        ("MXTensor", MX | {"is_swizzled_scales": 1}, (2, 24, 2), "is_swizzled_scales 1 of"),
        ("MXTensor", MX | {"is_swizzled_scales": True}, (2, 24, 2), "2 matrices of 24 rows share"),
        ("MXTensor", MX, (2, 2, 24), "has shape [2, 2, 24], where [2, 24, 2] would fit"),
        ("MXTensor", MX, (48, 2), "is F8_E8M0 [48, 2], not F8_E8M0 with 3 axes"),
        ("NVFP4Tensor", {"block_size": 32}, (2, 24, 2), "is F8_E4M3 [2, 24, 64], not U8"),
        ("Float8Tensor", {"block_size": [1, 64]}, (2, 24, 2), "gives block_size [1, 64] of"),
    ],
)
def test_what_does_not_fit_is_named(
    kind: str, data: dict[str, Any], grid: tuple[int, ...], reason: str, tmp_path: Path
) -> None:
    tensors = [Stored(QDATA, "F8_E4M3", FP8.shape, FP8.tobytes())]
    tensors.append(Stored(SCALE, "F8_E8M0", grid, EXPONENTS.tobytes()))
    result = written(tmp_path, tensors, kind, **data)
    assert list(result) == []
    assert reason in record(result, QDATA)["reason"]
    assert record(result, SCALE)["status"] == "scale"


@pytest.mark.parametrize(
    ("block", "grid", "reason"),
    [
        ([2, 1, 256], (2, 128, 1), "2 of 3 matrices share scales"),
        ([1, 1, 256], (128, 3), "has shape [128, 3], where [3, 128, 1] would fit"),
        ([1, 1, 256], (1, 3, 128), "has shape [1, 3, 128], where [3, 128, 1] would fit"),
    ],
)
def test_grids_of_experts_that_do_not_fit(
    block: list[int], grid: tuple[int, ...], reason: str, tmp_path: Path
) -> None:
    tensors = [stored(QDATA, np.ones(SHAPE, np.int8)), stored(SCALE, np.ones(grid, np.float32))]
    result = written(tmp_path, tensors, "Int8Tensor", block_size=block)
    assert list(result) == []
    assert reason in record(result, QDATA)["reason"]


def test_a_class_without_metadata_is_not_guessed(tmp_path: Path) -> None:
    codes, _, _ = elements("float8_e4m3fn")
    checkpoint = opened(
        tmp_path, codes, Stored(SCALE, "F8_E8M0", (EXPERTS, ROWS, 8)), config=CONFIG
    )
    assert "does not describe" in record(checkpoint, QDATA)["reason"]
