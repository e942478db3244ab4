# SPDX-License-Identifier: BSD-3-Clause
"""Names of llama.cpp have the roles of the names that its converter makes them of."""

from __future__ import annotations

import gguf
import pytest
from tests.support.families import FAMILIES
from tests.support.roles import roles_in_model

from sigmascope.checkpoint.naming.roles import role_of

_NAMES = """
    llama:llama mistral:llama mixtral:llama smollm3:smollm3 qwen2:qwen2 qwen2_moe:qwen2moe
    qwen3:qwen3 qwen3_moe:qwen3moe gemma:gemma gemma2:gemma2 gemma3_text:gemma3 phi:phi2 phi3:phi3
    phimoe:phimoe gpt2:gpt2 gpt_neox:gptneox gptj:gptj falcon:falcon bloom:bloom mpt:mpt dbrx:dbrx
    cohere:command-r deepseek_v2:deepseek2 deepseek_v3:deepseek2 gpt_oss:gpt-oss olmo2:olmo2
    olmoe:olmoe granite:granite starcoder2:starcoder2 stablelm:stablelm t5:t5 mamba:mamba glm4:glm4
"""
ARCHITECTURES = dict(pair.split(":") for pair in _NAMES.split())
"""Architectures of llama.cpp by families of Transformers."""


@pytest.mark.parametrize("family", ARCHITECTURES)
def test_roles_are_those_of_the_original(family: str) -> None:
    architecture, result = ARCHITECTURES[family], FAMILIES[family]
    arch = next(a for a, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    theirs = gguf.get_tensor_name_map(arch, 8)
    names = {
        tensor.name: given
        for tensor in result.tensors
        if (given := theirs.get_name(tensor.name, try_suffixes=(".weight", ".bias")))
    }
    assert len(names) >= 7
    original = roles_in_model(names, result.config.get("model_type"))
    converted = roles_in_model(names.values(), f"gguf-{architecture}")
    assert {name: converted[given] for name, given in names.items()} == original
    assert all(role.role != "other" for role in original.values())


@pytest.mark.parametrize(
    ("name", "tower", "role"),
    [
        ("v.blk.3.attn_q.weight", "vision", "q"),
        ("v.blk.3.ln2.bias", "vision", "mlp_norm.bias"),
        ("v.patch_embd.weight", "vision", "patches"),
        ("a.blk.3.ffn_up.weight", "audio", "up"),
        ("mm.0.weight", "projector", "project_in"),
        ("mm.2.weight", "projector", "project_out"),
        ("dec.blk.3.cross_attn_o.weight", "decoder", "cross_o"),
        ("enc.output_norm.weight", "encoder", "final_norm"),
        ("blk.3.ffn_down_shexp.weight", "text", "shared_down"),
        ("blk.3.indexer.k_norm.weight", "text", "indexer_k_norm"),
        ("rope_freqs.weight", "", "other"),
    ],
)
def test_other_towers(name: str, tower: str, role: str) -> None:
    result = role_of(name)
    assert (result.tower, result.role) == (tower, role)
