# SPDX-License-Identifier: BSD-3-Clause
"""Small models, and updates of them whose spectra are known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LAYERS, WIDTH = 4, 32
Weights = dict[str, NDArray[np.float64]]

_SHAPES = {
    **{f"self_attn.{letter}_proj": (WIDTH, WIDTH) for letter in "qkvo"},
    "mlp.up_proj": (4 * WIDTH, WIDTH),
    "mlp.down_proj": (WIDTH, 4 * WIDTH),
}


def made_weights(seed: int) -> Weights:
    """Return Gaussian matrices under the names of a Llama."""
    rng = np.random.default_rng(seed)
    return {
        f"model.layers.{layer}.{role}.weight": rng.standard_normal(shape) / np.sqrt(shape[1])
        for layer in range(LAYERS)
        for role, shape in _SHAPES.items()
    }


def powers(exponent: float) -> NDArray[np.float64]:
    """Return the singular values of an update: i to the power of -exponent."""
    return np.arange(1, WIDTH + 1) ** -exponent


def updated(base: Weights, exponent: float, seed: int, size: float = 0.05) -> Weights:
    """Add an update of that size and spectrum, in random directions, to every matrix."""
    rng = np.random.default_rng(seed)
    result = {}
    for name, W in base.items():
        sigma = powers(exponent + 0.01 * rng.standard_normal())
        U, V = (np.linalg.qr(rng.standard_normal((side, WIDTH)))[0] for side in W.shape)
        scale = size * np.linalg.norm(W) / np.linalg.norm(sigma)
        result[name] = W + scale * (U * sigma) @ V.T
    return result
