# SPDX-License-Identifier: BSD-3-Clause
"""LoRA adapters: scaled and turned as PEFT does it; what cannot be read is named."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.adapters import DOWN, Q, assert_close, dense, factors, lora, write_adapter
from tests.support.families import FAMILIES

import sigmascope as ss
from sigmascope.adapters import Adapter, open_adapter
from sigmascope.adapters.folders import is_adapter
from sigmascope.adapters.scannable import as_scannable
from sigmascope.checkpoint.naming.roles import Role
from sigmascope.errors import CheckpointError

# ------------------------------------------------------------------------------- what it holds


def test_names_shapes_roles_and_records(tmp_path: Path) -> None:
    (B, A), (D, C) = factors(32, 24), factors(24, 48, seed=1)
    adapter = open_adapter(write_adapter(tmp_path / "a", lora(Q, B, A) | lora(DOWN, D, C)))
    assert list(adapter) == [f"{Q}.weight", f"{DOWN}.weight"]
    assert adapter.roles[f"{DOWN}.weight"] == Role(1, "down", "text", None)
    record = adapter.record_of(f"{Q}.weight")
    assert (record["status"], record["shape"], record["dtype"]) == ("product", (32, 24), "F32")
    assert record["view"] == "2 B A of rank 4"
    assert record["nbytes"] == 4 * 4 * (32 + 24)
    assert adapter.bases == ("the/base",)
    assert [path.name for path in adapter.files] == [
        "adapter_model.safetensors",
        "adapter_config.json",
    ]
    assert_close(dense(adapter[f"{Q}.weight"]), 2 * B @ A)
    assert len(adapter) == 2
    assert f"{Q}.weight" in adapter
    assert "nothing" not in adapter
    with pytest.raises(KeyError, match="nothing"):
        adapter["nothing"]


@pytest.mark.parametrize(
    ("options", "scale"),
    [
        ({}, 2.0),
        ({"lora_alpha": 1}, 0.25),
        ({"lora_alpha": 0.5}, 0.125),
        ({"use_rslora": True}, 4.0),
        ({"alpha_pattern": {"q_proj": 3}}, 0.75),
        ({"alpha_pattern": {"down_proj": 3}}, 2.0),
        ({"alpha_pattern": {"proj": 3}}, 2.0),  # a pattern covers whole parts of a name
        ({"alpha_pattern": {"layers.0.self_attn.q_proj": 1, "q_proj": 3}}, 0.25),
        ({"alpha_pattern": {r"^model\.layers\.0\.self_attn\.q_proj": 1}}, 0.25),
        ({"alpha_pattern": {r"layers\.\d\..*": 16}, "use_rslora": True}, 8.0),
        ({"rank_pattern": {"q_proj": 4}, "r": 64}, 2.0),
    ],
)
def test_scale(options: dict[str, Any], scale: float, tmp_path: Path) -> None:
    B, A = factors(32, 24)
    adapter = open_adapter(write_adapter(tmp_path, lora(Q, B, A), **options))
    assert adapter[f"{Q}.weight"].scale == scale
    assert adapter.notes == ()
    assert_close(dense(adapter[f"{Q}.weight"]), scale * B @ A)


def test_the_shape_tells_the_rank_where_patterns_overlap(tmp_path: Path) -> None:
    B, A = factors(32, 24, r=3)
    adapter = open_adapter(
        write_adapter(tmp_path, lora(Q, B, A), rank_pattern={"q_proj": 5, "self_attn.q_proj": 3})
    )
    assert adapter[f"{Q}.weight"].scale == pytest.approx(8 / 3)
    assert adapter.notes == (
        f"{Q}.weight: rank 3 by its shape, but 5 by rank_pattern; the shape is used",
    )


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    m=st.integers(1, 12),
    n=st.integers(1, 12),
    r=st.integers(1, 6),
    alpha=st.integers(1, 64),
    rslora=st.booleans(),
    turned=st.booleans(),
)
def test_every_change_is_that_of_the_formula(
    m: int, n: int, r: int, alpha: int, rslora: bool, turned: bool, tmp_path: Path
) -> None:
    B, A = factors(m, n, r, seed=m)
    write_adapter(
        tmp_path,
        lora(Q, B, A),
        r=r,
        lora_alpha=alpha,
        use_rslora=rslora,
        fan_in_fan_out=turned,
    )
    truth = alpha / (math.sqrt(r) if rslora else r) * B.astype(float) @ A.astype(float)
    truth = truth.T if turned else truth
    result = open_adapter(tmp_path)[f"{Q}.weight"]
    assert result.shape == truth.shape
    scale = max(np.abs(truth).max(), 1)
    np.testing.assert_allclose(dense(result), truth, atol=1e-6 * scale)
    values = np.linalg.svd(truth, compute_uv=False)
    np.testing.assert_allclose(result.singular_values(), values, atol=1e-12 * max(values[0], 1))


def test_embeddings_are_turned(tmp_path: Path) -> None:
    """PEFT: (B A)^T, with A (r, words) and B (width, r)."""
    B, A = factors(24, 64)
    tensors = {
        "model.embed_tokens.lora_embedding_A": A,
        "model.embed_tokens.lora_embedding_B": B,
        "model.embed_tokens.base_layer.weight": np.zeros((64, 24), np.float32),
    }
    adapter = open_adapter(write_adapter(tmp_path, tensors))
    assert_close(dense(adapter["model.embed_tokens.weight"]), 2 * (B @ A).T)
    assert adapter.roles["model.embed_tokens.weight"].role == "embed"
    record = adapter.record_of("model.embed_tokens.base_layer.weight")
    assert record["status"] == "whole"


def test_convolutions_are_matrices_of_their_outputs(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    A = rng.standard_normal((4, 3, 2, 2)).astype(np.float32)
    B = rng.standard_normal((8, 4, 1, 1)).astype(np.float32)
    adapter = open_adapter(write_adapter(tmp_path, lora("conv_in", B, A)))
    truth = 2 * np.einsum("or,rchw->ochw", B[:, :, 0, 0], A).reshape(8, 12)
    assert_close(dense(adapter["conv_in.weight"]), truth)


def test_names_of_adapters_within_the_names_of_tensors(tmp_path: Path) -> None:
    (B, A), (D, C) = factors(32, 24), factors(32, 24, seed=1)
    tensors = {
        f"{Q}.lora_A.speech.weight": A,
        f"{Q}.lora_B.speech.weight": B,
        f"{Q}.lora_A.vision.weight": C,
        f"{Q}.lora_B.vision.weight": D,
    }
    adapter = open_adapter(write_adapter(tmp_path, tensors))
    assert list(adapter) == [f"{Q}.weight[speech]", f"{Q}.weight[vision]"]
    assert_close(dense(adapter[f"{Q}.weight[vision]"]), 2 * D @ C)
    assert adapter.weight_of(f"{Q}.weight[vision]") == f"{Q}.weight"


def test_several_folders_are_several_adapters(tmp_path: Path) -> None:
    B, A = factors(32, 24)
    write_adapter(tmp_path / "run" / "second", lora(Q, B, A), lora_alpha=1)
    write_adapter(tmp_path / "run" / "first", lora(Q, 2 * B, A))
    adapter = open_adapter(tmp_path / "run")
    assert list(adapter) == [f"{Q}.weight[first]", f"{Q}.weight[second]"]
    assert adapter[f"{Q}.weight[second]"].scale == 0.25
    assert adapter.roles[f"{Q}.weight[first]"] == adapter.roles[f"{Q}.weight[second]"]
    write_adapter(tmp_path / "run", lora(DOWN, *factors(24, 48)))
    assert next(iter(open_adapter(tmp_path / "run"))) == f"{DOWN}.weight[default]"
    assert is_adapter(tmp_path / "run")


def test_a_model_with_adapters_below_it_is_a_model(tmp_path: Path) -> None:
    FAMILIES["llama"].opened(tmp_path)
    write_adapter(tmp_path / "vision-lora", lora(Q, *factors(32, 32)))
    assert not is_adapter(tmp_path)
    assert isinstance(as_scannable(tmp_path), ss.Checkpoint)
    assert isinstance(as_scannable(tmp_path / "vision-lora"), Adapter)


def test_factors_in_bfloat16(tmp_path: Path) -> None:
    B, A = (x.astype(ml_dtypes.bfloat16) for x in factors(32, 24))
    values = open_adapter(write_adapter(tmp_path, lora(Q, B, A)))[f"{Q}.weight"]
    truth = np.linalg.svd(2 * B.astype(float) @ A.astype(float), compute_uv=False)
    np.testing.assert_allclose(values.singular_values(), truth, atol=1e-12)


def test_an_adapter_in_a_torch_file(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    B, A = factors(32, 24)
    write_adapter(tmp_path, {})
    (tmp_path / "adapter_model.safetensors").unlink()
    tensors = {f"base_model.model.{name}": torch.from_numpy(x) for name, x in lora(Q, B, A).items()}
    torch.save(tensors, tmp_path / "adapter_model.bin")
    assert_close(dense(open_adapter(tmp_path)[f"{Q}.weight"]), 2 * B @ A)


# --------------------------------------------------------------------- what is named, not guessed


def test_weights_saved_whole_are_listed(tmp_path: Path) -> None:
    tensors = lora(Q, *factors(32, 24)) | {
        "lm_head.weight": np.ones((64, 24), np.float32),
        f"{Q}.base_layer.bias": np.ones(32, np.float32),
    }
    adapter = open_adapter(write_adapter(tmp_path, tensors, modules_to_save=["lm_head"]))
    whole = [record for record in adapter.info() if record["status"] == "whole"]
    assert {record["name"] for record in whole} == {"lm_head.weight", f"{Q}.base_layer.bias"}
    assert "modules_to_save" in (whole[0]["reason"] or "")
    assert adapter.roles["lm_head.weight"].role == "unembed"
    assert adapter.unreadable == {}


def unreadable(tmp_path: Path, tensors: dict[str, Any], **options: Any) -> str:
    adapter = open_adapter(write_adapter(tmp_path, tensors, **options))
    ((name, reason),) = adapter.unreadable.items()
    assert list(adapter) == []
    with pytest.raises(KeyError, match=name):
        adapter[name]
    row = ss.scan(tmp_path)[name]
    assert (row["status"], row["reason"]) == ("not analysed", reason)
    return reason


def test_dora_is_named(tmp_path: Path) -> None:
    tensors = lora(Q, *factors(32, 24)) | {f"{Q}.lora_magnitude_vector": np.ones(32, np.float32)}
    assert unreadable(tmp_path, tensors, use_dora=True).startswith("DoRA: ")
    assert unreadable(tmp_path, tensors).startswith("DoRA: ")  # the vector alone tells


def test_a_weight_that_is_adapted_by_its_own_name(tmp_path: Path) -> None:
    """A matrix is a product; of a stack the factors have more rows than its rank."""
    gate, (B, A) = "model.layers.0.mlp.gate", factors(8, 32, r=6)
    options: dict[str, Any] = {"target_parameters": ["mlp.gate.weight"], "r": 6, "lora_alpha": 12}
    adapter = open_adapter(write_adapter(tmp_path / "a", lora(gate, B, A), **options))
    assert_close(dense(adapter[f"{gate}.weight"]), 2 * B @ A)
    options |= {"r": 2, "alpha_pattern": {r"mlp\.gate\.weight": 3}}
    adapter = open_adapter(write_adapter(tmp_path / "b", lora(gate, B, A), **options))
    assert list(adapter) == [f"{gate}.weight[{index}]" for index in range(3)]
    assert_close(dense(adapter[f"{gate}.weight[1]"]), 1.5 * B[:, 1::3] @ A[2:4])
    options |= {"rank_pattern": {r"mlp\.gate\.weight": 6}}
    adapter = open_adapter(write_adapter(tmp_path / "c", lora(gate, B, A), **options))
    assert_close(dense(adapter[f"{gate}.weight"]), 0.5 * B @ A)


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({f"{Q}.lora_A.weight": np.ones((4, 24), np.float32)}, "lora_B is missing"),
        ({f"{Q}.lora_B.weight": np.ones((32, 4), np.float32)}, "lora_A is missing"),
        (lora(Q, np.ones((32, 3), "f4"), np.ones((4, 24), "f4")), "B and A of shapes [32, 3] and"),
        (
            lora(Q, np.ones((32, 3), "f4"), np.ones((3, 24), "f4")),
            "rank 3 by its shape, but 4 by the",
        ),
        (lora(Q, np.ones((32, 4), "f4"), np.ones(4, "f4")), "vector, no spectrum"),
    ],
)
def test_halves_and_misfits(tensors: dict[str, Any], reason: str, tmp_path: Path) -> None:
    assert reason in unreadable(tmp_path, tensors)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"peft_type": "IA3"}, "peft_type 'IA3': only LORA is supported"),
        ({"peft_type": None}, "peft_type None: only LORA is supported"),
        ({"r": 0}, "r 0 is not a positive whole number"),
        ({"r": 2.5}, "r 2.5 is not a positive whole number"),
        ({"r": True}, "r True is not a positive whole number"),
        ({"lora_alpha": "8"}, "lora_alpha '8' is not a number"),
        ({"rank_pattern": {"q": 0}}, "rank_pattern: 'q' 0 is not a positive whole number"),
        ({"rank_pattern": []}, None),
        ({"rank_pattern": [3]}, r"rank_pattern is \[3\], not an object"),
        (
            {"alpha_pattern": {"(": 1}},
            r"alpha_pattern: '\(' is not a regular expression: missing \)",
        ),
        ({"use_rslora": "yes"}, "use_rslora 'yes' is not true or false"),
        ({"target_parameters": "x"}, "target_parameters 'x' is not a list of names"),
        ({"use_qalora": True}, "use_qalora True: this form is not supported"),
    ],
)
def test_settings_that_are_off(
    options: dict[str, Any], message: str | None, tmp_path: Path
) -> None:
    write_adapter(tmp_path, lora(Q, *factors(32, 24)), **options)
    if message is None:
        assert len(open_adapter(tmp_path)) == 1
        return
    with pytest.raises(CheckpointError, match=f"adapter_config.json: {message}"):
        open_adapter(tmp_path)


def test_settings_that_are_missing(tmp_path: Path) -> None:
    write_adapter(tmp_path, lora(Q, *factors(32, 24)))
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 4}))
    with pytest.raises(CheckpointError, match="no 'lora_alpha'"):
        open_adapter(tmp_path)
    (tmp_path / "adapter_config.json").unlink()
    with pytest.raises(CheckpointError, match=r"no adapter_config.json"):
        open_adapter(tmp_path)
    with pytest.raises(CheckpointError, match=r"an adapter is a folder with adapter_config"):
        open_adapter(tmp_path / "adapter_model.safetensors")


def test_weights_that_are_missing(tmp_path: Path) -> None:
    write_adapter(tmp_path, {})
    (tmp_path / "adapter_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"no adapter_model.safetensors or adapter_model"):
        open_adapter(tmp_path)


def test_starts_that_change_the_base_are_noted(tmp_path: Path) -> None:
    write_adapter(tmp_path, lora(Q, *factors(32, 24)), init_lora_weights="pissa_niter_16")
    (note,) = open_adapter(tmp_path).notes
    assert note.startswith("init_lora_weights 'pissa_niter_16' changes the base too")
