# SPDX-License-Identifier: BSD-3-Clause
"""Codes of DequantizeLinear and GatherBlockQuantized: every number as their definitions say."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.checkpoints import record
from tests.support.onnx_blocks import packed_bytes
from tests.support.onnx_codes import BITS, Stored, codes, scales_of, spread
from tests.support.onnx_files import (
    INT32S,
    content,
    of_nodes,
    operation,
    packed,
    tensor,
    value,
)

import sigmascope as ss

Made = tuple[dict[str, Stored], NDArray[np.float32]]
NAMES = ("w", "w_scale", "w_zero_point")


def blocks_along(shape: tuple[int, ...], axis: int | None, size: int) -> tuple[int, ...]:
    """The elements along each axis that share a scale."""
    if axis is None:
        return shape
    others = shape if size == 0 else (1,) * len(shape)
    return tuple((size or 1) if k == axis else n for k, n in enumerate(others))


def linear(
    shape: tuple[int, ...],
    dtype: str,
    axis: int | None,
    size: int = 0,
    *,
    zeros: bool = True,
    scale: str = "F32",
) -> Made:
    """A weight with a scale for all, for each index of an axis, or for each block along it."""
    sizes = blocks_along(shape, axis, size)
    grid = tuple(-(-n // each) for n, each in zip(shape, sizes, strict=True))
    flat = grid if size else () if axis is None else (shape[axis],)
    stored, numbers = codes(shape, dtype, 0)
    scales, factors = scales_of(flat, scale)
    results = {"w": stored, "w_scale": scales}
    offsets = np.zeros(flat, np.float32)
    if zeros:
        results["w_zero_point"], offsets = codes(flat, dtype, 1)
    taken = numbers - spread(offsets.reshape(grid), shape, sizes)
    return results, taken * spread(factors.reshape(grid), shape, sizes)


def dequantise(names: Sequence[str], **attributes: int) -> bytes:
    return operation("DequantizeLinear", *names, name="n", **attributes)


def opened(path: Path, tensors: dict[str, Stored], *nodes: bytes, **attributes: int) -> Any:
    made = [stored.tensor(name) for name, stored in tensors.items()]
    path.write_bytes(of_nodes([*nodes] or [dequantise([*tensors], **attributes)], *made, opset=21))
    return ss.open_checkpoint(path)


def attributes_of(axis: int | None, size: int) -> dict[str, int]:
    result = {} if axis is None else {"axis": axis}
    return result | ({"block_size": size} if size else {})


CASES = [
    (None, 0),
    (0, 0),
    (1, 0),
    (-1, 0),
    (0, 4),
    (0, 5),
    (1, 8),
    (1, 7),
    (-1, 16),
]


@pytest.mark.parametrize("dtype", BITS)
@pytest.mark.parametrize(("axis", "size"), CASES)
@pytest.mark.parametrize("zeros", [True, False])
def test_numbers_of_codes(
    dtype: str, axis: int | None, size: int, zeros: bool, tmp_path: Path
) -> None:
    """A last block may be cut, and zeros may end within a byte."""
    place = None if axis is None else axis % 2
    tensors, wanted = linear((12, 20), dtype, place, size, zeros=zeros)
    checkpoint = opened(tmp_path / "m.onnx", tensors, **attributes_of(axis, size))
    assert list(checkpoint) == ["w"], checkpoint.unreadable
    a = checkpoint["w"]
    assert np.asarray(a).tobytes() == wanted.tobytes()
    np.testing.assert_array_equal(np.asarray(a[1::2, 3:19:3]), wanted[1::2, 3:19:3])
    np.testing.assert_array_equal(np.asarray(a.T[-7:].load()), wanted.T[-7:])
    np.testing.assert_array_equal(np.asarray(pickle.loads(pickle.dumps(a[:2]))), wanted[:2])
    assert checkpoint.outline("w").shape == (12, 20)
    statuses = {name: record(checkpoint, name)["status"] for name in tensors}
    kinds = ("matrix", "scale", "part")
    assert statuses == dict(zip(tensors, kinds, strict=False))


@pytest.mark.parametrize("scale", ["F32", "F16", "BF16"])
def test_every_dtype_of_scales(scale: str, tmp_path: Path) -> None:
    tensors, wanted = linear((12, 20), "U4", 1, 4, scale=scale)
    checkpoint = opened(tmp_path / "m.onnx", tensors, axis=1, block_size=4)
    assert np.asarray(checkpoint["w"]).tobytes() == wanted.tobytes()


@pytest.mark.parametrize(("axis", "size"), [(None, 0), (0, 0), (1, 0), (0, 2), (1, 2), (2, 2)])
def test_kernels_and_stacks(axis: int | None, size: int, tmp_path: Path) -> None:
    """Codes whose numbers are the second input of a convolution are a kernel, others a stack."""
    tensors, wanted = linear((5, 4, 6), "I4", axis, size)
    node = dequantise([*tensors], **attributes_of(axis, size))
    checkpoint = opened(tmp_path / "stack.onnx", tensors, node)
    assert list(checkpoint) == [f"w[{index}]" for index in range(5)], checkpoint.unreadable
    for index in range(5):
        assert np.asarray(checkpoint[f"w[{index}]"]).tobytes() == wanted[index].tobytes()
    convolution = operation("Conv", "x", "n_output_0", name="c")
    checkpoint = opened(tmp_path / "kernel.onnx", tensors, node, convolution)
    assert np.asarray(checkpoint["w"]).tobytes() == wanted.reshape(5, 24).tobytes()
    view = record(checkpoint, "w")["view"]
    assert view is not None
    assert view.startswith("kernel 5 x 4 x 6 read as 5 x 24; I4 of DequantizeLinear, scale and")


def test_names_of_tools_are_those_of_the_weight(tmp_path: Path) -> None:
    tensors, wanted = linear((12, 20), "U4", 0, 4)
    layer = "model.layers.3.mlp.up_proj.weight"
    for codes_name, weight in ((f"{layer}_DQ_Q4", layer), (f"{layer}_quantized", layer)):
        renamed = dict(zip((codes_name, "s", "z"), tensors.values(), strict=True))
        checkpoint = opened(tmp_path / "m.onnx", renamed, axis=0, block_size=4)
        assert list(checkpoint) == [weight]
        assert (checkpoint.roles[weight].layer, checkpoint.roles[weight].role) == (3, "up")
        np.testing.assert_array_equal(np.asarray(checkpoint[weight]), wanted)


@pytest.mark.parametrize("operator", ["MatMul", "Gemm"])
def test_codes_without_a_name_have_that_of_the_node_of_their_numbers(
    operator: str, tmp_path: Path
) -> None:
    """As onnxruntime's quantiser names them; they are read with outputs as rows."""
    tensors, wanted = linear((12, 20), "U4", 0, 4)
    names = ("onnx::MatMul_12_DQ_Q4", "s", "z")
    renamed = dict(zip(names, tensors.values(), strict=True))
    ending = "MatMul_matmul_Q4" if operator == "MatMul" else "Gemm"
    place = f"/model/layers.3/self_attn/q_proj/{ending}"
    node = dequantise(names, axis=0, block_size=4)
    user = operation(operator, "x", "n_output_0", name=place)
    path = tmp_path / "m.onnx"
    checkpoint = opened(path, renamed, node, user)
    (name,) = checkpoint
    assert (checkpoint.roles[name].layer, checkpoint.roles[name].role) == (3, "q")
    assert np.asarray(checkpoint[name]).tobytes() == wanted.T.tobytes()
    other = operation("MatMul", "y", "n_output_0", name="/model/layers.4/self_attn/q_proj/MatMul")
    checkpoint = opened(path, renamed, node, user, other)  # of which module is not certain
    (name,) = checkpoint
    assert checkpoint.roles[name].role == "other"
    assert np.asarray(checkpoint[name]).tobytes() == wanted.tobytes()


