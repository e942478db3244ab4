# SPDX-License-Identifier: BSD-3-Clause
"""Trained transformers: independent, fine-tuned, distilled, and of one initialisation."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
import pytest
from scipy import stats
from tests.support.lineage_models import Weights

from sigmascope.provenance.lineages import Lineage, lineage
from sigmascope.provenance.lineages.alignment import align_bases
from sigmascope.provenance.lineages.features import Layer
from sigmascope.provenance.lineages.model_tests import match_units
from sigmascope.provenance.lineages.neighbours import count_neighbours_in_place
from sigmascope.provenance.lineages.opening import open_models
from sigmascope.provenance.lineages.tails import assess_blocks
from sigmascope.provenance.lineages.unit_tests import align, compare_things

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


def test_independent_models_on_the_same_data_have_uniform_p_values(zoo: Zoo) -> None:
    """276 pairs of 24 models, of one corpus in one order."""
    check_null(zoo.models)


@pytest.mark.nightly
def test_twenty_thousand_pairs_of_layers_have_uniform_p_values() -> None:
    """10,011 pairs of 142 models, each with two layers; no certified p-value is below 1e-5."""
    from tests.support import trained_transformers as training

    models = []
    for first in range(0, 142, 36):
        start = training.initial(range(20_000 + first, 20_000 + min(first + 36, 142)))
        models += training.unstacked(training.train(start, training.text(), STEPS))
    check_null(models)


def check_null(weights: list[Weights]) -> None:
    """Check that sharp p-values of all pairs are uniform, and that the certified ones are valid."""
    models = open_models(weights, None, 1)
    layers = [Layer("text", number) for number in range(2)]
    features = [[model.layer(layer) for layer in layers] for model in models]
    embeddings = [model.embeddings(np.arange(128)) for model in models]
    ends = [model.coordinates()[0] for model in models]
    related = [model.related_coordinates(layers) for model in models]
    sharp: dict[str, list[float]] = {"U": [], "UR": [], "U aligned": [], "R": [], "RR": []}
    certified, counts, agreements = [], [], []
    for i, j in combinations(range(len(models)), 2):
        pairs = [("R", ends[i], ends[j]), ("RR", related[i], related[j])]
        assert embeddings[i] is not None
        assert embeddings[j] is not None
        bases = align_bases(embeddings[i], embeddings[j])
        assert bases is not None
        for layer in layers:
            along = models[i].units_along(layer, bases.before)
            pairs.append(("U aligned", along, models[j].units_along(layer, bases.after)))
            match = match_units(models[i], models[j], layer, bases)
            assert match is not None
            agreements.append(match.agreements)
        for one, other in zip(features[i], features[j], strict=True):
            assert one is not None
            assert other is not None
            pairs += [("U", one.units, other.units), ("UR", one.relations, other.relations)]
            rows = align(one.sketch, other.sketch)
            assert not isinstance(rows, str)
            total = sum(a @ b.T for a, b in zip(rows.before, rows.after, strict=True))
            counts.append(count_neighbours_in_place(np.asarray(total)))
        for key, one_side, other_side in pairs:
            assert one_side is not None
            assert other_side is not None
            things = compare_things(one_side, other_side, 1)
            assert not isinstance(things, str)
            test = assess_blocks(*things[:2])
            sharp[key].append(10**test.log10_p_sharp)
            certified.append(10**test.log10_p)
    for key, p in sharp.items():
        shares = [round(float(np.mean(np.array(p) <= level)), 4) for level in (0.05, 0.01, 0.001)]
        ks = stats.kstest(p, "uniform").pvalue
        print(f"{key}: n {len(p)}, KS {ks:.3f}, <= .05 .01 .001: {shares}, least {min(p):.1e}")
        assert ks > 0.01
    share = np.mean(np.array(certified) <= 0.05)
    print(f"certified: <= .05 in {share:.4f}, least {min(certified):.1e}")
    print(f"neighbours in place: {np.bincount(counts).tolist()}, mean {np.mean(counts):.3f}")
    print(f"agreements in aligned bases: {np.bincount(agreements).tolist()}")
    assert share <= 0.05
    assert min(certified) > 1e-5
    assert 0.8 < np.mean(counts) < 1.2
    assert 0.8 < np.mean(agreements) < 1.2
    assert max(agreements) < 10


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
