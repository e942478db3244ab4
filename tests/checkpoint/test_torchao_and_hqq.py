# SPDX-License-Identifier: BSD-3-Clause
"""Weights of torchao, by the class that the metadata name; HQQ, which is named with its reason."""

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
SHAPE, SIZE = (12, 32), 8
CONFIG = {"quantization_config": {"quant_method": "torchao", "quant_type": {}}}
BYTES = RNG.integers(-128, 128, SHAPE).astype(np.int8)
GRID = RNG.uniform(0.01, 0.1, (12, 4)).astype(np.float32)
WEIGHT, QDATA, SCALE, ZERO = (
    *("q_proj.weight", "q_proj._weight_qdata"),
    *("q_proj._weight_scale", "q_proj._weight_zero_point"),
)


def written(
    folder: Path, tensors: list[Stored], kind: str, config: Any = CONFIG, **data: Any
) -> ss.Checkpoint:
    """Open a file with the metadata that torchao writes for one weight."""
    described = {"_type": kind, "_data": data, "_tensor_data_names": ["qdata", "scale"]}
    metadata = {WEIGHT: json.dumps(described), "tensor_names": json.dumps([WEIGHT])}
    (folder / "model.safetensors").write_bytes(encoded(tensors, metadata))
    (folder / "config.json").write_text(json.dumps(config))
    return ss.open_checkpoint(folder)


def assert_numbers(checkpoint: ss.Checkpoint, wanted: NDArray[np.float32]) -> None:
    assert list(checkpoint) == [WEIGHT], checkpoint.unreadable
    assert np.asarray(checkpoint[WEIGHT]).tobytes() == wanted.tobytes()
    part: Any = pickle.loads(pickle.dumps(checkpoint[WEIGHT][3:, ::5]))
    np.testing.assert_array_equal(np.asarray(part), wanted[3:, ::5])
    assert checkpoint.roles[WEIGHT].role == "q"
    statuses = {each["name"]: each["status"] for each in checkpoint.info()}
    assert statuses.pop(SCALE) == "scale"
    assert set(statuses.values()) <= {"matrix", "part"}


def over(grid: NDArray[Any], block: tuple[int, int]) -> NDArray[np.float32]:
    """Repeat the numbers of blocks over their elements."""
    rows = np.repeat(grid.astype(np.float32), block[0], 0)
    return np.repeat(rows, block[1], 1)[: SHAPE[0], : SHAPE[1]]


