# SPDX-License-Identifier: BSD-3-Clause
"""Weights of onnxruntime's operator QMoE: every number as its definition says."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.checkpoints import record
from tests.support.onnx_blocks import packed_bytes
from tests.support.onnx_codes import Stored, scales_of
from tests.support.onnx_files import of_nodes, operation, value

import sigmascope as ss

COUNT, HIDDEN, INNER = 3, 32, 64
WEIGHTS = {"fc1": (INNER, HIDDEN), "fc2": (HIDDEN, INNER)}
EXPERTS = "model.layers.2.moe.experts"
NAMES = {"fc1": f"{EXPERTS}.gate_up_proj", "fc2": f"{EXPERTS}.down_proj"}
RAW = {"weights_prepacked": 0}

Numbers = NDArray[np.float32]
Made = tuple[dict[str, Stored], Numbers]


def experts(layer: str, bits: int, size: int, zeros: bool) -> Made:
    """The tensors of one layer of all experts, and its numbers."""
    rows, columns = WEIGHTS[layer]
    rng = np.random.default_rng([rows, bits, size])
    codes = rng.integers(0, 1 << bits, (COUNT, rows, columns))
    grid = (COUNT, rows, columns // size) if size else (COUNT, rows)
    scales, factors = scales_of(grid)
    results = {"qweight": codes, "scales": scales}
    offsets = np.full(grid, 1 << (bits - 1))
    if zeros:
        offsets = rng.integers(0, 1 << bits, grid)
        results["zeros"] = offsets
    wide = [each.reshape(COUNT, rows, -1).repeat(size or columns, 2) for each in (offsets, factors)]
    numbers = (codes.astype(np.float32) - wide[0].astype(np.float32)) * wide[1]
    stored = {}
    for name, each in results.items():
        if not isinstance(each, Stored):
            packed = packed_bytes(each, bits)
            each = Stored("U8", packed.shape, packed.tobytes())
        stored[f"{NAMES[layer]}.{name}"] = each
    return stored, numbers


def node_of(tensors: dict[str, Stored], **attributes: int | str) -> bytes:
    def named(layer: str, what: str) -> str:
        name = f"{NAMES[layer]}.{what}"
        return name if name in tensors else ""

    inputs = ["x", "router"]
    for layer in WEIGHTS:
        inputs += [named(layer, "qweight"), named(layer, "scales"), ""]
    inputs += ["", "", "", named("fc1", "zeros"), named("fc2", "zeros")]
    return operation("QMoE", *inputs, name="n", domain="com.microsoft", **attributes)


def opened(path: Path, tensors: dict[str, Stored], **attributes: int | str) -> Any:
    made = [stored.tensor(name) for name, stored in tensors.items()]
    path.write_bytes(of_nodes([node_of(tensors, **attributes)], *made))
    return ss.open_checkpoint(path)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("size", [0, 16, 32])
@pytest.mark.parametrize("zeros", [True, False])
def test_numbers_of_experts(bits: int, size: int, zeros: bool, tmp_path: Path) -> None:
    made = {layer: experts(layer, bits, size, zeros) for layer in WEIGHTS}
    tensors = made["fc1"][0] | made["fc2"][0]
    attributes = RAW | {"expert_weight_bits": bits} | ({"block_size": size} if size else {})
    checkpoint = opened(tmp_path / "m.onnx", tensors, **attributes)
    assert len(checkpoint) == 2 * COUNT, checkpoint.unreadable
    for layer, (_, numbers) in made.items():
        for index in range(COUNT):
            name = f"{NAMES[layer]}.weight[{index}]"
            assert np.asarray(checkpoint[name]).tobytes() == numbers[index].tobytes()
            again = pickle.loads(pickle.dumps(checkpoint[name][3:, ::5]))
            np.testing.assert_array_equal(np.asarray(again), numbers[index, 3:, ::5])
            assert checkpoint.outline(name).shape == numbers.shape[1:]
            assert (checkpoint.roles[name].layer, checkpoint.roles[name].expert) == (2, index)
        assert record(checkpoint, f"{NAMES[layer]}.scales")["status"] == "scale"


@pytest.mark.parametrize("size", [0, 16])
def test_plans_count_the_memory_of_zeros(size: int, tmp_path: Path) -> None:
    """Zeros are held as float32, one for each scale."""
    attributes = RAW | ({"block_size": size} if size else {})
    peaks: dict[bool, list[int]] = {}
    for zeros in (True, False):
        tensors, _ = experts("fc1", 4, size, zeros)
        checkpoint = opened(tmp_path / f"{zeros}.onnx", tensors, **attributes)
        plan = ss.scan(checkpoint, num_threads=1, memory_limit="1GiB", plan=True)
        assert not plan.refused
        peaks[zeros] = [each.peak_bytes for each in plan]
    rows, columns = WEIGHTS["fc1"]
    count = rows * (columns // size if size else 1)
    assert [a - b for a, b in zip(peaks[True], peaks[False], strict=True)] == [4 * count] * COUNT


def test_layers_may_have_bits_of_their_own(tmp_path: Path) -> None:
    (one, first), (two, second) = experts("fc1", 4, 16, True), experts("fc2", 8, 16, False)
    more = {"block_size": 16, "fc2_expert_weight_bits": 8}
    checkpoint = opened(tmp_path / "m.onnx", one | two, **RAW, **more)
    for layer, numbers in (("fc1", first), ("fc2", second)):
        assert np.asarray(checkpoint[f"{NAMES[layer]}.weight[1]"]).tobytes() == numbers[1].tobytes()


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({}, "weights_prepacked is -1: an order for one processor, not decoded"),
        ({"weights_prepacked": 1}, "weights_prepacked is 1: an order for one processor"),
        (RAW | {"quant_type": "fp8"}, "the node gives quant_type 'fp8', not 'int'"),
        (RAW | {"expert_weight_bits": 3}, "the node gives 3 bits, not one of [2, 4, 8]"),
        (RAW | {"expert_weight_bits": "4"}, "expert_weight_bits '4', not an integer"),
        (RAW | {"block_size": 48}, "the node gives block_size 48 for 32 inputs"),
        (RAW | {"block_size": 32}, "has shape [3, 64, 2], where [3, 64, 1] would fit"),
        (RAW | {"block_size": 16, "expert_weight_bits": 8}, "where [3, 64, 1] would fit"),
        (RAW, "scales has shape [3, 64, 2], where [3, 64] would fit"),
    ],
)
def test_attributes_that_do_not_fit(
    attributes: dict[str, int | str], message: str, tmp_path: Path
) -> None:
    tensors, _ = experts("fc1", 4, 16, True)
    checkpoint = opened(tmp_path / "m.onnx", tensors, **attributes)
    reason = checkpoint.unreadable[f"{NAMES['fc1']}.qweight"]
    assert reason.startswith("quantised weight (com.microsoft.QMoE): ")
    assert message in reason
    assert list(checkpoint) == []


@pytest.mark.parametrize("bits", [4, 8])
def test_the_operator_itself_takes_rows_as_outputs(bits: int, tmp_path: Path) -> None:
    """By onnxruntime: with one expert and no activation its output is x W1' W2', in float32."""
    runtime = pytest.importorskip("onnxruntime")
    made = {layer: experts(layer, bits, 0, False) for layer in WEIGHTS}
    tensors = made["fc1"][0] | made["fc2"][0]
    options = {"expert_weight_bits": bits, "k": 1, "activation_type": "identity"}
    node = node_of(tensors, **RAW, **options)
    values = [value(11, "x", HIDDEN, HIDDEN), value(11, "router", HIDDEN, COUNT)]
    values.append(value(12, "n_output_0", HIDDEN, HIDDEN))
    path = tmp_path / "m.onnx"
    stored = [each.tensor(name) for name, each in tensors.items()]
    path.write_bytes(of_nodes([node, *values], *stored))
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    checkpoint = ss.open_checkpoint(path)
    for index in range(COUNT):
        router = np.full((HIDDEN, COUNT), -100, np.float32)
        router[:, index] = 100
        (y,) = session.run(None, {"x": np.eye(HIDDEN, dtype=np.float32), "router": router})
        first, second = (
            np.asarray(checkpoint[f"{NAMES[layer]}.weight[{index}]"], np.float64)
            for layer in WEIGHTS
        )
        wanted = (second @ first).T
        assert np.abs(y - wanted).max() <= 1e-6 * np.abs(wanted).max()
