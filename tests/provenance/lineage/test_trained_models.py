# SPDX-License-Identifier: BSD-3-Clause
"""Trained transformers: independent, fine-tuned, distilled, and of one initialisation."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
import pytest
from scipy import stats
from tests.support.lineage_models import Weights

from sigmascope.provenance.lineage import Lineage, lineage
from sigmascope.provenance.lineage.features import Layer
from sigmascope.provenance.lineage.opening import open_models
from sigmascope.provenance.lineage.tails import assess_blocks
from sigmascope.provenance.lineage.unit_tests import compare_things

pytest.importorskip("torch")
pytestmark = pytest.mark.slow

MODELS, RELATIVES, STEPS = 24, 4, 200


class Zoo(NamedTuple):
    """Models of equal data and order, and relatives of the first few."""

    models: list[Weights]
    tuned: list[Weights]
    distilled: list[Weights]
    same_start: list[Weights]


@pytest.fixture(scope="module")
def zoo() -> Zoo:
    from tests.support import trained_transformers as training

    data, other = training.text(), training.other_text()
    start = training.initial(range(1000, 1000 + MODELS))
    trained = training.train(start, data, STEPS)
    few = {key: x[:RELATIVES] for key, x in trained.items()}
    fresh = training.initial(range(5000, 5000 + RELATIVES))
    first = {key: x[:RELATIVES] for key, x in start.items()}
    return Zoo(
        training.unstacked(trained),
        training.unstacked(training.train(few, other, 60, rate=1e-3, seed=1)),
        training.unstacked(training.train(fresh, data, STEPS, seed=2, teacher=few)),
        training.unstacked(training.train(first, other, STEPS, seed=3)),
    )


def compared(one: Weights, other: Weights) -> Lineage:
    result = lineage(one, other)
    assert isinstance(result, Lineage)
    return result


def test_independent_models_on_the_same_data_are_not_related(zoo: Zoo) -> None:
    """276 pairs of 24 models: 552 p-values of U and UR each, 276 of R, are uniform."""
    models = open_models(zoo.models, None, 1)
    layers = [Layer("text", number) for number in range(2)]
    features = [[model.layer(layer) for layer in layers] for model in models]
    coordinates = [model.coordinates()[0] for model in models]
    sharp: dict[str, list[float]] = {"U": [], "UR": [], "R": []}
    certified = []
    for i, j in combinations(range(MODELS), 2):
        pairs = [("R", coordinates[i], coordinates[j])]
        for one, other in zip(features[i], features[j], strict=True):
            assert one is not None
            assert other is not None
            pairs += [("U", one.units, other.units), ("UR", one.relations, other.relations)]
        for key, one_side, other_side in pairs:
            assert one_side is not None
            assert other_side is not None
            things = compare_things(one_side, other_side, 1)
            assert not isinstance(things, str)
            test = assess_blocks(*things[:2])
            sharp[key].append(10**test.log10_p_sharp)
            certified.append(10**test.log10_p)
    for key, p in sharp.items():
        print(f"{key}: n {len(p)}, KS {stats.kstest(p, 'uniform').pvalue:.3f}, least {min(p):.1e}")
        assert stats.kstest(p, "uniform").pvalue > 0.01
    assert np.mean(np.array(certified) <= 0.05) <= 0.05
    assert min(certified) > 1e-5


def test_independent_models_have_the_verdict_not_rejected(zoo: Zoo) -> None:
    for one, other in zip(zoo.models[:4], zoo.models[4:8], strict=True):
        assert compared(one, other).verdict == "not rejected"


def test_fine_tunes_and_one_initialisation_are_related(zoo: Zoo) -> None:
    for relatives in (zoo.tuned, zoo.same_start):
        for model, relative in zip(zoo.models, relatives, strict=False):
            result = compared(model, relative)
            assert result.verdict == "related layers"
            assert result.text.startswith("Layers 0-1 share an origin")
            assert (result.tests["U"].log10_p or 0) < -30


def test_distilled_models_are_independent_by_weights(zoo: Zoo) -> None:
    for model, student in zip(zoo.models, zoo.distilled, strict=False):
        assert compared(model, student).verdict == "not rejected"