def quantised(kind: str, original: NDArray[Any], symmetric: bool) -> bytes:
    """A model of one MatMul or Gather, as the quantiser of onnxruntime writes it."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnx_ir")
    tool: Any = pytest.importorskip("onnxruntime.quantization.matmul_nbits_quantizer")
    made, types, form = onnx.helper, onnx.TensorProto, tool.QuantFormat
    product = kind == "MatMul"
    inputs = ["x", "onnx::MatMul_12"] if product else ["onnx::MatMul_12", "x"]
    place = "/model/layers.3/self_attn/q_proj/MatMul"
    x = made.make_tensor_value_info("x", types.FLOAT if product else types.INT64, None)
    y = made.make_tensor_value_info("y", types.FLOAT, None)
    stored = onnx.numpy_helper.from_array(original, "onnx::MatMul_12")
    node = made.make_node(kind, inputs, ["y"], name=place)
    graph = made.make_graph([node], "g", [x], [y], [stored])
    model = made.make_model(graph, opset_imports=[made.make_opsetid("", 21)], ir_version=10)
    quantiser = tool.MatMulNBitsQuantizer(
        model,
        block_size=16,
        is_symmetric=symmetric,
        quant_format=form.QDQ if product else form.QOperator,
        op_types_to_quantize=(kind,),
    )
    quantiser.process()
    result: bytes = quantiser.model.model.SerializeToString()
    return result


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("kind", ["MatMul", "Gather"])
def test_what_the_quantiser_of_onnxruntime_writes(
    kind: str, symmetric: bool, tmp_path: Path
) -> None:
    """Weights of MatMul as DequantizeLinear, and of Gather, against what onnxruntime computes."""
    runtime = pytest.importorskip("onnxruntime")
    original = np.random.default_rng(0).standard_normal((64, 48)).astype(np.float32)
    path = tmp_path / "m.onnx"
    path.write_bytes(quantised(kind, original, symmetric))
    options = runtime.SessionOptions()  # which by default puts MatMulNBits for both nodes
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    x = np.eye(64, dtype=np.float32) if kind == "MatMul" else np.arange(64)
    (wanted,) = session.run(None, {"x": x})
    checkpoint = ss.open_checkpoint(path)
    (name,) = checkpoint
    a = np.asarray(checkpoint[name])
    assert (checkpoint.roles[name].role == "q") == (kind == "MatMul")
    np.testing.assert_array_equal(a.T if kind == "MatMul" else a, wanted)
    assert np.abs(wanted - original).max() < 0.5


def test_codes_may_be_varints_and_biases_are_not_codes(tmp_path: Path) -> None:
    tensors, wanted = linear((4, 6), "I4", 1)
    numbers = packed(INT32S, tensors["w"].raw)
    others = [tensors[name].tensor(name) for name in NAMES[1:]]
    bias = [tensor("b", "I32", (6,), content(9, bytes(24))), tensors["w_scale"].tensor("bs")]
    nodes = [dequantise(NAMES, axis=1), operation("DequantizeLinear", "b", "bs", name="m")]
    path = tmp_path / "m.onnx"
    path.write_bytes(of_nodes(nodes, tensor("w", "I4", (4, 6), numbers), *others, *bias, opset=21))
    checkpoint = ss.open_checkpoint(path)
    assert list(checkpoint) == ["w"]
    assert np.asarray(checkpoint["w"]).tobytes() == wanted.tobytes()
    assert checkpoint.unreadable == {}


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"axis": 2}, "the node gives axis 2, of 2 axes"),
        ({"block_size": -4}, "the node gives block_size -4"),
        ({"block_size": 8}, "w_scale has shape [12, 5], where [12, 3] would fit the codes"),
        ({"axis": 0, "block_size": 4}, "w_scale has shape [12, 5], where [3, 20] would fit"),
        ({"axis": 0, "block_size": 0}, "w_scale has shape [12, 5], where [12] would fit"),
    ],
)
def test_attributes_that_do_not_fit(
    attributes: dict[str, int], message: str, tmp_path: Path
) -> None:
    tensors, _ = linear((12, 20), "U4", 1, 4)
    checkpoint = opened(tmp_path / "m.onnx", tensors, **({"axis": 1, "block_size": 4} | attributes))
    assert checkpoint.unreadable["w"].startswith("quantised weight (DequantizeLinear): ")
    assert message in checkpoint.unreadable["w"]
    assert record(checkpoint, "w_scale")["status"] == "part"


def test_tensors_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    tensors, _ = linear((4, 5), "U4", 1)
    assert (
        "rows of 5 codes of 4 bits, which end within a byte"
        in opened(path, tensors).unreadable["w"]
    )
    tensors, _ = linear((4, 6), "U4", 1)
    other = tensors | {"w_zero_point": Stored("I4", (6,), bytes(3))}
    assert "w_zero_point is I4 [6], not U4 with 1 axes" in opened(path, other).unreadable["w"]
    other = tensors | {"w_zero_point": Stored("U4", (4,), bytes(2))}
    assert "w_zero_point has shape [4], where [6] would fit" in opened(path, other).unreadable["w"]
    node = dequantise(["w", "computed"])
    checkpoint = opened(path, {"w": tensors["w"]}, node)
    assert "the scales are computed, not stored" in checkpoint.unreadable["w"]
    nodes = [dequantise(NAMES, axis=1), dequantise(NAMES[:2], axis=1)]
    checkpoint = opened(path, tensors, *nodes)
    assert "nodes use w with different scales or attributes" in checkpoint.unreadable["w"]


def run(path: Path, node: bytes, tensors: dict[str, Stored], *shape: int, **feeds: Any) -> Any:
    """The output of a model of one node, by onnxruntime."""
    runtime = pytest.importorskip("onnxruntime")
    made = [stored.tensor(name) for name, stored in tensors.items()]
    path.write_bytes(of_nodes([node, value(12, "n_output_0", *shape)], *made, opset=21))
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)[0]


@pytest.mark.parametrize("dtype", ["I8", "U8", "I4", "U4"])
@pytest.mark.parametrize(("axis", "size"), CASES)
@pytest.mark.parametrize("zeros", [True, False])
def test_the_operator_itself_has_the_same_numbers(
    dtype: str, axis: int | None, size: int, zeros: bool, tmp_path: Path
) -> None:
    place = None if axis is None else axis % 2
    tensors, _ = linear((12, 20), dtype, place, size, zeros=zeros)
    path = tmp_path / "m.onnx"
    node = dequantise([*tensors], **attributes_of(axis, size))
    result = run(path, node, tensors, 12, 20)
    assert np.asarray(ss.open_checkpoint(path)["w"]).tobytes() == result.tobytes()


def table(dtype: str, bits: int, zeros: bool, size: int = 16, axis: int = 1) -> Made:
    """A table of 12 x 80 numbers, whose codes may be packed into bytes."""
    shape, sizes = (12, 80), blocks_along((12, 80), axis, size)
    grid = tuple(-(-n // each) for n, each in zip(shape, sizes, strict=True))
    scales, factors = scales_of(grid)
    rng = np.random.default_rng(bits)
    if dtype != "U8":
        stored, numbers = codes(shape, dtype, 0)
        zero, offsets = codes(grid, dtype, 1)
    else:
        raw, raw_zeros = (rng.integers(0, 1 << bits, each) for each in (shape, grid))
        numbers, offsets = raw.astype(np.float32), raw_zeros.astype(np.float32)
        each, of_zeros = packed_bytes(raw, bits), packed_bytes(raw_zeros, bits)
        stored = Stored("U8", each.shape, each.tobytes())
        zero = Stored("U8", of_zeros.shape, of_zeros.tobytes())
    result = {"w": stored, "s": scales} | ({"z": zero} if zeros else {})
    if not zeros:
        offsets = np.full(grid, 1 << (bits - 1) if dtype == "U8" else 0, np.float32)
    taken = numbers - spread(offsets, shape, sizes)
    return result, taken * spread(factors, shape, sizes)


def gather(tensors: dict[str, Stored], **attributes: int) -> bytes:
    inputs = ["w", "i", "s", *(["z"] if "z" in tensors else [])]
    return operation(
        "GatherBlockQuantized", *inputs, name="n", domain="com.microsoft", **attributes
    )


PACKINGS = [("I4", 4), ("U4", 4), ("U8", 2), ("U8", 4), ("U8", 8)]


@pytest.mark.parametrize(("dtype", "bits"), PACKINGS)
@pytest.mark.parametrize("zeros", [True, False])
@pytest.mark.parametrize("size", [16, 32, 128])
def test_numbers_of_a_table(dtype: str, bits: int, zeros: bool, size: int, tmp_path: Path) -> None:
    tensors, wanted = table(dtype, bits, zeros, size)
    node = gather(
        tensors, block_size=size, quantize_axis=1, **({} if bits == 4 else {"bits": bits})
    )
    checkpoint = opened(tmp_path / "m.onnx", tensors, node)
    assert list(checkpoint) == ["w"], checkpoint.unreadable
    assert np.asarray(checkpoint["w"]).tobytes() == wanted.tobytes()
    statuses = {name: record(checkpoint, name)["status"] for name in tensors}
    assert statuses["s"] == "scale"
    assert statuses.get("z", "part") == "part"


@pytest.mark.parametrize(("dtype", "bits"), PACKINGS)
@pytest.mark.parametrize("zeros", [True, False])
@pytest.mark.parametrize("size", [16, 32, 128])
def test_the_operator_gathers_the_same_rows(
    dtype: str, bits: int, zeros: bool, size: int, tmp_path: Path
) -> None:
    tensors, _ = table(dtype, bits, zeros, size)
    node = gather(tensors, block_size=size, quantize_axis=1, bits=bits)
    rows = Stored("I64", (12,), np.arange(12).tobytes())
    path = tmp_path / "m.onnx"
    gathered = run(path, node, tensors | {"i": rows}, 12, 80)
    assert np.asarray(ss.open_checkpoint(path)["w"]).tobytes() == gathered.tobytes()


def test_a_table_in_blocks_of_rows(tmp_path: Path) -> None:
    tensors, wanted = table("U4", 4, True, axis=0)
    node = gather(tensors, block_size=16, quantize_axis=0, gather_axis=1)
    checkpoint = opened(tmp_path / "m.onnx", tensors, node)
    assert np.asarray(checkpoint["w"]).tobytes() == wanted.tobytes()


@pytest.mark.parametrize(
    ("dtype", "attributes", "message"),
    [
        ("U8", {"bits": 3}, "the node gives bits 3 for codes of U8"),
        ("U4", {"bits": 8}, "the node gives bits 8 for codes of U4"),
        ("U4", {"block_size": 24}, "block_size 24, not a power of 2 from 16 on"),
        ("U8", {"quantize_axis": 0}, "quantize_axis 0: bytes have codes of the last"),
        ("U8", {"bits": 8}, "s has shape [12, 5], where [12, 3] would fit"),
        ("U8", {"block_size": 128}, "s has shape [12, 5], where [12, 1] would fit"),
    ],
)
def test_tables_that_do_not_fit(
    dtype: str, attributes: dict[str, int], message: str, tmp_path: Path
) -> None:
    tensors, _ = table(dtype, 4, True)
    checkpoint = opened(
        tmp_path / "m.onnx", tensors, gather(tensors, **({"block_size": 16} | attributes))
    )
    assert checkpoint.unreadable["w"].startswith(
        "quantised weight (com.microsoft.GatherBlockQuantized)"
    )
    assert message in checkpoint.unreadable["w"]
