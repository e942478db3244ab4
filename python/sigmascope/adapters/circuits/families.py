# SPDX-License-Identifier: BSD-3-Clause
"""Facts about the attention of model families that tensors do not show.

The facts follow the models' code in Transformers: whether a norm stands before attention, whether
its gain is the stored number or 1 plus it, whether positions rotate q and k, and the factor of the
logits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sigmascope.checkpoint.formats.gguf_metadata import MODEL_TYPE
from sigmascope.checkpoint.formats.jsontext import Members

#: Models in which the `attention_norm` of a layer normalises the input of q, k and v.
_NORM_FIRST = (
    "llama llama4_text mistral mistral3 ministral mixtral qwen2 qwen2_moe qwen2_vl qwen2_5_vl "
    "qwen2_5_vl_text qwen2_vl_text qwen3 qwen3_moe qwen3_vl_text qwen3_next phi phi3 phimoe phi4mm "
    "phi4_multimodal gemma gemma2 gemma3 gemma3_text gemma3n_text recurrent_gemma deepseek "
    "deepseek_v2 deepseek_v3 granite granitemoe internlm2 internlm3 baichuan minicpm smollm3 "
    "gpt_oss olmo olmoe ernie4_5 ernie4_5_moe glm glm4 glm4_moe chatglm helium seed_oss exaone "
    "arcee cohere cohere2 stablelm starcoder2 nemotron gpt2 gpt_neo gptj gpt_neox "
    "gpt_neox_japanese gpt_bigcode codegen falcon refinedweb refinedwebmodel bloom opt mpt dbrx "
    "persimmon qwen modernbert t5 mt5 umt5 vit deit dinov2 clip clip_vision_model siglip "
    "siglip_vision_model whisper gptneox deepseek2 command-r phi2 qwen2moe qwen3moe starcoder"
)
_ONE_PLUS = "gemma gemma2 gemma3 gemma3_text recurrent_gemma qwen3_next nemotron"
_WITHOUT_ROTARY = (
    "gpt2 openai-gpt gpt_neo gpt_bigcode bloom opt mpt bert roberta distilbert albert electra "
    "deberta t5 mt5 umt5 bart mbart marian whisper vit deit beit dinov2 clip clip_vision_model "
    "siglip siglip_vision_model wav2vec2 hubert wavlm starcoder"
)
_WITHOUT_SCALE = "gpt_neo t5 mt5 umt5"
_RESCALED = ("yarn", "longrope", "su")


def family_of(settings: Mapping[str, Any]) -> str:
    """Return the model_type without the prefix of GGUF; empty if there is none."""
    named = settings.get("model_type")
    return named.lower().removeprefix(MODEL_TYPE) if isinstance(named, str) else ""


def normalises_first(settings: Mapping[str, Any]) -> bool:
    """Return whether the attention norm is known to stand before q, k and v."""
    if settings.get("do_layer_norm_before") is False:  # the OPT of 350 million parameters
        return False
    return family_of(settings) in _NORM_FIRST.split()


def gain_offset(settings: Mapping[str, Any]) -> float:
    """Return what is added to the stored gains of norms: 1 in Gemma, except in GGUF files."""
    named = settings.get("model_type")
    return 1.0 if isinstance(named, str) and named.lower() in _ONE_PLUS.split() else 0.0


def rotates(settings: Mapping[str, Any]) -> bool:
    """Return whether a rotary embedding may turn q and k."""
    alibi = settings.get("alibi") is True and family_of(settings) in ("falcon", "refinedwebmodel")
    return not alibi and family_of(settings) not in _WITHOUT_ROTARY.split()


def logit_scale(settings: Mapping[str, Any], width: int) -> float | str:
    """Return the factor of q^T k in a logit, or the reason why it is not known."""
    for key in ("rope_scaling", "rope_parameters"):
        scaling: Any = settings.get(key)
        given = dict(scaling) if isinstance(scaling, Members | Mapping) else {}
        kind = given.get("rope_type", given.get("type"))
        if kind in _RESCALED:
            return f"the rotary scaling {kind!r} multiplies the logits by a factor of its own"
    if family_of(settings) in _WITHOUT_SCALE.split():
        return 1.0
    multiplier = settings.get("attention_multiplier")
    if isinstance(multiplier, int | float) and not isinstance(multiplier, bool):
        return float(multiplier)
    scalar = settings.get("query_pre_attn_scalar")
    known = isinstance(scalar, int | float) and scalar > 0
    return 1 / math.sqrt(scalar if known else width)  # type: ignore[arg-type]
