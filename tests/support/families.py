# SPDX-License-Identifier: BSD-3-Clause
"""Small models of every family, with the names, shapes and settings that real ones have."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tests.support.checkpoints import Stored, of_array, opened

from sigmascope.checkpoint import Checkpoint, open_checkpoint


@dataclass(frozen=True)
class Tensor:
    """One tensor, and what its name says it is."""

    name: str
    shape: tuple[int, ...]
    role: str
    tower: str


@dataclass(frozen=True)
class Family:
    """A family's settings, and its tensors: of layers that are alike the first."""

    name: str
    config: dict[str, Any]
    tensors: tuple[Tensor, ...]

    def stored(self, seed: int = 0) -> list[Stored]:
        rng = np.random.default_rng(seed)
        return [
            of_array(t.name, "F32", rng.standard_normal(t.shape).astype(np.float32))
            for t in self.tensors
        ]

    def opened(self, folder: Path, seed: int = 0, **options: Any) -> Checkpoint:
        folder.mkdir(parents=True, exist_ok=True)
        opened(folder, *self.stored(seed), config=self.config or None)
        return open_checkpoint(folder, **options)


def _tensor(line: str) -> Tensor:
    name, shape, role, tower = line.split()
    sizes = () if shape == "-" else tuple(map(int, shape.split("x")))
    return Tensor(name, sizes, role, tower)


def _family(text: str) -> Family:
    name, config, *lines = text.strip().splitlines()
    return Family(name, json.loads(config), tuple(map(_tensor, lines)))


_TEXT = (Path(__file__).parent / "families.txt").read_text(encoding="utf-8").partition("\n\n")[2]
FAMILIES = {f.name: f for f in map(_family, _TEXT.removeprefix("# ").split("\n# "))}
