# SPDX-License-Identifier: BSD-3-Clause
"""Every tensor of every family has its role; fused weights and heads are cut by config.json."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from tests.support.checkpoints import of_array, opened
from tests.support.families import FAMILIES, Family
from tests.support.roles import roles_in_model

import sigmascope as ss
from sigmascope.checkpoint.naming.roles import Role, role_of

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
    roles = roles_in_model([t.name for t in family.tensors], family.config.get("model_type"))
    assert {t.name: (t.role, t.tower) for t in family.tensors} == {
        name: (role.role, role.tower) for name, role in roles.items()
    }
    for tensor in family.tensors:
        assert tensor.role != "other" or tensor.name.endswith(NO_ROLE), tensor.name


@families
def test_biases_follow_their_weights(family: Family) -> None:
    weights = [
        t.name for t in family.tensors if t.name.endswith(".weight") and "lora" not in t.name
    ]
    biases = {name: f"{name.removesuffix('weight')}bias" for name in weights}
    roles = roles_in_model([*weights, *biases.values()], family.config.get("model_type"))
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
    """Parts that are cut out of a weight, put together again, are the weight."""
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


@pytest.mark.parametrize(
    ("family", "q", "k"),
    [
        ("llama", 4, 2),
        ("gpt2", 4, 4),
        ("gpt_neox", 4, 4),
        ("falcon", 4, 1),
        ("falcon_new", 4, 2),
        ("gpt_bigcode", 4, 1),
        ("dbrx", 4, 2),
        ("phi3", 4, 2),
        ("gpt_oss", 4, 2),
        ("t5", 4, 4),
        ("whisper", 4, 4),
        ("internvl2, InternLM 2", 4, 2),
        ("internvl3.5, original", 4, 2),
        ("andesvl", 4, 2),
        ("qwen3_vl", 4, 2),
        ("siglip", 4, 4),
        ("vit", 4, 4),
        ("wav2vec2", 4, 4),
    ],
)
def test_numbers_of_heads(family: str, q: int, k: int, tmp_path: Path) -> None:
    """As config.json says them, in every tower that has its own numbers of them."""
    split = FAMILIES[family].opened(tmp_path, heads=True)
    assert not [note for note in split.notes if "attention weights" in note]
    counts: dict[tuple[str, str], int] = {}
    for name in split:
        role = split.roles[name]
        if role.head is not None and role.tower not in ("vision", "audio"):
            key = role.role, role.tower
            counts[key] = max(counts.get(key, 0), role.head + 1)
    for (part, _), count in counts.items():
        assert count == (k if part.removeprefix("cross_") in ("k", "v") else q)
    heads = {split.roles[name].head for name in split if split.roles[name].tower == "vision"}
    assert heads in (set(), {None, 0, 1, 2, 3})


def test_heads_are_rows_of_q_and_columns_of_o(tmp_path: Path) -> None:
    name = "model.layers.0.self_attn.{}_proj.weight"
    split = FAMILIES["llama"].opened(tmp_path, heads=True)
    whole = ss.open_checkpoint(tmp_path)
    for part, count in (("q", 4), ("k", 2), ("v", 2), ("o", 4)):
        weight = np.asarray(whole[name.format(part)])
        for head in range(count):
            cut = np.s_[8 * head : 8 * head + 8]
            key = f"{name.format(part)}[head {head}]"
            truth = weight[:, cut] if part == "o" else weight[cut]
            np.testing.assert_array_equal(np.asarray(split[key]), truth)
            assert split.roles[key] == Role(0, part, "text", None, head)
            assert split.record_of(key)["nbytes"] == truth.nbytes
            assert split.record_of(key)["head"] == head


def test_heads_of_fused_and_turned_weights(tmp_path: Path) -> None:
    """GPT-2 keeps inputs as rows; q, k, v follow each other: reshape(inputs, 3, heads, width)."""
    split = FAMILIES["gpt2"].opened(tmp_path, heads=True)
    whole = ss.open_checkpoint(tmp_path, split_fused=False)
    name = "transformer.h.0.attn.c_attn.weight"
    fused = np.asarray(whole[name]).reshape(32, 3, 4, 8)
    output = np.asarray(whole["transformer.h.0.attn.c_proj.weight"]).reshape(4, 8, 32)
    for head in range(4):
        for index, part in enumerate("qkv"):
            values = np.asarray(split[f"{name}[{part}][head {head}]"])
            np.testing.assert_array_equal(values, fused[:, index, head])
        values = np.asarray(split[f"transformer.h.0.attn.c_proj.weight[head {head}]"])
        np.testing.assert_array_equal(values, output[head])


def test_heads_of_alternating_parts(tmp_path: Path) -> None:
    """Falcon 40B: view(groups, heads / groups + 2, width), a group's queries before its key."""
    split = FAMILIES["falcon_new"].opened(tmp_path, heads=True)
    whole = ss.open_checkpoint(tmp_path, split_fused=False)
    name = "transformer.h.0.self_attention.query_key_value.weight"
    fused = np.asarray(whole[name]).reshape(2, 4, 8, 32)
    for head in range(4):
        values = np.asarray(split[f"{name}[q][head {head}]"])
        np.testing.assert_array_equal(values, fused[head // 2, head % 2])
    for group in range(2):
        np.testing.assert_array_equal(
            np.asarray(split[f"{name}[k][head {group}]"]), fused[group, 2]
        )
        np.testing.assert_array_equal(
            np.asarray(split[f"{name}[v][head {group}]"]), fused[group, 3]
        )


def test_latent_attention(tmp_path: Path) -> None:
    """DeepSeek: queries of nope + rope, outputs of v_head_dim."""
    split = FAMILIES["deepseek_v3"].opened(tmp_path, heads=True)
    assert split["model.layers.0.self_attn.q_b_proj.weight[head 3]"].shape == (8, 8)
    assert split["model.layers.0.self_attn.o_proj.weight[head 3]"].shape == (32, 8)
    assert "model.layers.0.self_attn.kv_b_proj.weight" in split


def test_heads_of_values_that_are_narrower_than_queries(tmp_path: Path) -> None:
    """DeepSeek, as published: 128 + 64 outputs of a head of queries, 128 inputs of one of o."""
    rng = np.random.default_rng(0)
    queries, output = rng.standard_normal((4 * 9, 8)), rng.standard_normal((32, 4 * 6))
    config = {"model_type": "deepseek_v3", "hidden_size": 32, "num_attention_heads": 4}
    config |= {"kv_lora_rank": 8, "qk_nope_head_dim": 6, "qk_rope_head_dim": 3, "v_head_dim": 6}
    start = "model.layers.0.self_attn."
    stored = {f"{start}q_b_proj.weight": queries, f"{start}o_proj.weight": output}
    opened(tmp_path, *(of_array(name, "F64", w) for name, w in stored.items()), config=config)
    split = ss.open_checkpoint(tmp_path, heads=True)
    assert split.notes == ()
    assert len(split) == 8
    for head in range(4):
        rows, columns = np.s_[9 * head : 9 * head + 9], np.s_[6 * head : 6 * head + 6]
        of_queries = np.asarray(split[f"{start}q_b_proj.weight[head {head}]"])
        np.testing.assert_array_equal(of_queries, queries[rows])
        of_output = np.asarray(split[f"{start}o_proj.weight[head {head}]"])
        np.testing.assert_array_equal(of_output, output[:, columns])


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (None, "there is no config.json that gives its heads"),
        ({"model_type": "llama", "hidden_size": 32}, "config.json gives no number of heads"),
        (
            {"model_type": "llama", "hidden_size": 32, "num_attention_heads": 3},
            "3 heads of 10 by config.json do not fit 32 rows",
        ),
    ],
)
def test_what_has_no_heads_stays_whole_with_a_note(
    config: object, why: str, tmp_path: Path
) -> None:
    name = "model.layers.0.self_attn.q_proj.weight"
    opened(tmp_path, of_array(name, "F32", np.ones((32, 32), np.float32)), config=config)
    checkpoint = ss.open_checkpoint(tmp_path, heads=True)
    assert list(checkpoint) == [name]
    assert checkpoint.notes == (f"attention weights read whole: {name}: {why}",)
    assert ss.open_checkpoint(tmp_path).notes == ()


def test_heads_are_scanned_and_pickled(tmp_path: Path) -> None:
    split = FAMILIES["llama"].opened(tmp_path, heads=True)
    again = pickle.loads(pickle.dumps(split))
    assert list(again) == list(split)
    scan = ss.scan(split, effort="exact", include="*q_proj*")
    rows = [row for row in scan.rows if row["status"] == "analysed"]
    assert [row["name"][-8:] for row in rows] == [f"[head {head}]" for head in range(4)]
    assert {row["tensor"] for row in rows} == {"model.layers.0.self_attn.q_proj.weight"}
    assert scan.options["heads"] is True
    assert "heads" not in ss.scan(tmp_path, effort="exact", include="*q_proj*").options


def test_roles_are_those_of_names_alone_where_these_tell() -> None:
    assert role_of("model.layers.0.self_attn.q_proj.weight") == Role(0, "q", "text", None)
