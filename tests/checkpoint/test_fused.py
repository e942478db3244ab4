# SPDX-License-Identifier: BSD-3-Clause
"""Fused weights split by config.json, against the reshaping that each model's own code does."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.checkpoints import Stored, of_array, opened, record

from sigmascope import open_checkpoint

Parts = dict[str, NDArray[np.float32]]

HEADS, WIDTH = 4, 24  # of 6


def weight(rows: int, columns: int = WIDTH) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((rows, columns)).astype(np.float32)


def one_after_another(w: NDArray[Any], *sizes: int) -> Parts:
    return dict(zip("qkv", np.split(w, np.cumsum(sizes)[:-1]), strict=True))


def head_by_head(w: NDArray[Any], heads: int) -> Parts:
    """GPT-NeoX and BLOOM: view(heads, 3, head_dim)."""
    by_head = w.reshape(heads, 3, -1, w.shape[1])
    return {part: by_head[:, i].reshape(-1, w.shape[1]) for i, part in enumerate("qkv")}


def group_by_group(w: NDArray[Any], groups: int, each: int) -> Parts:
    """Falcon and InternLM2: view(groups, heads / groups + 2, head_dim)."""
    by_group = w.reshape(groups, -1, each, w.shape[1])
    cut = {"q": by_group[:, :-2], "k": by_group[:, -2], "v": by_group[:, -1]}
    return {part: rows.reshape(-1, w.shape[1]) for part, rows in cut.items()}


LLAMA_SIZES = {"num_attention_heads": HEADS, "hidden_size": WIDTH}
QKV: dict[str, tuple[str, int, dict[str, object], Callable[[NDArray[Any]], Parts]]] = {
    "Phi-3": (
        "model.layers.1.self_attn.qkv_proj.weight",
        48,
        {"model_type": "phi3", "num_key_value_heads": 2, **LLAMA_SIZES},
        lambda w: one_after_another(w, 24, 12, 12),
    ),
    "Phi-3 with heads wider than they need be": (
        "model.layers.1.self_attn.qkv_proj.weight",
        64,
        {"model_type": "phi3", "num_key_value_heads": 2, "head_dim": 8, **LLAMA_SIZES},
        lambda w: one_after_another(w, 32, 16, 16),
    ),
    "MPT": (
        "transformer.blocks.1.attn.Wqkv.weight",
        72,
        {"model_type": "mpt", "n_heads": HEADS, "d_model": WIDTH},
        lambda w: one_after_another(w, 24, 24, 24),
    ),
    "DBRX": (
        "transformer.blocks.1.norm_attn_norm.attn.Wqkv.weight",
        48,
        {
            "model_type": "dbrx",
            "n_heads": HEADS,
            "d_model": WIDTH,
            "attn_config": {"kv_n_heads": 2},
        },
        lambda w: one_after_another(w, 24, 12, 12),
    ),
    "StarCoder": (
        "transformer.h.1.attn.c_attn.weight",
        36,
        {"model_type": "gpt_bigcode", "n_head": HEADS, "n_embd": WIDTH, "multi_query": True},
        lambda w: one_after_another(w, 24, 6, 6),
    ),
    "GPT-NeoX": (
        "gpt_neox.layers.1.attention.query_key_value.weight",
        72,
        {"model_type": "gpt_neox", **LLAMA_SIZES},
        lambda w: head_by_head(w, HEADS),
    ),
    "BLOOM": (
        "h.1.self_attention.query_key_value.weight",
        72,
        {"model_type": "bloom", "n_head": HEADS, "hidden_size": WIDTH},
        lambda w: head_by_head(w, HEADS),
    ),
    "Falcon 7B": (
        "transformer.h.1.self_attention.query_key_value.weight",
        36,
        {"model_type": "falcon", "multi_query": True, **LLAMA_SIZES},
        lambda w: group_by_group(w, 1, 6),
    ),
    "Falcon 7B without multi_query in its config": (
        "transformer.h.1.self_attention.query_key_value.weight",
        36,
        {"model_type": "falcon", **LLAMA_SIZES},
        lambda w: group_by_group(w, 1, 6),
    ),
    "Falcon 40B": (
        "transformer.h.1.self_attention.query_key_value.weight",
        48,
        {
            "model_type": "falcon",
            "new_decoder_architecture": True,
            "num_kv_heads": 2,
            **LLAMA_SIZES,
        },
        lambda w: group_by_group(w, 2, 6),
    ),
    "Falcon 40B as published first": (
        "transformer.h.1.self_attention.query_key_value.weight",
        48,
        {"model_type": "RefinedWeb", "n_head": HEADS, "n_head_kv": 2, "hidden_size": WIDTH},
        lambda w: group_by_group(w, 2, 6),
    ),
    "Falcon 7B as published first": (
        "transformer.h.1.self_attention.query_key_value.weight",
        36,
        {"model_type": "RefinedWebModel", "n_head": HEADS, "hidden_size": WIDTH},
        lambda w: group_by_group(w, 1, 6),
    ),
    "InternLM2": (
        "model.layers.1.attention.wqkv.weight",
        48,
        {"model_type": "internlm2", "num_key_value_heads": 2, **LLAMA_SIZES},
        lambda w: group_by_group(w, 2, 6),
    ),
    "ChatGLM": (
        "transformer.encoder.layers.1.self_attention.query_key_value.weight",
        48,
        {
            "model_type": "chatglm",
            "multi_query_attention": True,
            "multi_query_group_num": 2,
            "kv_channels": 6,
            **LLAMA_SIZES,
        },
        lambda w: one_after_another(w, 24, 12, 12),
    ),
}


@pytest.mark.parametrize("model", QKV)
def test_queries_keys_and_values(model: str, tmp_path: Path) -> None:
    name, rows, config, split = QKV[model]
    w = weight(rows)
    checkpoint = opened(tmp_path, of_array(name, "F32", w), config=config)
    assert list(checkpoint) == [f"{name}[{part}]" for part in "qkv"]
    assert checkpoint.notes == ()
    for part, truth in split(w).items():
        key = f"{name}[{part}]"
        np.testing.assert_array_equal(np.asarray(checkpoint[key]), truth)
        assert checkpoint.roles[key].role == part
        assert checkpoint.roles[key].layer == 1
        assert checkpoint.record_of(key)["nbytes"] == truth.nbytes
    row = record(checkpoint, name)
    assert (row["status"], row["role"]) == ("matrix", "qkv")
    assert row["view"] == "split into q, k, v"
    with pytest.raises(KeyError, match="split into q, k, v"):
        checkpoint[name]


def test_columns_of_gpt2(tmp_path: Path) -> None:
    name = "h.0.attn.c_attn.weight"
    w = weight(WIDTH, 72)
    config = {"model_type": "gpt2", "n_head": HEADS, "n_embd": WIDTH}
    checkpoint = opened(tmp_path, of_array(name, "F32", w), config=config)
    for part, truth in zip("qkv", np.split(w, 3, axis=1), strict=True):
        np.testing.assert_array_equal(np.asarray(checkpoint[f"{name}[{part}]"]), truth)


def test_a_tower_has_its_own_sizes(tmp_path: Path) -> None:
    name = "visual.blocks.0.attn.qkv.weight"
    w = weight(36, 12)
    vision = {"model_type": "qwen2_5_vl", "num_heads": 2, "hidden_size": 12}
    config = {"model_type": "qwen2_5_vl", "vision_config": vision, **LLAMA_SIZES}
    checkpoint = opened(tmp_path, of_array(name, "F32", w), config=config)
    for part, truth in zip("qkv", np.split(w, 3), strict=True):
        np.testing.assert_array_equal(np.asarray(checkpoint[f"{name}[{part}]"]), truth)
        assert checkpoint.roles[f"{name}[{part}]"].tower == "vision"


def test_scaled_weights_keep_their_scales(tmp_path: Path) -> None:
    name = "model.layers.0.self_attn.qkv_proj.weight"
    rng = np.random.default_rng(1)
    codes = rng.standard_normal((48, WIDTH)).astype(ml_dtypes.float8_e4m3fn)
    scales = np.exp2(rng.integers(-3, 3, (4, 2))).astype(np.float32)
    truth = codes.astype(np.float32) * scales.repeat(14, 0).repeat(14, 1)[:48, :WIDTH]
    config = {
        "model_type": "phi3",
        "num_key_value_heads": 2,
        "quantization_config": {"weight_block_size": [14, 14]},
        **LLAMA_SIZES,
    }
    tensors = of_array(name, "F8_E4M3", codes), of_array(f"{name}_scale_inv", "F32", scales)
    checkpoint = opened(tmp_path, *tensors, config=config)
    for part, rows in one_after_another(truth, 24, 12, 12).items():
        np.testing.assert_array_equal(np.asarray(checkpoint[f"{name}[{part}]"]), rows)


# ---------------------------------------------------------------------------- gate and up

SIZES = {"hidden_size": WIDTH, "intermediate_size": 10}
UP = "model.layers.0.mlp.gate_up_proj.weight"
EXPERTS = "model.layers.0.feed_forward.experts.gate_up_proj"


@pytest.mark.parametrize("model", ["phi3", "glm4", "granite"])
def test_halves_of_a_layer(model: str, tmp_path: Path) -> None:
    w = weight(20)
    config = {"model_type": model, **SIZES}
    checkpoint = opened(tmp_path, of_array(UP, "F32", w), config=config)
    assert list(checkpoint) == [f"{UP}[gate]", f"{UP}[up]"]
    np.testing.assert_array_equal(np.asarray(checkpoint[f"{UP}[gate]"]), w[:10])
    np.testing.assert_array_equal(np.asarray(checkpoint[f"{UP}[up]"]), w[10:])


@pytest.mark.parametrize("inner", [10, WIDTH // 2])  # the latter makes it square
def test_stacks_keep_outputs_as_columns(inner: int, tmp_path: Path) -> None:
    w = np.random.default_rng(2).standard_normal((3, WIDTH, 2 * inner)).astype(np.float32)
    config = {
        "model_type": "llama4",
        "text_config": {
            "model_type": "llama4_text",
            "hidden_size": WIDTH,
            "intermediate_size": inner,
        },
    }
    checkpoint = opened(tmp_path, of_array(EXPERTS, "F32", w), config=config)
    for expert in range(3):
        for part, cut in (("gate", np.s_[:inner]), ("up", np.s_[inner:])):
            key = f"{EXPERTS}[{expert}][{part}]"
            np.testing.assert_array_equal(np.asarray(checkpoint[key]), w[expert][:, cut])
            assert checkpoint.roles[key].role == part
            assert checkpoint.roles[key].expert == expert


def test_gpt_oss_alternates_by_column(tmp_path: Path) -> None:
    """In bf16: gate_up[..., ::2] and gate_up[..., 1::2]."""
    w = np.random.default_rng(3).standard_normal((2, WIDTH, 20)).astype(ml_dtypes.bfloat16)
    config = {"model_type": "gpt_oss", **SIZES}
    name = "model.layers.0.mlp.experts.gate_up_proj"
    checkpoint = opened(tmp_path, of_array(name, "BF16", w), config=config)
    for expert in (0, 1):
        for first, part in enumerate(("gate", "up")):
            a = checkpoint[f"{name}[{expert}][{part}]"]
            truth = w[expert][:, first::2].astype(np.float32)
            np.testing.assert_array_equal(np.asarray(a), truth)
            np.testing.assert_array_equal(np.asarray(a.T[3:]), truth.T[3:])


# ---------------------------------------------------------------------------- left whole

NEOX = "gpt_neox.layers.0.attention.query_key_value.weight"


@pytest.mark.parametrize(
    ("name", "rows", "config", "why"),
    [
        (NEOX, 72, None, "there is no config.json that says how it is split"),
        (NEOX, 72, {"model_type": "codegen", **LLAMA_SIZES}, "model_type 'codegen' is unknown"),
        (NEOX, 72, {"model_type": 3, **LLAMA_SIZES}, "model_type 3 is unknown"),
        (NEOX, 72, {"model_type": "gpt_neox", "hidden_size": WIDTH}, "gives no number of heads"),
        (NEOX, 70, {"model_type": "gpt_neox", **LLAMA_SIZES}, "4 + 2 x 4 heads of 6 by config"),
        (UP, 20, {"model_type": "phi3"}, "twice an intermediate size"),
        (UP, 22, {"model_type": "phi3", **SIZES}, "does not fit [22, 24]"),
    ],
)
def test_what_is_not_told_stays_whole_with_a_note(
    name: str, rows: int, config: object, why: str, tmp_path: Path
) -> None:
    w = weight(rows)
    checkpoint = opened(tmp_path, of_array(name, "F32", w), config=config)
    assert list(checkpoint) == [name]
    (note,) = checkpoint.notes
    assert note.startswith(f"fused weights read whole: {name}: ")
    assert why in note
    np.testing.assert_array_equal(np.asarray(checkpoint[name]), w)


def test_one_note_for_all_of_a_kind(tmp_path: Path) -> None:
    names = [f"gpt_neox.layers.{i}.attention.query_key_value.weight" for i in range(3)]
    checkpoint = opened(tmp_path, *(Stored(name, "F32", (72, WIDTH)) for name in names))
    assert checkpoint.notes == (
        f"fused weights read whole: {names[0]} and 2 more: there is no config.json that says how "
        "it is split",
    )


def test_whole_on_request_and_pickled_as_it_was_opened(tmp_path: Path) -> None:
    name, rows, config, _ = QKV["GPT-NeoX"]
    w = weight(rows)
    split = opened(tmp_path, of_array(name, "F32", w), config=config)
    checkpoint = open_checkpoint(tmp_path, split_fused=False)
    assert list(checkpoint) == [name]
    assert checkpoint.notes == ()
    np.testing.assert_array_equal(np.asarray(checkpoint[name]), w)
    for original in (split, checkpoint):
        again = pickle.loads(pickle.dumps(original))
        assert list(again) == list(original)
        assert again.info() == original.info()


def test_vectors_and_scales_are_not_split(tmp_path: Path) -> None:
    _, _, config, _ = QKV["GPT-NeoX"]
    bias = "gpt_neox.layers.0.attention.query_key_value.bias"
    checkpoint = opened(tmp_path, Stored(bias, "F32", (72,)), config=config)
    assert list(checkpoint) == []
    assert checkpoint.notes == ()
    assert record(checkpoint, bias)["status"] == "vector"
