# SPDX-License-Identifier: BSD-3-Clause
"""Factors of embeddings, kernels and stacked experts, as PEFT multiplies them, in NumPy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sigmascope as ss
from sigmascope.adapters import open_adapter
from sigmascope.adapters.parameters import wrapped
from sigmascope.adapters.targets import stacked

Array = np.ndarray[Any, Any]
Model = dict[str, Array]

PREFIX = "base_model.model."
EXPERTS = "model.layers.0.mlp.experts."
UP, DOWN = f"{EXPERTS}gate_up_proj", f"{EXPERTS}down_proj"
SHAPES = {
    "model.embed_tokens.weight": (60, 16),
    "model.layers.0.mlp.gate.weight": (3, 16),
    UP: (3, 40, 16),
    DOWN: (3, 16, 20),
    "conv_in.weight": (12, 5, 3, 2),
}


def models(shapes: dict[str, tuple[int, ...]] | None = None, ranks: int = 3) -> tuple[Model, Model]:
    """A model, and one whose matrices differ by products of that rank plus a little noise."""
    rng = np.random.default_rng(0)
    base, tuned = {}, {}
    for name, shape in (shapes or SHAPES).items():
        base[name] = rng.standard_normal(shape).astype(np.float32)
        as_matrix = shape if len(shape) == 3 else (1, shape[0], int(np.prod(shape[1:])))
        left = rng.standard_normal((*as_matrix[:2], ranks))
        right = rng.standard_normal((as_matrix[0], ranks, as_matrix[2]))
        update = 0.02 * (left @ right).reshape(shape) + 1e-5 * rng.standard_normal(shape)
        tuned[name] = (base[name] + update).astype(np.float32)
    return base, tuned


def stored(folder: Path) -> Model:
    weights = ss.open_checkpoint(folder / "adapter_model.safetensors")
    records = {record["name"]: record for record in weights.info()}
    return {
        name.removeprefix(PREFIX): np.asarray(weights[name], float).reshape(records[name]["shape"])
        for name in weights
    }


def settings(folder: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((folder / "adapter_config.json").read_text())
    return result


def by_peft(A: Array, B: Array, count: int, *, turned: bool = False) -> Array:
    """PEFT 0.20: `get_delta_weight` of a ParamWrapper; turned: of a module with is_transposed."""
    A = A.reshape(count, -1, A.shape[-1])
    B = B.reshape(len(B), -1, count)
    return np.einsum("ore,eri->eio" if turned else "ore,eri->eoi", B, A)


def test_names_shapes_and_products(tmp_path: Path) -> None:
    base, tuned = models()
    extraction = ss.extract(base, tuned, tmp_path, error=0.05)
    assert extraction.written
    assert len(extraction.analysed) == len(extraction) == 9
    file, change = stored(tmp_path), {name: tuned[name] - base[name] for name in base}

    def near(name: str, product: Array) -> None:
        assert np.linalg.norm(product - change[name]) <= 0.05 * np.linalg.norm(change[name]), name

    words = "model.embed_tokens.lora_embedding_"
    near("model.embed_tokens.weight", (file[f"{words}B"] @ file[f"{words}A"]).T)
    A, B = (file[f"conv_in.lora_{side}.weight"] for side in "AB")
    assert A.shape[1:] == (5, 3, 2)
    assert B.shape[2:] == (1, 1)
    near("conv_in.weight", np.einsum("or,rihw->oihw", B[:, :, 0, 0], A))
    gate = "model.layers.0.mlp.gate.lora_"
    near("model.layers.0.mlp.gate.weight", file[f"{gate}B.weight"] @ file[f"{gate}A.weight"])
    for name, wrapper in ((UP, f"{EXPERTS}base_layer."), (DOWN, EXPERTS)):
        near(name, by_peft(file[f"{wrapper}lora_A.weight"], file[f"{wrapper}lora_B.weight"], 3))
    assert len(file) == 10
    assert settings(tmp_path)["target_modules"] == ["model.embed_tokens", "conv_in"]
    parameters = ["model.layers.0.mlp.gate.weight", UP, DOWN]
    assert settings(tmp_path)["target_parameters"] == parameters


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_experts_of_different_ranks_share_the_largest(dtype: str, tmp_path: Path) -> None:
    """The rest are zeros, also for an expert that did not change."""
    base, tuned = models({UP: (3, 40, 16)}, ranks=2)
    tuned[UP][0] = base[UP][0]
    rng = np.random.default_rng(1)
    tuned[UP][1] += (rng.standard_normal((40, 4)) @ rng.standard_normal((4, 16))).astype("f4")
    extraction = ss.extract(base, tuned, tmp_path, error=0.05, dtype=dtype)
    rank = {row["name"]: row["rank"] for row in extraction.analysed}
    assert [row["status"] for row in extraction] == ["unchanged", "extracted", "extracted"]
    assert rank[f"{UP}[1]"] > rank[f"{UP}[2]"] == 2
    file = stored(tmp_path)
    A, B = file[f"{EXPERTS}lora_A.weight"], file[f"{EXPERTS}lora_B.weight"]
    r = rank[f"{UP}[1]"]
    assert A.shape == (3 * r, 16)
    assert B.shape == (40, 3 * r)
    assert settings(tmp_path)["r"] == settings(tmp_path)["lora_alpha"] == r
    product = by_peft(A, B, 3)
    assert not product[0].any()
    for e, row in enumerate(extraction):
        rest = np.linalg.norm(tuned[UP][e].astype(float) - base[UP][e] - product[e])
        if row["status"] == "extracted":
            assert rest == pytest.approx(row["remaining"], abs=row["remaining_error"] + 1e-12)


def test_stacks_with_inputs_as_rows(tmp_path: Path) -> None:
    """Models whose class tells PEFT so: experts x inputs x outputs."""

    base, tuned = models({UP: (3, 16, 40)})
    assert ss.extract(Named("gpt_oss", base), Named("gpt_oss", tuned), tmp_path, error=0.05).written
    file = stored(tmp_path)
    A, B = file[f"{EXPERTS}lora_A.weight"], file[f"{EXPERTS}lora_B.weight"]
    assert A.shape[1] == 16
    change = tuned[UP] - base[UP]
    rest = np.linalg.norm(by_peft(A, B, 3, turned=True) - change)
    assert rest <= 0.05 * np.linalg.norm(change)


@pytest.mark.parametrize(
    ("shapes", "options", "reason"),
    [
        ({"conv.weight": (8, 1, 3, 3)}, {}, "groups"),
        ({"experts": (3, 8, 6)}, {}, "the model itself"),
        ({UP: (3, 8, 6)}, {"fan_in_fan_out": True}, "fan_in_fan_out"),
        ({"mlp.gate.weight": (3, 6)}, {"fan_in_fan_out": True}, "fan_in_fan_out"),
        ({"mlp.experts.w1": (3, 8, 6), "mlp.experts.w2": (3, 6, 8)}, {}, "order"),
        ({"layer.matrix": (8, 6)}, {}, "not the weight of a module"),
        ({"moe.input_linear.weight": (3, 8, 6)}, {}, "another name"),
    ],
)
def test_what_peft_cannot_have(
    shapes: dict[str, tuple[int, ...]], options: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    extraction = ss.extract(*models(shapes), tmp_path, rank=2, **options)
    assert not extraction.written
    assert {row["status"] for row in extraction} == {"not carried"}
    for row in extraction:
        assert reason in row["reason"]
        assert row["delta_fro_norm"] > 0


class Named:
    """A module of a model whose configuration names its kind."""

    def __init__(self, model_type: str, tensors: Model) -> None:
        self.config = self
        self.model_type = model_type
        self.tensors = tensors

    def to_dict(self) -> dict[str, str]:
        return {"model_type": self.model_type}

    def state_dict(self) -> Model:
        return self.tensors


def test_parameters_and_modules_of_models_with_experts(tmp_path: Path) -> None:
    """PEFT takes linear layers with names of experts for these, but no parameters."""
    layer, dense = "model.layers.0.", "model.layers.1.mlp.up_proj.weight"
    shared, mixtral = f"{layer}mlp.shared_expert.gate_proj.weight", "layers.2.block_sparse_moe."
    modules = [f"{layer}self_attn.q_proj", f"{mixtral}gate", f"{mixtral}experts.0.w1"]
    parameters = [shared, dense, f"{layer}mlp.gate.weight"]
    names = [f"{module}.weight" for module in modules] + parameters
    assert ss.extract(*models(dict.fromkeys(names, (8, 6))), tmp_path / "a", rank=2).written
    assert settings(tmp_path / "a")["target_modules"] == modules
    assert settings(tmp_path / "a")["target_parameters"] == parameters
    assert ss.extract(*models({dense: (8, 6)}), tmp_path / "b", rank=2).written
    assert settings(tmp_path / "b")["target_modules"] == [dense.removesuffix(".weight")]


def test_a_parameter_of_a_module_that_contains_others(tmp_path: Path) -> None:
    stack, inner = "embeddings.positions", "embeddings.proj.weight"
    extraction = ss.extract(*models({stack: (2, 8, 6), inner: (8, 6)}), tmp_path, rank=2)
    assert [row["name"] for row in extraction.analysed] == [inner]
    assert "contains modules" in extraction[f"{stack}[0]"]["reason"]


def test_models_in_which_peft_adapts_not_all(tmp_path: Path) -> None:
    out, other = "layers.0.mixer.out_proj.weight", "layers.0.mixer.in_proj.weight"
    base, tuned = models({out: (8, 6), other: (8, 6)})
    extraction = ss.extract(Named("mamba", base), Named("mamba", tuned), tmp_path / "a", rank=2)
    assert [row["name"] for row in extraction.analysed] == [other]
    assert "does not adapt out_proj" in extraction[out]["reason"]
    assert len(ss.extract(base, tuned, tmp_path / "b", rank=2).analysed) == 2


def test_a_head_keeps_its_orientation_where_inputs_are_rows(tmp_path: Path) -> None:
    """PEFT finds a torch.nn.Linear there, not a Conv1D of GPT-2."""
    head, attention = "lm_head.weight", "transformer.h.0.attn.c_attn.weight"
    base, tuned = models({head: (60, 16), attention: (16, 48)})
    assert ss.extract(base, tuned, tmp_path, rank=3, fan_in_fan_out=True).written
    file = stored(tmp_path)
    assert file["lm_head.lora_A.weight"].shape == (3, 16)
    assert file["transformer.h.0.attn.c_attn.lora_A.weight"].shape == (3, 16)
    adapter = open_adapter(tmp_path)
    assert {name: adapter[name].shape for name in adapter} == {head: (60, 16), attention: (16, 48)}


def test_a_lost_part_of_a_stack_is_made_again(tmp_path: Path) -> None:
    base, tuned = models()
    whole, folder = tmp_path / "whole", tmp_path / "adapter"
    ss.extract(base, tuned, whole, rank=3)

    def stop(event: Any) -> None:
        if event.kind == "row" and event.row["name"] == f"{DOWN}[1]":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ss.extract(base, tuned, folder, rank=3, progress=stop)
    parts = sorted((folder / "parts").iterdir())
    next(path for path in parts if "gate_up_proj" in path.name).unlink()
    kinds: list[str] = []
    extraction = ss.extract(
        base, tuned, folder, rank=3, progress=lambda event: kinds.append(event.kind)
    )
    assert extraction.written
    assert kinds.count("kept") == len(parts) - 1
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()


def vectors() -> tuple[Model, Model]:
    """Norms and biases of layers that are adapted, that are not, and of the model itself."""
    rng = np.random.default_rng(3)
    shapes: dict[str, tuple[int, ...]] = {
        "layers.0.q_proj.weight": (12, 8),
        "layers.0.q_proj.bias": (12,),
        "layers.0.norm.weight": (8,),
        "layers.0.norm.bias": (8,),
        "layers.0.mixer.D": (8,),
        "layers.0.mixer.dt_bias": (8,),
        "layers.0.mixer.in_proj.weight": (12, 8),
        "layers.0.bn.weight": (8,),
        "layers.0.bn.running_mean": (8,),
        "scale": (8,),
        "norm.weight": (8,),
        EXPERTS + "gate_up_proj": (2, 12, 8),
        EXPERTS + "down_proj": (2, 8, 6),
        EXPERTS + "bias": (2,),
    }
    base: Model = {name: rng.standard_normal(x).astype(np.float32) for name, x in shapes.items()}
    tuned: Model = {name: x + rng.standard_normal(x.shape).astype("f4") for name, x in base.items()}
    for one in (base, tuned):
        one["layers.0.bn.num_batches_tracked"] = np.array(7, np.int64)
    tuned["layers.0.norm.bias"] = base["layers.0.norm.bias"]  # it goes with its module
    tuned["layers.0.bn.running_mean"] = base["layers.0.bn.running_mean"]
    return base, tuned


def test_norms_and_biases_in_full(tmp_path: Path) -> None:
    base, tuned = vectors()
    extraction = ss.extract(base, tuned, tmp_path, rank=2, whole=True)
    assert extraction.written
    rows = {row["name"]: row for row in extraction}
    saved = {"layers.0.q_proj.bias", "layers.0.norm.weight", "layers.0.mixer.dt_bias"}
    saved |= {"layers.0.bn.weight", EXPERTS + "bias"}
    assert {row["name"] for row in extraction.saved} == saved
    reasons = {row["name"]: row["reason"] for row in extraction.not_carried}
    assert reasons.keys() == {"layers.0.mixer.D", "scale", "norm.weight"}
    assert "contains others" in reasons["layers.0.mixer.D"]
    assert "the model itself" in reasons["scale"]
    assert reasons["norm.weight"] == "PEFT would save layers.0.norm with norm, by its name"
    assert rows["layers.0.norm.bias"]["status"] == "unchanged"
    weights = ss.open_checkpoint(tmp_path / "adapter_model.safetensors")
    whole = {
        "layers.0.q_proj.base_layer.bias": "layers.0.q_proj.bias",
        "layers.0.norm.weight": "layers.0.norm.weight",
        "layers.0.norm.bias": "layers.0.norm.bias",
        "layers.0.mixer.dt_bias": "layers.0.mixer.dt_bias",
        "layers.0.bn.weight": "layers.0.bn.weight",
        "layers.0.bn.running_mean": "layers.0.bn.running_mean",
        "layers.0.bn.num_batches_tracked": "layers.0.bn.num_batches_tracked",
        EXPERTS + "base_layer.base_layer.bias": EXPERTS + "bias",
    }
    names = {record["name"].removeprefix(PREFIX) for record in weights.info()}
    assert {name for name in names if "lora_" not in name} == whole.keys()
    for name, own in whole.items():
        elements = weights.elements(PREFIX + name)
        assert elements is not None
        assert elements.shape == tuned[own].shape
        np.testing.assert_array_equal(np.concatenate(list(elements)), tuned[own].ravel())
    assert settings(tmp_path)["bias"] == "all"
    assert settings(tmp_path)["modules_to_save"] == ["layers.0.norm", "layers.0.bn"]
    adapter = open_adapter(tmp_path)
    status = {record["name"]: record["status"] for record in adapter.info()}
    assert status["layers.0.norm.weight"] == "whole"


def test_without_the_option_no_tensor_is_saved_in_full(tmp_path: Path) -> None:
    extraction = ss.extract(*vectors(), tmp_path, rank=2)
    assert extraction.saved == []
    assert settings(tmp_path)["bias"] == "none"
    assert settings(tmp_path)["modules_to_save"] is None
    assert not [name for name in stored(tmp_path) if "lora_" not in name]


def test_vectors_alone_make_an_adapter(tmp_path: Path) -> None:
    base = {"a.norm.weight": np.ones(8, np.float32)}
    tuned = {"a.norm.weight": np.full(8, 1.5, np.float32)}
    assert ss.extract(base, tuned, tmp_path, rank=2, whole=True).written
    assert settings(tmp_path)["modules_to_save"] == ["a.norm"]
    assert settings(tmp_path)["target_modules"] == []


def test_wrappers_of_several_parameters() -> None:
    assert wrapped(["a.down_proj", "a.gate_up_proj", "b.w"]) == {
        "a.gate_up_proj": "a.base_layer",
        "a.down_proj": "a",
        "b.w": "b",
    }


def test_columns_of_stacked_factors_are_in_the_order_of_ranks() -> None:
    A, B = np.arange(6.0).reshape(2, 3), np.arange(8.0).reshape(4, 2)
    all_a, all_b = stacked([(1, A, B), (0, 2 * A[:1], 2 * B[:, :1])], 3)
    np.testing.assert_array_equal(all_a, [*2 * A[:1], [0] * 3, *A, [0] * 3, [0] * 3])
    zero = np.zeros(4)
    columns = [2 * B[:, 0], B[:, 0], zero, zero, B[:, 1], zero]
    np.testing.assert_array_equal(all_b, np.stack(columns, axis=1))
