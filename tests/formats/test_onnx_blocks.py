# SPDX-License-Identifier: BSD-3-Clause
"""Weights of onnxruntime's operator MatMulNBits: every number as its definition says."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.checkpoints import record
from tests.support.command_line import invoke
from tests.support.onnx_blocks import Blocks, blocks
from tests.support.onnx_files import (
    INT32S,
    constant,
    content,
    of_array,
    of_nodes,
    operation,
    packed,
    tensor,
    value,
)

import sigmascope as ss
from sigmascope.errors import CheckpointError


def opened(path: Path, made: Blocks, *more: bytes, **changes: int) -> Any:
    path.write_bytes(of_nodes([made.node(**changes)], *made.stored(), *more))
    return ss.open_checkpoint(path)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("zeros", ["packed", "numbers", ""])
@pytest.mark.parametrize(("shape", "size"), [((6, 64), 16), ((5, 300), 32), ((3, 33), 64)])
@pytest.mark.parametrize("index", ["", "short", "padded"])
def test_numbers_of_blocks(
    bits: int, zeros: str, shape: tuple[int, int], size: int, index: str, tmp_path: Path
) -> None:
    """A block may be cut, zeros of a row end within a byte, and each input may have its group."""
    made = blocks(shape, bits, size, zeros=zeros, index=index)
    checkpoint = opened(tmp_path / "m.onnx", made)
    assert list(checkpoint) == ["B"], checkpoint.unreadable
    a = checkpoint["B"]
    assert (a.shape, a.storage) == (shape, "f32")
    assert np.asarray(a).tobytes() == made.numbers.tobytes()
    np.testing.assert_array_equal(np.asarray(a[1::2, 5:31:3]), made.numbers[1::2, 5:31:3])
    np.testing.assert_array_equal(np.asarray(a.T[-7:].load()), made.numbers.T[-7:])
    np.testing.assert_array_equal(np.asarray(pickle.loads(pickle.dumps(a[:2]))), made.numbers[:2])
    assert checkpoint.outline("B").shape == shape


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("zeros", ["packed", "numbers", ""])
def test_every_dtype_of_scales_and_flat_ones(dtype: str, zeros: str, tmp_path: Path) -> None:
    """Models of older tools have scales and zeros without an axis of blocks."""
    for flat in (False, True):
        made = blocks((4, 80), 4, 16, dtype=dtype, zeros=zeros, flat=flat)
        checkpoint = opened(tmp_path / "m.onnx", made)
        assert np.asarray(checkpoint["B"]).tobytes() == made.numbers.tobytes()


def test_bits_are_4_unless_the_node_says(tmp_path: Path) -> None:
    made = blocks((4, 64), 4, 32)
    del made.attributes["bits"]
    checkpoint = opened(tmp_path / "m.onnx", made)
    np.testing.assert_array_equal(np.asarray(checkpoint["B"]), made.numbers)


def test_parts_are_not_matrices_and_singular_values_are_those_of_the_weight(
    tmp_path: Path,
) -> None:
    made = blocks((40, 65), 4, 16, zeros="numbers", index="short")
    checkpoint = opened(tmp_path / "m.onnx", made)
    statuses = {name: record(checkpoint, name)["status"] for name in made.tensors}
    assert statuses == {"B": "matrix", "scales": "scale", "zero_points": "part", "g_idx": "part"}
    how = "4 bits of MatMulNBits, scale and zero per 16 inputs, by g_idx"
    assert record(checkpoint, "B")["view"] == how
    wanted = np.linalg.svd(made.numbers.astype(np.float64))[1]
    np.testing.assert_allclose(np.asarray(ss.svdvals(checkpoint["B"])), wanted, rtol=1e-5)
    compared = ss.compare({"B": made.numbers}, tmp_path / "m.onnx", effort="exact")
    (row,) = (each for each in compared.rows if each["status"] == "analysed")
    assert row["relative_change"] == 0


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (("q.weight_Q4", "q.weight_scales"), "q.weight"),
        (("w_Q8G32", "w_scale"), "w"),
        (("a.MatMulNBits.qweight", "a.MatMulNBits.scales"), "a.MatMulNBits.weight"),
        (("codes", "numbers"), "codes"),
    ],
)
def test_the_node_says_which_tensors_belong_together(
    names: tuple[str, str], wanted: str, tmp_path: Path
) -> None:
    made = blocks((4, 32), 4, 16, zeros="")
    tensors = [
        of_array(name, *each) for name, each in zip(names, made.tensors.values(), strict=True)
    ]
    node = operation(
        "MatMulNBits", "x", *names, name="n", domain="com.microsoft", **made.attributes
    )
    path = tmp_path / "m.onnx"
    path.write_bytes(of_nodes([node], *tensors))
    assert list(ss.open_checkpoint(path)) == [wanted]
    if wanted == names[0]:
        return
    original = np.ones((4, 32), np.float32)  # a table of tokens may stay as it was
    path.write_bytes(of_nodes([node], *tensors, of_array(wanted, "F32", original)))
    checkpoint = ss.open_checkpoint(path)
    np.testing.assert_array_equal(np.asarray(checkpoint[names[0]]), made.numbers)
    np.testing.assert_array_equal(np.asarray(checkpoint[wanted]), original)


def test_codes_may_be_varints_and_scales_constants(tmp_path: Path) -> None:
    made = blocks((4, 32), 4, 16, zeros="")
    codes = made.tensors["B"][1]
    numbers = tensor("B", "U8", codes.shape, packed(INT32S, codes.ravel()))
    nodes = [constant("scales", of_array("", *made.tensors["scales"])), made.node()]
    path = tmp_path / "m.onnx"
    path.write_bytes(of_nodes(nodes, numbers))
    checkpoint = ss.open_checkpoint(path)
    np.testing.assert_array_equal(np.asarray(checkpoint["B"]), made.numbers)
    assert repr(checkpoint).endswith(" in 1 files>")  # the decoded codes are not another file
    assert invoke("info", path)[1].splitlines()[1].startswith("1 file, ")


def test_bodies_have_weights_of_their_own(tmp_path: Path) -> None:
    """The same names mean other tensors in another graph, or those of the graph around it."""
    outer, inner = blocks((4, 32), 4, 16), blocks((6, 48), 8, 16)
    tensors = b"".join(content(5, each) for each in inner.stored())
    graph = inner.node() + outer.node("o.") + tensors
    body = content(4, "Loop") + content(2, "l")
    body += content(5, content(1, "body") + content(6, graph))
    nodes = [outer.node(), content(1, body)]
    path = tmp_path / "m.onnx"
    path.write_bytes(of_nodes(nodes, *outer.stored(), *outer.stored("o.")))
    checkpoint = ss.open_checkpoint(path)
    assert set(checkpoint) == {"B", "o.B", "l.body.B"}
    np.testing.assert_array_equal(np.asarray(checkpoint["l.body.B"]), inner.numbers)
    for name in ("B", "o.B"):
        np.testing.assert_array_equal(np.asarray(checkpoint[name]), outer.numbers)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bits": 3}, "the node gives bits 3, not one of [2, 4, 8]"),
        ({"block_size": 48}, "the node gives block_size 48, not a power of 2 from 16 on"),
        ({"block_size": 8}, "the node gives block_size 8, not a power of 2 from 16 on"),
        ({"N": 0}, "the node gives N 0"),
        ({"K": -1}, "the node gives K -1"),
        ({"weight_prepacked": 1}, "weight_prepacked is 1: an order for one processor"),
        ({"N": 7}, "B has shape [4, 2, 8], where N 7, K 32, bits 4 and block_size 16 make"),
        ({"K": 2**62}, "bits 4 and block_size 16 make [4, 288230376151711744, 8]"),
        ({"bits": 8}, "bits 8 and block_size 16 make [4, 2, 16]"),
    ],
)
def test_attributes_that_do_not_fit(changes: dict[str, int], message: str, tmp_path: Path) -> None:
    checkpoint = opened(tmp_path / "m.onnx", blocks((4, 32), 4, 16), **changes)
    assert message in checkpoint.unreadable["B"]
    assert checkpoint.unreadable["B"].startswith("quantised weight (com.microsoft.MatMulNBits): ")
    assert record(checkpoint, "scales")["status"] == "part"
    assert list(checkpoint) == []


@pytest.mark.parametrize(
    ("name", "dtype", "shape", "message"),
    [
        ("B", "I8", (4, 2, 8), "B is I8 [4, 2, 8], not U8 with 3 axes"),
        ("B", "U8", (8, 8), "B is U8 [8, 8], not U8 with 3 axes"),
        ("scales", "F64", (4, 2), "scales is F64 [4, 2], not F32 or F16 or BF16"),
        ("scales", "F32", (2, 4), "scales has shape [2, 4], where [4, 2] or [8] would fit"),
        ("zero_points", "U8", (4, 2), "zero_points has shape [4, 2], where [4, 1] or [4] would"),
        ("zero_points", "F16", (4, 2), "zero_points is F16 [4, 2], not F32 with 1 or 2 axes"),
        ("g_idx", "I64", (32,), "g_idx is I64 [32], not I32 with 1 axes"),
        ("g_idx", "I32", (31,), "g_idx has shape [31], where [32] or [32] would fit"),
    ],
)
def test_tensors_that_do_not_fit(
    name: str, dtype: str, shape: tuple[int, ...], message: str, tmp_path: Path
) -> None:
    made = blocks((4, 32), 4, 16, index="short")
    sizes = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2}
    zeros = np.zeros((*shape, sizes.get(dtype, 1)), np.uint8)
    tensors = made.tensors | {name: (dtype, zeros)}
    stored = [
        tensor(each, kind, shape, content(9, zeros.tobytes()))
        if each == name
        else of_array(each, kind, array)
        for each, (kind, array) in tensors.items()
    ]
    path = tmp_path / "m.onnx"
    path.write_bytes(of_nodes([made.node()], *stored))
    assert message in ss.open_checkpoint(path).unreadable["B"]


def test_computed_scales_and_nodes_that_disagree_are_named(tmp_path: Path) -> None:
    made = blocks((4, 32), 4, 16)
    path = tmp_path / "m.onnx"
    path.write_bytes(of_nodes([made.node()], *made.stored()[:1], *made.stored()[2:]))
    assert "the scales are computed, not stored" in ss.open_checkpoint(path).unreadable["B"]
    again = made.node(name="other")
    path.write_bytes(of_nodes([made.node(), again], *made.stored()))
    assert list(ss.open_checkpoint(path)) == ["B"]
    path.write_bytes(of_nodes([made.node(), again, made.node(K=31)], *made.stored()))
    reason = ss.open_checkpoint(path).unreadable["B"]
    assert "nodes use B with different scales or attributes" in reason


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([0] * 31 + [2], "1 of 32 inputs are in no group, the first is input 31 in group 2 of 2"),
        ([-1] * 32, "all 32 inputs are in group -1, of 2"),
    ],
)
def test_groups_out_of_range_are_refused(groups: list[int], message: str, tmp_path: Path) -> None:
    made = blocks((4, 32), 4, 16, index="short")
    made.tensors["g_idx"] = ("I32", np.array(groups, np.int32))
    checkpoint = opened(tmp_path / "m.onnx", made)
    with pytest.raises(CheckpointError, match=message):
        checkpoint["B"]


def test_an_operator_of_another_domain_is_another_one(tmp_path: Path) -> None:
    made = blocks((4, 32), 4, 16)
    inputs = ("x", "B", "scales", "zero_points")
    path = tmp_path / "m.onnx"
    path.write_bytes(
        of_nodes([operation("MatMulNBits", *inputs, **made.attributes)], *made.stored())
    )
    checkpoint = ss.open_checkpoint(path)
    assert record(checkpoint, "B")["status"] == "integer"


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("zeros", ["packed", ""])
@pytest.mark.parametrize(("shape", "size"), [((24, 256), 16), ((9, 300), 64), ((5, 33), 32)])
def test_the_operator_itself_has_the_same_numbers(
    bits: int, zeros: str, shape: tuple[int, int], size: int, tmp_path: Path
) -> None:
    """Run by onnxruntime on the identity; it disagrees with its definition if there is a g_idx."""
    runtime = pytest.importorskip("onnxruntime")
    made = blocks(shape, bits, size, zeros=zeros)
    path = tmp_path / "m.onnx"
    n, k = shape
    values = [value(11, "x", k, k), value(12, "n_output_0", k, n)]
    path.write_bytes(of_nodes([made.node(), *values], *made.stored()))
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {"x": np.eye(k, dtype=np.float32)})
    np.testing.assert_array_equal(np.asarray(ss.open_checkpoint(path)["B"]), result.T)
