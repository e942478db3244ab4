# SPDX-License-Identifier: BSD-3-Clause
"""Two small language models to compare, before and after a change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tests.support.changed import update, weights, written

import sigmascope as ss

OPTIONS: dict[str, Any] = {"k": 8, "num_threads": 2, "memory_limit": "1GiB"}
Q = "layers.{}.self_attn.q_proj.weight"
UP = "layers.{}.mlp.up_proj.weight"


def model(seed: int = 0, layers: int = 2, prefix: str = "model.") -> dict[str, Any]:
    """Matrices of a small language model, and norms."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, Any] = {f"{prefix}embed_tokens.weight": weights(60, 24, rng)}
    for i in range(layers):
        tensors[prefix + Q.format(i)] = weights(24, 24, rng)
        tensors[prefix + UP.format(i)] = weights(40, 24, rng)
        tensors[f"{prefix}layers.{i}.input_layernorm.weight"] = np.ones(24)
    return tensors


def tuned(tensors: dict[str, Any], size: float = 0.05, seed: int = 9) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        name: x + (update(x, size, rng, rank=4) if x.ndim == 2 else 0)
        for name, x in tensors.items()
    }


def renamed(tensors: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    return {name.replace(old, new, 1): x for name, x in tensors.items()}


def both(folder: Path, before: Any, after: Any, dtype: str = "F32", **options: Any) -> Any:
    one, two = written(folder / "before", before, dtype), written(folder / "after", after, dtype)
    return ss.compare(one, two, **OPTIONS | options)
