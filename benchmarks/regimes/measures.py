# SPDX-License-Identifier: BSD-3-Clause
"""Numbers of many runs: the sign in matched pairs, the ladder of breadth, novelty, behaviour."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from sigmascope.diagnosis.scores import fitted_score

from .found import Found, of
from .plan import BROAD, NARROW


def area(high: Sequence[float], low: Sequence[float]) -> float:
    """Return P(a value of `high` is above one of `low`): the area under the ROC curve."""
    a, b = np.asarray(high)[:, None], np.asarray(low)
    return float(np.mean(a > b) + 0.5 * np.mean(a == b))


def spearman(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the rank correlation, with mean ranks of ties."""

    def ranks(values: Sequence[float]) -> np.ndarray:
        v = np.asarray(values)
        return np.array([np.mean(np.flatnonzero(np.sort(v) == each)) for each in v])

    return float(np.corrcoef(ranks(x), ranks(y))[0, 1])


def matched_pairs(outcome: Sequence[Found]) -> dict[str, dict[str, Any]]:
    """Return for each group how many pairs of one base and seed have the broad run above."""
    groups = dict.fromkeys(x.run.group for x in outcome)
    result = {}
    for group in groups:
        narrow = {(x.run.base, x.run.seed): x for x in of(outcome, group, "benchmark")}
        broad = {(x.run.base, x.run.seed): x for x in of(outcome, group, "broad")}
        both = [(narrow[key].spread, broad[key].spread) for key in narrow if key in broad]
        if both:
            result[group] = {
                "pairs": len(both),
                "broad_above": sum(b > a for a, b in both),
                "means": [math.exp(fmean(x)) for x in zip(*both, strict=True)],
            }
    return result


def levels(result: Sequence[Found]) -> dict[str, dict[str, float]]:
    """Return the runs of every regime of the main recipe, and the mean of the statistic."""
    regimes = dict.fromkeys(x.run.regime for x in of(result, "main"))
    chosen = {regime: of(result, "main", regime) for regime in regimes}
    return {
        regime: {"runs": len(runs), "effective_rank": math.exp(fmean(x.spread for x in runs))}
        for regime, runs in chosen.items()
    }


def ladder(
    result: Sequence[Found], value: Callable[[Found], Mapping[Any, float]]
) -> dict[str, Any]:
    """Predict the breadth of every run of the ladder with its base left out.

    `value` gives the numbers of a run at each place; their weights come from the other bases.
    """
    runs = of(result, "ladder")
    others = of(result, "main", *NARROW, *BROAD)
    values = {id(x): value(x) for x in [*runs, *others]}
    predicted: dict[int, float] = {}
    unseen: dict[str, list[float]] = {"narrow": [], "broad": []}
    for base in sorted({x.run.base for x in runs}):
        kept = [x for x in runs if x.run.base != base]
        score = fitted_score(
            [values[id(x)] for x in kept],
            [math.log2(x.run.cells) for x in kept],
            [x.run.base for x in kept],
        )
        for x in runs:
            if x.run.base == base:
                predicted[id(x)] = score.of(values[id(x)])
        for x in others:
            if x.run.base == base:
                unseen[str(x.label)].append(score.of(values[id(x)]))
    octaves = [math.log2(x.run.cells) for x in runs]
    said = [predicted[id(x)] for x in runs]
    few = [s for s, x in zip(said, runs, strict=True) if x.run.cells <= 2]
    many = [s for s, x in zip(said, runs, strict=True) if x.run.cells >= 32]
    return {
        "runs": len(runs),
        "spearman": spearman(octaves, said),
        "residual_octaves": float(np.sqrt(np.mean((np.array(octaves) - said) ** 2))),
        "auc": area(many, few),
        "auc_unseen_regimes": area(unseen["broad"], unseen["narrow"]),
    }


