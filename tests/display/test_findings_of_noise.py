# SPDX-License-Identifier: BSD-3-Clause
"""Findings of models in which there is nothing: none; and of what is planted at the least size."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats
from tests.support.made_rows import comparison_header, scan_header
from tests.support.noise_rows import KINDS, comparison_of, model, scan_of

import sigmascope as ss
from sigmascope._display.html.chance import (
    COMPARISON,
    LEAST,
    LEVEL,
    SCAN,
    cut_off,
    far_out,
    holm,
    interval,
    paired_by_layer,
    sure,
    trend_within,
    welch,
)
from sigmascope._display.html.compared import findings as comparison_findings
from sigmascope._display.html.scanned import findings as scan_findings
from sigmascope._words.rows import Row
from sigmascope.spectra.moments import noise_maximum


def claims_of_scan(rows: list[Row]) -> list[str]:
    """Titles of the sentences that say that matrices differ, or have what noise has not."""
    findings = scan_findings(scan_header(rows), rows)
    says = {"Stand out in their role", "Outlier channels"}
    roles = [f for f in findings if f.title == "Rank by role" and "no clear" not in f.text]
    return [f.title for f in findings if f.title in says] + [f.title for f in roles]


def claims_of_comparison(rows: list[Row]) -> list[str]:
    """The same of pairs."""
    no = {
        "Which roles": "no clear difference",
        "Which layers": "no clear trend",
        "Old or new directions": "not differ clearly",
        "Effective rank": ("no clear change", "too small to matter"),
        "Weight decay": "no clear weight decay",
        "Stand out in their role": "never",
        "Changed most": "never",
    }
    return [
        f.title
        for f in comparison_findings(comparison_header(rows), rows)
        if f.title in no and not any(word in f.text for word in np.atleast_1d(no[f.title]))
    ]


# ---------------------------------------------------------------------------------------- noise


def most_of(runs: int, level: float) -> int:
    """So many of runs are false in one of a thousand tests at most, if the level holds."""
    return int(stats.binom.isf(1e-3, runs, level))


def kinds_of_noise(*short: str, but: str = "") -> pytest.MarkDecorator:
    """Parametrize a test with every kind of noise; those that are not named are slow."""
    marks = {kind: () if kind in short else (pytest.mark.slow,) for kind in KINDS if kind != but}
    return pytest.mark.parametrize("kind", [pytest.param(k, marks=m) for k, m in marks.items()])


@kinds_of_noise("student", "bf16", but="heavy")
def test_a_scan_of_noise_finds_nothing(kind: str) -> None:
    """Also matrices of one role that have heavy tails, by any effort."""
    runs = 12
    false = 0
    for seed in range(runs):
        rng = np.random.default_rng([seed, 11])
        size, layers = int(rng.choice([16, 32])), int(rng.choice([2, 5, 8]))
        false += bool(claims_of_scan(scan_of(model(rng, KINDS[kind], layers, size), seed % 2 > 0)))
    assert false <= most_of(runs, LEVEL), kind


@kinds_of_noise("gaussian", "heavy")
def test_a_comparison_of_noise_finds_nothing(kind: str) -> None:
    """Noise is added, of which the change of the rank is too small to matter; or drawn anew."""
    runs = 10
    false = 0
    for seed in range(runs):
        rng = np.random.default_rng([seed, 12])
        size, layers = int(rng.choice([16, 24])), int(rng.choice([2, 6, 9]))
        before = model(rng, KINDS[kind], layers, size)
        before["pooler", 0] = np.asarray(
            KINDS[kind](rng, (size, size)), np.float64
        )  # a role of one
        added = {key: 1e-3 * w.std() * rng.standard_normal(w.shape) for key, w in before.items()}
        anew = seed % 2 > 0
        again = {
            key: np.asarray(KINDS[kind](rng, w.shape), np.float64) for key, w in before.items()
        }
        after = again if anew else {key: w + added[key] for key, w in before.items()}
        result = claims_of_comparison(comparison_of(before, after, int(rng.choice([1, 3]))))
        # Drawn anew, a change does hold what there was, less itself.
        true = {"Weight decay", "Old or new directions"} if anew else set()
        false += bool(set(result) - true)
    assert false <= most_of(runs, LEVEL), kind


@pytest.mark.parametrize("kind", ["gaussian", "uniform", "laplace", "student", "lognormal", "bf16"])
@pytest.mark.parametrize(
    "shape",
    [(2000, 16), (400, 64), (64, 400), (12, 12)],
    ids=lambda shape: "x".join(map(str, shape)),
)
def test_noise_has_no_outlier_channels(kind: str, shape: tuple[int, int]) -> None:
    """Its largest norm reaches far: 1.3 times the median of 64 entries, 2 times that of 16."""
    result = 0
    for seed in range(10):
        moments = ss.moments(KINDS[kind](np.random.default_rng(seed), shape))
        result += len(moments.outlier_rows()) + len(moments.outlier_columns())
    assert result == 0


@pytest.mark.parametrize("entries", [12, 16, 64, 768])
def test_the_largest_norm_of_noise_is_that_of_chi_squared(entries: int) -> None:
    for lines in (10, 4096):
        exact = stats.chi2.isf(1e-6 / lines, entries) / entries
        assert noise_maximum(lines, entries, 3.0) == pytest.approx(exact, rel=0.08)
    assert noise_maximum(10, entries, 9.0) > noise_maximum(10, entries, 3.0)
    assert noise_maximum(10, entries, 0.0) == 1.0


# --------------------------------------------------------------------------------------- planted


def test_what_stands_out_by_more_than_the_least_factor_is_found() -> None:
    rng = np.random.default_rng(0)
    matrices = model(rng, KINDS["gaussian"], 12, 40)
    matrices["q", 3] = 1.1 * LEAST.factor * matrices["q", 3]
    rows = scan_of(matrices)
    (result,) = [f for f in scan_findings(scan_header(rows), rows) if f.title.startswith("Stand")]
    assert [name for name, _ in result.items] == ["model.layers.3.q.weight"]
    matrices["q", 3] = matrices["q", 3] / 1.1 / LEAST.factor * (0.9 * LEAST.factor)
    assert claims_of_scan(scan_of(matrices)) == []


def test_several_that_stand_out_do_not_hide_each_other() -> None:
    rng = np.random.default_rng(1)
    matrices = model(rng, KINDS["gaussian"], 9, 24)
    for layer in (0, 4, 8):
        matrices["up", layer] = 3.0 * matrices["up", layer]
    rows = scan_of(matrices)
    (result,) = [f for f in scan_findings(scan_header(rows), rows) if f.title.startswith("Stand")]
    assert {name for name, _ in result.items} == {f"model.layers.{i}.up.weight" for i in (0, 4, 8)}


def test_roles_that_use_less_of_their_rank_are_found() -> None:
    rng = np.random.default_rng(2)
    matrices = model(rng, KINDS["gaussian"], 6, 32)
    for (role, layer), w in matrices.items():
        if role == "o":
            fade = np.geomspace(1, 0.02, w.shape[1])
            matrices[role, layer] = w * fade
    rows = scan_of(matrices)
    (result,) = [f for f in scan_findings(scan_header(rows), rows) if f.title == "Rank by role"]
    assert "lowest in o" in result.text
    assert "no clear" not in result.text


@pytest.mark.parametrize("factor", [1.1 * 2.0, 6.0])
def test_outlier_channels_of_the_least_size_are_found(factor: float) -> None:
    rng = np.random.default_rng(3)
    W = rng.standard_normal((300, 200))
    W[17] *= factor
    W[:, 5] *= factor
    moments = ss.moments(W)
    assert moments.outlier_rows().tolist() == [17]
    assert moments.outlier_columns().tolist() == [5]


def changed(change: Any, layers: int = 9, size: int = 24) -> list[Row]:
    """A comparison of noise with noise after a change of each matrix by role and layer."""
    rng = np.random.default_rng(4)
    before = model(rng, KINDS["gaussian"], layers, size)
    after = {key: w + change(rng, w, *key) for key, w in before.items()}
    return comparison_of(before, after, 2)


def added(rng: np.random.Generator, w: np.ndarray, size: float) -> np.ndarray:
    return size * rng.standard_normal(w.shape)


def test_a_change_by_role_or_depth_of_the_least_size_is_found() -> None:
    least = 1.15 * LEAST.factor
    by_role = changed(lambda rng, w, role, _: added(rng, w, 1e-3 * (least if role == "v" else 1)))
    assert "Which roles" in claims_of_comparison(by_role)
    by_depth = changed(lambda rng, w, _, layer: added(rng, w, 1e-3 * (least if layer > 5 else 1)))
    assert "Which layers" in claims_of_comparison(by_depth)


def levels(rng: np.random.Generator, layers: int) -> dict[str, dict[int, tuple[float, float]]]:
    """Logarithms of seven roles of different levels, with chance that a layer's matrices share."""
    shared = 0.2 * rng.standard_normal(layers)
    return {
        role: {
            layer: (level + shared[layer] + 0.1 * rng.standard_normal(), 0.0)
            for layer in range(layers)
        }
        for role, level in zip("qkvogud", rng.normal(0, 1.0, 7), strict=True)
    }


