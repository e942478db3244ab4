# SPDX-License-Identifier: BSD-3-Clause
"""Written models of transformers are those that PEFT merges, within one rounding."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.loaded_adapters import experts_of
from tests.support.written_models import read_folder

from sigmascope.provenance import apply

torch: Any = pytest.importorskip("torch")
peft: Any = pytest.importorskip("peft", minversion="0.20")
transformers: Any = pytest.importorskip("transformers", minversion="5.0")

LLAMA = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "vocab_size": 50}
LLAMA |= {"num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": True}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 50, "n_positions": 20}
GPT2 |= {"bos_token_id": 1, "eos_token_id": 2}
PHI3 = LLAMA | {"pad_token_id": 0, "tie_word_embeddings": False}
MODELS = {
    "llama": ("Llama", LLAMA, ["q_proj", "v_proj", "down_proj", "embed_tokens"]),
    "gpt2": ("GPT2", GPT2, ["c_attn", "c_fc"]),
    "phi3": ("Phi3", PHI3, ["qkv_proj", "gate_up_proj"]),
}
DIGITS = {"float32": 24, "bfloat16": 8, "float16": 11}

pytestmark = pytest.mark.filterwarnings("ignore")  # of transformers and PEFT


def model_of(family: str, dtype: str) -> Any:
    stem, sizes, _ = MODELS[family]
    torch.manual_seed(0)
    name = f"{stem}LMHeadModel" if family == "gpt2" else f"{stem}ForCausalLM"
    config = getattr(transformers, f"{stem}Config")(**sizes)
    return getattr(transformers, name)(config).to(getattr(torch, dtype))


def merge_by_peft(model: Any, folder: Path, **settings: Any) -> dict[str, Any]:
    """Save an adapter of random factors; return the weights that PEFT merges in float64."""
    adapted = peft.get_peft_model(
        copy.deepcopy(model), peft.LoraConfig(**{"r": 4, "lora_alpha": 16, **settings})
    )
    torch.manual_seed(2)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name or "modules_to_save." in name:
                parameter.copy_(0.05 * torch.randn_like(parameter))
    adapted.save_pretrained(folder, save_embedding_layers=False)
    merged: dict[str, Any] = adapted.double().merge_and_unload().state_dict()
    return merged


def assert_within_one_rounding(written: dict[str, Any], merged: dict[str, Any], dtype: str) -> None:
    """Half a unit in the last place, beside the errors of PEFT's own sums."""
    for name, x in written.items():
        truth = merged[name].double().numpy()
        assert x.dtype == getattr(torch, dtype)
        units = np.spacing(np.abs(truth)) * 2.0 ** (53 - DIGITS[dtype])
        least = 2.0**-24 if dtype == "float16" else 0.0
        bounds = np.maximum(units, least) * 0.5 + 2.0**-50 * (1 + np.abs(truth))
        assert (np.abs(x.double().numpy() - truth) <= bounds).all(), name


@pytest.mark.parametrize("dtype", DIGITS)
@pytest.mark.parametrize("family", MODELS)
def test_a_model_is_that_of_peft(family: str, dtype: str, tmp_path: Path) -> None:
    """Tied embeddings, transposed weights of Conv1D, and fused weights."""
    model = model_of(family, dtype)
    model.save_pretrained(tmp_path / "base")
    targets = MODELS[family][2]
    merged = merge_by_peft(
        model, tmp_path / "adapter", target_modules=targets, fan_in_fan_out=family == "gpt2"
    )
    result = apply(tmp_path / "base", tmp_path / "out", tmp_path / "adapter", shard_size="20KB")
    assert result.confirmed, result.sentences
    written = read_folder(tmp_path / "out")
    assert written.keys() == read_folder(tmp_path / "base").keys()
    assert_within_one_rounding(written, merged, dtype)
    changed = {row["name"] for row in result.rows if row["status"] == "changed"}
    assert {name.split(".")[-2] for name in changed} == set(targets)

    opened = type(model).from_pretrained(tmp_path / "out")
    assert opened.dtype == getattr(torch, dtype)
    for name, x in opened.state_dict().items():
        assert torch.equal(x, written.get(name, x)), name


