# SPDX-License-Identifier: BSD-3-Clause
"""A small base model and a fine-tuned one, whose updates are of low rank plus noise."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

RANK = 4

Model = dict[str, NDArray[Any]]

SHAPES = {
    "model.layers.0.self_attn.q_proj.weight": (64, 48),
    "model.layers.0.mlp.down_proj.weight": (48, 80),
    "model.layers.1.self_attn.q_proj.weight": (64, 48),
    "lm_head.weight": (100, 48),
}
EMBEDDING = "model.embed_tokens.weight"
NORM = "model.norm.weight"
UNCHANGED = "model.layers.1.mlp.down_proj.weight"
CARRIED = [*SHAPES, EMBEDDING]
"""Matrices whose change an adapter can have."""


def base_model(seed: int = 0) -> Model:
    """Gaussian weights in float32, an embedding, and a vector."""
    rng = np.random.default_rng(seed)
    shapes = SHAPES | {UNCHANGED: (48, 80), EMBEDDING: (100, 48), NORM: (48,)}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def tuned_model(base: Model, noise: float = 1e-4, seed: int = 1) -> Model:
    """All changed but one matrix: by updates of rank 4, and noise of that size."""
    rng = np.random.default_rng(seed)
    tuned = dict(base)
    for name, (m, n) in SHAPES.items():
        update = 0.02 * rng.standard_normal((m, RANK)) @ rng.standard_normal((RANK, n))
        update += noise * rng.standard_normal((m, n))
        tuned[name] = (base[name] + update).astype(np.float32)
    for name in (EMBEDDING, NORM):
        tuned[name] = base[name] + np.float32(0.5)
    return tuned
