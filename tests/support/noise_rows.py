# SPDX-License-Identifier: BSD-3-Clause
"""Rows of models in which there is nothing: matrices of noise of many kinds, noise added to them.

Small matrices, and only the columns that findings are made of, so that hundreds of models take
seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from tests.support.made_rows import ROLES, Row, comparison_row, evidence, scan_row

import sigmascope as ss
from sigmascope.spectra.statistics import mp_edge

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, int]], Array]


def _orthogonal(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    q = np.linalg.qr(rng.standard_normal((max(shape), min(shape))))[0]
    return q if shape[0] >= shape[1] else q.T


def rounded_to_bf16(x: Array) -> Array:
    """Round to the nearest bfloat16."""
    bits = x.astype(np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return rounded.astype(np.uint32).view(np.float32).astype(np.float64)


KINDS: dict[str, Draw] = {
    "gaussian": lambda rng, shape: rng.standard_normal(shape),
    "uniform": lambda rng, shape: rng.uniform(-1, 1, shape) / math.sqrt(shape[1]),
    "kaiming": lambda rng, shape: rng.standard_normal(shape) * math.sqrt(2 / shape[1]),
    "laplace": lambda rng, shape: rng.laplace(size=shape),
    "student": lambda rng, shape: rng.standard_t(5, shape),
    "heavy": lambda rng, shape: rng.standard_t(3, shape),
    "lognormal": lambda rng, shape: rng.choice([-1, 1], shape) * rng.lognormal(0, 0.5, shape),
    "orthogonal": _orthogonal,
    "bf16": lambda rng, shape: rounded_to_bf16(0.02 * rng.standard_normal(shape)),
    "sparse": lambda rng, shape: rng.standard_normal(shape) * (rng.random(shape) < 0.3),
}
"""Ways to begin a weight."""


def shapes(size: int) -> dict[str, tuple[int, int]]:
    """The shapes of a block whose width is 64 in `made_rows`, for another width."""
    return {role: (m * size // 64, n * size // 64) for role, (_, m, n) in ROLES.items()}


def spectrum_columns(values: Array, shape: tuple[int, int], prefix: str = "") -> Row:
    """The measures that findings look at, of all values of a matrix."""
    energy = float(values @ values)
    p = values[values > 0] / values.sum()
    edge = mp_edge(float(np.median(values)), shape)
    results = {
        "fro_norm": math.sqrt(energy),
        "spectral_norm": float(values[0]),
        "stable_rank": energy / float(values[0]) ** 2,
        "effective_rank": math.exp(-float(p @ np.log(p))),
        "mp_edge": edge,
        "mp_outliers": float(np.sum(values > edge)),
    }
    row = {f"{prefix}{name}": value for name, value in results.items()}
    errors = {f"{column}_error": 1e-12 * value for column, value in row.items()}
    # Tracy and Widom's law lets noise pass the edge by so much in one matrix of a hundred.
    wide = 2.02 * edge * min(shape) ** (-2 / 3)
    errors[f"{prefix}mp_outliers_error"] = float(np.sum((values > edge) & (values < edge + wide)))
    return row | errors


def scan_of(matrices: dict[tuple[str, int], Array], top: bool = False) -> list[Row]:
    """Rows of a scan of matrices by role and layer; without what `top` does not give."""
    rows = []
    for (role, layer), w in matrices.items():
        row = scan_row(f"model.layers.{layer}.{role}.weight", layer, role, w.shape)
        row |= evidence(w.shape)
        result = spectrum_columns(np.linalg.svd(w, compute_uv=False), w.shape)
        if top:
            for name in ("effective_rank", "mp_edge", "mp_outliers"):
                result[name] = result[f"{name}_error"] = None
        moments = ss.moments(w)
        result["outlier_rows"] = len(moments.outlier_rows())
        result["outlier_columns"] = len(moments.outlier_columns())
        result["min"], result["max"] = float(moments.min), float(moments.max)
        rows.append(row | result)
    return rows


def model(
    rng: np.random.Generator, draw: Draw, layers: int, size: int
) -> dict[tuple[str, int], Array]:
    """The matrices of a model, by role and layer, each drawn by itself."""
    return {
        (role, layer): np.asarray(draw(rng, shape), np.float64)
        for layer in range(layers)
        for role, shape in shapes(size).items()
    }


def comparison_of(
    before: dict[tuple[str, int], Array], after: dict[tuple[str, int], Array], k: int = 4
) -> list[Row]:
    """Rows of a comparison, with the angles of k directions."""
    return [
        pair_of(f"model.layers.{layer}.{role}.weight", layer, role, w, after[role, layer], k)
        for (role, layer), w in before.items()
    ]


def pair_of(name: str, layer: int, role: str, w: Array, then: Array, k: int) -> Row:
    """One pair, every number as LAPACK gives it."""
    change = then - w
    row = comparison_row(name, layer, role, w.shape) | evidence(w.shape)
    sides = {
        side: np.linalg.svd(x, full_matrices=False)
        for side, x in (("before", w), ("after", then), ("delta", change))
    }
    for side, (_, values, _) in sides.items():
        row |= spectrum_columns(values, w.shape, f"{side}_")
    row["change_effective_rank"] = row["after_effective_rank"] - row["before_effective_rank"]
    row["change_effective_rank_error"] = 1e-10
    row["relative_change"] = row["delta_fro_norm"] / row["before_fro_norm"]
    row["relative_change_error"] = 1e-12 * row["relative_change"]
    row["decay_coefficient"] = float(np.vdot(change, w)) / row["before_fro_norm"] ** 2
    row["decay_coefficient_error"] = 1e-12
    row["above_rounding"] = True
    for prefix, one, other in (("", "before", "after"), ("delta_", "delta", "before")):
        for side, at in (("left", 0), ("right", 2)):
            x, y = (sides[s][at] if side == "left" else sides[s][at].T for s in (one, other))
            cosines = np.linalg.svd(x[:, :k].T @ y[:, :k], compute_uv=False)
            row[f"{prefix}angles_{side}"] = np.arccos(np.minimum(cosines, 1.0)).tolist()
            row[f"{prefix}angles_{side}_error"] = 1e-7
    return row
