# SPDX-License-Identifier: BSD-3-Clause
"""What a tensor does in its model, read from its name alone.

Names differ between families, the parts do not: `model.layers.3.mlp.gate_proj.weight` and
`layers.3.feed_forward.w1.weight` are the same place. The tables below are the whole knowledge;
a name that none of them covers keeps the role "other", and nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Role:
    """The place of a tensor in a model.

    Attributes
    ----------
    layer : int or None
        Number of its block within its tower, counted from 0.
    role : str
        "q", "k", "v", "qkv", "o", "gate", "up", "gate_up", "down", "router", "embed", "unembed"
        and so on; parts other than the weight follow after a dot ("q.bias"); "other" if unknown.
    tower : str
        "text", "vision", "audio", "projector", "encoder", "decoder" or "mtp".
    expert : int or None
        Number of its expert, or of the slice in a stacked tensor.
    """

    layer: int | None
    role: str
    tower: str
    expert: int | None


# First match wins: a projector often lives below its vision tower.
_TOWERS = (
    (r"visual\.(?:merger|deepstack_merger_list)\.", "projector"),
    (r"(?:multi_?modal_projector|mm_projector|patch_merger|mlp1|connector)\.", "projector"),
    (r"(?:vision_tower|vision_model|visual|vision_encoder|image_encoder|vit)\.", "vision"),
    (r"(?:audio_tower|audio_model|audio_encoder|speech_encoder)\.", "audio"),
    (r"mtp\.", "mtp"),
    (r"text_model\.", "text"),
    (r"encoder\.(?!layer\.)", "encoder"),  # BERT's encoder.layer is the whole model
    (r"decoder\.", "decoder"),
)

# Wrappers that say nothing about the place.
_WRAPPERS = re.compile(
    r"^(?:(?:module|base_model|model|language_model|transformer|gpt_neox|backbone)\.)+"
)

_LAYER = re.compile(
    r"(?:^|\.)(?:layers|layer|h|blocks|block|resblocks|deepstack_merger_list)\.(\d{1,6})\."
)

_EXPERT = re.compile(r"(?:^|\.)experts\.(\d{1,6})\.")

# Same modules, other place: the role gets a prefix.
_PREFIXES = (
    (r"(?:EncDecAttention|encoder_attn|cross_attn|crossattention)\.", "cross_"),
    (r"(?:shared_experts?|shared_mlp)\.", "shared_"),
    (r"linear_attn\.", "linear_"),
    (r"indexer\.", "indexer_"),
)

_ATTENTION = r"(?:self|\w*attn|\w*[aA]ttention)"

# (end of the module name, role), first match wins.
_MODULES = (
    # embeddings and head
    (r"embed_tokens|wte|tok_embeddings|embed_in|word_embeddings?|^shared|token_embedding", "embed"),
    (r"wpe|embed_positions?|position_embeddings?|pos_embed|position(?:al)?_embedding", "positions"),
    (r"relative_attention_bias", "relative_positions"),
    (r"token_type_embeddings", "token_types"),
    (r"class_embedding|cls_token", "class_token"),
    (r"patch_embed(?:ding)?(?:\.proj)?|patch_conv|patch_embeddings\.projection", "patches"),
    (r"lm_head|embed_out|^output", "unembed"),
    (r"pooler\.dense", "pooler"),
    # normalisation
    (r"q_norm|q_layernorm|query_layernorm", "q_norm"),
    (r"k_norm|k_layernorm|key_layernorm", "k_norm"),
    (r"q_a_layernorm", "q_a_norm"),
    (r"kv_a_layernorm", "kv_a_norm"),
    (r"embeddings\.LayerNorm|word_embeddings_layernorm", "embed_norm"),
    (r"input_layernorm|attention_norm|ln_1|layer_norm1|norm1|layernorm_before", "attention_norm"),
    (r"attention\.output\.LayerNorm|self_attn_layer_norm|layer\.0\.layer_norm", "attention_norm"),
    (r"encoder_attn_layer_norm|decoder\.block\.#\.layer\.1\.layer_norm", "cross_attention_norm"),
    (r"pre_feedforward_layernorm|ffn_norm|ln_2|layer_norm2|norm2|layernorm_after", "mlp_norm"),
    (r"output\.LayerNorm|layers\.#\.final_layer_norm|layer\.[12]\.layer_norm", "mlp_norm"),
    (r"post_attention_layernorm", "post_attention_norm"),
    (r"post_feedforward_layernorm", "post_mlp_norm"),
    (r"^norm|ln_f|final_layer_?norm|post_layernorm|^(?:en|de)coder\.layer_norm", "final_norm"),
    # state-space mixers
    (r"mixer\.in_proj", "ssm_in"),
    (r"mixer\.x_proj", "ssm_x"),
    (r"mixer\.dt_proj", "ssm_dt"),
    (r"mixer\.out_proj", "ssm_out"),
    (r"conv1d", "conv"),
    # attention
    (r"qkv_proj|query_key_value|[Ww]qkv|c_attn|in_proj_qkv", "qkv"),
    (rf"{_ATTENTION}\.(?:qkv|in_proj)", "qkv"),
    (r"q_a_proj|wq_a", "q_a"),
    (r"q_b_proj|wq_b", "q_b"),
    (r"kv_a_proj_with_mqa|wkv_a", "kv_a"),
    (r"kv_b_proj|wkv_b", "kv_b"),
    (rf"q_proj|wq|{_ATTENTION}\.(?:q|query)", "q"),
    (rf"k_proj|wk|{_ATTENTION}\.(?:k|key)", "k"),
    (rf"v_proj|wv|{_ATTENTION}\.(?:v|value)", "v"),
    (r"in_proj_qkvz", "qkvz"),
    (r"in_proj_ba", "ba"),
    (r"in_proj_z", "z"),
    (r"in_proj_a", "a"),
    (r"in_proj_b", "b"),
    (rf"o_proj|out_proj|{_ATTENTION}\.(?:o|wo|dense|output\.dense|c_proj|proj)", "o"),
    (rf"{_ATTENTION}\.sinks", "sinks"),
    (r"weights_proj", "weights"),
    # router and experts, gated and plain MLP
    (r"mlp\.gate|block_sparse_moe\.gate|ffn\.gate|(?:mlp|feed_forward)\.router", "router"),
    (r"shared_expert_gate", "shared_router"),
    (r"gate_up_proj", "gate_up"),
    (r"gate_proj|w1|DenseReluDense\.wi_0", "gate"),
    (r"up_proj|w3|DenseReluDense\.wi(?:_1)?|c_fc|dense_h_to_4h|intermediate\.dense", "up"),
    (r"fc1|linear_fc1|fc_in", "up"),
    (r"down_proj|w2|DenseReluDense\.wo|mlp\.c_proj|dense_4h_to_h|output\.dense", "down"),
    (r"fc2|linear_fc2|fc_out", "down"),
    # between towers
    (r"linear_1|mm_input_projection|modality_projection\.proj", "project_in"),
    (r"merger\.mlp\.0|mlp1\.1|mm_projector\.0", "project_in"),
    (r"linear_2|merger\.mlp\.2|mlp1\.3|mm_projector\.2", "project_out"),
    (r"merging_layer", "merge"),
    (r"ln_q|pre_norm|merger\.norm|mlp1\.0|mm_soft_emb_norm", "projector_norm"),
)

# What may follow a module: its parameters, also those of quantised and adapted layers.
_PART = (
    r"(?:[._](?P<part>weight|bias|blocks|scales?|scale_inv|weight_scale(?:_inv|_2)?|input_scale"
    r"|scale_weight|qweight|qzeros|g_idx|weight_(?:packed|shape|zero_point)|weight\.[\w.]+|SCB"
    r"|lora_[AB](?:\.\w+)?\.weight|base_layer\.weight|e_score_correction_bias))?"
)

_RULES = tuple((re.compile(rf"(?:^|\.)(?:{ends}){_PART}$"), role) for ends, role in _MODULES)


def role_of(name: str) -> Role:
    """Return the role of one tensor name; "other" where the tables know no answer.

    Parameters
    ----------
    name : str
        A tensor name as stored, with any prefix of the model it was saved from.
    """
    name = _WRAPPERS.sub("", name)
    layer, name = _cut_number(_LAYER, name)
    expert, name = _cut_number(_EXPERT, name)
    role, tower = _module(name)
    return Role(layer, role, tower, expert)


def _cut_number(pattern: re.Pattern[str], name: str) -> tuple[int | None, str]:
    """Return the number a pattern finds in a name, and the name without it."""
    match = pattern.search(name)
    if match is None:
        return None, name
    return int(match[1]), f"{name[: match.start(1)]}#{name[match.end(1) :]}"


@lru_cache(maxsize=4096)
def _module(name: str) -> tuple[str, str]:
    """Role and tower of a name without its numbers: a large model has only some dozens of them."""
    tower = next((t for start, t in _TOWERS if re.search(rf"(?:^|\.){start}", name)), "text")
    prefix = "".join(p for inside, p in _PREFIXES if re.search(rf"(?:^|\.){inside}", name))
    for rule, role in _RULES:
        if match := rule.search(name):
            part = match["part"] or "weight"
            return prefix + role + ("" if part == "weight" else f".{part}"), tower
    return "other", tower


def roles_of(names: Iterable[str]) -> dict[str, Role]:
    """Return the roles of all names of one checkpoint.

    Two tensors cannot hold one place: where the tables give several names the same role (as in
    models whose blocks are numbered in two levels), all of these become "other".
    """
    roles = {name: role_of(name) for name in names}
    counts: dict[Role, int] = {}
    for role in roles.values():
        counts[role] = counts.get(role, 0) + 1
    return {
        name: role if counts[role] == 1 else replace(role, role="other")
        for name, role in roles.items()
    }
