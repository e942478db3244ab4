# SPDX-License-Identifier: BSD-3-Clause
"""Codes that nodes of ONNX models turn into numbers: every form that exporters write.

The numbers are those that onnx's own evaluator computes from the same model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.checkpoints import record

import sigmascope as ss

onnx = pytest.importorskip("onnx")
evaluator = pytest.importorskip("onnx.reference")
FLOAT, HALF, INT32 = (getattr(onnx.TensorProto, name) for name in ("FLOAT", "FLOAT16", "INT32"))
RNG = np.random.default_rng(0)
ROWS, COLUMNS = 12, 20
CODES = RNG.integers(-128, 128, (ROWS, COLUMNS)).astype(np.int8)
UNSIGNED = RNG.integers(0, 256, (ROWS, COLUMNS)).astype(np.uint8)

Array = NDArray[Any]


def scales(*shape: int, dtype: str = "f4") -> Array:
    return RNG.uniform(0.01, 0.1, shape).astype(dtype)


def step(operator: str, inputs: str, output: str, **attributes: Any) -> Any:
    return onnx.helper.make_node(operator, inputs.split(), [output], **attributes)


def cast(source: str, output: str, to: int = FLOAT) -> Any:
    return step("Cast", source, output, to=to)


class Form(NamedTuple):
    """Nodes that compute `w` from tensors, and tensors that are constants of nodes."""

    nodes: list[Any]
    tensors: dict[str, Array]
    constants: dict[str, Array] = {}  # noqa: RUF012

    def model(self, *users: Any) -> Any:
        """The model, whose outputs are `w` and those of the nodes that use it."""
        make, own = onnx.helper, onnx.numpy_helper
        held = [
            make.make_node("Constant", [], [name], value=own.from_array(array))
            for name, array in self.constants.items()
        ]
        stored = [own.from_array(array, name) for name, array in self.tensors.items()]
        x = make.make_tensor_value_info("x", FLOAT, None)
        ends = ["w", *(user.output[0] for user in users)]
        outputs = [make.make_tensor_value_info(name, FLOAT, None) for name in ends]
        nodes = [*held, *self.nodes, *users]
        graph = make.make_graph(nodes, "g", [x], outputs, stored)
        return make.make_model(graph, opset_imports=[make.make_opsetid("", 21)], ir_version=10)

    def numbers(self) -> Array:
        """Return `w` as onnx computes it."""
        values = evaluator.ReferenceEvaluator(self.model()).run(["w"], {"x": np.zeros((1, 1))})[0]
        return np.asarray(values)


S = "w_scale"
SCALES = [(), (1,), (1, COLUMNS), (COLUMNS,), (ROWS, 1), (1, 1), (ROWS, COLUMNS)]
TURN = {"perm": [1, 0]}
BLOCKS = CODES.reshape(ROWS, 4, 5)
SHAPE = np.array([ROWS, COLUMNS])


def forms(Q: str) -> dict[str, Form]:
    """Every form, whose codes have a name."""
    MUL = [cast(Q, "f"), step("Mul", f"f {S}", "w")]
    SUB = [cast(Q, "f"), step("Sub", "f z", "c"), step("Mul", f"c {S}", "w")]
    return {
        **{f"scales {list(shape)}": Form(MUL, {Q: CODES, S: scales(*shape)}) for shape in SCALES},
        **{
            f"zeros {list(shape)}": Form(
                SUB, {Q: UNSIGNED, S: scales(ROWS, 1), "z": scales(*shape)}
            )
            for shape in SCALES
        },
        "scales before codes": Form(
            [MUL[0], step("Mul", f"{S} f", "w")], {Q: CODES, S: scales(20)}
        ),
        "scales of 16 bits": Form(
            [cast(S, "s"), MUL[0], step("Mul", "f s", "w")],
            {Q: CODES, S: scales(1, 20, dtype="f2")},
        ),
        "zeros that are cast": Form(
            [cast("z", "zf"), MUL[0], step("Sub", "f zf", "c"), step("Mul", f"c {S}", "w")],
            {Q: UNSIGNED, S: scales(ROWS, 1), "z": UNSIGNED[:, :1].copy()},
        ),
        "zeros in integers": Form(
            [
                cast(Q, "i", INT32),
                step("Sub", "i z", "c"),
                cast("c", "f"),
                step("Mul", f"f {S}", "w"),
            ],
            {Q: UNSIGNED, S: scales(ROWS, 1), "z": UNSIGNED[:, :1].astype(np.int32)},
        ),
        "two casts": Form([cast(Q, "h", HALF), cast("h", "f"), MUL[1]], {Q: CODES, S: scales(20)}),
        "constants of nodes": Form(
            SUB, {Q: UNSIGNED}, {S: scales(), "z": np.array(128, np.float32)}
        ),
        "codes of a node": Form(MUL, {S: scales(ROWS, 1)}, {Q: CODES}),
        "Identity between": Form(
            [
                step("Identity", Q, "a"),
                cast("a", "f"),
                step("Identity", "f", "b"),
                step("Identity", S, "s"),
                step("Mul", "b s", "c"),
                step("Identity", "c", "w"),
            ],
            {Q: CODES, S: scales(1, COLUMNS)},
        ),
        "Transpose before Cast": Form(
            [step("Transpose", Q, "t", **TURN), cast("t", "f"), MUL[1]],
            {Q: CODES, S: scales(COLUMNS, 1)},
        ),
        "Transpose before Mul": Form(
            [MUL[0], step("Transpose", "f", "t"), step("Mul", f"t {S}", "w")],
            {Q: CODES, S: scales(COLUMNS, 1)},
        ),
        "Transpose after Mul": Form(
            [MUL[0], step("Mul", f"f {S}", "t"), step("Transpose", "t", "w", **TURN)],
            {Q: CODES, S: scales(ROWS, 1)},
        ),
        "Transpose twice": Form(
            [
                step("Transpose", Q, "t"),
                cast("t", "f"),
                step("Mul", f"f {S}", "s"),
                step("Transpose", "s", "w"),
            ],
            {Q: CODES, S: scales(COLUMNS, 1)},
        ),
        "Reshape before Cast": Form(
            [step("Reshape", f"{Q} shape", "r"), cast("r", "f"), MUL[1]],
            {Q: CODES.ravel(), S: scales(ROWS, 1), "shape": SHAPE},
        ),
        "Reshape of blocks": Form(
            [MUL[0], step("Mul", f"f {S}", "b"), step("Reshape", "b shape", "w")],
            {Q: BLOCKS, S: scales(ROWS, 4, 1)},
            {"shape": np.array([0, -1])},
        ),
        "blocks with zeros, then a Transpose": Form(
            [
                *SUB[:2],
                step("Mul", f"c {S}", "b"),
                step("Reshape", "b shape", "r"),
                step("Transpose", "r", "w"),
            ],
            {Q: BLOCKS, S: scales(ROWS, 4, 1), "z": scales(ROWS, 4, 1), "shape": SHAPE},
        ),
        "a last Cast": Form(
            [MUL[0], step("Mul", f"f {S}", "d"), cast("d", "w")], {Q: CODES, S: scales(1, COLUMNS)}
        ),
        "DequantizeLinear and a Transpose": Form(
            [step("DequantizeLinear", f"{Q} {S}", "d", axis=0), step("Transpose", "d", "w")],
            {Q: CODES, S: scales(ROWS)},
        ),
        "DequantizeLinear, Cast and Identity": Form(
            [
                step("DequantizeLinear", f"{Q} {S}", "d", axis=0),
                cast("d", "c"),
                step("Identity", "c", "w"),
            ],
            {Q: CODES, S: scales(ROWS)},
        ),
        "DequantizeLinear with a constant": Form(
            [step("DequantizeLinear", f"{Q} {S}", "w")], {Q: CODES}, {S: scales()}
        ),
        "DequantizeLinear of blocks": Form(
            [
                step("DequantizeLinear", f"{Q} {S}", "d", axis=2, block_size=5),
                step("Reshape", "d shape", "w"),
            ],
            {Q: BLOCKS, S: scales(ROWS, 4, 1), "shape": SHAPE},
        ),
    }


FORMS = forms("w_q")


def write(path: Path, form: Form, *users: Any) -> Any:
    onnx.save(form.model(*users), str(path))
    return ss.open_checkpoint(path)


@pytest.mark.parametrize("what", FORMS)
def test_every_form_has_the_numbers_that_onnx_computes(what: str, tmp_path: Path) -> None:
    """In the order of the file, with its scales as such, and as the only matrix."""
    form = FORMS[what]
    result = write(tmp_path / "m.onnx", form, step("MatMul", "x w", "y"))
    (name,) = result
    assert name == ("w" if form.nodes[-1].op_type == "Mul" else "w_q"), result.unreadable
    turned = sum(node.op_type == "Transpose" for node in form.nodes) % 2
    wanted = form.numbers()
    np.testing.assert_array_equal(np.asarray(result[name]), wanted.T if turned else wanted)
    assert record(result, S)["status"] == "scale"
    assert result.unreadable == {}


@pytest.mark.parametrize("what", FORMS)
def test_a_named_node_gives_every_form_outputs_as_rows(what: str, tmp_path: Path) -> None:
    form = forms("onnx::MatMul_12")[what]
    product = step("MatMul", "x w", "y", name="/model/layers.3/self_attn/q_proj/MatMul")
    result = write(tmp_path / "m.onnx", form, product)
    (name,) = result
    assert (result.roles[name].layer, result.roles[name].role) == (3, "q")
    np.testing.assert_array_equal(np.asarray(result[name]), form.numbers().T)


def test_kernels_are_those_of_convolutions(tmp_path: Path) -> None:
    form = Form(
        [cast("w_q", "f"), step("Mul", f"f {S}", "w")],
        {"w_q": CODES.reshape(6, 4, 10), S: scales(6, 1, 1)},
    )
    result = write(tmp_path / "m.onnx", form, step("Conv", "x w", "y"))
    np.testing.assert_array_equal(np.asarray(result["w"]), form.numbers().reshape(6, 40))
    assert str(record(result, "w_q")["view"]).startswith("kernel 6 x 4 x 10 read as 6 x 40; I8 of")
    result = write(tmp_path / "stack.onnx", form)
    assert list(result) == [f"w[{k}]" for k in range(6)]
    np.testing.assert_array_equal(np.asarray(result["w[5]"]), form.numbers()[5])


def test_a_scan_compares_with_the_original(tmp_path: Path) -> None:
    form = FORMS["scales [12, 1]"]
    write(tmp_path / "m.onnx", form)
    compared = ss.compare({"w": form.numbers()}, tmp_path / "m.onnx", effort="exact")
    (row,) = (each for each in compared.rows if each["status"] == "analysed")
    assert row["relative_change"] == 0


MUL = [cast("w_q", "f"), step("Mul", f"f {S}", "w")]
OTHER = {
    "codes that wrap": [step("Sub", "w_q z", "c"), cast("c", "f"), step("Mul", f"f {S}", "w")],
    "computed scales": [step("Exp", S, "s"), cast("w_q", "f"), step("Mul", "f s", "w")],
    "scales in integers": [cast(S, "s", INT32), cast("s", "t"), MUL[0], step("Mul", "f t", "w")],
    "arithmetic in 16 bits": [
        cast(S, "s", HALF),
        cast("w_q", "h", HALF),
        step("Mul", "h s", "w"),
    ],
    "another sum": [MUL[0], step("Add", f"f {S}", "w")],
    "no Mul": [cast("w_q", "w")],
    "axes that move between": [
        MUL[0],
        step("Sub", "f half", "c"),
        step("Transpose", "c", "t"),
        step("Mul", f"t {S}", "w"),
    ],
}


@pytest.mark.parametrize("what", OTHER)
def test_other_arithmetic_is_not_guessed(what: str, tmp_path: Path) -> None:
    """Codes stay integers where nodes compute something else with them."""
    tensors = {"w_q": CODES, S: scales(1, 1), "z": CODES[:, :1].copy(), "half": scales(1, 1)}
    result = write(tmp_path / "m.onnx", Form(OTHER[what], tensors))
    assert "w" not in result
    assert record(result, "w_q")["status"] == "integer"


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({S: scales(7)}, "w_scale has shape [7], which cannot be broadcast to [12, 20]"),
        ({S: scales(1, 12, 20)}, "w_scale is F32 [1, 12, 20], not F32 or F16 or BF16 with"),
        ({S: scales(20, dtype="f8")}, "w_scale is F64 [20], not F32 or F16 or BF16"),
        ({S: scales(20), "z": scales(7)}, "z has shape [7], which cannot be broadcast to [12, 20]"),
    ],
)
def test_what_does_not_fit_is_named(tensors: dict[str, Array], reason: str, tmp_path: Path) -> None:
    nodes = FORMS["zeros []"].nodes if "z" in tensors else MUL
    path = tmp_path / "m.onnx"
    onnx.save(Form(nodes, {"w_q": CODES, **tensors}).model(), str(path))
    checkpoint = ss.open_checkpoint(path)
    assert checkpoint.unreadable["w_q"].startswith("quantised weight (Cast and Mul): ")
    assert reason in checkpoint.unreadable["w_q"]


def test_uses_with_different_scales_are_refused(tmp_path: Path) -> None:
    nodes = [*MUL, step("Mul", "f other", "v")]
    tensors = {"w_q": CODES, S: scales(1, 20), "other": scales(1, 20)}
    result = write(tmp_path / "m.onnx", Form(nodes, tensors))
    assert "nodes use w_q with different scales" in result.unreadable["w_q"]
