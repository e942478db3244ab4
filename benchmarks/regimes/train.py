# SPDX-License-Identifier: BSD-3-Clause
"""Training runs: one model on one distribution of data, everything else fixed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from . import images, text
from .corpus import CODES, END, PAD, VOCABULARY, Example
from .data import cells_by_loss, loss_of, matched_cells, stream_of
from .images import VisionLanguage
from .model import Decoder, Shape
from .runs import Run

BATCH = 16


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
    cells = matched_cells(cells_by_loss(model), run) if run.novelty else []
    stream = stream_of(run, model.shape.length, cells)
    optimizers = _optimizers(model, run)
    losses = []
    for step in range(run.steps):
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = run.rate * _schedule(step, run.steps)
        loss = loss_of(model, stream.batch(BATCH))
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
    results = {}
    for name, examples in sets.items():
        length = max(len(each.prompt) + len(each.answer) for each in examples) + 1
        tokens = torch.full((len(examples), length), PAD)
        answers = torch.zeros(len(examples), length, dtype=torch.bool)
        for i, each in enumerate(examples):
            row = [END, *(CODES[t] for t in [*each.prompt, *each.answer])]
            tokens[i, : len(row)] = torch.tensor(row)
            answers[i, 1 + len(each.prompt) : len(row)] = True
        said = model(tokens[:, :-1]).argmax(dim=-1)
        right = (said == tokens[:, 1:]) | ~answers[:, 1:]
        results[name] = float(right.all(dim=1).float().mean())
    return results
