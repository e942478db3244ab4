# SPDX-License-Identifier: BSD-3-Clause
"""Merges as tools make them, in torch's own arithmetic, and merges with a fault.

A donor is a product (A of r x n, B of m x r, scale), or a model of the base's shape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Product = tuple[Tensor, Tensor, float]
Weights = Sequence[float]


def product32(donor: Product, weight: float) -> Tensor:
    a, b, scale = donor
    return (b.float() @ a.float()) * (scale * weight)


def added_once(base: Tensor, donors: Sequence[Product], weights: Weights) -> Tensor:
    """Add all in float32 (unsloth, export-lora of llama.cpp, sd-scripts with --precision float)."""
    merged = base.float()
    for donor, weight in zip(donors, weights, strict=True):
        merged = merged + product32(donor, weight)
    return merged


def cut(base: Tensor, donors: Sequence[Product], weights: Weights) -> Tensor:
    """Add in float32 and drop the low digits, as converters with a shift do."""
    bits = added_once(base, donors, weights).view(torch.int32)
    return (bits & -65536).view(torch.float32)


def addmm(base: Tensor, donors: Sequence[Product], weights: Weights) -> Tensor:
    merged = base.clone()
    for (a, b, scale), weight in zip(donors, weights, strict=True):
        merged = torch.addmm(merged, b.to(merged), a.to(merged), alpha=scale * weight)
    return merged


def peft_on_cpu(base: Tensor, donors: Sequence[Product], weights: Weights) -> Tensor:
    """Round each change to the factors' dtype, and the base after each of them (PEFT)."""
    merged = base.clone()
    for donor, weight in zip(donors, weights, strict=True):
        merged += product32(donor, weight).to(donor[0].dtype)
    return merged


def peft_safely(base: Tensor, donors: Sequence[Product], weights: Weights) -> Tensor:
    """Round each change to the base's dtype (PEFT with safe_merge=True)."""
    merged = base.clone()
    for donor, weight in zip(donors, weights, strict=True):
        merged += product32(donor, weight).to(base.dtype)
    return merged


def in_half(base: Tensor, donors: Sequence[Product], weights: Weights) -> Tensor:
    """Multiply and scale in the stored dtype (PEFT on a GPU)."""
    merged = base.clone()
    for (a, b, scale), weight in zip(donors, weights, strict=True):
        merged += ((b @ a) * (scale * weight)).to(merged.dtype)
    return merged


def linear32(base: Tensor, donors: Sequence[Tensor], weights: Weights) -> Tensor:
    """mergekit's linear merge with dtype float32."""
    stacked = torch.stack([base, *donors]).float()
    each = torch.tensor([1 - sum(weights), *weights])[:, None, None]
    return (each * stacked).sum(0) / each.sum(0)


def linear_in_half(base: Tensor, donors: Sequence[Tensor], weights: Weights) -> Tensor:
    """mergekit's linear merge in the models' dtype."""
    stacked = torch.stack([base, *donors])
    each = torch.tensor([1 - sum(weights), *weights], dtype=base.dtype)[:, None, None]
    return (each * stacked).sum(0) / each.sum(0)


def tasks32(base: Tensor, donors: Sequence[Tensor], weights: Weights) -> Tensor:
    """mergekit's task arithmetic with dtype float32."""
    changes = torch.stack([model.float() - base.float() for model in donors])
    each = torch.tensor(list(weights))[:, None, None]
    return base.float() + (each * changes).sum(0)


def tasks_in_half(base: Tensor, donors: Sequence[Tensor], weights: Weights) -> Tensor:
    """mergekit's task arithmetic in the models' dtype."""
    changes = torch.stack([model - base for model in donors])
    each = torch.tensor(list(weights), dtype=base.dtype)[:, None, None]
    return base + (each * changes).sum(0)


ADAPTER_MERGERS: dict[str, Callable[..., Tensor]] = {
    merge.__name__: merge for merge in (added_once, cut, addmm, peft_on_cpu, peft_safely, in_half)
}
MODEL_MERGERS: dict[str, Callable[..., Tensor]] = {
    merge.__name__: merge for merge in (linear32, linear_in_half, tasks32, tasks_in_half)
}


@dataclass(frozen=True)
class Case:
    """A base, donors with their weights, and the dtypes of a merge."""

    base: Tensor
    donors: list[Any]
    weights: list[float]
    merged: torch.dtype

    @property
    def adapters(self) -> bool:
        return isinstance(self.donors[0], tuple)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_case(
    seed: int,
    *,
    shape: tuple[int, int] = (96, 128),
    base: torch.dtype = torch.bfloat16,
    donors: int = 1,
    adapters: bool = True,
    factors: torch.dtype = torch.float32,
    size: float = 0.01,
    merged: torch.dtype | None = None,
) -> Case:
    """Return weights of a trained matrix's kind, and donors whose changes have a relative size."""
    g = generator(seed)
    m, n = shape
    rows = 0.02 * (1 + 0.5 * torch.rand(m, 1, generator=g))
    stored = (torch.randn(m, n, generator=g) * rows).to(base)
    norm = stored.float().norm()
    made: list[Any] = []
    for i in range(donors):
        if adapters:
            rank = (2, 4, 8, 16)[(seed + i) % 4]
            scale = (16, 32, rank, 2 * rank)[(seed // 4 + i) % 4] / rank
            a = torch.randn(rank, n, generator=g) / n**0.5
            b = torch.randn(m, rank, generator=g)
            b *= size * norm / (scale * (b @ a).norm())
            made.append((a.to(factors), b.to(factors), scale))
        else:
            change = torch.randn(m, n, generator=g)
            made.append((stored.float() + size * norm / change.norm() * change).to(base))
    draws = torch.rand(donors, generator=g).tolist()
    weights = [
        round((0.1 + 0.8 * draw) / (1 if adapters else max(1, 0.7 * donors)), 2) for draw in draws
    ]
    if adapters and donors == 1:
        weights = [1.0]
    return Case(stored, made, weights, base if merged is None else merged)
