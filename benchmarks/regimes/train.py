# SPDX-License-Identifier: BSD-3-Clause
"""Training runs: one model on one distribution of data, everything else fixed."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from . import images, text
from .corpus import CODES, END, PAD, VOCABULARY, Example, breadth, drawer
from .images import ImageStream, VisionLanguage
from .model import Decoder, Shape
from .text import TextStream

BATCH = 16
PROMPT = 0.1
"""Weight of the loss of a prompt; that of an answer is 1."""


@dataclass(frozen=True, slots=True)
class Run:
    """One training run.

    Attributes
    ----------
    name : str
    regime : str
        A regime of :mod:`corpus`; "repeated" is "broad" from a pool.
    seed : int
        Seed of the data; a base's seed is also that of its weights.
    base : str
        Name of the run whose model is trained further; empty for a base.
    cells : int
        Breadth of the regime "cells".
    pool : int
        Number of different examples; 0: each is new.
    steps, rate, decay, optimizer
        The recipe: steps of 16 rows of 64 tokens, peak learning rate, weight decay, "adamw",
        "muon" or "sgd".
    low_rank : int
        Rank of an adapter that is trained in place of the weights; 0: the weights are.
    snapshots : tuple of int
        Steps after which the weights are saved too.
    group : str
        Part of the experiment that the run belongs to.
    data : str
        "skills" (:mod:`corpus`), "text" or "images".
    width, layers, heads, mlp
        Architecture.
    """

    name: str
    regime: str
    seed: int
    base: str = ""
    cells: int = 0
    pool: int = 0
    steps: int = 120
    rate: float = 1.5e-3
    decay: float = 0.1
    optimizer: str = "adamw"
    low_rank: int = 0
    snapshots: tuple[int, ...] = ()
    group: str = "main"
    width: int = 64
    layers: int = 4
    heads: int = 4
    mlp: str = "relu"
    data: str = "skills"

    @property
    def recipe(self) -> dict[str, Any]:
        """The recipe, as a calibration declares it."""
        return {
            "optimizer": self.optimizer,
            "rate": self.rate,
            "steps": self.steps,
            "decay": self.decay,
            "low_rank": self.low_rank,
        }


@dataclass(slots=True)
class Stream:
    """Rows of tokens: examples one after the other, cut where the row ends."""

    draw: Callable[[random.Random], Example]
    random: random.Random
    length: int
    pool: list[Example] = field(default_factory=list)

    def batch(self, rows: int) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
        """Return inputs, targets and weights of the loss, (rows, length) each."""
        tokens = np.full((rows, self.length + 1), PAD, np.int64)
        weights = np.zeros((rows, self.length + 1), np.float32)
        for i in range(rows):
            row, weight = [END], [0.0]
            while len(row) <= self.length:
                each = self.random.choice(self.pool) if self.pool else self.draw(self.random)
                row += [*(CODES[t] for t in each.prompt), *(CODES[t] for t in each.answer), END]
                weight += [PROMPT] * len(each.prompt) + [1.0] * len(each.answer) + [PROMPT]
            tokens[i], weights[i] = row[: self.length + 1], weight[: self.length + 1]
        x, w = torch.from_numpy(tokens), torch.from_numpy(weights)
        return (x[:, :-1],), x[:, 1:], w[:, 1:]


def stream_of(run: Run, length: int) -> Stream | TextStream | ImageStream:
    """Return the data of a run."""
    if run.data == "text":
        return TextStream(run.regime, run.seed, run.cells, run.pool)
    if run.data == "images":
        return ImageStream(run.regime, run.seed)
    source = random.Random(f"{run.regime} {run.seed} {run.cells}")
    regime = "broad" if run.regime == "repeated" else run.regime
    draw = drawer(regime, breadth(run.cells, run.seed) if run.cells else ())
    pool = [draw(source) for _ in range(run.pool)]
    return Stream(draw, source, length, pool)


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised by five steps of a Newton-Schulz iteration (Jordan et al. 2024)."""

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, decay: float) -> None:
        super().__init__(parameters, {"lr": lr, "decay": decay, "momentum": 0.95})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                held = self.state[p].setdefault("momentum", torch.zeros_like(p))
                held.mul_(group["momentum"]).add_(p.grad)
                update = _orthogonalised(p.grad + group["momentum"] * held)
                size = group["lr"] * 0.2 * math.sqrt(max(p.shape))
                p.mul_(1 - group["lr"] * group["decay"]).add_(update, alpha=-size)


def _orthogonalised(x: Tensor) -> Tensor:
    tall = x.shape[0] > x.shape[1]
    y = x.T if tall else x
    y = y / (y.norm() + 1e-7)
    for _ in range(5):
        square = y @ y.T
        y = 3.4445 * y + (-4.775 * square + 2.0315 * square @ square) @ y
    return y.T if tall else y


