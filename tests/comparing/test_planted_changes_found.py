# SPDX-License-Identifier: BSD-3-Clause
"""Known spikes, known noise and an update of rank 16, stored in bf16: what is made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.analyses import let_densities_cost_as_little_as_the_top
from tests.support.changed import Array, bf16, numbers, update, weights, written

import sigmascope as ss
from sigmascope.results import Comparison

SIZES = (0.003, 0.01, 0.03, 0.1)
SHAPES = ((320, 256), (256, 512), (560, 520))
COPIES = 2
RANK = 16


def effective_rank(s: Array) -> float:
    p = s / s.sum()
    return float(np.exp(-np.sum(p[p > 0] * np.log(p[p > 0]))))


@pytest.fixture(scope="module")
def planted() -> dict[str, tuple[Array, Array]]:
    """By name: weights as stored, and their update before it was rounded."""
    rng = np.random.default_rng(2026)
    pairs = {}
    for size in SIZES:
        for m, n in SHAPES:
            for copy in range(COPIES):
                w = numbers(bf16(weights(m, n, rng)))
                pairs[f"{size}.{m}x{n}.{copy}"] = w, update(w, size, rng, RANK)
    return pairs


@pytest.fixture(scope="module")
def comparison(
    planted: dict[str, tuple[Array, Array]], tmp_path_factory: pytest.TempPathFactory
) -> Comparison:
    """The comparison of the weights before and after."""
    folder = tmp_path_factory.mktemp("planted")
    one = written(folder / "before", {name: w for name, (w, _) in planted.items()})
    two = written(folder / "after", {name: w + d for name, (w, d) in planted.items()})
    with pytest.MonkeyPatch.context() as patch:  # 520 columns have a density
        let_densities_cost_as_little_as_the_top(patch)
        result = ss.compare(one, two, k=32, num_threads=2, memory_limit="1GiB")
    assert len(result.analysed) == len(planted)
    assert {row["effort"] for row in result.rows} == {"exact", "density"}
    return result


def column(result: Comparison, name: str) -> Array:
    return np.array([row[name] for row in result.rows], dtype=float)


@pytest.mark.parametrize("group", ["delta", "projected"])
def test_the_rank_of_the_update_is_recovered(comparison: Comparison, group: str) -> None:
    """Above the edge of the noise, within 1 on at least 95 % of the matrices."""
    ranks = column(comparison, f"{group}_mp_outliers")
    assert np.mean(np.abs(ranks - RANK) <= 1) >= 0.95, ranks


def test_the_raw_effective_rank_is_shown_beside_its_floor(comparison: Comparison) -> None:
    """It says how much was rounded, and not how many directions changed."""
    raw, floor = (
        column(comparison, "delta_effective_rank"),
        column(comparison, "rounding_effective_rank"),
    )
    size = np.array([float(row["name"].rsplit(".", 2)[0]) for row in comparison.rows])
    medians = [float(np.median((raw / floor)[size == s])) for s in SIZES]
    assert medians == sorted(medians, reverse=True)
    assert medians[0] > 0.5  # nearly that of rounding alone
    assert np.all(raw[size == 0.003] > 6 * RANK)
    assert np.all(raw < floor)


def test_the_rounding_floor_is_what_was_rounded(
    comparison: Comparison, planted: dict[str, tuple[Array, Array]]
) -> None:
    """One of the two formats made no error here, since the run began with the stored numbers."""
    for row in comparison.rows:
        w, d = planted[row["name"]]
        rounded = np.linalg.norm(numbers(bf16(w + d)) - (w + d))
        if row["name"].startswith("0.003"):  # within the rounding, most of it is lost: not uniform
            assert 1 <= row["rounding_floor"] / np.sqrt(2) / rounded < 1.3
        else:
            assert row["rounding_floor"] == pytest.approx(np.sqrt(2) * rounded, rel=0.03)
    above = [
        row["above_rounding"] for row in comparison.rows if not row["name"].startswith("0.003")
    ]
    assert all(above)


def test_what_stands_above_the_edge_is_within_its_interval(
    comparison: Comparison, planted: dict[str, tuple[Array, Array]]
) -> None:
    close = []
    for row in comparison.rows:
        w, d = planted[row["name"]]
        s = np.linalg.svd(numbers(bf16(w + d)) - w, compute_uv=False)
        true = effective_rank(s[s > row["delta_mp_edge"]])
        error = row["delta_effective_rank_above_edge_error"]
        value = row["delta_effective_rank_above_edge"]
        close.append(abs(value - true) <= 4 * error + 1e-6 * true)
        if row["delta_mp_outliers"] == RANK:
            assert value == pytest.approx(effective_rank(s[:RANK]), abs=4 * error + 0.05)
    assert np.mean(close) >= 0.95


def test_the_projected_change_is_within_its_errors(
    comparison: Comparison, planted: dict[str, tuple[Array, Array]]
) -> None:
    """Whether its density is its own or that of the change, from which the decay is so far."""
    ratios, methods = [], set()
    for row in comparison.rows:
        w, d = planted[row["name"]]
        change = numbers(bf16(w + d)) - w
        s = np.linalg.svd(change - row["decay_coefficient"] * w, compute_uv=False)
        assert row["projected_fro_norm"] == pytest.approx(np.linalg.norm(s), rel=1e-6)
        for name, true in (("effective_rank", effective_rank(s)), ("nuclear_norm", s.sum())):
            error = row[f"projected_{name}_error"] + 1e-6 * true
            ratios.append(abs(row[f"projected_{name}"] - true) / error)
        methods.add(row["method"].split(", ")[-1])
    assert max(ratios) <= 4, max(ratios)
    assert np.mean(np.array(ratios) <= 2) >= 0.95
    assert any("distance" in method for method in methods), methods


def test_the_change_opens_new_directions(comparison: Comparison) -> None:
    """A random update is nearly orthogonal to what was there, on both sides."""
    for row in comparison.rows:
        for side in ("left", "right"):
            angles = row[f"delta_angles_{side}"]
            assert angles is not None
            assert angles[0] > 0.5
            assert row[f"delta_angles_{side}_error"] < 0.11


def test_leading_subspaces_turn_with_the_size_of_the_update(comparison: Comparison) -> None:
    turned: dict[float, list[float]] = {size: [] for size in SIZES}
    for row in comparison.rows:
        if row["angles_left"]:
            turned[float(row["name"].rsplit(".", 2)[0])].append(row["angles_left"][-1])
    medians = [float(np.median(turned[size])) for size in SIZES]
    assert medians == sorted(medians)


def test_decay_is_told_from_learning(tmp_path: Path) -> None:
    """Decay alone has no rank of its own; the projected change has that of the update."""
    rng = np.random.default_rng(7)
    w = weights(320, 256, rng)
    d = update(w, 0.01, rng, RANK)
    c = -0.05
    one = written(tmp_path / "before", {"w": w}, "F32")
    two = written(tmp_path / "after", {"w": (1 + c) * w + d}, "F32")
    row: dict[str, Any] = ss.compare(one, two, k=32, memory_limit="1GiB")["w"]
    assert row["decay_coefficient"] == pytest.approx(c, abs=1e-3)
    assert row["delta_effective_rank"] > 5 * row["projected_effective_rank"]
    assert row["projected_numerical_rank"] == RANK + 0 or row["projected_mp_outliers"] is not None
    assert row["projected_stable_rank"] == pytest.approx(
        (np.linalg.norm(d) / np.linalg.norm(d, 2)) ** 2, rel=0.01
    )