@pytest.mark.parametrize(
    "layers", [12, *(pytest.param(n, marks=pytest.mark.slow) for n in (6, 30))]
)
def test_roles_of_different_levels_are_called_a_trend_as_rarely_as_it_says(layers: int) -> None:
    rng = np.random.default_rng([layers, 8])
    runs, level = 400, 0.05
    trends = alike = 0
    for _ in range(runs):
        roles = levels(rng, layers)
        result = trend_within(roles.values())
        assert result is not None
        trends += result.p <= level
        one = roles["q"]
        other = {layer: (x + 0.1 * rng.standard_normal(), 0.0) for layer, (x, _) in one.items()}
        alike += (paired_by_layer(one, other) or 0.0) <= level
    assert max(trends, alike) <= most_of(runs, level)


@pytest.mark.parametrize(("shape", "least"), [("line", 0.9), ("step", 0.9), ("last third", 0.75)])
def test_a_trend_of_roles_of_different_levels_is_found(shape: str, least: float) -> None:
    """A factor of 2.7 over 12 layers: of the roles together, levels vary by more than that."""
    rng = np.random.default_rng(9)
    grow = {
        "line": np.linspace(0, 1, 12),
        "step": np.repeat([0.0, 1.0], 6),
        "last third": np.repeat([0.0, 1.0], [8, 4]),
    }[shape]
    known = 0
    for _ in range(40):
        roles = {
            role: {layer: (x + grow[layer], e) for layer, (x, e) in by_layer.items()}
            for role, by_layer in levels(rng, 12).items()
        }
        trends = trend_within(roles.values())
        assert trends is not None
        known += trends.p <= COMPARISON and trends.factor > LEAST.factor
    assert known >= 40 * least


