# SPDX-License-Identifier: BSD-3-Clause
"""Roles of weights of ONNX models that have no name of their own, by the nodes that use them."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.checkpoints import record
from tests.support.onnx_blocks import blocks
from tests.support.onnx_files import of_array, of_nodes, operation

import sigmascope as ss

A = np.random.default_rng(0).standard_normal((8, 8)).astype(np.float32)
NODE = "/model/layers.3/self_attn/q_proj/MatMul"


def opened(path: Path, nodes: list[bytes], *names: str, heads: bool = False) -> Any:
    path.write_bytes(of_nodes(nodes, *(of_array(name, "F32", A) for name in names)))
    return ss.open_checkpoint(path, heads=heads)


def role(checkpoint: Any, name: str) -> tuple[int | None, str]:
    row = record(checkpoint, name)
    return row["layer"], row["role"]


@pytest.mark.parametrize(
    ("operator", "node", "wanted"),
    [
        ("MatMul", NODE, (3, "q")),
        ("Gemm", "/model/layers.0/mlp/down_proj/Gemm", (0, "down")),
        ("MatMul", "/lm_head/MatMul", (None, "unembed")),
        ("MatMul", "/model/layers.1/mlp/up_proj/up_proj.0/MatMul", (1, "other")),
        ("MatMulInteger", f"{NODE}_quant", (3, "q")),
    ],
)
def test_roles_come_from_the_node(
    operator: str, node: str, wanted: tuple[int | None, str], tmp_path: Path
) -> None:
    name = "onnx::MatMul_1022"
    checkpoint = opened(
        tmp_path / "m.onnx", [operation(operator, "x", name, name=node, transB=1)], name
    )
    assert list(checkpoint) == [name]  # the name stays
    assert role(checkpoint, name) == wanted
    turned = operator != "Gemm"  # as `transB` says
    np.testing.assert_array_equal(np.asarray(checkpoint[name]), A.T if turned else A)


@pytest.mark.parametrize(
    ("operator", "node"),
    [
        ("MatMul", ""),
        ("MatMul", "MatMul_17"),
        ("MatMul", "/MatMul"),
        ("MatMul", f"{NODE}_1"),
        ("MatMul", f"{NODE}_quant"),
        ("MatMul", NODE[1:]),
        ("MatMul", "/model/layers.3/self_attn//q_proj/MatMul"),
        ("Gemm", NODE),
        ("Add", "/model/layers.3/self_attn/q_proj/Add"),
    ],
)
def test_other_names_of_nodes_say_nothing(operator: str, node: str, tmp_path: Path) -> None:
    name = "onnx::MatMul_1022"
    checkpoint = opened(tmp_path / "m.onnx", [operation(operator, "x", name, name=node)], name)
    assert role(checkpoint, name) == (None, "other")
    assert record(checkpoint, name)["view"] is None
    np.testing.assert_array_equal(np.asarray(checkpoint[name]), A)


def test_what_is_not_certain_says_nothing(tmp_path: Path) -> None:
    name, other, path = "onnx::MatMul_1", "onnx::MatMul_2", tmp_path / "m.onnx"
    node = operation("MatMul", "x", name, name=NODE)
    cases: list[tuple[list[bytes], tuple[str, ...]]] = [
        ([node, operation("Add", "y", name, name="/model/Add")], (name,)),
        ([node, operation("Transpose", name, name="/model/Transpose")], (name,)),
        ([node, operation("MatMul", "x", other, name=NODE)], (name, other)),
        ([node], (name, "model.layers.3.self_attn.q_proj.weight")),
        ([operation("MatMul", name, "x", name=NODE)], (name,)),
    ]
    for nodes, names in cases:
        assert role(opened(path, nodes, *names), name) == (None, "other")
    named = "a.weight"  # a tensor with a name of its own keeps what that says
    checkpoint = opened(path, [operation("MatMul", "x", named, name=NODE)], named)
    assert role(checkpoint, named) == (None, "other")


def test_quantised_weights_have_the_roles_of_their_nodes(tmp_path: Path) -> None:
    """As onnxruntime's quantiser names them, and as the builder of onnxruntime-genai does."""
    made = blocks((4, 32), 4, 16, zeros="")
    path = tmp_path / "m.onnx"
    stem = "model.layers.3.self_attn.q_proj.MatMul"
    for names, node in [
        (("onnx::MatMul_7_Q4", "onnx::MatMul_7_scales"), f"{NODE}_Q4"),
        ((f"{stem}.weight_Q4", f"{stem}.weight_scales"), f"{NODE}_Q4"),
        ((f"{stem}NBits.qweight", f"{stem}NBits.scales"), f"{NODE}NBits"),
    ]:
        arrays = zip(names, made.tensors.values(), strict=True)
        one = operation(
            "MatMulNBits", "x", *names, name=node, domain="com.microsoft", **made.attributes
        )
        path.write_bytes(of_nodes([one], *(of_array(name, *each) for name, each in arrays)))
        checkpoint = ss.open_checkpoint(path)
        assert role(checkpoint, names[0]) == (3, "q")
        assert len(list(checkpoint)) == 1


