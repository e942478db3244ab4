# SPDX-License-Identifier: BSD-3-Clause
"""Mistakes of mergers that were reported in public: a base, an adapter, and what was written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from sigmascope.provenance import Verification, verify

from .mergers import added_once, generator, make_case
from .verified_merges import write_product

NF4 = [-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453]
NF4 += [-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0]
NF4 += [0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224]
NF4 += [0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0]

LAYER = "model.layers.0."
GATE, UP = f"{LAYER}mlp.gate_proj", f"{LAYER}mlp.up_proj"
QUERY = f"{LAYER}self_attn.q_proj"
EMBEDDING = "model.embed_tokens.weight"

Model = dict[str, Tensor]


class Files:
    """A base of three weights, an adapter of two of them, and what a merger made of it."""

    def __init__(
        self, folder: Path, *modules: str, factors: torch.dtype = torch.float32, **settings: Any
    ) -> None:
        self.folder = folder
        self.base: Model = {}
        self.donors: dict[str, tuple[Tensor, Tensor, float]] = {}
        tensors: Model = {}
        for seed, module in enumerate((GATE, UP, QUERY)):
            case = make_case(8 * seed + 2, shape=(128, 128), factors=factors, size=0.02)
            self.base[f"{module}.weight"] = case.base
            if module in (modules or (GATE, UP)):
                a, b, _ = case.donors[0]
                self.donors[module] = a, b, 2.0
                tensors[f"base_model.model.{module}.lora_A.weight"] = a
                tensors[f"base_model.model.{module}.lora_B.weight"] = b
        first = next(iter(self.donors))
        targets = [module.rsplit(".", 1)[1] for module in self.donors]
        self.rank = len(self.donors[first][0])
        settings = {"r": self.rank, "lora_alpha": 2 * self.rank} | settings
        write_product(
            folder / "adapter", self.donors[first], first, target_modules=targets, **settings
        )
        names = {name: each.contiguous() for name, each in tensors.items()}
        save_file(names, folder / "adapter" / "adapter_model.safetensors")

    def merged(self, factor: float = 1.0) -> Model:
        """Return the base with the changes of the adapter, times a factor."""
        made = dict(self.base)
        for module, (a, b, scale) in self.donors.items():
            name = f"{module}.weight"
            made[name] = added_once(self.base[name], [(a, b, scale * factor)], [1.0]).bfloat16()
        return made

    def verify(self, merged: Model, expect: str = "adapter") -> Verification:
        """Verify a merged model against the adapter."""
        return verify(self.base, merged, self.folder / "adapter", expect=expect)


def nf4(weight: Tensor) -> Tensor:
    """Decode the 4-bit codes of a weight, by the nearest of the 16 values."""
    values = torch.tensor(NF4)
    blocks = weight.float().reshape(-1, 64)
    largest = blocks.abs().max(1, keepdim=True).values
    nearest = ((blocks / largest)[..., None] - values).abs().argmin(-1)
    return (values[nearest] * largest).reshape(weight.shape).to(weight.dtype)


def into_four_bits(files: Files) -> Model:
    """QLoRA's base was decoded, changed, and saved."""
    merged = dict(files.base)
    for module, donor in files.donors.items():
        name = f"{module}.weight"
        merged[name] = added_once(nf4(files.base[name]), [donor], [1.0]).to(torch.bfloat16)
    return merged


def exchanged(files: Files) -> Model:
    """The changes of gate and up were added to each other's weights."""
    merged = files.merged()
    for module, other in ((GATE, UP), (UP, GATE)):
        name = f"{module}.weight"
        merged[name] = added_once(files.base[name], [files.donors[other]], [1.0]).bfloat16()
    return merged


def transposed(files: Files) -> Model:
    """The change (B A) was added as its transpose."""
    merged = dict(files.base)
    for module, (a, b, scale) in files.donors.items():
        turned = b.T.contiguous(), a.T.contiguous(), scale
        name = f"{module}.weight"
        merged[name] = added_once(files.base[name], [turned], [1.0]).bfloat16()
    return merged


def with_rows_of_queries_in_another_order(files: Files) -> Model:
    """Two layouts of rotary embeddings: halves, or pairs of neighbours."""
    name = f"{QUERY}.weight"
    order = torch.arange(128).reshape(2, 2, 32).transpose(1, 2).reshape(-1)
    return files.merged() | {name: files.base[name][order]}


def with_longer_embedding(files: Files) -> Model:
    """The vocabulary was padded, as for a new token."""
    embedding = torch.randn(100, 128, generator=generator(5)).bfloat16()
    files.base[EMBEDDING] = embedding
    return files.merged() | {EMBEDDING: torch.cat([embedding, embedding[:28]])}


def write_model(folder: Path, model: Model, shards: int = 1) -> None:
    """Write a model, in shards with an index."""
    folder.mkdir(parents=True, exist_ok=True)
    names = list(model)
    files = [f"model-{i + 1:05}-of-{shards:05}.safetensors" for i in range(shards)]
    places = {name: files[i * shards // len(names)] for i, name in enumerate(names)}
    for file in files:
        own = {name: model[name].contiguous() for name in names if places[name] == file}
        save_file(own, folder / file)
    index = {"weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


CASES: dict[str, tuple[Callable[[Path], Files], Callable[[Files], Model]]] = {
    "The merger wrote the base": (Files, lambda files: dict(files.base)),
    "Merged into a 4-bit copy of the base": (Files, into_four_bits),
    "Scaled by alpha / r instead of alpha / √r": (
        lambda folder: Files(folder, use_rslora=True),
        lambda files: files.merged(),
    ),
    "Scaled by alpha instead of alpha / r": (Files, lambda files: files.merged(files.rank)),
    "Gate and up exchanged": (Files, exchanged),
    "The change was transposed": (lambda folder: Files(folder, QUERY), transposed),
    "Rows of queries in another order": (Files, with_rows_of_queries_in_another_order),
    "Embeddings were resized": (Files, with_longer_embedding),
    "A shard is missing": (Files, lambda files: files.merged()),
}
"""Cases by the headings of docs/check.md: the files, and what the merger made of them."""