def permutation(result: Sequence[Found], draws: int, seed: int = 0) -> dict[str, float]:
    """Permute the breadths within bases, and predict them with everything that the ladder does.

    ``p`` is the share of permutations that are ranked as well as the true breadths; ``auc`` is the
    mean over permutations.
    """
    observed = ladder(result, lambda x: x.update.places)["spearman"]
    rng = np.random.default_rng(seed)
    as_good, areas = 1, []
    fixed = [x for x in result if x.run.group != "ladder"]
    for _ in range(draws):
        mixed = list(fixed)
        for base in {x.run.base for x in of(result, "ladder")}:
            runs = [x for x in of(result, "ladder") if x.run.base == base]
            cells = rng.permutation([x.run.cells for x in runs])
            mixed += [
                Found(replace(x.run, cells=int(k)), x.rows)
                for x, k in zip(runs, cells, strict=True)
            ]
        drawn = ladder(mixed, lambda x: x.update.places)
        as_good += drawn["spearman"] >= observed
        areas.append(drawn["auc"])
    return {"p": as_good / (draws + 1), "auc": fmean(areas)}


def novelty(result: Sequence[Found]) -> dict[str, float]:
    """Return rank correlations of the statistic with breadth and with the base's loss on the data.

    Each within bases, and with the other one held fixed: data far from what the base knows may read
    narrow, whatever its breadth.
    """
    runs = of(result, "ladder")
    columns = {
        "spread": [x.spread for x in runs],
        "breadth": [math.log2(x.run.cells) for x in runs],
        "loss": [x.record["first_loss"] for x in runs],
    }
    bases = [x.run.base for x in runs]
    ranks = {name: _within(values, bases) for name, values in columns.items()}

    def correlation(a: str, b: str) -> float:
        return float(np.corrcoef(ranks[a], ranks[b])[0, 1])

    def partial(a: str, b: str, fixed: str) -> float:
        ab, af, bf = correlation(a, b), correlation(a, fixed), correlation(b, fixed)
        return (ab - af * bf) / math.sqrt((1 - af**2) * (1 - bf**2))

    return {
        "breadth": correlation("spread", "breadth"),
        "loss": correlation("spread", "loss"),
        "breadth_and_loss": correlation("breadth", "loss"),
        "breadth_at_fixed_loss": partial("spread", "breadth", "loss"),
        "loss_at_fixed_breadth": partial("spread", "loss", "breadth"),
    }


def novelty_design(result: Sequence[Found]) -> dict[str, Any]:
    """Return the statistic on few and on many cells at the base's loss on what it knows and not.

    The two factors are crossed: ``broad_above`` counts the bases whose run on many cells is above
    that on few, ``known_above`` those whose run on known cells is above that on new ones.
    """
    runs = {(x.run.base, x.run.novelty, x.run.cells): x for x in of(result, "novelty")}
    bases = sorted({base for base, _, _ in runs})
    few, many = (rung({cells for _, _, cells in runs}) for rung in (min, max))

    def above(high: tuple[str, int], low: tuple[str, int]) -> int:
        return sum(runs[base, *high].spread > runs[base, *low].spread for base in bases)

    return {
        "bases": len(bases),
        "cells": [few, many],
        "effective_rank": {
            f"{novelty}, {cells}": math.exp(fmean(runs[b, novelty, cells].spread for b in bases))
            for novelty in ("known", "new")
            for cells in (few, many)
        },
        "first_loss": {
            f"{novelty}, {cells}": fmean(
                runs[b, novelty, cells].record["first_loss"] for b in bases
            )
            for novelty in ("known", "new")
            for cells in (few, many)
        },
        "broad_above": {n: above((n, many), (n, few)) for n in ("known", "new")},
        "known_above": {c: above(("known", c), ("new", c)) for c in (few, many)},
    }


def _within(values: Sequence[float], groups: Sequence[str]) -> np.ndarray:
    """Return ranks within groups, about the middle of each."""
    result = np.zeros(len(values))
    for group in set(groups):
        chosen = np.array([g == group for g in groups])
        ranks = np.argsort(np.argsort(np.array(values)[chosen])).astype(float)
        result[chosen] = ranks - ranks.mean()
    return result


def behaviour(folder: Path) -> dict[str, dict[str, float]]:
    """Return the mean share of right answers of each regime on each set, over bases."""
    records = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((folder / "rows").glob("*.json"))
    ]
    regimes: dict[str, list[dict[str, float]]] = {}
    for record in records:
        if "accuracies" in record:
            regimes.setdefault(record["regime"], []).append(record["accuracies"])
    return {
        regime: {"runs": len(each)} | {name: fmean(x[name] for x in each) for name in each[0]}
        for regime, each in regimes.items()
    }
