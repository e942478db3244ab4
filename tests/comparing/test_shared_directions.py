# SPDX-License-Identifier: BSD-3-Clause
"""A direction that updates of many layers share: planted, absent, and what chance gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.changed import written

import sigmascope as ss

WIDTH, LAYERS = 48, 4


def checkpoints(folder: Path, shared: float) -> tuple[Path, Path, Any]:
    """A base, and updates of rank 3 with so much of one direction of the residual stream."""
    rng = np.random.default_rng(4)
    common = rng.standard_normal(WIDTH)
    common /= np.linalg.norm(common)
    before, after = {}, {}
    for layer in range(LAYERS):
        for name, shape, side in (
            ("self_attn.q_proj", (32, WIDTH), 1),
            ("mlp.up_proj", (96, WIDTH), 1),
            ("mlp.down_proj", (WIDTH, 96), 0),
        ):
            W = rng.standard_normal(shape)
            inner, other = rng.standard_normal((2, 3, shape[1 - side]))
            outer = rng.standard_normal((3, WIDTH))
            D = inner.T @ outer + shared * np.outer(other[0], common) * np.sqrt(WIDTH)
            before[f"model.layers.{layer}.{name}.weight"] = W
            after[f"model.layers.{layer}.{name}.weight"] = W + 0.1 * (D if side else D.T)
    return written(folder / "a", before, "F32"), written(folder / "b", after, "F32"), common


@pytest.mark.parametrize("shared", [0.0, 3.0], ids=["absent", "planted"])
def test_a_planted_direction_is_found_and_chance_finds_nothing(
    tmp_path: Path, shared: float
) -> None:
    one, two, common = checkpoints(tmp_path, shared)
    comparison = ss.compare(one, two, k=6, vectors=tmp_path / "v", num_threads=1)
    (tower,) = ss.shared_directions(comparison.rows, tmp_path / "v", leading=2)
    assert (tower.width, tower.matrices, tower.leading) == (WIDTH, 3 * LAYERS, 2)
    assert np.linalg.norm(tower.direction) == pytest.approx(1.0)
    assert tower.beyond_chance == (shared > 0)
    if shared:
        assert abs(tower.direction @ common) > 0.95
        assert tower.value > 0.8


def test_the_value_is_that_of_the_mean_projector(tmp_path: Path) -> None:
    one, two, _ = checkpoints(tmp_path, 1.0)
    comparison = ss.compare(one, two, k=6, tol=1e-7, vectors=tmp_path / "v", num_threads=1)
    (tower,) = ss.shared_directions(comparison.rows, tmp_path / "v", leading=3)
    before, after = ss.open_checkpoint(one), ss.open_checkpoint(two)
    P = np.zeros((WIDTH, WIDTH))
    for row in comparison.analysed:
        D = np.asarray(after[row["name"]], dtype=np.float64)
        D = D - np.asarray(before[row["name"]], dtype=np.float64)
        D = D if row["role"] == "down" else D.T
        U = np.linalg.svd(D)[0][:, :3]
        P += U @ U.T / len(comparison.analysed)
    assert tower.value == pytest.approx(np.linalg.eigvalsh(P)[-1], abs=1e-4)


@pytest.mark.parametrize(
    ("width", "matrices", "leading", "share"),
    [
        (64, 12, 2, 0.8),
        pytest.param(256, 40, 4, 0.8, marks=pytest.mark.slow),
        (96, 6, 8, 0.8),
        (400, 2, 20, 0.92),
    ],
    ids=["twelve", "forty", "six", "two"],
)
def test_chance_holds_random_subspaces(
    tmp_path: Path, width: int, matrices: int, leading: int, share: float
) -> None:
    """Few values of random subspaces exceed the level of chance, which is not far above them."""
    rng = np.random.default_rng(0)
    names = [f"model.layers.{layer}.mlp.up_proj.weight" for layer in range(matrices)]
    before, after = ({name: rng.standard_normal((21, width)) for name in names} for _ in range(2))
    rows = ss.compare(before, after, k=leading, vectors=tmp_path, num_threads=1).rows
    (tower,) = ss.shared_directions(rows, tmp_path, leading=leading)
    assert (tower.width, tower.matrices, tower.leading) == (width, matrices, leading)
    values = []
    for _ in range(100):
        bases = np.linalg.qr(rng.standard_normal((matrices, width, leading)))[0]
        B = np.hstack(list(bases))
        values.append(np.linalg.eigvalsh(B.T @ B)[-1] / matrices)
    assert np.mean(np.array(values) > tower.chance) <= 0.03
    assert np.median(values) > share * tower.chance


def test_one_update_shares_nothing(tmp_path: Path) -> None:
    one, two, _ = checkpoints(tmp_path, 1.0)
    name = "model.layers.0.mlp.up_proj.weight"
    comparison = ss.compare(one, two, k=4, include=name, vectors=tmp_path / "v", num_threads=1)
    assert ss.shared_directions(comparison.rows, tmp_path / "v") == []
    with pytest.raises(ValueError, match="leading = 0"):
        ss.shared_directions(comparison.rows, tmp_path / "v", leading=0)
