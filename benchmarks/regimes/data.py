# SPDX-License-Identifier: BSD-3-Clause
"""The data of a run: rows of tokens, and cells that the base knows well or not at all."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .corpus import CELLS, CODES, END, PAD, Example, breadth, drawer
from .images import ImageStream, VisionLanguage
from .model import Decoder
from .runs import Run
from .text import TextStream

PROMPT = 0.1
"""Weight of the loss of a prompt; that of an answer is 1."""

KNOWN = 32
"""Cells among those that the base knows best, or least."""

Cell = tuple[str, int]


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


def stream_of(
    run: Run, length: int, cells: Sequence[Cell] = ()
) -> Stream | TextStream | ImageStream:
    """Return the data of a run; `cells` are those of the regime "cells" if not drawn at random."""
    if run.data == "text":
        return TextStream(run.regime, run.seed, run.cells, run.pool)
    if run.data == "images":
        return ImageStream(run.regime, run.seed)
    source = random.Random(f"{run.regime} {run.seed} {run.cells}")
    regime = "broad" if run.regime == "repeated" else run.regime
    if run.cells and not cells:
        cells = breadth(run.cells, run.seed)
    draw = drawer(regime, cells)
    pool = [draw(source) for _ in range(run.pool)]
    return Stream(draw, source, length, pool)


def loss_of(
    model: Decoder | VisionLanguage, batch: tuple[tuple[Tensor, ...], Tensor, Tensor]
) -> Tensor:
    """Return the mean loss of a batch, weighted."""
    inputs, targets, weights = batch
    each = functional.cross_entropy(
        model(*inputs).flatten(0, 1), targets.flatten(), reduction="none"
    )
    return (each * weights.flatten()).sum() / weights.sum()


@torch.no_grad()
def cells_by_loss(model: Decoder) -> list[tuple[float, Cell]]:
    """Return the model's loss on every cell, from the least to the largest."""
    results = []
    for cell in CELLS:
        source = random.Random(f"loss {cell}")
        stream = Stream(drawer("cells", [cell]), source, model.shape.length)
        results.append((loss_of(model, stream.batch(32)).item(), cell))
    return sorted(results)


def matched_cells(ranked: Sequence[tuple[float, Cell]], run: Run) -> list[Cell]:
    """Draw cells on which the base's mean loss is that of all cells it knows best, or least.

    `ranked` is what :func:`cells_by_loss` returns for the base. Runs on many and on few of these
    cells differ in breadth, and begin with the same loss.
    """
    chosen = ranked[:KNOWN] if run.novelty == "known" else ranked[-KNOWN:]
    mean = fmean(loss for loss, _ in chosen)
    r = random.Random(f"{run.novelty} {run.seed} {run.cells}")
    draws = [r.sample(chosen, run.cells) for _ in range(200)]
    best = min(draws, key=lambda drawn: abs(fmean(loss for loss, _ in drawn) - mean))
    return sorted(cell for _, cell in best)
