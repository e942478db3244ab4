# SPDX-License-Identifier: BSD-3-Clause
"""Small models and adapters as folders, for :func:`sigmascope.provenance.apply`."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from .mergers import Product, generator
from .verified_merges import write_product

QUERY = "model.layers.{}.self_attn.q_proj.weight"

FORMATS = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}


def make_model(
    folder: Path, dtype: Any = torch.bfloat16, layers: int = 3, seed: int = 0
) -> dict[str, Tensor]:
    """Write a model with matrices, a norm and integers; return its tensors."""
    random = generator(seed)
    tensors: dict[str, Tensor] = {
        QUERY.format(i): (0.05 * torch.randn(24, 36, generator=random)).to(dtype)
        for i in range(layers)
    }
    tensors["model.norm.weight"] = torch.rand(24, generator=random).to(dtype)
    tensors["model.positions"] = torch.arange(7)
    tensors["model.mask"] = torch.tensor([True, False, True])
    folder.mkdir(parents=True)
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    (folder / "tokenizer.json").write_text("{}")
    return tensors


def make_tuned(folder: Path, base: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Write a model whose weights are near those of a base."""
    random = generator(seed)
    tensors = {
        name: (x.double() + 0.003 * torch.randn(x.shape, generator=random)).to(x.dtype)
        if x.is_floating_point()
        else x
        for name, x in base.items()
    }
    folder.mkdir(parents=True)
    save_file(tensors, folder / "model.safetensors")
    return tensors


def make_adapter(
    folder: Path, layer: int = 0, scale: float = 2.0, dtype: Any = torch.float32, seed: int = 5
) -> Product:
    """Write an adapter of one product of rank 4; return it."""
    random = generator(seed)
    a = torch.randn(4, 36, generator=random).to(dtype)
    b = (0.003 * torch.randn(24, 4, generator=random)).to(dtype)
    write_product(folder, (a, b, scale), QUERY.format(layer).removesuffix(".weight"))
    return a, b, scale


def read_folder(folder: Path) -> dict[str, Tensor]:
    """Return the tensors of all safetensors files of a folder."""
    tensors: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors |= load_file(path)
    return tensors


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all files of a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def codes(x: Tensor) -> list[int]:
    """Return the codes of stored numbers."""
    width = {2: torch.int16, 4: torch.int32, 8: torch.int64, 1: torch.int8}[x.element_size()]
    return x.contiguous().view(width).ravel().tolist()


def exact_sums(base: Tensor, terms: list[Product | tuple[Tensor, float]]) -> list[Fraction]:
    """Return W + sum of products (A, B, c s) or of models (F, c), without rounding."""
    weights = [Fraction(x) for x in base.double().ravel().tolist()]
    sums = list(weights)
    for term in terms:
        if len(term) == 2:
            model = [Fraction(x) for x in term[0].double().ravel().tolist()]
            change = [Fraction(term[1]) * (f - w) for f, w in zip(model, weights, strict=True)]
        else:
            a, b, scale = term
            left = [[Fraction(x) for x in row] for row in b.double().tolist()]
            right = [[Fraction(x) for x in column] for column in a.double().T.tolist()]
            change = [
                Fraction(scale) * sum((p * q for p, q in zip(u, v, strict=True)), Fraction(0))
                for u in left
                for v in right
            ]
        sums = [x + y for x, y in zip(sums, change, strict=True)]
    return sums


def nearest(sums: list[Fraction], like: Tensor, dtype: Any) -> Tensor:
    """Round exact sums to the nearest number of a format, ties to even, by comparisons alone."""
    guesses = torch.tensor([float(x) for x in sums], dtype=torch.float64).to(dtype)
    numbers = []
    for x, guess in zip(sums, guesses, strict=True):
        around = [guess, _next(guess, -torch.inf), _next(guess, torch.inf)]
        finite = [each for each in around if bool(torch.isfinite(each))]
        distances = [abs(Fraction(float(each)) - x) for each in finite]
        least = min(distances)
        best = [each for each, far in zip(finite, distances, strict=True) if far == least]
        numbers.append(next((each for each in best if codes(each)[0] % 2 == 0), best[0]))
    return torch.stack(numbers).reshape(like.shape)


def _next(x: Tensor, towards: float) -> Tensor:
    code = codes(x)[0]
    width = {2: np.int16, 4: np.int32}[x.element_size()]
    if float(x) == 0:
        least = torch.from_numpy(np.array([1], width)).view(x.dtype)[0]
        return least if towards > 0 else -least
    step = 1 if (towards > 0) == (float(x) > 0) else -1
    return torch.from_numpy(np.array([code + step], width)).view(x.dtype)[0]
