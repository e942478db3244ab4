# SPDX-License-Identifier: BSD-3-Clause
"""Rows of scans and comparisons made from known spectra, without any checkpoint.

Every spectrum is that of Gaussian noise with some of its values replaced by known ones. The rows
have the columns of docs/measures.md as far as they are known here; a test may take some away.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope.results import Scan
from sigmascope.spectra.statistics import MatrixNorms, measures_from_values

Array = NDArray[np.float64]
Row = dict[str, Any]
"""A row of a table: the value of each column by its name."""

ROLES = {
    "q": ("self_attn.q_proj", 64, 64),
    "k": ("self_attn.k_proj", 32, 64),
    "v": ("self_attn.v_proj", 32, 64),
    "o": ("self_attn.o_proj", 64, 64),
    "gate": ("mlp.gate_proj", 160, 64),
    "up": ("mlp.up_proj", 160, 64),
    "down": ("mlp.down_proj", 64, 160),
}
ODD = ("model.layers.3.mlp.down_proj.weight", 12.0)
"""The one matrix with a direction that many times as strong as those of its like."""

RANK = 6
"""Number of values of every change that stand above its noise."""


def noise(rng: np.random.Generator, shape: tuple[int, int], scale: float) -> Array:
    """Singular values of Gaussian noise, descending."""
    return np.linalg.svd(scale * rng.standard_normal(shape), compute_uv=False)


def planted(bulk: Array, spikes: Sequence[float]) -> Array:
    """The spectrum with its largest values replaced."""
    return np.sort(np.concatenate([spikes, bulk[len(spikes) :]]))[::-1]


def columns_of(
    values: Array, shape: tuple[int, int], relative: float = 0.0, k: int = 64, prefix: str = ""
) -> Row:
    """Measures, largest values and quantiles of a spectrum whose values are known to an error."""
    errors = relative * values
    fro = math.sqrt(float(values @ values))
    measures = measures_from_values(values, errors, MatrixNorms(shape, fro), k=min(k, len(values)))
    row: Row = {}
    for name, measure in measures.items():
        row[f"{prefix}{name}"], row[f"{prefix}{name}_error"] = measure.value, measure.error
    if "mp_edge" in measures:
        edge, middle = measures["mp_edge"].value, float(np.median(values))
        above = values[values > edge]
        p = above / above.sum() if len(above) else np.ones(1)
        row[f"{prefix}effective_rank_above_edge"] = float(np.exp(-(p * np.log(p)).sum()))
        row[f"{prefix}effective_rank_above_edge_error"] = 0.1
        for name, times in (("200", 2.0), ("286", 2.86), ("400", 4.0)):
            row[f"{prefix}shoulder_{name}"] = float(np.sum(values > times * middle))
            row[f"{prefix}shoulder_{name}_error"] = 0.0
    k = min(k, len(values))
    at = np.linspace(0, 1, 33)
    row[f"{prefix}top"], row[f"{prefix}top_errors"] = values[:k].tolist(), errors[:k].tolist()
    row[f"{prefix}quantiles"] = np.quantile(values, at).tolist()
    row[f"{prefix}quantile_errors"] = np.quantile(errors, at).tolist()
    return row


def evidence(shape: tuple[int, int], effort: str = "exact") -> Row:
    """Return the columns of a row on how it was computed."""
    return {
        "rows": shape[0],
        "columns": shape[1],
        "effort": effort,
        "k": 64,
        "seed": 0,
        "method": "Gram matrix",
        "precision": "float64",
        "passes": 2,
        "seconds": 0.01,
        "num_threads": 2,
        "converged": True,
        "notes": None,
    }


def places(layers: int) -> Iterable[tuple[str, int | None, str, tuple[int, int]]]:
    """Name, layer, role and shape of every matrix of a model."""
    yield "model.embed_tokens.weight", None, "embed", (256, 64)
    for layer in range(layers):
        for role, (module, m, n) in ROLES.items():
            yield f"model.layers.{layer}.{module}.weight", layer, role, (m, n)
    yield "lm_head.weight", None, "unembed", (256, 64)


def scan_row(name: str, layer: int | None, role: str, shape: tuple[int, int], **more: Any) -> Row:
    """A row with nothing analysed."""
    row: Row = dict.fromkeys([*Scan.schema.columns, "quantiles", "quantile_errors"])
    row |= {"name": name, "tensor": name, "file": "model.safetensors", "dtype": "BF16"}
    row |= {"shape": list(shape), "nbytes": 2 * math.prod(shape), "layer": layer, "role": role}
    return row | {"tower": "text", "kind": "matrix", "status": "analysed"} | more


def spikes_of(layer: int | None, role: str, scale: float, count: int = 8) -> list[float]:
    """The strong directions of a weight: stronger with depth, by role."""
    depth = 0 if layer is None else layer
    strength = 1.2 + 0.02 * depth + 0.5 * list(ROLES).index(role) if role in ROLES else 2.0
    return [scale * (20.0 + 6.0 * strength / (i + 1)) for i in range(count)]


def scan_rows(layers: int = 12, relative: float = 0.0, seed: int = 0) -> list[Row]:
    """Rows of a scan: one outlier, one that failed, one not read, norms without a spectrum."""
    return copied(_scan_rows(layers, relative, seed))


def copied(rows: Iterable[Row]) -> list[Row]:
    """Copy rows with their lists, so that a test may change them."""
    return [
        {column: [*x] if isinstance(x, list) else x for column, x in row.items()} for row in rows
    ]


@lru_cache(maxsize=8)
def _scan_rows(layers: int, relative: float, seed: int) -> list[Row]:
    rng = np.random.default_rng(seed)
    rows = []
    for name, layer, role, shape in places(layers):
        values = planted(noise(rng, shape, 1.0), spikes_of(layer, role, 1.0))
        if name == ODD[0]:
            values[0] *= ODD[1]
        row = scan_row(name, layer, role, shape)
        rows.append(row | evidence(shape) | columns_of(values, shape, relative))
        if role == "o" and layer is not None:
            norm = f"model.layers.{layer}.input_layernorm.weight"
            reason = "vector of shape [64], no spectrum"
            more = {"kind": "vector", "status": "not analysed", "reason": reason}
            rows.append(scan_row(norm, layer, "attention_norm", (64, 1), **more))
    bad = {"status": "failed", "reason": "the matrix holds 1 NaN, first at [1, 2]"}
    rows.append(scan_row("model.bad.weight", None, "other", (64, 64), failure="data", **bad))
    lost = {"kind": "unreadable", "status": "not analysed", "reason": "dtype F4 is not decoded"}
    rows.append(scan_row("model.codes", None, "other", (64, 64), **lost))
    return rows


def scan_header(rows: Sequence[Row], **more: Any) -> dict[str, Any]:
    """The header of a scan of these rows."""
    return {
        "schema": "sigmascope.scan",
        "version": 3,
        "checkpoint": "/models/made",
        "options": {"effort": "exact", "k": 64, "tol": 1e-3, "seed": 0, "memory_limit": 2**31},
        "expected": len(rows),
        "notes": ["made from known spectra"],
        "files": [{"name": "model.safetensors", "size": 1234567, "digest": "0123456789abcdef"}],
        "engine": {"version": "0.1.0", "isa": "avx512bf16", "blas_core": "SkylakeX"},
        "shard": None,
        **more,
    }


def angles(rng: np.random.Generator, k: int, least: float, most: float) -> list[float]:
    """Ascending angles in radians."""
    return np.sort(rng.uniform(least, most, k)).tolist()


def comparison_row(name: str, layer: int | None, role: str, shape: tuple[int, int]) -> Row:
    """A pair with nothing analysed."""
    return {
        "name": name,
        "before": name,
        "after": name.replace("model.", "model.language_model."),
        "before_file": "model.safetensors",
        "after_file": "model-00001-of-00002.safetensors",
        "before_dtype": "BF16",
        "after_dtype": "F32",
        "before_shape": list(shape),
        "after_shape": list(shape),
        "nbytes": 6 * math.prod(shape),
        "layer": layer,
        "role": role,
        "tower": "text",
        "expert": None,
        "status": "analysed",
        "reason": None,
        "failure": None,
    }


def pair_row(
    rng: np.random.Generator, name: str, layer: int | None, role: str, shape: tuple[int, int]
) -> Row:
    """A pair: a change of RANK directions that grows with depth, above rounding noise."""
    k, depth = min(16, *shape), 0 if layer is None else layer
    before = planted(noise(rng, shape, 1.0), spikes_of(layer, role, 1.0))
    after = before * (before / before[0]) ** (-0.03 * (1 + depth / 10))
    rounding = noise(rng, shape, 0.002)
    strength = 0.01 * (1 + depth / 10) * (0.02 if role == "k" and depth < 4 else 1.0)
    changed = [rounding[0] + strength * 40 / (i + 1) for i in range(RANK)]
    delta = planted(rounding, changed) if strength > 1e-3 else rounding
    size = [math.sqrt(float(v @ v)) for v in (before, delta, rounding)]
    row = comparison_row(name, layer, role, shape) | evidence(shape)
    for side, values in (("before", before), ("after", after), ("delta", delta)):
        row |= columns_of(values, shape, 1e-4, 32, f"{side}_")
    row |= columns_of(0.99 * delta, shape, 1e-4, 32, "projected_")
    for column in [c for c in row if c.startswith("before_") and f"{c}_error" in row]:
        measure = column.removeprefix("before_")
        if row.get(f"after_{measure}") is not None:
            row[f"change_{measure}"] = row[f"after_{measure}"] - row[column]
            errors = (row[f"{side}_{measure}_error"] for side in ("before", "after"))
            row[f"change_{measure}_error"] = math.hypot(*errors)
    relative = size[1] / size[0]
    return row | {
        "relative_change": relative,
        "relative_change_error": 1e-4 * relative,
        "cosine": 1 - relative**2 / 2,
        "cosine_error": 1e-9,
        "decay_coefficient": -0.1 * relative,
        "decay_coefficient_error": 1e-6,
        "rounding_floor": size[2],
        "above_rounding": bool(size[1] > 1.5 * size[2]),
        "rounding_effective_rank": 0.8 * min(shape),
        "angles_left": angles(rng, k, 0.01, 0.2),
        "angles_left_error": 0.01,
        "angles_right": angles(rng, k, 0.01, 0.25),
        "angles_right_error": 0.01,
        "delta_angles_left": angles(rng, k, 0.6, 1.55),
        "delta_angles_left_error": 0.02,
        "delta_angles_right": angles(rng, k, 0.6, 1.55),
        "delta_angles_right_error": 0.02,
    }


def comparison_rows(layers: int = 12, seed: int = 0) -> list[Row]:
    """Rows of a comparison: pairs, one below the rounding floor or more, one without a partner."""
    return copied(_comparison_rows(layers, seed))


@lru_cache(maxsize=8)
def _comparison_rows(layers: int, seed: int) -> list[Row]:
    rng = np.random.default_rng(seed)
    rows = [pair_row(rng, *place) for place in places(layers)]
    alone = comparison_row("model.vision.patch_embed.weight", None, "patches", (64, 48))
    reason = "no tensor of this place in the other checkpoint"
    alone |= dict.fromkeys(evidence((1, 1))) | {"after": None, "after_shape": None}
    return [*rows, alone | {"status": "unpaired", "reason": reason}]


def comparison_header(rows: Sequence[Row], **more: Any) -> dict[str, Any]:
    """The header of a comparison of these rows."""
    return {
        "schema": "sigmascope.comparison",
        "version": 1,
        "before": "/models/base",
        "after": "/models/tuned",
        "options": {"effort": "density", "k": 64, "tol": 1e-3, "seed": 0},
        "expected": len(rows),
        "notes": [],
        "engine": {"version": "0.1.0", "isa": "avx512bf16", "blas_core": "SkylakeX"},
        **more,
    }