@pytest.mark.parametrize(
    ("operator", "transposed", "part", "rows"),
    [
        ("MatMul", 0, "q", False),
        ("MatMul", 0, "o", True),
        ("Gemm", 0, "q", False),
        ("Gemm", 1, "q", True),
        ("Gemm", 1, "o", False),
        ("Add", 0, "q", True),  # not known: as torch has it
    ],
)
def test_heads_are_cut_along_the_axis_of_the_operator(
    operator: str, transposed: int, part: str, rows: bool, tmp_path: Path
) -> None:
    """Rows are the inputs of MatMul, and a square weight does not show it."""
    settings = {"model_type": "llama", "num_attention_heads": 4, "hidden_size": 8}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    name = f"model.layers.0.self_attn.{part}_proj.weight"
    node = operation(operator, "x", name, name="n", transB=transposed)
    opened(tmp_path / "model.onnx", [node], name)
    checkpoint = ss.open_checkpoint(tmp_path, heads=True)
    head = np.asarray(checkpoint[f"{name}[head 1]"])
    np.testing.assert_array_equal(head, A[2:4] if rows else A[:, 2:4])


def test_a_comparison_pairs_by_role_what_a_node_names(tmp_path: Path) -> None:
    """A square weight must not be compared with its transpose."""
    name = "onnx::MatMul_1022"
    node = operation("MatMul", "x", name, name=NODE)
    (tmp_path / "m.onnx").write_bytes(of_nodes([node], of_array(name, "F32", A.T.copy())))
    original = {"model.layers.3.self_attn.q_proj.weight": A}
    compared = ss.compare(original, tmp_path / "m.onnx", effort="exact")
    (row,) = compared.rows
    assert (row["status"], row["relative_change"]) == ("analysed", 0)


def test_heads_of_a_weight_that_a_node_names(tmp_path: Path) -> None:
    settings = {"model_type": "llama", "num_attention_heads": 4, "hidden_size": 8}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    name = "onnx::MatMul_1022"
    opened(tmp_path / "model.onnx", [operation("MatMul", "x", name, name=NODE)], name)
    checkpoint = ss.open_checkpoint(tmp_path, heads=True)
    np.testing.assert_array_equal(np.asarray(checkpoint[f"{name}[head 1]"]), A.T[2:4])


def test_a_model_that_torch_exports(tmp_path: Path) -> None:
    """Each anonymous weight has the role of the parameter whose numbers it has."""
    pytest.importorskip("onnx")
    torch: Any = pytest.importorskip("torch")

    class Attention(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
                setattr(self, name, torch.nn.Linear(8, 8, bias=name == "q_proj"))

        def forward(self, x: Any) -> Any:
            q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
            return self.o_proj(torch.softmax(q @ k.transpose(-1, -2), -1) @ v)

    class Layer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.self_attn = Attention()
            self.mlp = torch.nn.Sequential(torch.nn.Linear(8, 6, bias=False), torch.nn.ReLU())

        def forward(self, x: Any) -> Any:
            return self.mlp(self.self_attn(x))

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.ModuleList([Layer()])

        def forward(self, x: Any) -> Any:
            return self.layers[0](x)

    torch.manual_seed(0)
    model, path = Model().eval(), tmp_path / "m.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, (torch.ones(1, 3, 8),), path, dynamo=False, opset_version=17)
    checkpoint = ss.open_checkpoint(path)
    roles = {}
    for name in checkpoint:
        assert name.startswith("onnx::MatMul_")
        numbers = np.asarray(checkpoint[name])
        (parameter,) = (
            key for key, each in model.state_dict().items() if np.array_equal(each, numbers)
        )
        roles[parameter] = role(checkpoint, name)
        assert record(checkpoint, name)["view"] == f"read as {parameter}, outputs as rows"
    assert roles == {
        **{f"layers.0.self_attn.{part}_proj.weight": (0, part) for part in "qkvo"},
        "layers.0.mlp.0.weight": (0, "other"),
    }


def test_a_scale_belongs_to_the_matrix_whatever_its_name_is(tmp_path: Path) -> None:
    """A node of ONNX takes tensors of any names."""
    made = blocks((4, 32), 4, 16, zeros="packed")
    names = ("onnx::MatMul_7", "onnx::MatMul_8", "_v_9")
    path = tmp_path / "m.onnx"
    node = operation(
        "MatMulNBits",
        "x",
        *names,
        name="/model/layers.3/self_attn/q_proj/MatMul_Q4",
        domain="com.microsoft",
        **made.attributes,
    )
    arrays = zip(names, made.tensors.values(), strict=True)
    path.write_bytes(of_nodes([node], *(of_array(name, *each) for name, each in arrays)))
    checkpoint = ss.open_checkpoint(path)
    roles = [(row["layer"], row["role"], row["status"]) for row in checkpoint.info()]
    assert roles == [(3, "q", "matrix"), (3, "q.scale", "scale"), (3, "q.part", "part")]
