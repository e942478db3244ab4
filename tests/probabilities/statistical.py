# SPDX-License-Identifier: BSD-3-Clause
"""Probabilities of runs, models and pages: diagnoses, references and findings."""

from __future__ import annotations

import math

import numpy as np

from sigmascope._display.html.chance import (
    LEVEL,
    far_out,
    interval,
    paired_by_layer,
    trend_within,
)
from sigmascope._distributions import clopper_pearson_upper
from sigmascope.diagnosis.calibrated_pairs import p_of
from sigmascope.diagnosis.increments import clearest_split
from sigmascope.diagnosis.paired import _sign_flip, signs_of
from sigmascope.diagnosis.student import (
    grouped_level,
    level_of,
    pooled_level,
    rank_chance,
)
from sigmascope.series.reference import Value, _quantile
from tests.display.test_findings_of_noise import claims_of_comparison, claims_of_scan
from tests.probabilities.noises import SCORES, Array, series
from tests.probabilities.promise import P_VALUES, Promise, Statistic, fails
from tests.support.noise_rows import KINDS, comparison_of, model, scan_of

RUN, PAIR = series(8, 9), series(8, 2)
# In a pair, what increments share is the chance of one run, common to its blocks.
SIGNS = signs_of(8, 0)
LAYERS = 12


def _run(noise: str) -> Statistic:
    return lambda rng: clearest_split(RUN[noise](rng), 0)[1]


def _pair(noise: str) -> Statistic:
    return lambda rng: _sign_flip(np.diff(PAIR[noise](rng), axis=1)[:, 0], SIGNS)


def _scores(noise: str, groups: int, runs: int, statistic: object) -> Statistic:
    assert callable(statistic)
    return lambda rng: float(statistic(SCORES[noise](rng, (groups, runs))))


def _own(x: Array) -> float:
    return level_of(x[0, :-1].tolist()).below(float(x[0, -1]))


def _pooled(x: Array) -> float:
    return pooled_level(x[0, :2].tolist(), x[1:].tolist()).below(float(x[0, -1]))


def _foreign(x: Array) -> float:
    return grouped_level(x[1:].tolist()).below(float(x[0, 0]))


def _ranks(x: Array) -> float:
    return rank_chance(float(x[0, -1]), x[0, :-1].tolist(), low=True)


def _two_runs(x: Array) -> float:
    freedom = x[1:].size - len(x[1:])
    deviation = math.sqrt(float(np.sum(np.var(x[1:], axis=1, ddof=1))) / len(x[1:]))
    return p_of(float(x[0, 0] - x[0, 1]), deviation, freedom)


def _layers(x: Array) -> dict[int, tuple[float, float]]:
    return {layer: (float(value), 0.0) for layer, value in enumerate(x)}


def _trend(noise: str, shared: float = 0.0, carried: float = 0.0) -> Statistic:
    def statistic(rng: np.random.Generator) -> float:
        x = SCORES[noise](rng, (7, LAYERS)) + 3 * rng.standard_normal((7, 1))
        steps = rng.standard_normal(LAYERS)
        for t in range(1, LAYERS):
            steps[t] = carried * steps[t - 1] + math.sqrt(1 - carried**2) * steps[t]
        trends = trend_within(map(_layers, x + shared * steps))
        assert trends is not None
        return trends.p

    return statistic


def _roles(noise: str, shared: float = 0.0) -> Statistic:
    def statistic(rng: np.random.Generator) -> float:
        x = SCORES[noise](rng, (2, LAYERS)) + shared * rng.standard_normal(LAYERS)
        p = paired_by_layer(*map(_layers, x))
        assert p is not None
        return p

    return statistic


def _median(noise: str, truth: float) -> Statistic:
    def statistic(rng: np.random.Generator) -> float:
        low, high = interval([(float(x), 0.0) for x in SCORES[noise](rng, (1, LAYERS))[0]], 0.05)
        return float(low <= truth <= high)

    return statistic


def _outlier(x: Array) -> float:
    return min(far_out(x[0].tolist(), 1e-9).chances)


def _wrong_verdicts(between: float) -> Statistic:
    """Count 60 verdicts, wrong at a rate of 0.1 that differs between five bases."""

    def statistic(rng: np.random.Generator) -> float:
        rates = np.full(5, 0.1) if not between else rng.beta(0.1 / between, 0.9 / between, 5)
        wrong = int(rng.binomial(12, rates).sum())
        return float(clopper_pearson_upper(wrong, 60, 0.05) >= 0.1)

    return statistic


def _placed(related: float) -> Statistic:
    """Place a model at the 70 % quantile of a family, among twelve of it that may be related."""

    def statistic(rng: np.random.Generator) -> float:
        shift = math.sqrt(related) * rng.standard_normal()
        family = shift + math.sqrt(1 - related) * rng.standard_normal(12)
        others = [Value(float(x), 0.0, frozenset()) for x in family]
        _, low, high = _quantile(Value(0.5244005, 0.0, frozenset()), others, 0.95)
        return float(low <= 0.7 <= high)

    return statistic


def _page(kind: str, compared: bool) -> Statistic:
    def statistic(rng: np.random.Generator) -> float:
        layers, draw = int(rng.choice([2, 6, 9])), KINDS[kind]
        before = model(rng, draw, layers, 16)
        if not compared:
            return float(not claims_of_scan(scan_of(before)))
        after = {
            key: w + 1e-3 * w.std() * rng.standard_normal(w.shape) for key, w in before.items()
        }
        return float(not claims_of_comparison(comparison_of(before, after, 2)))

    return statistic


