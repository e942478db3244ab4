# SPDX-License-Identifier: BSD-3-Clause
"""Small random models of Transformers, and the logits that their own attention computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

torch: Any = pytest.importorskip("torch")
transformers: Any = pytest.importorskip("transformers", minversion="5.0")

Array = NDArray[np.float64]
TOKENS, WIDTH, LAYERS = 9, 32, 2

_SIZES: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
_EXPERTS = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2}
_LATENT = {
    "kv_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 8,
    "n_routed_experts": 4,
    "moe_intermediate_size": 16,
    "num_key_value_heads": 4,
    "head_dim": 4,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
    "num_experts_per_tok": 2,
}
_LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 100.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama 3": ("llama", {"rope_parameters": _LLAMA3}),
    "llama, linear": (
        "llama",
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 50.0, "factor": 3.0}},
    ),
    "mistral": ("mistral", {"sliding_window": None}),
    "mixtral": ("mixtral", _EXPERTS),
    "qwen2": ("qwen2", {}),
    "qwen3": ("qwen3", {}),
    "gemma": ("gemma", {}),
    "gemma2": ("gemma2", {"query_pre_attn_scalar": 13, "attn_logit_softcapping": None}),
    "gemma3_text": ("gemma3_text", {"query_pre_attn_scalar": 13}),
    "phi": ("phi", {"rope_parameters": {"rope_theta": 50.0, "partial_rotary_factor": 0.5}}),
    "phi3": ("phi3", {}),
    "phi3, partial": (
        "phi3",
        {"rope_parameters": {"rope_theta": 50.0, "partial_rotary_factor": 0.75}},
    ),
    "gpt_neox": ("gpt_neox", {"rotary_pct": 0.5}),
    "gpt_neox, default": ("gpt_neox", {}),
    "bloom": ("bloom", {"n_layer": LAYERS, "n_head": 4}),
    "gpt_bigcode": ("gpt_bigcode", {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": 4}),
    "mpt": ("mpt", {"d_model": WIDTH, "n_layers": LAYERS, "n_heads": 4}),
    "gptj": ("gptj", {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": 4, "rotary_dim": 4}),
    "falcon": ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2, "bias": False}),
    "gpt2": ("gpt2", {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": 4}),
    "gpt_neo": (
        "gpt_neo",
        {
            "num_layers": LAYERS,
            "num_heads": 4,
            "attention_types": [[["global"], LAYERS]],
        },
    ),
    "opt": ("opt", {"ffn_dim": 48, "word_embed_proj_dim": WIDTH}),
    "stablelm": ("stablelm", {}),
    "starcoder2": ("starcoder2", {}),
    "olmo2": ("olmo2", {}),
    "olmoe": ("olmoe", _EXPERTS),
    "cohere": ("cohere", {}),
    "cohere2": ("cohere2", {"layer_types": ["sliding_attention", "full_attention"]}),
    "smollm3": ("smollm3", {"no_rope_layers": [1, 0]}),
    "glm": ("glm", {}),
    "glm4": ("glm4", {}),
    "helium": ("helium", {}),
    "ernie4_5": ("ernie4_5", {}),
    "granite": ("granite", {"attention_multiplier": 0.3}),
    "nemotron": ("nemotron", {}),
    "persimmon": ("persimmon", {"qk_layernorm": False}),
    "gpt_oss": ("gpt_oss", {**_EXPERTS, "rope_parameters": {"rope_theta": 50.0}}),
    "deepseek_v2": ("deepseek_v2", {**_LATENT, "q_lora_rank": 12}),
    "deepseek_v3": ("deepseek_v3", {**_LATENT, "q_lora_rank": 12}),
}
"""Model type and settings of each model, besides those of `_SIZES`."""
_WITHOUT_GROUPS = (
    *("gpt_neox", "gptj", "gpt2", "gpt_neo", "opt"),
    *("bloom", "gpt_bigcode", "mpt", "falcon", "persimmon"),
)


class Attention(NamedTuple):
    """Inputs of each layer's attention without gains, all logits before the mask, and outputs."""

    inputs: list[Array]
    logits: list[Array]
    outputs: list[Array]


def write_model(folder: Path, name: str) -> Any:
    """Write a model with random gains and no biases; return it in float64."""
    kind, settings = MODELS[name]
    grouped = {} if kind in _WITHOUT_GROUPS else {"num_key_value_heads": 2, "head_dim": 8}
    config = transformers.AutoConfig.for_model(kind, **{**_SIZES, **grouped, **settings})
    config._attn_implementation = config._experts_implementation = "eager"
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for label, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.zero_() if label.endswith("bias") else parameter.uniform_(0.5, 1.5)
            else:
                parameter.normal_(0, 0.3)
    model.save_pretrained(folder)
    return model.double()


def attention_of(model: Any, norm: str) -> Attention:
    """Run a model on random tokens; the logits are the arguments of its softmax.

    `norm` is the end of the name of the norms before attention, or of attention if there are no
    such norms, whose inputs are then returned.
    """
    norms = [module for label, module in model.named_modules() if label.endswith(norm)]
    inputs: list[Array] = []
    outputs: list[Array] = []

    def note_output(module: Any, _: Any, output: Any) -> None:
        output = output[0] if isinstance(output, tuple) else output
        outputs.append(output[0].detach().numpy())

    for label, module in model.named_modules():
        if label.endswith((".self_attn", ".attn", ".attention", ".self_attention")):
            module.register_forward_hook(note_output)
        for key in ("eps", "variance_epsilon"):
            if hasattr(module, key):
                setattr(module, key, 0.0)
    for module in norms:

        def note_input(module: Any, _: Any, options: dict[str, Any]) -> None:
            inputs.append(options["hidden_states"][0].detach().numpy())

        def note(module: Any, _: Any, output: Any) -> None:
            signs = torch.ones(1, 1, output.shape[-1], dtype=output.dtype)
            signs[..., 1::2] = -1  # has mean 0 and root mean square 1, so the norm gives its gains
            inputs.append((output / (module.forward(signs) * signs))[0].detach().numpy())

        if norm == "self_attn":
            module.register_forward_pre_hook(note_input, with_kwargs=True)
        else:
            module.register_forward_hook(note)
    with softmax_arguments() as logits, torch.no_grad():
        model(torch.randint(0, 64, (1, TOKENS)), use_cache=False)
    return Attention(inputs, [x for x in logits if x.shape == (4, TOKENS, TOKENS)], outputs)


@contextmanager
def softmax_arguments() -> Iterator[list[Array]]:
    """Collect the arguments of every softmax."""
    arguments: list[Array] = []
    original = torch.nn.functional.softmax

    def softmax(x: Any, *rest: Any, **options: Any) -> Any:
        if x.ndim == 4:
            arguments.append(x[0, :, :, :TOKENS].detach().double().numpy())
        return original(x, *rest, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.functional, "softmax", softmax)
        yield arguments
