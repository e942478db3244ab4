# SPDX-License-Identifier: BSD-3-Clause
"""Whole models of transformers: base + adapter at full rank is the tuned model, in PEFT."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.loaded_adapters import best, loaded, numbers, tuned_of

import sigmascope as ss

torch: Any = pytest.importorskip("torch")
peft: Any = pytest.importorskip("peft", minversion="0.20")
transformers: Any = pytest.importorskip("transformers", minversion="5.0")

SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
SIZES |= {"num_attention_heads": 2}
TEXT = SIZES | {"vocab_size": 40}
IMAGES = {"image_size": 32, "patch_size": 8}
GPT2 = {"n_embd": 16, "n_layer": 1, "n_head": 2, "vocab_size": 40, "n_positions": 20}
GPT2 |= {"bos_token_id": 1, "eos_token_id": 2}
LATENT = {"q_lora_rank": 8, "kv_lora_rank": 8, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8}
EXPERTS = {"num_key_value_heads": 2, "num_experts_per_tok": 2}

MODELS: dict[str, tuple[str, str, dict[str, Any], set[str]]] = {
    # Conv1D layers, embeddings, and a linear head
    "gpt2": ("GPT2ForSequenceClassification", "GPT2Config", GPT2, set()),
    # a patch embedding by a convolution, and parameters of a module that contains it
    "vit": (
        "ViTForImageClassification",
        "ViTConfig",
        SIZES | IMAGES,
        {"vit.embeddings.cls_token", "vit.embeddings.position_embeddings"},
    ),
    # biases of most layers
    "qwen2": ("Qwen2ForCausalLM", "Qwen2Config", TEXT | {"num_key_value_heads": 1}, set()),
    # stacks, a shared expert and a layer without experts, whose names are those of experts
    "deepseek": (
        "DeepseekV3ForCausalLM",
        "DeepseekV3Config",
        TEXT
        | EXPERTS
        | LATENT
        | {"v_head_dim": 8, "moe_intermediate_size": 20, "n_group": 2}
        | {"topk_group": 1, "n_routed_experts": 4, "first_k_dense_replace": 1},
        set(),
    ),
    # stacks of experts x inputs x outputs whose class does not tell PEFT so
    "llama4": (
        "Llama4ForCausalLM",
        "Llama4TextConfig",
        TEXT
        | {"intermediate_size_mlp": 24, "num_key_value_heads": 1, "head_dim": 8}
        | {"num_local_experts": 3},
        set(),
    ),
    "mamba": (
        "MambaForCausalLM",
        "MambaConfig",
        {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 1, "state_size": 4},
        {
            "backbone.layers.0.mixer.A_log",
            "backbone.layers.0.mixer.D",
            "backbone.layers.0.mixer.conv1d.weight",
            "backbone.layers.0.mixer.out_proj.weight",
        },
    ),
}
"""Class, configuration and its arguments, and the tensors that an adapter cannot have."""


def made(name: str, config: str, arguments: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    return getattr(transformers, name)(getattr(transformers, config)(**arguments)).eval()


@pytest.mark.parametrize("family", MODELS)
def test_at_full_rank_the_merged_model_is_the_tuned_one(family: str, tmp_path: Path) -> None:
    *how, lost = MODELS[family]
    base = made(*how)
    tuned = tuned_of(base)
    extraction = ss.extract(base, tuned, tmp_path, rank=99, whole=True)
    assert {row["name"].split("[")[0] for row in extraction.not_carried} == lost
    warned = ".*tie_word_embeddings=True|fan_in_fan_out is set"
    merged = numbers(loaded(base, tmp_path, warned).merge_and_unload())
    expected = numbers(tuned)
    assert merged.keys() == expected.keys()
    for name, x in merged.items():
        if name not in lost:
            np.testing.assert_allclose(x, expected[name], atol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    "family",
    ["mixtral", *(pytest.param(x, marks=pytest.mark.slow) for x in ("qwen3_moe", "deepseek"))],
)
def test_experts_that_are_matrices_of_their_own(family: str, tmp_path: Path) -> None:
    """Files have them so; PEFT joins those of a layer, which must have one rank."""
    experts = TEXT | EXPERTS
    mine = {
        "mixtral": ("MixtralForCausalLM", "MixtralConfig", experts | {"num_local_experts": 3}),
        "qwen3_moe": (
            "Qwen3MoeForCausalLM",
            "Qwen3MoeConfig",
            experts | {"num_experts": 3, "moe_intermediate_size": 20, "head_dim": 8},
        ),
        "deepseek": MODELS["deepseek"][:3],
    }
    base = made(*mine[family])
    tuned = tuned_of(base)
    base.save_pretrained(tmp_path / "base")
    tuned.save_pretrained(tmp_path / "tuned")
    assert ss.extract(tmp_path / "base", tmp_path / "tuned", tmp_path / "a", rank=3).written
    start = type(base).from_pretrained(tmp_path / "base")
    merged = numbers(loaded(start, tmp_path / "a").merge_and_unload())
    before, after = numbers(base), numbers(tuned)
    for name, x in before.items():
        if x.ndim == 1:
            continue
        change = best(name, x, after[name], 3)
        if name.endswith("gate_up_proj"):
            halves = zip(np.split(x, 2, axis=1), np.split(after[name], 2, axis=1), strict=True)
            change = np.concatenate([best(name, *half, 3) for half in halves], axis=1)
        np.testing.assert_allclose(merged[name], x + change, atol=1e-5, err_msg=name)


def test_an_adapter_of_experts_of_their_own_with_other_ranks_is_refused(tmp_path: Path) -> None:
    base = made("MixtralForCausalLM", "MixtralConfig", TEXT | EXPERTS | {"num_local_experts": 3})
    for label, model in (("base", base), ("tuned", tuned_of(base))):
        model.save_pretrained(tmp_path / label)
    assert ss.extract(tmp_path / "base", tmp_path / "tuned", tmp_path / "a", error=0.5).written
    start = copy.deepcopy(base)
    with pytest.raises(RuntimeError):
        loaded(start, tmp_path / "a")


def test_experts_of_their_own_that_peft_leaves_out(tmp_path: Path) -> None:
    """PEFT joins experts of models that transformers converts like Qwen2-MoE, not of that one."""
    sizes = {"num_experts": 3, "moe_intermediate_size": 20, "shared_expert_intermediate_size": 20}
    base = made("Qwen2MoeForCausalLM", "Qwen2MoeConfig", TEXT | EXPERTS | sizes)
    tuned = tuned_of(base)
    for label, model in (("base", base), ("tuned", tuned)):
        model.save_pretrained(tmp_path / label)
    folders = tmp_path / "base", tmp_path / "tuned"
    extraction = ss.extract(*folders, tmp_path / "a", rank=99, whole=True)
    assert len(extraction.not_carried) == 2 * 3 * 3
    assert {".experts." in row["name"] for row in extraction.not_carried} == {True}
    before, after = numbers(base), numbers(tuned)
    for name, x in numbers(loaded(base, tmp_path / "a").merge_and_unload()).items():
        expected = before if ".experts." in name else after
        np.testing.assert_allclose(x, expected[name], atol=1e-5, err_msg=name)