def test_rank_stabilised_scales_are_those_of_peft(tmp_path: Path) -> None:
    model = model_of("llama", "float32")
    model.save_pretrained(tmp_path / "base")
    merged = merge_by_peft(
        model, tmp_path / "adapter", target_modules=["q_proj"], use_rslora=True, alpha_pattern={}
    )
    assert apply(tmp_path / "base", tmp_path / "out", tmp_path / "adapter").confirmed
    assert_within_one_rounding(read_folder(tmp_path / "out"), merged, "float32")


@pytest.mark.parametrize("family", ["qwen3_moe", "gpt_oss"])
def test_stacks_of_experts_are_those_of_peft(family: str, tmp_path: Path) -> None:
    model = experts_of(family)
    transformed = {name: x.contiguous() for name, x in model.state_dict().items()}
    (tmp_path / "base").mkdir()
    from safetensors.torch import save_file

    save_file(transformed, tmp_path / "base/model.safetensors")
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(tmp_path / "base")
    stacks = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
    merged = merge_by_peft(model, tmp_path / "adapter", target_parameters=stacks, target_modules=[])
    result = apply(tmp_path / "base", tmp_path / "out", tmp_path / "adapter")
    assert result.confirmed, result.sentences
    assert_within_one_rounding(read_folder(tmp_path / "out"), merged, "float32")
    assert sum(row["status"] == "changed" for row in result.rows) == 4


@pytest.mark.parametrize("dtype", DIGITS)
def test_modules_that_an_adapter_saves_in_full_replace_those_of_the_base(
    dtype: str, tmp_path: Path
) -> None:
    """A head and the gains of norms; the written numbers are the adapter's, rounded once."""
    model = model_of("phi3", dtype)
    model.save_pretrained(tmp_path / "base")
    merged = merge_by_peft(
        model,
        tmp_path / "adapter",
        target_modules=["qkv_proj"],
        modules_to_save=["lm_head", "input_layernorm"],
    )
    result = apply(tmp_path / "base", tmp_path / "out", tmp_path / "adapter", shard_size="20KB")
    assert result.confirmed, result.sentences
    written = read_folder(tmp_path / "out")
    assert_within_one_rounding(written, merged, dtype)
    saved = read_folder(tmp_path / "adapter")
    heads = [x for name, x in saved.items() if "lm_head" in name]
    assert len(heads) == 1
    assert torch.equal(written["lm_head.weight"], heads[0].to(getattr(torch, dtype)))
    replaced = [row for row in result.verification.rows if row["status"] == "replaced"]
    assert len(replaced) == 3


def test_a_module_in_full_needs_the_weight_one_and_one_donor(tmp_path: Path) -> None:
    model = model_of("phi3", "float32")
    model.save_pretrained(tmp_path / "base")
    paths = [tmp_path / "base", tmp_path / "out"]
    settings = {"target_modules": ["qkv_proj"], "modules_to_save": ["lm_head"]}
    merge_by_peft(model, tmp_path / "adapter", **settings)
    with pytest.raises(ValueError, match=r"saves lm_head.weight in full.* its weight must be 1"):
        apply(*paths, tmp_path / "adapter", weights=[0.5])
    merge_by_peft(model, tmp_path / "other", target_modules=["lm_head"])
    with pytest.raises(ValueError, match=r"lm_head.weight in full, and another donor changes it"):
        apply(*paths, [tmp_path / "adapter", tmp_path / "other"])
    longer = model_of("phi3", "float32")
    longer.resize_token_embeddings(60)
    merge_by_peft(longer, tmp_path / "longer", **settings)
    with pytest.raises(ValueError, match=r"cannot replace lm_head.weight: its shape is \[60, 32\]"):
        apply(*paths, tmp_path / "longer")
    assert not (tmp_path / "out").exists()


def test_dora_is_refused_by_name(tmp_path: Path) -> None:
    model = model_of("llama", "float32")
    model.save_pretrained(tmp_path / "base")
    merge_by_peft(model, tmp_path / "adapter", target_modules=["q_proj"], use_dora=True)
    with pytest.raises(ValueError, match=r"q_proj.* is a DoRA change, which rescales"):
        apply(tmp_path / "base", tmp_path / "out", tmp_path / "adapter")
    assert not (tmp_path / "out").exists()
