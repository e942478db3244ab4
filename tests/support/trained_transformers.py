# SPDX-License-Identifier: BSD-3-Clause
"""Small transformers that are trained side by side: one batch, one order, other seeds."""

from __future__ import annotations

import inspect
import tarfile
import typing
from types import ModuleType

import numpy as np
import torch
from tests.support.lineage_models import EMBED, FINAL, HEAD, Weights, name, norm
from torch.nn import functional

VOCABULARY, WIDTH, HIDDEN, LAYERS, HEADS = 128, 64, 128, 2, 2
BATCH, LENGTH = 8, 32

Stacked = dict[str, torch.Tensor]
"""Weights of several models, with the models along the first axis."""


def characters(module: ModuleType) -> torch.Tensor:
    """The source of a module of the standard library, as characters below 128."""
    text = inspect.getsource(module).encode("ascii", "replace")
    return torch.from_numpy(np.frombuffer(text, np.uint8).astype(np.int64) % VOCABULARY)


def text() -> torch.Tensor:
    return characters(tarfile)


def other_text() -> torch.Tensor:
    return characters(typing)


def initial(seeds: range) -> Stacked:
    """Initial weights, one model for each seed."""
    models = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)

        def draw(
            rows: int, columns: int, scale: float, source: torch.Generator = generator
        ) -> torch.Tensor:
            return torch.randn(rows, columns, generator=source) * scale / columns**0.5

        model = {EMBED: draw(VOCABULARY, WIDTH, 2), HEAD: draw(VOCABULARY, WIDTH, 1)}
        model[FINAL] = torch.ones(WIDTH)
        for layer in range(LAYERS):
            for kind in "qkvo":
                model[name(layer, kind)] = draw(WIDTH, WIDTH, 1)
            for kind in ("gate", "up"):
                model[name(layer, kind)] = draw(HIDDEN, WIDTH, 1)
            model[name(layer, "down")] = draw(WIDTH, HIDDEN, 0.5)
            for block in ("attention", "mlp"):
                model[norm(layer, block)] = torch.ones(WIDTH)
        models.append(model)
    return {key: torch.stack([model[key] for model in models]) for key in models[0]}


def logits(weights: Stacked, tokens: torch.Tensor) -> torch.Tensor:
    """Predictions of all models for one batch: (models, batch · length, vocabulary)."""
    batch, length = tokens.shape
    models = len(weights[EMBED])

    def linear(x: torch.Tensor, key: str) -> torch.Tensor:
        return torch.bmm(x, weights[key].transpose(1, 2))

    def normed(x: torch.Tensor, key: str) -> torch.Tensor:
        scale = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)
        return x * scale * weights[key][:, None]

    def heads(x: torch.Tensor) -> torch.Tensor:
        return x.view(models * batch, length, HEADS, WIDTH // HEADS).transpose(1, 2)

    x = weights[EMBED][:, tokens.reshape(-1)]
    distance = torch.arange(length)[:, None] - torch.arange(length)
    bias = torch.where(distance < 0, -1e9, -0.3 * distance.float())
    for layer in range(LAYERS):
        y = normed(x, norm(layer, "attention"))
        q, k, v = (heads(linear(y, name(layer, kind))) for kind in "qkv")
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        y = mixed.transpose(1, 2).reshape(models, batch * length, WIDTH)
        x = x + linear(y, name(layer, "o"))
        y = normed(x, norm(layer, "mlp"))
        gated = functional.silu(linear(y, name(layer, "gate"))) * linear(y, name(layer, "up"))
        x = x + linear(gated, name(layer, "down"))
    return linear(normed(x, FINAL), HEAD)


def train(
    weights: Stacked,
    data: torch.Tensor,
    steps: int,
    *,
    rate: float = 4e-3,
    seed: int = 0,
    teacher: Stacked | None = None,
) -> Stacked:
    """Train all models on the same batches with AdamW, or to the outputs of a teacher."""
    weights = {key: x.clone().requires_grad_() for key, x in weights.items()}
    optimizer = torch.optim.AdamW(weights.values(), lr=rate, betas=(0.9, 0.98), weight_decay=0.1)
    rng = np.random.default_rng(seed)
    for step in range(steps):
        starts = rng.integers(0, len(data) - LENGTH - 1, BATCH)
        batch = torch.stack([data[start : start + LENGTH + 1] for start in starts])
        outputs = logits(weights, batch[:, :-1])
        if teacher is None:
            targets = batch[:, 1:].reshape(1, -1).expand(len(outputs), -1)
            loss = (
                functional.cross_entropy(outputs.transpose(1, 2), targets, reduction="none")
                .mean(1)
                .sum()
            )
        else:
            with torch.no_grad():
                wanted = torch.softmax(logits(teacher, batch[:, :-1]), -1)
            loss = -(wanted * torch.log_softmax(outputs, -1)).sum(-1).mean(1).sum()
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 20) * (1 - 0.9 * step / steps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {key: x.detach() for key, x in weights.items()}


def unstacked(weights: Stacked) -> list[Weights]:
    count = len(weights[EMBED])
    return [{key: x[i].numpy().copy() for key, x in weights.items()} for i in range(count)]
