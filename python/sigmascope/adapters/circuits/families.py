# SPDX-License-Identifier: BSD-3-Clause
"""Facts about the attention of model families that tensors do not show.

The facts follow the models' code in Transformers: whether a norm stands before attention, whether
its gain is the stored number or 1 plus it, whether positions rotate q and k, and the factor of the
logits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
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
    "siglip_vision_model whisper gptneox deepseek2 command-r phi2 qwen2moe qwen3moe starcoder "
    "glm4v_text qwen3_vl_moe_text clip_text_model siglip_text_model siglip2_text_model "
    "siglip2_vision_model"
)
_ONE_PLUS = "gemma gemma2 gemma3 gemma3_text recurrent_gemma qwen3_next nemotron"
#: Other models with a rotary embedding.
_ROTATED = "olmo2 olmo3"
_WITHOUT_ROTARY = (
    "gpt2 openai-gpt gpt_neo gpt_bigcode bloom opt mpt bert roberta distilbert albert electra "
    "deberta t5 mt5 umt5 bart mbart marian whisper vit deit beit dinov2 clip clip_vision_model "
    "siglip siglip_vision_model wav2vec2 hubert wavlm starcoder clip_text_model "
    "siglip_text_model siglip2_text_model siglip2_vision_model"
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


def rotates(settings: Mapping[str, Any], layer: int | None = None) -> bool | None:
    """Return whether a rotary embedding turns q and k; None if the family is unknown.

    Some layers of SmolLM 3 and Command R7B have no positions.
    """
    family = family_of(settings)
    alibi = settings.get("alibi") is True and family in ("falcon", "refinedwebmodel")
    if alibi or family in _WITHOUT_ROTARY.split():
        return False
    rotated, kinds = (settings.get(key) for key in ("no_rope_layers", "layer_types"))
    if family == "smollm3" and _at(rotated, layer) == 0:
        return False
    if family == "cohere2" and _at(kinds, layer) == "full_attention":
        return False
    return True if family in (*_NORM_FIRST.split(), *_ROTATED.split()) else None


def logit_scale(settings: Mapping[str, Any], width: int) -> float | str:
    """Return the factor of q^T k in a logit, or the reason why it is not known."""
    family = family_of(settings)
    for kind in _rotary_scalings(settings):
        if kind in _RESCALED:
            return f"the rotary scaling {kind!r} multiplies the logits by a factor of its own"
    if family in ("gemma2", "gemma3") and "rope_permuted" in settings:
        return "a GGUF file of this family does not state the factor"
    if family.startswith("llama4"):
        return "q and k are normalised without gains in some layers"
    if family in _WITHOUT_SCALE.split() or settings.get("scale_attn_weights") is False:
        return 1.0
    default = 1.0 if family.startswith("granite") else None
    multiplier = number(settings.get("attention_multiplier"), default)
    multiplier = number(members(settings.get("attn_config")).get("softmax_scale"), multiplier)
    if multiplier is not None:
        return multiplier
    usual = 256 if family in ("gemma2", "gemma3", "gemma3_text") else width
    scalar = number(settings.get("query_pre_attn_scalar"), None)
    return 1 / math.sqrt(scalar or usual)


def _rotary_scalings(settings: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the kinds of rotary scaling, of which layers of several types have several."""
    yield settings.get("rope_scaling_type")
    for key in ("rope_scaling", "rope_parameters"):
        scaling = members(settings.get(key))
        for each in (scaling, *map(members, scaling.values())):
            yield each.get("rope_type", each.get("type"))


def _at(values: Any, layer: int | None) -> Any:
    """Return the value of a layer; None if the settings do not give it."""
    known = isinstance(values, list) and layer is not None and layer < len(values)
    return values[layer] if known else None


def members(value: Any) -> dict[str, Any]:
    """Return nested settings; empty if there are none."""
    return dict(value) if isinstance(value, Members | Mapping) else {}


def number(value: Any, default: float | None) -> float | None:
    """Return a positive number of the settings, or the default."""
    known = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    return float(value) if known else default
