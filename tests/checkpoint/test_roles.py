# SPDX-License-Identifier: BSD-3-Clause
"""Roles from names: one table of real names per family, and what must never be guessed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.roles import roles_in_model

from sigmascope.checkpoint.naming.roles import Role, role_of

# Below the name of its family: name, layer, role, tower, expert.
NAMES = """
# llama
model.embed_tokens.weight                                  -  embed                text      -
model.layers.3.self_attn.q_proj.weight                     3  q                    text      -
model.layers.3.self_attn.k_proj.weight                     3  k                    text      -
model.layers.3.self_attn.v_proj.weight                     3  v                    text      -
model.layers.3.self_attn.o_proj.weight                     3  o                    text      -
model.layers.31.mlp.gate_proj.weight                       31 gate                 text      -
model.layers.31.mlp.up_proj.weight                         31 up                   text      -
model.layers.31.mlp.down_proj.weight                       31 down                 text      -
model.layers.0.input_layernorm.weight                      0  attention_norm       text      -
model.layers.0.post_attention_layernorm.weight             0  post_attention_norm  text      -
model.norm.weight                                          -  final_norm           text      -
lm_head.weight                                             -  unembed              text      -
# llama4
language_model.model.layers.1.feed_forward.router.weight   1  router               text      -
language_model.model.layers.1.feed_forward.experts.gate_up_proj 1  gate_up              text      -
language_model.model.layers.1.feed_forward.shared_expert.up_proj.weight 1 shared_up text -
# mistral
tok_embeddings.weight                                      -  embed                text      -
layers.5.attention.wq.weight                               5  q                    text      -
layers.5.attention.wo.weight                               5  o                    text      -
layers.5.feed_forward.w1.weight                            5  gate                 text      -
layers.5.feed_forward.w2.weight                            5  down                 text      -
layers.5.feed_forward.w3.weight                            5  up                   text      -
layers.5.attention_norm.weight                             5  attention_norm       text      -
layers.5.ffn_norm.weight                                   5  mlp_norm             text      -
output.weight                                              -  unembed              text      -
# mixtral
model.layers.2.block_sparse_moe.gate.weight                2  router               text      -
model.layers.2.block_sparse_moe.experts.7.w1.weight        2  gate                 text      7
model.layers.2.block_sparse_moe.experts.7.w2.weight        2  down                 text      7
model.layers.2.block_sparse_moe.experts.7.w3.weight        2  up                   text      7
# qwen2
model.layers.0.self_attn.q_proj.bias                       0  q.bias               text      -
model.layers.0.mlp.shared_expert.gate_proj.weight          0  shared_gate          text      -
model.layers.0.mlp.shared_expert_gate.weight               0  shared_router        text      -
# qwen3
model.layers.0.self_attn.q_norm.weight                     0  q_norm               text      -
model.layers.0.mlp.gate.weight                             0  router               text      -
model.layers.0.mlp.experts.127.gate_proj.weight            0  gate                 text      127
# qwen3-next
model.layers.0.linear_attn.in_proj_qkvz.weight             0  linear_qkvz          text      -
model.layers.0.linear_attn.out_proj.weight                 0  linear_o             text      -
mtp.layers.0.self_attn.q_proj.weight                       0  q                    mtp       -
# gemma
model.layers.0.pre_feedforward_layernorm.weight            0  mlp_norm             text      -
model.layers.0.post_feedforward_layernorm.weight           0  post_mlp_norm        text      -
# phi
model.layers.0.self_attn.qkv_proj.weight                   0  qkv                  text      -
model.layers.0.mlp.gate_up_proj.weight                     0  gate_up              text      -
model.layers.0.self_attn.dense.weight                      0  o                    text      -
model.layers.0.mlp.fc1.weight                              0  up                   text      -
model.layers.0.mlp.fc2.weight                              0  down                 text      -
# deepseek
model.layers.4.self_attn.q_a_proj.weight                   4  q_a                  text      -
model.layers.4.self_attn.q_b_proj.weight                   4  q_b                  text      -
model.layers.4.self_attn.kv_a_proj_with_mqa.weight         4  kv_a                 text      -
model.layers.4.self_attn.kv_b_proj.weight                  4  kv_b                 text      -
model.layers.4.self_attn.kv_a_layernorm.weight             4  kv_a_norm            text      -
model.layers.4.mlp.gate.e_score_correction_bias 4 router.e_score_correction_bias text -
model.layers.4.mlp.shared_experts.down_proj.weight         4  shared_down          text      -
model.layers.4.mlp.experts.17.down_proj.weight             4  down                 text      17
model.layers.4.mlp.experts.17.down_proj.weight_scale_inv   4  down.scale           text      17
# gpt-oss
model.layers.4.mlp.router.weight                           4  router               text      -
model.layers.4.mlp.experts.gate_up_proj                    4  gate_up              text      -
model.layers.4.mlp.experts.down_proj_bias                  4  down.bias            text      -
model.layers.4.self_attn.sinks                             4  sinks                text      -
# gpt2
wte.weight                                                 -  embed                text      -
transformer.wpe.weight                                     -  positions            text      -
h.11.attn.c_attn.weight                                    11 qkv                  text      -
transformer.h.11.attn.c_proj.weight                        11 o                    text      -
h.11.mlp.c_fc.weight                                       11 up                   text      -
h.11.mlp.c_proj.weight                                     11 down                 text      -
h.11.ln_2.bias                                             11 mlp_norm.bias        text      -
ln_f.weight                                                -  final_norm           text      -
# neox
gpt_neox.embed_in.weight                                   -  embed                text      -
gpt_neox.layers.0.attention.query_key_value.weight         0  qkv                  text      -
gpt_neox.layers.0.attention.dense.weight                   0  o                    text      -
gpt_neox.layers.0.mlp.dense_h_to_4h.weight                 0  up                   text      -
gpt_neox.layers.0.mlp.dense_4h_to_h.weight                 0  down                 text      -
embed_out.weight                                           -  unembed              text      -
# minilm
embeddings.word_embeddings.weight                          -  embed                text      -
embeddings.position_embeddings.weight                      -  positions            text      -
embeddings.token_type_embeddings.weight                    -  token_types          text      -
embeddings.LayerNorm.weight                                -  embed_norm           text      -
encoder.layer.5.attention.self.query.weight                5  q                    text      -
encoder.layer.5.attention.self.key.bias                    5  k.bias               text      -
encoder.layer.5.attention.self.value.weight                5  v                    text      -
encoder.layer.5.attention.output.dense.weight              5  o                    text      -
encoder.layer.5.attention.output.LayerNorm.weight          5  attention_norm       text      -
encoder.layer.5.intermediate.dense.weight                  5  up                   text      -
encoder.layer.5.output.dense.weight                        5  down                 text      -
encoder.layer.5.output.LayerNorm.weight                    5  mlp_norm             text      -
pooler.dense.weight                                        -  pooler               text      -
# bert
bert.encoder.layer.5.attention.self.query.weight           5  q                    text      -
# t5
shared.weight                                              -  embed                text      -
encoder.embed_tokens.weight                                -  embed                encoder   -
encoder.block.3.layer.0.SelfAttention.q.weight             3  q                    encoder   -
encoder.block.3.layer.0.layer_norm.weight                  3  attention_norm       encoder   -
encoder.block.3.layer.1.layer_norm.weight                  3  mlp_norm             encoder   -
encoder.block.3.layer.1.DenseReluDense.wi.weight           3  up                   encoder   -
decoder.block.3.layer.1.EncDecAttention.o.weight           3  cross_o              decoder   -
decoder.block.3.layer.1.layer_norm.weight                  3  cross_attention_norm decoder   -
decoder.block.3.layer.2.DenseReluDense.wi_0.weight         3  gate                 decoder   -
decoder.block.3.layer.2.DenseReluDense.wi_1.weight         3  up                   decoder   -
decoder.block.3.layer.2.DenseReluDense.wo.weight           3  down                 decoder   -
decoder.final_layer_norm.weight                            -  final_norm           decoder   -
# whisper
model.decoder.layers.0.encoder_attn.k_proj.weight          0  cross_k              decoder   -
model.decoder.layers.0.final_layer_norm.weight             0  mlp_norm             decoder   -
# mamba
backbone.layers.0.mixer.in_proj.weight                     0  ssm_in               text      -
backbone.layers.0.mixer.conv1d.weight                      0  conv                 text      -
# qwen-vl
visual.patch_embed.proj.weight                             -  patches              vision    -
visual.blocks.3.attn.qkv.weight                            3  qkv                  vision    -
model.visual.blocks.3.attn.proj.bias                       3  o.bias               vision    -
model.visual.blocks.3.mlp.linear_fc2.weight                3  down                 vision    -
visual.merger.mlp.0.weight                                 -  project_in           projector -
visual.merger.mlp.2.weight                                 -  project_out          projector -
model.visual.deepstack_merger_list.1.linear_fc1.weight     1  up                   projector -
# llava
vision_tower.vision_model.encoder.layers.3.self_attn.out_proj.weight 3 o vision -
vision_tower.vision_model.encoder.layers.3.mlp.fc1.weight  3  up                   vision    -
multi_modal_projector.linear_1.weight                      -  project_in           projector -
multi_modal_projector.linear_2.bias                        -  project_out.bias     projector -
# gemma3
multi_modal_projector.mm_input_projection_weight           -  project_in           projector -
# pixtral
vision_tower.transformer.layers.2.feed_forward.gate_proj.weight 2  gate                 vision    -
# internvl
vision_model.encoder.layers.0.attn.qkv.weight              0  qkv                  vision    -
mlp1.1.weight                                              -  project_in           projector -
mlp1.3.weight                                              -  project_out          projector -
# clip
text_model.encoder.layers.0.self_attn.q_proj.weight        0  q                    text      -
# peft
base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight 0  q.lora_A.weight      text      -
# gpt-oss in MXFP4
model.layers.4.mlp.experts.gate_up_proj_blocks             4  gate_up              text      -
model.layers.4.mlp.experts.gate_up_proj_scales             4  gate_up.scale        text      -
# gptq
model.layers.0.self_attn.q_proj.qweight                    0  q                    text      -
# bnb
model.layers.0.mlp.up_proj.weight.absmax                   0  up.scale             text      -
"""

FAMILIES = {
    family: [line.split() for line in lines]
    for family, *lines in (text.splitlines() for text in NAMES.strip("#\n ").split("\n# "))
}
ROWS = [row for rows in FAMILIES.values() for row in rows]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_role_of_real_names(row: list[str]) -> None:
    name, layer, role, tower, expert = row
    numbers = [None if text == "-" else int(text) for text in (layer, expert)]
    assert role_of(name) == Role(numbers[0], role, tower, numbers[1])


@pytest.mark.parametrize(
    "prefix",
    ["layers.", "model.layers.", "model.language_model.layers.", "language_model.model.layers."],
)
def test_language_model_is_the_same_under_every_prefix(prefix: str) -> None:
    assert role_of(prefix + "7.mlp.up_proj.weight") == Role(7, "up", "text", None)


@pytest.mark.parametrize(
    "name",
    [
        "foo.bar",
        "",
        "weight",
        "model.layers.0.self_attn.rotary_emb.inv_freq",
        "model.layers.0.mlp.unheard_of.weight",
        "blocks.0.att.key.weight",  # RWKV: a key, but of no softmax attention
        "model.layers.0.my_q_proj_adapter.weight",
        "h.0.attn.bias",  # a mask, not the bias of anything
    ],
)
def test_unknown_names_are_not_guessed(name: str) -> None:
    assert role_of(name).role == "other"


def test_layer_is_kept_for_unknown_names() -> None:
    assert role_of("model.layers.12.mlp.unheard_of.weight") == Role(12, "other", "", None)


def test_two_names_of_one_role_become_other() -> None:
    # Swin numbers its blocks within stages: the tables would call both layer 0.
    names = [f"layers.0.blocks.{i}.attn.qkv.weight" for i in range(2)]
    roles = roles_in_model([*names, "lm_head.weight"])
    assert [roles[name].role for name in names] == ["other", "other"]
    assert roles["lm_head.weight"].role == "unembed"


def test_names_of_one_model_have_distinct_roles() -> None:
    for rows in FAMILIES.values():
        assert all(role.role != "other" for role in roles_in_model(row[0] for row in rows).values())


@given(st.text(max_size=60) | st.text(".0123layersmpqkv_weight", max_size=60))
def test_any_text_has_a_role(name: str) -> None:
    assert role_of(name).role


def test_towers_without_names() -> None:
    """A model of sound has no text, unless the role of a tensor says so."""
    names = ["stft.basis", "encoder.0.conv.weight", "decoder.rnn.weight"]
    towers = {name: role.tower for name, role in roles_in_model(names).items()}
    assert towers == dict(zip(names, ("", "encoder", "decoder"), strict=True))
    named = roles_in_model([*names, "model.layers.0.mlp.up_proj.weight"])
    assert named["stft.basis"].tower == "text"
    assert [role_of(name).tower for name in (names[0], "text_model.x", "lm_head.weight")] == [
        "",
        "text",
        "text",
    ]
