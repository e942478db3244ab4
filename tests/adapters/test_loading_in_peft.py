# SPDX-License-Identifier: BSD-3-Clause
"""Adapters that are written here, loaded by PEFT: the merged weights are base + low rank."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.loaded_adapters import (
    FAMILIES,
    best,
    experts_of,
    loaded,
    numbers,
    tuned_of,
)

import sigmascope as ss
from sigmascope.adapters import Adapter, open_adapter

torch: Any = pytest.importorskip("torch")
peft: Any = pytest.importorskip("peft", minversion="0.20")
safetensors: Any = pytest.importorskip("safetensors.torch")


def check(base: Any, tuned: Any, folder: Path, rank: int, **options: Any) -> Adapter:
    """Extract, and compare what PEFT merges with base + the nearest change of that rank."""
    extraction = ss.extract(base, tuned, folder, rank=rank, **options)
    assert extraction.written
    before, after = numbers(base), numbers(tuned)
    merged = numbers(loaded(base, folder).merge_and_unload())
    carried = {row["name"].split("[")[0] for row in extraction.analysed}
    assert merged.keys() == before.keys()
    for name, x in merged.items():
        change = best(name, before[name], after[name], rank) if name in carried else 0.0
        np.testing.assert_allclose(x, before[name] + change, atol=1e-6, err_msg=name)
    return open_adapter(folder)


def block(seed: int) -> Any:
    """Two linear layers below two levels of names, one of them with a bias, and a vector."""
    torch.manual_seed(seed)
    layers = {"up_proj": torch.nn.Linear(24, 40), "down_proj": torch.nn.Linear(40, 24, bias=False)}
    return torch.nn.ModuleDict(
        {
            "layers": torch.nn.ModuleList([torch.nn.ModuleDict(layers)]),
            "norm": torch.nn.LayerNorm(24),
        }
    )


def test_merged_weights_are_base_plus_product(tmp_path: Path) -> None:
    assert len(check(block(0), block(1), tmp_path, 3)) == 2


def test_norms_and_biases(tmp_path: Path) -> None:
    """At full rank the merged model is the tuned one; PEFT loads every tensor of the file."""
    base = block(0)
    base["batch"] = torch.nn.BatchNorm1d(24)
    tuned = tuned_of(base)
    assert ss.extract(base, tuned, tmp_path, rank=24, whole=True).written
    merged, expected = numbers(loaded(base, tmp_path).merge_and_unload()), numbers(tuned)
    assert merged.keys() == expected.keys()
    for name, x in merged.items():
        np.testing.assert_allclose(x, expected[name], atol=1e-6, err_msg=name)


def test_ranks_that_differ(tmp_path: Path) -> None:
    base, tuned = block(0), block(1)
    assert ss.extract(base, tuned, tmp_path, error=0.4).written
    adapter = open_adapter(tmp_path)
    assert len({adapter[name].rank for name in adapter}) == 2
    before, merged = numbers(base), numbers(loaded(base, tmp_path).merge_and_unload())
    for name in adapter:
        B, A = (np.asarray(x, dtype=float) for x in (adapter[name].B, adapter[name].A))
        np.testing.assert_allclose(merged[name], before[name] + B @ A, atol=1e-6)


def test_weights_with_inputs_as_rows(tmp_path: Path) -> None:
    """The Conv1D of GPT-2."""
    layers: Any = pytest.importorskip("transformers.pytorch_utils")
    models = []
    for seed in range(2):
        torch.manual_seed(seed)
        models.append(torch.nn.ModuleDict({"c_attn": layers.Conv1D(30, 20)}))
    adapter = check(*models, tmp_path, 3, fan_in_fan_out=True)
    assert adapter["c_attn.weight"].shape == (20, 30)


def test_embeddings(tmp_path: Path) -> None:
    torch.manual_seed(0)
    base = torch.nn.ModuleDict(
        {"embed_tokens": torch.nn.Embedding(50, 12), "lm_head": torch.nn.Linear(12, 50, bias=False)}
    )
    adapter = check(base, tuned_of(base), tmp_path, 3)
    assert adapter["embed_tokens.weight"].shape == (50, 12)
    assert len(adapter) == 2


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("extent", [1, 3])
def test_kernels_of_convolutions(axes: int, extent: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    layer = (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)[axes - 1]
    base = torch.nn.ModuleDict({"conv_in": layer(6, 10, extent, padding="same")})
    tuned = tuned_of(base)
    assert ss.extract(base, tuned, tmp_path / "a", rank=4).written
    change = best("conv_in", *(numbers(x)["conv_in.weight"] for x in (base, tuned)), 4)
    expected = copy.deepcopy(base)
    expected["conv_in"].weight.data += torch.from_numpy(change).float()
    x = torch.randn(2, 6, *(5,) * axes)
    result = loaded(base, tmp_path / "a").base_model.model["conv_in"](x)
    torch.testing.assert_close(result, expected["conv_in"](x), atol=1e-5, rtol=1e-5)
    if (axes, extent) != (3, 1):  # which PEFT 0.21 cannot merge: it takes it for a kernel of 2-D
        check(base, tuned, tmp_path / "b", 4)
    assert open_adapter(tmp_path / "a")["conv_in.weight"].shape == (10, 6 * extent**axes)


def test_tied_embeddings(tmp_path: Path) -> None:
    """The head has the change once it is merged, or else with ensure_weight_tying."""
    transformers: Any = pytest.importorskip("transformers", minversion="5.0")
    torch.manual_seed(0)
    sizes = {"vocab_size": 40, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1}
    sizes |= {"num_attention_heads": 2, "num_key_value_heads": 1}
    config = transformers.LlamaConfig(**sizes, tie_word_embeddings=True)
    base = transformers.LlamaForCausalLM(config).eval()
    tuned = tuned_of(base)
    with torch.no_grad():
        for name, parameter in base.named_parameters():
            if name.endswith("norm.weight"):
                tuned.get_parameter(name).copy_(parameter)
    assert ss.extract(base, tuned, tmp_path, rank=16).written
    words = torch.arange(12)[None]
    with torch.no_grad():
        expected = tuned(words).logits
        model = loaded(base, tmp_path, ".*tie_word_embeddings=True")
        assert not torch.allclose(model(words).logits, expected, atol=0.1)
        with pytest.warns(UserWarning, match="tie_word_embeddings=True"):
            merged = model.merge_and_unload()(words).logits
        torch.testing.assert_close(merged, expected, atol=1e-4, rtol=1e-4)
        settings = json.loads((tmp_path / "adapter_config.json").read_text())
        settings |= {"ensure_weight_tying": True}
        (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
        model = loaded(base, tmp_path, ".*tie_word_embeddings=True|Found missing adapter keys")
        torch.testing.assert_close(model(words).logits, expected, atol=1e-4, rtol=1e-4)
        with pytest.warns(UserWarning, match="tie_word_embeddings=True"):
            twice = model.merge_and_unload()(words).logits
        assert not torch.allclose(twice, expected, atol=0.1)


@pytest.mark.parametrize(
    ("layer", "error", "message"),
    [
        (lambda: torch.nn.Conv2d(4, 8, 3, groups=2), RuntimeError, "size mismatch"),
        (lambda: torch.nn.ConvTranspose2d(4, 8, 3), ValueError, "not supported"),
    ],
)
def test_kernels_that_peft_refuses(
    layer: Any, error: type[Exception], message: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    base = torch.nn.ModuleDict({"conv": layer()})
    assert ss.extract(base, tuned_of(base), tmp_path, rank=2).written
    with pytest.raises(error, match=message):
        loaded(base, tmp_path, "LoRA adapter added to ConvNd layer with groups")


@pytest.mark.parametrize(
    "family",
    [
        pytest.param(family, marks=[pytest.mark.slow] if family == "qwen3_moe" else [])
        for family in FAMILIES
    ],
)
def test_stacked_experts(family: str, tmp_path: Path) -> None:
    """Experts x outputs x inputs, and for gpt_oss experts x inputs x outputs; two in a module."""
    base = experts_of(family)
    tuned = tuned_of(base)
    experts = [name for name in base.state_dict() if name.endswith(("gate_up_proj", "down_proj"))]
    assert len(experts) == 4
    check(base, tuned, tmp_path / "all", 3)
    for name in ("gate_up_proj", "down_proj"):  # alone, without a wrapper around the other
        check(base, tuned, tmp_path / name, 2, include=f"*{name}*")


@pytest.mark.parametrize("as_rows", [False, True])
def test_stacks_that_are_transposed_when_they_are_loaded(as_rows: bool, tmp_path: Path) -> None:
    """Experts x outputs x inputs as transformers 5 saves them, or transposed as published."""
    transformers: Any = pytest.importorskip("transformers", minversion="5.0")
    torch.manual_seed(0)
    text = {"vocab_size": 40, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1}
    text |= {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8}
    text |= FAMILIES["qwen3_moe"] | {"decoder_sparse_step": 1}
    text["rope_scaling"] = {"rope_type": "default", "mrope_section": [2, 1, 1]}
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 24, "num_heads": 2}
    vision |= {"out_hidden_size": 16, "deepstack_visual_indexes": [0]}
    config = transformers.Qwen3VLMoeConfig(text_config=text, vision_config=vision)
    base = transformers.Qwen3VLMoeForConditionalGeneration(config).eval()
    models = {"base": base, "tuned": tuned_of(base)}
    for label, model in models.items():
        model.save_pretrained(tmp_path / label)
        if as_rows:
            path = tmp_path / label / "model.safetensors"
            tensors = safetensors.load_file(path)
            for name in tensors:
                if ".experts." in name:
                    tensors[name] = tensors[name].transpose(1, 2).contiguous()
            safetensors.save_file(tensors, path, {"format": "pt"})
    folders = [tmp_path / label for label in models]
    extraction = ss.extract(*folders, tmp_path / "adapter", rank=3, include="*.experts.*")
    assert len(extraction.analysed) == 2 * 3
    start = transformers.Qwen3VLMoeForConditionalGeneration.from_pretrained(folders[0])
    merged = numbers(loaded(start, tmp_path / "adapter").merge_and_unload())
    before, after = (numbers(model) for model in models.values())
    for name in before:
        if ".experts." in name:
            change = best(name, before[name], after[name], 3)
            np.testing.assert_allclose(merged[name], before[name] + change, atol=1e-6)


def test_a_whole_model_of_experts(tmp_path: Path) -> None:
    """All but biases of experts, which are matrices, and parameters of attention modules."""
    base = experts_of("gpt_oss")
    tuned = tuned_of(base)
    extraction = ss.extract(base, tuned, tmp_path, rank=40, whole=True)
    lost = {row["name"].rpartition(".")[2] for row in extraction.not_carried}
    assert lost == {"gate_up_proj_bias", "down_proj_bias", "sinks"}
    merged, expected = numbers(loaded(base, tmp_path).merge_and_unload()), numbers(tuned)
    for name, x in merged.items():
        if name.rpartition(".")[2] not in lost:
            np.testing.assert_allclose(x, expected[name], atol=2e-6, err_msg=name)


def test_layers_with_stacked_experts_compute_the_same(tmp_path: Path) -> None:
    base = experts_of("qwen3_moe")
    assert ss.extract(base, tuned_of(base), tmp_path, error=0.5).written
    model, words = loaded(base, tmp_path), torch.arange(12)[None]
    with torch.no_grad():
        result = model(words).logits
        merged = model.merge_and_unload()(words).logits
        assert not torch.allclose(merged, base(words).logits, atol=1e-3)
    torch.testing.assert_close(result, merged, atol=1e-4, rtol=1e-4)
