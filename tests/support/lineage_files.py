# SPDX-License-Identifier: BSD-3-Clause
"""One model of lineage_models in many formats of files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from tests.support.checkpoints import Stored, of_array, write_file, write_sharded
from tests.support.lineage_models import HEAD, Weights

HEADS = 16
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "num_attention_heads": HEADS,
    "num_key_value_heads": HEADS,
    "hidden_size": 64,
    "head_dim": 4,
}


def stored(key: str, x: NDArray[np.float32], dtype: str) -> Stored:
    if dtype == "BF16":
        return Stored(key, dtype, x.shape, x.astype(ml_dtypes.bfloat16).tobytes())
    return of_array(key, dtype, x.astype(np.float16 if dtype == "F16" else np.float32))


def write_config(folder: Path, **config: object) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, **config}))


def saved(folder: Path, weights: Weights, dtype: str = "F32", **config: object) -> Path:
    """A folder with one safetensors file."""
    write_config(folder, **config)
    arrays = [stored(key, x, dtype) for key, x in weights.items()]
    write_file(folder / "model.safetensors", *arrays)
    return folder


def save_shards(folder: Path, weights: Weights) -> Path:
    """Three safetensors files of bf16 with an index."""
    write_config(folder)
    arrays = [stored(key, x, "BF16") for key, x in weights.items()]
    names = [f"model-{i}-of-3.safetensors" for i in (1, 2, 3)]
    return write_sharded(folder, {name: arrays[i::3] for i, name in enumerate(names)})


def save_int8(folder: Path, weights: Weights) -> Path:
    """Codes of a byte and a scale for each row, as bitsandbytes stores them."""
    write_config(folder, quantization_config={"quant_method": "bitsandbytes", "load_in_8bit": True})
    arrays = []
    for key, x in weights.items():
        if not key.endswith("_proj.weight"):
            arrays.append(stored(key, x, "F16"))
            continue
        largest = np.abs(x).max(axis=1)
        codes = np.rint(127 * x / largest[:, None]).astype(np.int8)
        arrays.append(of_array(key, "I8", codes))
        arrays.append(of_array(key.replace(".weight", ".SCB"), "F32", largest))
    write_file(folder / "model.safetensors", *arrays)
    return folder


def save_fp8(folder: Path, weights: Weights) -> Path:
    """Codes of fp8 with scales of blocks of 32 x 32, as DeepSeek stores them."""
    block = 32
    quantized = {"quant_method": "fp8", "weight_block_size": [block, block]}
    write_config(folder, quantization_config=quantized)
    arrays = []
    for key, x in weights.items():
        if not key.endswith("_proj.weight"):
            arrays.append(stored(key, x, "BF16"))
            continue
        rows, columns = x.shape
        tiles = np.abs(x).reshape(rows // block, block, columns // block, block)
        scales = (tiles.max(axis=(1, 3)) / 448).astype(np.float32)
        codes = (x / np.kron(scales, np.ones((block, block)))).astype(ml_dtypes.float8_e4m3fn)
        arrays.append(Stored(key, "F8_E4M3", x.shape, codes.tobytes()))
        arrays.append(of_array(f"{key}_scale_inv", "F32", scales))
    write_file(folder / "model.safetensors", *arrays)
    return folder


def save_torch(folder: Path, weights: Weights, name: str = "pytorch_model.bin") -> Path:
    """A file of torch.save."""
    import torch

    write_config(folder)
    tensors = {key: torch.from_numpy(x.copy()).bfloat16() for key, x in weights.items()}
    torch.save(tensors, folder / name)
    return folder


def save_torch_shards(folder: Path, weights: Weights) -> Path:
    """Two files of torch.save with an index."""
    import torch

    write_config(folder)
    tensors = {key: torch.from_numpy(x.copy()).bfloat16() for key, x in weights.items()}
    places = {key: f"pytorch_model-{1 + i % 2}-of-2.bin" for i, key in enumerate(tensors)}
    for file in set(places.values()):
        torch.save({k: x for k, x in tensors.items() if places[k] == file}, folder / file)
    index = {"metadata": {}, "weight_map": places}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    return folder


def permuted_heads(rows: NDArray[Any], heads: int) -> NDArray[Any]:
    """Rows in the order of llama.cpp: the halves of each head alternate."""
    halves = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape)


def save_gguf(folder: Path, weights: Weights, kind: str, tokens: list[str] | None = None) -> Path:
    """A GGUF file of llama.cpp's converter, its matrices in a type of blocks."""
    import gguf

    folder.mkdir()
    layers = 1 + max(int(key.split(".")[2]) for key in weights if ".layers." in key)
    writer = gguf.GGUFWriter(folder / "model.gguf", "llama")
    writer.add_block_count(layers)
    writer.add_embedding_length(weights[HEAD].shape[1])
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    if tokens is not None:
        writer.add_token_list(tokens)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, layers)
    as_type = gguf.GGMLQuantizationType[kind]
    for key, x in weights.items():
        rows = permuted_heads(x, HEADS) if key.split(".")[-2] in ("q_proj", "k_proj") else x
        given = names.get_name(key, try_suffixes=(".weight",))
        assert given is not None
        if rows.ndim == 1:
            writer.add_tensor(given, rows)
        else:
            writer.add_tensor(given, gguf.quantize(rows, as_type), raw_dtype=as_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return folder / "model.gguf"


FORMATS: dict[str, Callable[[Path, Weights], Path]] = {
    "shards": save_shards,
    "int8": save_int8,
    "fp8": save_fp8,
    "torch": save_torch,
    "torch .pt": lambda folder, weights: save_torch(folder, weights, "model.pt") / "model.pt",
    "torch shards": save_torch_shards,
    "GGUF Q8_0": lambda folder, weights: save_gguf(folder, weights, "Q8_0"),
    "GGUF Q4_0": lambda folder, weights: save_gguf(folder, weights, "Q4_0"),
}
"""Functions that write a model, by the name of the format."""