def test_roles_that_differ_in_every_layer_are_told_apart_under_a_trend() -> None:
    """Their levels differ by a tenth; depth moves both by a factor of 20."""
    rng = np.random.default_rng(10)
    depth = np.linspace(0, 3, 8)
    one, other = (
        {layer: (depth[layer] + shift + 0.02 * rng.standard_normal(), 0.0) for layer in range(8)}
        for shift in (0.0, 0.1)
    )
    assert (paired_by_layer(one, other) or 1.0) < 1e-3
    pairs = [[(math.exp(x), 0.0) for x, _ in role.values()] for role in (one, other)]
    assert welch(*pairs) > 0.5
    assert paired_by_layer(one, {9: (0.0, 0.0)}) is None
    erring = {layer: (x, 0.1) for layer, (x, _) in other.items()}
    assert paired_by_layer(one, erring) == 1.0


def test_an_expansion_of_the_least_size_is_found_and_a_smaller_one_is_called_small() -> None:
    for size, verdict in ((0.35, "an expansion"), (0.05, "too small to matter")):
        rows = changed(lambda rng, w, role, layer, s=size: s * w * np.linspace(-1, 1, w.shape[1]))
        for row in rows:  # exactly so much more
            grown = 1.1 * LEAST.expands if size > 0.1 else 0.5 * LEAST.expands
            row["change_effective_rank"] = grown * row["before_effective_rank"]
        (result,) = [
            f
            for f in comparison_findings(comparison_header(rows), rows)
            if f.title == "Effective rank"
        ]
        assert verdict in result.text
        assert ("in 63 of 63 pairs" in result.text) == (size > 0.1)


