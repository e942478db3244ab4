# SPDX-License-Identifier: BSD-3-Clause
"""Rows of comparisons with a known spread, for diagnoses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Row = dict[str, Any]
"""A row of a comparison: the value of each column by its name."""

ROLES = ("q", "k", "v", "o", "up", "down")
WIDTH = 64


def rows_of_update(
    share: float,
    *,
    seed: int = 0,
    layers: int = 4,
    noise: float = 0.01,
    size: float = -2.5,
    width: int = WIDTH,
    common: float = 0.0,
    **columns: Any,
) -> list[Row]:
    """Return rows whose effective ranks are about this share of the full rank, and vary by layer.

    `noise` is the standard deviation of the logarithm of each, `common` that of a shift that all
    share, `size` that of ||dW|| / ||W||; other columns replace those of every row.
    """
    rng = np.random.default_rng(seed)
    share *= math.exp(common * float(np.random.default_rng([seed, 1]).standard_normal()))
    size += 0.1 * rng.standard_normal()
    decay = -0.01 + 0.002 * rng.standard_normal()
    rows = []
    for layer in range(layers):
        for role in ROLES:
            m, n = {"up": (4 * width, width), "down": (width, 4 * width)}.get(role, (width, width))
            quantiles = np.linspace(0.1, 1.5, 33) ** (1 + 0.01 * rng.standard_normal())
            spread = math.log(share) + 0.02 * layer + noise * rng.standard_normal()
            rows.append(
                {
                    "name": f"model.layers.{layer}.{role}.weight",
                    "status": "analysed",
                    "layer": layer,
                    "role": role,
                    "tower": "text",
                    "rows": m,
                    "columns": n,
                    "relative_change": math.exp(size + 0.05 * rng.standard_normal()),
                    "decay_coefficient": decay,
                    "projected_effective_rank": min(m, n) * math.exp(spread),
                    "projected_quantiles": quantiles.tolist(),
                    "before_dtype": "F32",
                    "after_dtype": "F32",
                    "rounding_floor": 1e-8,
                    "delta_fro_norm": 1.0,
                    "rounding_effective_rank": 50.0,
                    "delta_mp_outliers": 3.0,
                }
                | columns
            )
    return rows
