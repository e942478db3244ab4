# SPDX-License-Identifier: BSD-3-Clause
"""A small model, adapters of it, and the columns of their comparison by LAPACK."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.adapters import factors, lora, write_adapter
from tests.support.changed import bf16, numbers, weights

GROUPS = ("before", "after", "delta", "projected")
OPTIONS: dict[str, Any] = {"k": 8, "num_threads": 2, "memory_limit": "1GiB"}
LAYER = "model.layers.{}."
SHAPES = {
    "self_attn.q_proj": (48, 40),
    "self_attn.v_proj": (16, 40),
    "mlp.up_proj": (96, 40),
    "mlp.down_proj": (40, 96),
}
Q = "model.layers.0.self_attn.q_proj"
UP = "model.layers.1.mlp.up_proj"
MODULES = [LAYER.format(i) + name for i in range(2) for name in SHAPES]


def llama(dtype: str = "BF16", seed: int = 0) -> dict[str, Any]:
    """Weights of a small model, as numbers that this format holds."""
    rng = np.random.default_rng(seed)
    held = {"BF16": lambda x: numbers(bf16(x)), "F32": lambda x: x.astype(np.float32)}[dtype]
    tensors = {"model.embed_tokens.weight": rng.standard_normal((64, 40))}
    for i in range(2):
        for name, shape in SHAPES.items():
            tensors[f"{LAYER.format(i)}{name}.weight"] = weights(*shape, rng, spikes=4)
        tensors[LAYER.format(i) + "input_layernorm.weight"] = np.ones(40)
    return {name: held(x).astype(np.float64) for name, x in tensors.items()}


def change(module: str, r: int = 4, kind: Any = np.float32) -> tuple[Any, Any]:
    """B and A of a change of about a tenth of a weight."""
    m, n = SHAPES[module.split(".", 3)[3]]
    B, A = factors(m, n, r, seed=len(module) + m)
    return (0.02 * B).astype(kind), (0.1 * A).astype(kind)


def adapter(folder: Path, *modules: str, r: int = 4, kind: Any = np.float32, **more: Any) -> Path:
    tensors: dict[str, Any] = {}
    for module in modules or MODULES:
        tensors |= lora(module, *change(module, r, kind))
    return write_adapter(folder, tensors, r=r, **more)


def dense(B: Any, A: Any, scale: float = 2.0) -> Any:
    return scale * B.astype(np.float64) @ A.astype(np.float64)


def effective_rank(s: Any) -> float:
    p = s[s > 0] / s.sum()
    return float(np.exp(-np.sum(p * np.log(p))))


def angles(X: Any, Y: Any) -> Any:
    return np.arccos(np.clip(np.linalg.svd(X.T @ Y, compute_uv=False), 0, 1))


def assert_row_is_that_of(row: dict[str, Any], W: Any, D: Any, r: int) -> None:
    """Every column group against LAPACK on W and D in float64."""
    c = np.sum(D * W) / np.sum(W * W)
    for group, a in zip(GROUPS, (W, W + D, D, D - c * W), strict=True):
        s = np.linalg.svd(a, compute_uv=False)
        top = np.array(row[f"{group}_top"])
        slack = 1e-14 * s[0]
        assert np.all(np.abs(top - s[: len(top)]) <= row[f"{group}_top_errors"] + slack), group
        assert row[f"{group}_fro_norm"] == pytest.approx(np.linalg.norm(a), rel=1e-6)
        if row[f"{group}_effective_rank"] is not None:
            error = 4 * row[f"{group}_effective_rank_error"] + 1e-9
            rank = effective_rank(s[:r] if group == "delta" else s)
            assert row[f"{group}_effective_rank"] == pytest.approx(rank, abs=error), group
    norms = np.linalg.norm(W), np.linalg.norm(W + D)
    for name, value in {
        "relative_change": np.linalg.norm(D) / norms[0],
        "cosine": np.sum(W * (W + D)) / norms[0] / norms[1],
        "decay_coefficient": c,
    }.items():
        assert abs(row[name] - value) <= row[f"{name}_error"] + 1e-14, name
        assert row[f"{name}_error"] < 1e-9
    if row["change_effective_rank"] is not None:
        was, now = (effective_rank(np.linalg.svd(a, compute_uv=False)) for a in (W, W + D))
        error = 4 * row["change_effective_rank_error"] + 1e-6 * now
        assert row["change_effective_rank"] == pytest.approx(now - was, abs=error)


def assert_angles_are_those_of(row: dict[str, Any], W: Any, D: Any, r: int) -> None:
    U, _, Vt = np.linalg.svd(W)
    X, _, Yt = np.linalg.svd(W + D)
    L, _, Rt = np.linalg.svd(D)
    j = len(row["angles_left"])
    for side, one, two, of in (("left", U, X, L), ("right", Vt.T, Yt.T, Rt.T)):
        values = row[f"angles_{side}"]
        error = row[f"angles_{side}_error"]
        assert np.abs(angles(one[:, :j], two[:, :j]) - values).max() <= error + 1e-6
        values, error = row[f"delta_angles_{side}"], row[f"delta_angles_{side}_error"]
        assert len(values) == min(r, 8)  # all of the change, if W resolves as many
        differences = [
            np.abs(angles(of[:, :r], one[:, :q]) - values).max() for q in range(len(values), 9)
        ]
        assert min(differences) <= error + 1e-6
