# SPDX-License-Identifier: BSD-3-Clause
"""Every tensor of every family has its role; fused weights and heads are cut as config.json says."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from checkpoints import of_array, opened
from families import FAMILIES, Family

import sigmascope as ss
from sigmascope.checkpoint.roles import Role, role_of, roles_of
from sigmascope.checkpoint.rules import rules_for

# Buffers, and marks put between image tokens: no place of a layer.
NO_ROLE = (
    "diagonal_decay",
    "key_decay",
    "query_decay",
    "slope_rate",
    "global_mean",
    "global_invstd",
    "img_feature_extensor",
)
# Left whole: layouts that config.json does not tell, or another one in some layers.
LEFT_WHOLE = {"minimax": {"qkv"}, "phi4mm, original": {"in_gate_up"}}

families = pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))


@families
def test_every_tensor_has_its_role(family: Family) -> None:
    roles = roles_of(
        [t.name for t in family.tensors], rules_for(None, family.config.get("model_type"))
    )
    assert {t.name: (t.role, t.tower) for t in family.tensors} == {
        name: (role.role, role.tower) for name, role in roles.items()
    }
    for tensor in family.tensors:
        assert tensor.role != "other" or tensor.name.endswith(NO_ROLE), tensor.name


@families
def test_biases_follow_their_weights(family: Family) -> None:
    rules = rules_for(None, family.config.get("model_type"))
    weights = [t.name for t in family.tensors if t.name.endswith(".weight") and "lora" not in t.name]
    biases = {name: f"{name.removesuffix('weight')}bias" for name in weights}
    roles = roles_of([*weights, *biases.values()], rules)
    for weight, bias in biases.items():
        assert roles[bias].role in (f"{roles[weight].role}.bias", "unembed_bias")


def test_families_cover_what_is_claimed() -> None:
    claimed = (
        "llama mistral mixtral qwen2 qwen2_moe qwen3 qwen3_moe qwen3_next gemma gemma2 gemma3 phi "
        "phi3 phimoe phi4_multimodal deepseek_v2 deepseek_v3 gpt_oss gpt2 gpt_neox bert roberta t5 "
        "qwen2_vl qwen2_5_vl qwen3_vl qwen3_vl_moe internvl andesvl llava llava_next "
        "llava_onevision siglip siglip2 clip whisper"
    )
    assert set(claimed.split()) <= set(FAMILIES)


# ------------------------------------------------------------------------ fused weights, heads


@families
def test_parts_and_heads_are_cut_and_none_is_lost(family: Family, tmp_path: Path) -> None:
    """What is cut out of a weight, put together again, is the weight."""
    split = family.opened(tmp_path, heads=True)
    whole = ss.open_checkpoint(tmp_path, split_fused=False)
    for record in split.info():
        matrices = record["matrices"]
        if len(matrices) < 2 or record["status"] == "stack":
            continue
        weight = np.asarray(whole[record["name"]])
        cut = [np.asarray(split[name]) for name in matrices]
        axis = 0 if cut[0].shape[1] == weight.shape[1] else 1
        assert sorted(
            map(
                tuple,
                np.concatenate(cut, axis).tolist()
                if axis == 0
                else np.concatenate(cut, axis).T.tolist(),
            )
        ) == sorted(map(tuple, (weight if axis == 0 else weight.T).tolist()))
    places = [role for name in split if (role := split.roles[name]).role != "other"]
    assert len(set(places)) == len(places)


@families
def test_nothing_fused_is_left_whole_that_config_tells(family: Family, tmp_path: Path) -> None:
    split = family.opened(tmp_path)
    left = {split.roles[name].role for name in split}
    left = {role for role in left if role.endswith(("qkv", "gate_up"))}
    assert left == LEFT_WHOLE.get(family.name, set()), split.notes