@pytest.mark.parametrize("block", [[1, 32], [1, 8], [12, 32], [4, 16]])
@pytest.mark.parametrize("kind", ["Int8Tensor", "IntxUnpackedToInt8Tensor"])
@pytest.mark.parametrize("zeros", [None, "int8", "float32"])
def test_bytes_have_scales_and_zeros(
    block: list[int], kind: str, zeros: str | None, tmp_path: Path
) -> None:
    blocks = block[0], block[1]
    grid = GRID[:: block[0], : SHAPE[1] // block[1]][: -(-SHAPE[0] // block[0])]
    tensors = [stored(QDATA, BYTES), stored(SCALE, grid)]
    offsets = np.zeros_like(grid)
    if zeros is not None:
        offsets = RNG.integers(-8, 8, grid.shape).astype(np.float32)
        tensors.append(stored(ZERO, offsets.astype(zeros)))
    wanted = (BYTES.astype(np.float32) - over(offsets, blocks)) * over(grid, blocks)
    assert_numbers(written(tmp_path, tensors, kind, block_size=block), wanted)


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2"])
@pytest.mark.parametrize("block", [[1, 32], []])
def test_codes_of_float8_have_scales(dtype: str, block: list[int], tmp_path: Path) -> None:
    kind = {"F8_E4M3": ml_dtypes.float8_e4m3fn, "F8_E5M2": ml_dtypes.float8_e5m2}[dtype]
    numbers = RNG.standard_normal(SHAPE).astype(kind)
    grid = GRID[:, :1] if block else GRID[:1, :1]
    tensors = [Stored(QDATA, dtype, SHAPE, numbers.tobytes()), stored(SCALE, grid)]
    result = written(tmp_path, tensors, "Float8Tensor", block_size=block)
    assert_numbers(result, numbers.astype(np.float32) * over(grid, (1, 32) if block else SHAPE))


def test_nibbles_have_a_transposed_grid(tmp_path: Path) -> None:
    codes = RNG.integers(-8, 8, SHAPE)
    packed = ((codes[:, ::2] & 15) | (codes[:, 1::2] & 15) << 4).astype(np.uint8).view(np.int8)
    offsets = RNG.standard_normal(GRID.shape).astype(np.float32)
    turned = [np.ascontiguousarray(each.T) for each in (GRID, offsets)]
    tensors = [stored(QDATA, packed), stored(SCALE, turned[0]), stored(ZERO, turned[1])]
    result = written(tmp_path, tensors, "Int4Tensor", block_size=[1, SIZE], shape=list(SHAPE))
    wanted = codes.astype(np.float32) * over(GRID, (1, SIZE)) + over(offsets, (1, SIZE))
    assert_numbers(result, wanted)


@pytest.mark.parametrize(
    ("kind", "data", "reason"),
    [
        ("Int4TilePackedTo4dTensor", {}, "an Int4TilePackedTo4dTensor: its codes are in tiles"),
        ("Int4PlainInt32Tensor", {}, "order of codes is that of one of two accelerators"),
        ("UintxTensor", {}, "of class 'UintxTensor', which is not decoded"),
        ("Int8Tensor", {"block_size": [1]}, r"the metadata gives block_size [1] of q_proj.weight"),
        ("Int8Tensor", {"block_size": [1, 0]}, "the metadata gives block_size [1, 0]"),
        ("Int8Tensor", {"block_size": [2, 8]}, "has shape [12, 4], where [6, 4] would fit"),
        ("Float8Tensor", {"block_size": [1, 8]}, "is I8 [12, 32], not F8_E4M3 or F8_E5M2"),
    ],
)
def test_what_does_not_fit_is_named(
    kind: str, data: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    tensors = [stored(QDATA, BYTES), stored(SCALE, GRID)]
    result = written(tmp_path, tensors, kind, **data)
    assert list(result) == []
    assert reason in record(result, QDATA)["reason"]
    assert record(result, SCALE)["status"] == "scale"


def test_neither_configuration_nor_metadata_are_guessed(tmp_path: Path) -> None:
    tensors = [stored(QDATA, BYTES), stored(SCALE, GRID)]
    result = written(tmp_path, tensors, "Int8Tensor", {}, block_size=[1, SIZE])
    why = "quantised weight (torchao): I8 codes are not decoded"
    assert record(result, QDATA)["reason"] == why
    result = opened(tmp_path, *tensors, config=CONFIG)
    assert "does not describe q_proj.weight" in record(result, QDATA)["reason"]


GROUPS = "in groups of 64 elements along axis 1 of a reshaped weight"


@pytest.mark.parametrize(
    ("bits", "dtype", "reason"),
    [
        (4, "U8", f"codes of 4 bits {GROUPS}, 2 distant ones in a byte, are not decoded"),
        (3, "I32", f"codes of 3 bits {GROUPS}, 10 distant ones in a word, are not decoded"),
        (8, "U8", f"codes of 8 bits {GROUPS} are not decoded"),
        (4, "F16", "q_proj.W_q is a view of bytes as F16"),
        (None, "U8", "the configuration gives nbits None"),
    ],
)
def test_hqq_is_named_with_its_reason(bits: Any, dtype: str, reason: str, tmp_path: Path) -> None:
    weights = {"nbits": bits, "group_size": 64, "axis": 1}
    stated = {"quant_method": "hqq", "quant_config": {"weight_quant_params": weights}}
    parts = [
        *(Stored("q_proj.W_q", dtype, (4, 8)), Stored("q_proj.scale", "F16", (8, 1))),
        *(Stored("q_proj.zero", "F16", (8, 1)), Stored("q_proj.nbits", "I32", ())),
    ]
    checkpoint = opened(tmp_path, *parts, config={"quantization_config": stated})
    assert list(checkpoint) == []
    assert record(checkpoint, "q_proj.W_q")["reason"] == f"quantised weight (hqq): {reason}"
    assert record(checkpoint, "q_proj.scale")["status"] == "scale"
    assert record(checkpoint, "q_proj.zero")["status"] == "part"
    assert record(checkpoint, "q_proj.nbits")["status"] == "part"
