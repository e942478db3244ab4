# SPDX-License-Identifier: BSD-3-Clause
"""Counts above the noise of a change: of merged products, of decays, of rounding alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.noises import NOISES, to_bfloat16
from tests.support.screens import screen, shown
from tests.support.tiers import short
from tests.support.tuned_models import Model

import sigmascope as ss
from sigmascope.report import show_comparison, show_extraction

RANK = 8
NO_BULK = (
    "no noise edge: the singular values are spread more widely than those of homogeneous noise, "
    "and too widely to separate directions from noise"
)
SHAPES = {
    "model.layers.0.self_attn.q_proj.weight": (96, 96),
    "model.layers.0.mlp.up_proj.weight": (128, 96),
    "model.layers.0.mlp.down_proj.weight": (96, 128),
}
STORED: dict[str, Any] = {
    "float32": lambda x: x.astype(np.float32),
    "bfloat16": lambda x: to_bfloat16(x).astype(np.float32),
    "float16": lambda x: x.astype(np.float16),
    "float64": lambda x: x,
}


def merged_pair(seed: int, stored: str, rank: int = RANK, size: float = 0.3) -> tuple[Model, Model]:
    """A model with rows of unlike sizes, and a product merged into each of its matrices."""
    rng = np.random.default_rng([seed, 51])
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for name, (m, n) in SHAPES.items():
        W = STORED[stored](0.05 * NOISES["rows by exp(.3 z)"](rng, m, n))
        B, A = rng.standard_normal((m, rank)), rng.standard_normal((rank, n))
        before[name] = W
        after[name] = STORED[stored](W.astype(np.float64) + size * B @ A / np.sqrt(m * n))
    return before, after


@pytest.mark.parametrize(
    ("stored", "seed"),
    short(
        ["float32-0", "bfloat16-1"],
        {f"{stored}-{seed}": (stored, seed) for stored in STORED for seed in range(3)},
    ),
)
def test_a_merged_product_has_its_rank_in_every_format(seed, stored, tmp_path: Path):
    """The values fall from 0.3 to 1e-8 in float32, and to 1e-2 in bfloat16."""
    before, after = merged_pair(seed, stored)
    extracted = ss.extract(before, after, tmp_path, rank="edge")
    assert [row["rank"] for row in extracted.analysed] == [RANK] * len(SHAPES)
    for effort in ("exact", "density"):
        compared = ss.compare(before, after, effort=effort)
        for row in compared.rows:
            count, error = row["delta_mp_outliers"], row["delta_mp_outliers_error"]
            assert count - error <= RANK <= count + error
            if stored in ("float32", "float64"):
                assert (count, error) == (RANK, 0)
                assert 1 <= row["delta_effective_rank_above_edge"] <= RANK


@pytest.mark.parametrize("noise", ["Gaussian", "rows by exp(.3 z)"])
def test_the_soft_rank_of_a_merged_product_is_a_ratio_of_squares(noise: str) -> None:
    """It is of the edge of the rounding of float32, and of a largest value far above that."""
    rng = np.random.default_rng(54)
    W = (0.05 * NOISES[noise](rng, 128, 96)).astype(np.float32)
    product = rng.standard_normal((128, RANK)) @ rng.standard_normal((RANK, 96)) / 100
    after = (W + product).astype(np.float32)
    s = np.linalg.svd(after.astype(np.float64) - W, compute_uv=False)
    for effort in ("exact", "density"):
        row = ss.compare({"w": W}, {"w": after}, effort=effort)["w"]
        edge = row["delta_mp_edge"]
        assert edge == pytest.approx(s[RANK], rel=0.5, abs=0)
        assert row["delta_mp_softrank"] == pytest.approx((edge / s[0]) ** 2, rel=1e-5, abs=0)


def test_a_change_that_is_rounding_alone_has_no_count():
    rng = np.random.default_rng(52)
    before = {name: STORED["float32"](rng.standard_normal(shape)) for name, shape in SHAPES.items()}
    after = {name: to_bfloat16(W).astype(np.float32) for name, W in before.items()}
    for row in ss.compare(before, _as_bfloat16(after), effort="exact").rows:
        assert row["above_rounding"] is False
        for group in ("delta", "projected"):
            assert row[f"{group}_mp_outliers"] is row[f"{group}_mp_edge"] is None
        assert "rounding alone" in row["notes"]


def _as_bfloat16(model: Model) -> dict[str, Any]:
    import ml_dtypes

    return {name: W.astype(ml_dtypes.bfloat16) for name, W in model.items()}


def test_a_matrix_without_an_edge_says_why_it_is_not_in_the_adapter(tmp_path: Path):
    """A change whose values decay evenly is not noise plus directions."""
    rng = np.random.default_rng(53)
    before, after = merged_pair(0, "float64")
    name = next(iter(SHAPES))
    m, n = SHAPES[name]
    U, V = (np.linalg.qr(rng.standard_normal((extent, min(m, n))))[0] for extent in (m, n))
    after[name] = before[name] + (U * np.exp(-0.03 * np.arange(min(m, n)))) @ V.T
    extracted = ss.extract(before, after, tmp_path, rank="edge")
    row = next(row for row in extracted.rows if row["name"] == name)
    assert (row["status"], row["converged"]) == ("below the edge", True)
    assert row["reason"] == f"{NO_BULK}; give a rank, energy or error"
    assert [each["rank"] for each in extracted.analysed] == [RANK] * (len(SHAPES) - 1)
    compared = ss.compare(before, after, effort="exact")
    assert compared[name]["delta_mp_outliers"] is None
    assert f"delta, projected: {NO_BULK}" in compared[name]["notes"]
    compared.save(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    _, left_out = page.split("<h3>Left out of medians</h3>")
    assert left_out.startswith("<p>Median over only 2 of 3: ")
    assert f"{name}</button> <span>no noise edge</span></li></ul>" in left_out


def test_the_commands_list_matrices_without_a_count_with_the_reason(tmp_path: Path):
    before, after = merged_pair(1, "float64")
    first, *others = SHAPES
    m, n = SHAPES[first]
    after[first] = before[first] + np.exp(-0.03 * np.arange(m))[:, None] * np.eye(m, n)
    out = screen(200)
    show_extraction(out, ss.extract(before, after, tmp_path, rank="edge"))
    show_comparison(out, ss.compare(before, after, effort="exact"))
    text = shown(out)
    assert "No value above the noise, so not in the adapter:" in text
    assert "Without a count above noise:" in text
    assert text.count(NO_BULK) == 2
    lines = [line.split() for line in text.splitlines()]
    for name in others:
        assert [name, str(RANK), str(RANK)] in [line[:3] for line in lines]