def _of(groups: int, runs: int, statistic: object, *names: str) -> dict[str, Statistic]:
    return {noise: _scores(noise, groups, runs, statistic) for noise in names or SCORES}


ONE_GROUP = ("normal", "Student 3", "log-normal", "two clusters", "runs of a group AR(1) 0.6")
EXCHANGEABLE = ONE_GROUP[:-1]

PROMISES = (
    Promise(
        "increments", "p of `diagnose_increments`",
        "increments exchangeable, or blocks independent, where nothing changes; 9 increments",
        P_VALUES, {noise: _run(noise) for noise in RUN},
        ("independent", "increments share 0.2", "increments share 1", "Student 3", "uneven blocks",
         "each block AR(1) 0.6"),
    ),
    Promise(
        "two runs", "p of `diagnose(one, against=two)` without a calibration",
        "blocks independent, which two runs cannot show; 8 blocks", P_VALUES,
        {noise: _pair(noise) for noise in PAIR if "AR" not in noise and "drift" not in noise},
        ("independent", "Student 3", "uneven blocks"),
    ),
    Promise(
        "p_broad, own base", "`p_broad`, `p_narrow`: three or more runs of the base",
        "scores of a class normal; 7 runs", P_VALUES, _of(1, 8, _own, *ONE_GROUP), ("normal",),
    ),
    Promise(
        "p_broad, two of the base", "`p_broad`, `p_narrow`: one or two runs of the base",
        "normal, with one variance within bases; 5 other bases of 3 runs", P_VALUES,
        _of(6, 3, _pooled), ("normal", "groups differ"),
    ),
    Promise(
        "p_broad, other base", "`p_broad`, `p_narrow`: no run of the base",
        "runs and means of bases normal; 5 bases of 3 runs", P_VALUES, _of(6, 3, _foreign),
        ("normal", "groups differ"),
    ),
    Promise(
        "rank_p_broad", "`rank_p_broad`, `rank_p_narrow`", "runs exchangeable; 99 runs", P_VALUES,
        _of(1, 100, _ranks, *ONE_GROUP), EXCHANGEABLE,
    ),
    Promise(
        "calibrated pair", "p of `diagnose(one, calibration, against=two)`",
        "normal, with one variance within bases; 5 other bases of 4 runs", P_VALUES,
        _of(6, 4, _two_runs), ("normal", "groups differ"),
    ),
    Promise(
        "error rate", "`at_most` of an error rate, one-sided 95 %", "verdicts independent",
        fails(0.05, "rate above the bound"),
        {"independent": _wrong_verdicts(0), "bases differ": _wrong_verdicts(0.1),
         "bases differ more": _wrong_verdicts(0.3)}, ("independent",),
    ),
    Promise(
        "place", "`quantile_low`, `quantile_high` of `Reference.place`, 95 %",
        "models of the family independent; 12 models", fails(0.05, "quantile outside"),
        {"independent": _placed(0), "related, 0.1": _placed(0.1), "related, 0.3": _placed(0.3)},
        ("independent",),
    ),
    Promise(
        "trend with depth", "“grows with depth” on a page",
        "means of layers independent and normal; 7 roles, 12 layers", P_VALUES,
        {"normal": _trend("normal"), "groups differ": _trend("groups differ"),
         "some groups uneven": _trend("some groups uneven"),
         "layers share 1": _trend("normal", 1.0), "Student 3": _trend("Student 3"),
         "log-normal": _trend("log-normal"), "all roles AR(1) 0.3": _trend("normal", 1.0, 0.3),
         "all roles AR(1) 0.6": _trend("normal", 1.0, 0.6)},
        ("normal", "groups differ", "some groups uneven", "layers share 1"),
    ),
    Promise(
        "roles", "“most in q and least in k” on a page",
        "differences within layers independent and normal; 12 layers", P_VALUES,
        {"normal": _roles("normal"), "layers share 3": _roles("normal", 3.0),
         "some roles uneven": _roles("some groups uneven"), "Student 3": _roles("Student 3"),
         "log-normal": _roles("log-normal"), "two clusters": _roles("two clusters"),
         "each role AR(1) 0.6": _roles("runs of a group AR(1) 0.6")},
        ("normal", "layers share 3", "some roles uneven"),
    ),
    Promise(
        "outlier of a role", "“stands out in its role”, before its least sizes",
        "logarithms of a role normal; 12 matrices", P_VALUES, _of(1, 12, _outlier, *ONE_GROUP),
        ("normal",),
    ),
    Promise(
        "median", "the interval of a median on a page, 95 %", "values independent; 12 values",
        fails(0.05, "median outside"),
        {"normal": _median("normal", 0), "Student 3": _median("Student 3", 0),
         "log-normal": _median("log-normal", 1), "groups differ": _median("groups differ", 0),
         "runs of a group AR(1) 0.6": _median("runs of a group AR(1) 0.6", 0)},
        ("normal", "Student 3", "log-normal"),
    ),
    Promise(
        "page of a scan", "at most one page of noise in 20 says that something differs",
        "weights independent, with light tails", fails(LEVEL, "says something"),
        {kind: _page(kind, False) for kind in KINDS},
        tuple(kind for kind in KINDS if kind != "heavy"), share=0.1,
    ),
    Promise(
        "page of a comparison", "the same of a comparison", "noise added to any weights",
        fails(LEVEL, "says something"), {kind: _page(kind, True) for kind in KINDS},
        tuple(KINDS), share=0.1,
    ),
)  # fmt: skip