def _optimizers(model: Decoder | VisionLanguage, run: Run) -> list[torch.optim.Optimizer]:
    matrices = model.matrices()
    chosen = set(map(id, matrices))
    rest = [p for p in model.parameters() if p.requires_grad and id(p) not in chosen]
    decayed = {"params": matrices, "weight_decay": run.decay}
    plain = [{"params": rest, "weight_decay": 0.0}] if rest else []
    if run.optimizer == "sgd":
        return [torch.optim.SGD([decayed, *plain], lr=run.rate, momentum=0.9)]
    if run.optimizer == "muon":
        others = torch.optim.AdamW(rest, lr=run.rate, betas=(0.9, 0.98), weight_decay=0.0)
        return [Muon(matrices, run.rate, run.decay), others]
    return [torch.optim.AdamW([decayed, *plain], lr=run.rate, betas=(0.9, 0.98))]


def _schedule(step: int, steps: int) -> float:
    """Warm-up over a sixth of the steps (100 at most), then a cosine to a tenth of the rate."""
    warm = min(max(10, steps // 6), 100)
    cosine = 0.5 * (1 + math.cos(math.pi * step / steps))
    return min(1.0, (step + 1) / warm) * (0.1 + 0.9 * cosine)


def model_of(run: Run) -> Decoder | VisionLanguage:
    """Return the untrained model of a run."""
    how = {"width": run.width, "layers": run.layers, "heads": run.heads, "mlp": run.mlp}
    if run.data == "text":
        return Decoder(Shape(text.VOCABULARY, length=text.LENGTH, **how))
    if run.data == "images":
        return VisionLanguage(Shape(len(images.WORDS), length=images.PATCHES + images.TEXT, **how))
    return Decoder(Shape(len(VOCABULARY), **how))


def trained(run: Run, folder: Path) -> dict[str, Any]:
    """Train a run, write its checkpoints, and return its losses.

    The checkpoint is ``folder/NAME.safetensors``, of an adapter the folder ``folder/NAME``; that of
    a snapshot has ``-STEP`` after the name.
    """
    torch.manual_seed(10_000 + run.seed)
    model = model_of(run)
    if run.base:
        model.load(folder / f"{run.base}.safetensors")
    layers = model.linear_layers() if run.low_rank else {}
    if layers:
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        for layer in layers.values():
            for letter, factor in zip("BA", layer.adapt(run.low_rank, 2.0), strict=True):
                layer.register_parameter(f"lora_{letter}", factor)
    stream = stream_of(run, model.shape.length)
    optimizers = _optimizers(model, run)
    losses = []
    for step in range(run.steps):
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = run.rate * _schedule(step, run.steps)
        inputs, targets, weights = stream.batch(BATCH)
        each = functional.cross_entropy(
            model(*inputs).flatten(0, 1), targets.flatten(), reduction="none"
        )
        loss = (each * weights.flatten()).sum() / weights.sum()
        model.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
        for optimizer in optimizers:
            optimizer.step()
        losses.append(loss.item())
        if step + 1 in run.snapshots:
            model.save(folder / f"{run.name}-{step + 1}.safetensors")
    if layers:
        _save_adapter(layers, run.low_rank, folder / run.name)
    else:
        model.save(folder / f"{run.name}.safetensors")
    return {"first_loss": float(np.mean(losses[:5])), "loss": float(np.mean(losses[-30:]))}


def _save_adapter(layers: dict[str, Any], rank: int, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    tensors = {}
    for name, layer in layers.items():
        B, A = layer.low_rank
        tensors[f"base_model.model.{name}.lora_B.weight"] = B.detach().clone()
        tensors[f"base_model.model.{name}.lora_A.weight"] = A.detach().clone()
    save_file(tensors, folder / "adapter_model.safetensors")
    settings = {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": 2 * rank,
        "target_modules": sorted({name.rpartition(".")[2] for name in layers}),
        "bias": "none",
        "fan_in_fan_out": False,
        "use_rslora": False,
    }
    (folder / "adapter_config.json").write_text(json.dumps(settings), encoding="utf-8")


@torch.no_grad()
def accuracies(path: Path, run: Run, sets: dict[str, Sequence[Example]]) -> dict[str, float]:
    """Return the share of examples of each set whose whole answer is right."""
    model = model_of(run)
    model.load(path)
    found = {}
    for name, examples in sets.items():
        length = max(len(each.prompt) + len(each.answer) for each in examples) + 1
        tokens = torch.full((len(examples), length), PAD)
        asked = torch.zeros(len(examples), length, dtype=torch.bool)
        for i, each in enumerate(examples):
            row = [END, *(CODES[t] for t in [*each.prompt, *each.answer])]
            tokens[i, : len(row)] = torch.tensor(row)
            asked[i, 1 + len(each.prompt) : len(row)] = True
        said = model(tokens[:, :-1]).argmax(dim=-1)
        right = (said == tokens[:, 1:]) | ~asked[:, 1:]
        found[name] = float(right.all(dim=1).float().mean())
    return found