def test_weight_decay_of_the_least_size_is_found_and_growth_is_not_called_so() -> None:
    share = 1.5 * math.sqrt(LEAST.decay)
    for sign, words in ((-1, "which weight decay causes"), (1, "by which W grew")):
        rows = changed(lambda rng, w, *_, s=sign: 1e-3 * (s * share * w + added(rng, w, 1.0)))
        (result,) = [
            f
            for f in comparison_findings(comparison_header(rows), rows)
            if f.title == "Weight decay"
        ]
        assert words in result.text


def test_a_change_along_what_there_was_is_found() -> None:
    def along(_: np.random.Generator, w: np.ndarray, *__: Any) -> np.ndarray:
        u, s, vt = np.linalg.svd(w, full_matrices=False)
        return 0.01 * (u[:, :2] * s[:2]) @ vt[:2]

    rows = changed(along)
    (result,) = [
        f
        for f in comparison_findings(comparison_header(rows), rows)
        if f.title == "Old or new directions"
    ]
    assert "partly reinforces" in result.text


# ------------------------------------------------------------------------------------------ tests


def test_holm_rejects_step_by_step() -> None:
    assert holm([0.01, 0.04, 0.02, 0.9], 0.05) == [0.0125, 0.0, 0.0, 0.0]
    assert holm([0.01, 0.012, 0.9], 0.05) == [0.05 / 3, 0.025, 0.0]
    assert holm([], 0.05) == []


@pytest.mark.parametrize("level", [0.05, COMPARISON, SCAN / 4])
def test_an_interval_ends_at_the_order_statistic_of_its_level(level: float) -> None:
    for count in range(2, 60):
        cut = cut_off(count, level)
        if cut is None:
            assert 2 * 0.5**count > level
            continue
        assert 2 * stats.binom.cdf(cut, count, 0.5) <= level
        assert 2 * stats.binom.cdf(cut + 1, count, 0.5) > level


@pytest.mark.parametrize(
    "count",
    [1, 4, pytest.param(2, marks=pytest.mark.slow), pytest.param(12, marks=pytest.mark.slow)],
)
def test_intervals_and_distances_hold_their_level(count: int) -> None:
    rng = np.random.default_rng(5)
    level, runs = 0.05, 300
    missed = met = far = 0
    for _ in range(runs):
        one, other = rng.normal(1.0, 0.1, (2, count))
        pairs = [[(v, 0.0) for v in group] for group in (one.tolist(), other.tolist())]
        low, high = interval(pairs[0], level)
        missed += not low <= 1.0 <= high
        met += welch(*pairs) <= level
        far += min(far_out([*one, *other], 1e-9).chances, default=1.0) <= level
    assert max(missed, met, far) <= most_of(runs, level)


def test_errors_that_agree_do_not_make_a_difference() -> None:
    groups = [[(v + shift, 0.05) for v in (1.0, 1.01, 0.99, 1.0)] for shift in (0.0, 0.15)]
    assert welch(*groups) == 1.0
    assert welch(*[[(v, 0.001) for v, _ in group] for group in groups]) < 1e-3
    low, high = interval([(0.1, 0.06)] * 12, 0.05)
    assert low < 0 < high
    assert sure([(3.0, 1.0), (0.0, 0.0), (1.0, 0.0), (9.0, 1.0)], 0.05) == [True, False, True, True]
    assert sure([(3.0, 1.0)] + [(0.5, 1.0)] * 40, 0.05)[0] is False
    assert sure([(1.97, 1.0)], 0.05) == sure([(-1.97, 1.0)], 0.05) == [True]  # of two sides
    assert sure([(1.95, 1.0)], 0.05) == sure([(-1.95, 1.0)], 0.05) == [False]
