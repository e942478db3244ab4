# SPDX-License-Identifier: BSD-3-Clause
"""A checkpoint with a tensor of every kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tests.support.checkpoints import Stored, of_array, write_file
from tests.support.scans import normal

UP = "model.layers.0.mlp.up_proj.weight"
DOWN = "model.layers.1.mlp.down_proj.weight"


def mixed(folder: Path) -> Path:
    """Something of every kind."""
    bad = np.ones((5, 4), np.float32)
    bad[2, 3], bad[4, 0] = np.nan, np.inf
    write_file(
        folder / "model.safetensors",
        normal("model.norm.weight", 8),
        normal(UP, 24, 16),
        of_array("bad", "F32", bad),
        normal("experts", 2, 6, 5),
        normal("conv.weight", 4, 3, 2, 2),
        Stored("ids", "I64", (4,)),
        Stored("codes", "F4", (4, 4)),
        Stored("empty", "F32", (0, 4)),
        normal(DOWN, 16, 24, seed=1),
    )
    return folder


def column(rows: Sequence[dict[str, Any]], name: str) -> list[Any]:
    return [row[name] for row in rows]
