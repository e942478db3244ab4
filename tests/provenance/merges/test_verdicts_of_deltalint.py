# SPDX-License-Identifier: BSD-3-Clause
"""Merges by PEFT and their faults, beside the verdicts of deltalint (MIT), a peer for adapters."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sigmascope.provenance import verify

torch: Any = pytest.importorskip("torch")
peft: Any = pytest.importorskip("peft", minversion="0.20")
transformers: Any = pytest.importorskip("transformers", minversion="5.0")
safetensors: Any = pytest.importorskip("safetensors.torch")
deltalint: Any = pytest.importorskip("deltalint")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of PEFT

SIZES = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 100}
SIZES |= {"num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": False}

Tensors = dict[str, Any]

QUERY = "model.layers.1.self_attn.q_proj.weight"


@pytest.fixture(scope="module", params=["float32", "bfloat16", "float16"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, an adapter of linear layers, embedding and a head in full, and PEFT's merge."""
    folder = tmp_path_factory.mktemp("deltalint") / request.param
    torch.manual_seed(1)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES))
    model = model.to(getattr(torch, request.param))
    model.save_pretrained(folder / "base")
    settings = peft.LoraConfig(
        r=4,
        lora_alpha=16,
        target_modules=["q_proj", "v_proj", "down_proj", "embed_tokens"],
        modules_to_save=["lm_head"],
        rank_pattern={"down_proj": 8},
        alpha_pattern={"v_proj": 4},
    )
    adapted = peft.get_peft_model(model, settings)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name or "lora_embedding" in name:
                torch.nn.init.normal_(parameter, std=0.01)
            elif "modules_to_save" in name:
                parameter += 0.01 * torch.randn_like(parameter)
    adapted.save_pretrained(folder / "adapter")
    adapted.merge_and_unload().save_pretrained(folder / "merged")
    return folder


def change(base: Tensors, merged: Tensors, factor: float) -> Tensors:
    """Return the merge with all changes times a factor."""
    return {
        name: (base[name].float() + factor * (each.float() - base[name].float())).to(each.dtype)
        for name, each in merged.items()
    }


def without(name: str) -> Callable[[Tensors, Tensors], Tensors]:
    return lambda base, merged: merged | {name: base[name]}


def transposed(base: Tensors, merged: Tensors) -> Tensors:
    added = (merged[QUERY].float() - base[QUERY].float()).T
    return merged | {QUERY: (base[QUERY].float() + added).to(merged[QUERY].dtype)}


def flipped(base: Tensors, merged: Tensors) -> Tensors:
    """Return the merge with one bit of one number turned."""
    flat = merged[QUERY].clone().flatten()
    flat[7] = torch.nextafter(flat[7], torch.full_like(flat[7], 10))
    return merged | {QUERY: flat.reshape(merged[QUERY].shape)}


FAULTS: dict[str, Callable[[Tensors, Tensors], Tensors]] = {
    "half": lambda base, merged: change(base, merged, 0.5),
    "twice": lambda base, merged: change(base, merged, 2.0),
    "sign": lambda base, merged: change(base, merged, -1.0),
    "1.02": lambda base, merged: change(base, merged, 1.02),
    "not at all": lambda base, merged: dict(base),
    "one layer left out": without(QUERY),
    "embedding left out": without("model.embed_tokens.weight"),
    "head left out": without("lm_head.weight"),
    "transposed": transposed,
    "one bit": flipped,
}


def verdicts(folder: Path, merged: Path) -> tuple[str, str]:
    """Return our verdict, and that of deltalint."""
    ours = verify(folder / "base", merged, folder / "adapter", expect="adapter").verdict
    theirs = deltalint.check_merge(folder / "base", folder / "adapter", merged).verdict
    return ours, theirs.value


def test_both_pass_what_peft_merges(folder: Path) -> None:
    assert verdicts(folder, folder / "merged") == ("confirmed", "PASS")


@pytest.mark.parametrize("fault", FAULTS)
def test_what_deltalint_fails_is_refuted(fault: str, folder: Path, tmp_path: Path) -> None:
    """deltalint allows residuals of 5 %, so it passes some of these faults.

    The last bit in float32 depends on the order of sums, so no verdict can rest on it.
    """
    if (folder.name, fault) == ("float32", "one bit"):
        return
    base = safetensors.load_file(folder / "base" / "model.safetensors")
    merged = safetensors.load_file(folder / "merged" / "model.safetensors")
    shutil.copytree(folder / "merged", tmp_path / "merged")
    wrong = {name: each.contiguous() for name, each in FAULTS[fault](base, merged).items()}
    safetensors.save_file(wrong, tmp_path / "merged" / "model.safetensors", {"format": "pt"})
    ours, theirs = verdicts(folder, tmp_path / "merged")
    assert ours == "refuted"
    assert theirs in ("FAIL", "PASS")
