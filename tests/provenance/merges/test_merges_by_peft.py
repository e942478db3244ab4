# SPDX-License-Identifier: BSD-3-Clause
"""Merges that PEFT itself makes of models of transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sigmascope.provenance import apply, verify

torch: Any = pytest.importorskip("torch")
peft: Any = pytest.importorskip("peft", minversion="0.20")
transformers: Any = pytest.importorskip("transformers", minversion="5.0")
safetensors: Any = pytest.importorskip("safetensors.torch")

LLAMA = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 100}
LLAMA |= {"num_attention_heads": 4, "num_key_value_heads": 2}
GPT2 = {"n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 100, "n_positions": 20}
GPT2 |= {"bos_token_id": 1, "eos_token_id": 2}
MODELS = {
    "llama": ("LlamaForCausalLM", "LlamaConfig", LLAMA, ["q_proj", "v_proj", "down_proj"]),
    "gpt2": ("GPT2LMHeadModel", "GPT2Config", GPT2, ["c_attn", "c_fc"]),
}


def merged_by_peft(
    folder: Path,
    family: str,
    dtype: Any,
    *,
    safe: bool,
    rslora: bool,
    factors: Any = None,
    others: tuple[str, ...] = (),
) -> None:
    """Save a base, an adapter of random factors, and what PEFT merges of both."""
    name, configuration, sizes, targets = MODELS[family]
    torch.manual_seed(0)
    model = getattr(transformers, name)(getattr(transformers, configuration)(**sizes)).to(dtype)
    model.save_pretrained(folder / "base")
    settings = peft.LoraConfig(
        r=4,
        lora_alpha=16,
        target_modules=[*targets, *others],
        use_rslora=rslora,
        fan_in_fan_out=family == "gpt2",
    )
    adapted = peft.get_peft_model(model, settings, autocast_adapter_dtype=factors is None)
    for parameter, weight in adapted.named_parameters():
        if "lora_B" in parameter or "lora_embedding_A" in parameter:
            torch.nn.init.normal_(weight, std=0.002)
    adapted.save_pretrained(folder / "adapter")
    merged = adapted.merge_and_unload(safe_merge=safe)
    merged.save_pretrained(folder / "merged")


@pytest.mark.filterwarnings("ignore")  # of transformers and PEFT
@pytest.mark.parametrize("safe", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("family", MODELS)
def test_a_merge_by_peft_is_confirmed(family: str, dtype: str, safe: bool, tmp_path: Path) -> None:
    merged_by_peft(tmp_path, family, getattr(torch, dtype), safe=safe, rslora=False)
    folders = tmp_path / "base", tmp_path / "merged", tmp_path / "adapter"
    result = verify(*folders, expect="adapter")
    assert result.verdict == "confirmed", result.sentences
    changed = sum(row["status"] == "merged" for row in result.rows)
    assert changed == {"llama": 6, "gpt2": 8}[family]  # c_attn is q, k and v
    assert verify(*folders, expect="weights=1.01").verdict == "refuted"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_change_of_an_embedding(dtype: str, tmp_path: Path) -> None:
    """PEFT rounds it to the base's format first, and saves the base's embedding next to it."""
    kind = getattr(torch, dtype)
    merged_by_peft(tmp_path, "llama", kind, safe=False, rslora=False, others=("embed_tokens",))
    folders = tmp_path / "base", tmp_path / "merged", tmp_path / "adapter"
    result = verify(*folders, expect="adapter")
    assert result.verdict == "confirmed", result.sentences
    (row,) = (row for row in result.rows if row["role"] == "embed")
    assert row["status"] == "merged"
    assert verify(folders[0], folders[0], folders[2], expect="adapter").verdict == "refuted"
    applied = apply(folders[0], tmp_path / "applied", folders[2], weights=[0.5])
    assert applied.verdict == "confirmed"
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    tensors = safetensors.load_file(file)
    (copy,) = (name for name in tensors if name.endswith("embed_tokens.base_layer.weight"))
    tensors[copy] = tensors[copy] * 2
    safetensors.save_file(tensors, file)
    result = verify(*folders, expect="adapter")
    assert result.verdict == "undetermined"
    assert "changes a copy of its own" in " ".join(result.sentences)
    with pytest.raises(ValueError, match="changes a copy of its own"):
        apply(folders[0], tmp_path / "other", folders[2])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_factors_of_the_base_s_dtype(dtype: str, tmp_path: Path) -> None:
    kind = getattr(torch, dtype)
    merged_by_peft(tmp_path, "llama", kind, safe=False, rslora=False, factors=kind)
    folders = tmp_path / "base", tmp_path / "merged", tmp_path / "adapter"
    assert verify(*folders, expect="adapter").verdict == "confirmed"


@pytest.mark.filterwarnings("ignore")
def test_a_scale_by_the_root_of_the_rank_is_read_and_told_apart(tmp_path: Path) -> None:
    """The scale is alpha / sqrt(r) in the settings; a file that says alpha / r has twice of it."""
    merged_by_peft(tmp_path, "llama", torch.bfloat16, safe=False, rslora=True)
    folders = tmp_path / "base", tmp_path / "merged", tmp_path / "adapter"
    assert verify(*folders, expect="adapter").verdict == "confirmed"
    settings = tmp_path / "adapter" / "adapter_config.json"
    settings.write_text(settings.read_text().replace('"use_rslora": true', '"use_rslora": false'))
    result = verify(*folders, expect="adapter")
    assert result.verdict == "refuted"
    assert result.weights is not None
    assert result.weights[0].low <= 2 <= result.weights[0].high


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_modules_that_an_adapter_saves_in_full(dtype: str, tmp_path: Path) -> None:
    """They replace those of the base, whatever the weight of the other changes."""
    torch.manual_seed(0)
    configuration = transformers.LlamaConfig(**LLAMA, tie_word_embeddings=False)
    model = transformers.LlamaForCausalLM(configuration).to(getattr(torch, dtype))
    model.save_pretrained(tmp_path / "base")
    settings = peft.LoraConfig(r=4, target_modules=["q_proj"], modules_to_save=["lm_head", "norm"])
    adapted = peft.get_peft_model(model, settings, autocast_adapter_dtype=False)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name or "modules_to_save" in name:
            torch.nn.init.normal_(weight, std=0.01)
    adapted.save_pretrained(tmp_path / "adapter")
    merged = adapted.merge_and_unload()
    merged.save_pretrained(tmp_path / "merged")
    folders = tmp_path / "base", tmp_path / "merged", tmp_path / "adapter"
    result = verify(*folders, expect="adapter")
    assert result.verdict == "confirmed", result.sentences
    replaced = {row["name"] for row in result.rows if row["status"] == "replaced"}
    norms = {row["name"] for row in result.rows if "norm" in row["name"]}
    assert replaced == norms | {"lm_head.weight"}
    sentence = "6 tensors that an adapter saves in full are those of the adapter."
    assert sentence in result.sentences
    assert verify(*folders, expect="identical").verdict == "refuted"
    with torch.no_grad():
        merged.lm_head.weight[3, 4] += 0.5
    merged.save_pretrained(tmp_path / "merged")
    result = verify(*folders, expect="adapter")
    assert result.verdict == "refuted"
    assert "lm_head.weight" in result.decisions[0].reason
