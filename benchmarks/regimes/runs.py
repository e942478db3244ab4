# SPDX-License-Identifier: BSD-3-Clause
"""One training run: its data, its recipe, its architecture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

STEPS = 120
"""Steps of a run, unless its group varies them."""


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
    novelty : str
        "known" or "new": the cells are among those that the base knows best or least.
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
    novelty: str = ""
    pool: int = 0
    steps: int = STEPS
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
