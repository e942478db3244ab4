# SPDX-License-Identifier: BSD-3-Clause
"""A small LLaMA as safetensors, and as the GGUF file that llama.cpp's converter makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from tests.support.checkpoints import of_array, write_file

WIDTH, INNER, TOKENS, HEADS, KEY_HEADS, HEAD = 256, 512, 300, 8, 2, 32
SHAPES = {
    "self_attn.q_proj": (HEADS * HEAD, WIDTH),
    "self_attn.k_proj": (KEY_HEADS * HEAD, WIDTH),
    "self_attn.v_proj": (KEY_HEADS * HEAD, WIDTH),
    "self_attn.o_proj": (WIDTH, HEADS * HEAD),
    "mlp.gate_proj": (INNER, WIDTH),
    "mlp.up_proj": (INNER, WIDTH),
    "mlp.down_proj": (WIDTH, INNER),
}
CONFIG = {
    "model_type": "llama",
    "num_attention_heads": HEADS,
    "num_key_value_heads": KEY_HEADS,
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "head_dim": HEAD,
}


def weights(layers: int = 2, bias: bool = False) -> dict[str, NDArray[Any]]:
    """Gaussian weights in bf16, by the names of Transformers."""
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> NDArray[Any]:
        return (rng.standard_normal(shape) / 16).astype(ml_dtypes.bfloat16)

    results = {"model.embed_tokens.weight": normal(TOKENS, WIDTH)}
    for layer in range(layers):
        stem = f"model.layers.{layer}."
        results |= {f"{stem}{name}.weight": normal(*shape) for name, shape in SHAPES.items()}
        results |= {
            f"{stem}{name}.weight": normal(WIDTH)
            for name in ("input_layernorm", "post_attention_layernorm")
        }
        if bias:
            results[f"{stem}self_attn.q_proj.bias"] = normal(HEADS * HEAD)
            results[f"{stem}self_attn.k_proj.bias"] = normal(KEY_HEADS * HEAD)
    return results | {"model.norm.weight": normal(WIDTH), "lm_head.weight": normal(TOKENS, WIDTH)}


def write_original(folder: Path, tensors: dict[str, NDArray[Any]]) -> Path:
    stored = [of_array(name, "BF16", x.view(np.uint16)) for name, x in tensors.items()]
    write_file(folder / "model.safetensors", *stored)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


def permuted(rows: NDArray[Any], heads: int) -> NDArray[Any]:
    """Rows in the order of llama.cpp: the halves of each head alternate."""
    halves = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape)


def converted(
    path: Path,
    tensors: dict[str, NDArray[Any]],
    kind: str = "Q8_0",
    *,
    architecture: str = "llama",
    names: str = "llama",
) -> Path:
    """Write the tensors by the `gguf` package, matrices in a type; q and k are permuted."""
    layers = 1 + max(int(n.split(".")[2]) for n in tensors if n.startswith("model.layers."))
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(layers)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_token_list([f"token {number}" for number in range(TOKENS)])
    writer.add_token_scores([0.5] * TOKENS)
    writer.add_token_types([1] * TOKENS)
    writer.add_add_bos_token(True)
    writer.add_chat_template("x" * 10_000)
    arch = next(a for a, n in gguf.MODEL_ARCH_NAMES.items() if n == names)
    theirs = gguf.get_tensor_name_map(arch, layers)
    as_type = gguf.GGMLQuantizationType[kind]
    for name, tensor in tensors.items():
        numbers = tensor.astype(np.float32)
        if name.split(".")[-2] in ("q_proj", "k_proj"):
            numbers = permuted(numbers, HEADS if ".q_proj" in name else KEY_HEADS)
        given = theirs.get_name(name, try_suffixes=(".weight", ".bias"))
        if numbers.ndim == 1:
            writer.add_tensor(given, numbers)
        else:
            writer.add_tensor(given, gguf.quantize(numbers, as_type), raw_dtype=as_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
