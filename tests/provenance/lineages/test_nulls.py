# SPDX-License-Identifier: BSD-3-Clause
"""Independent pairs: p-values are uniform or above, whatever the rows look like."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from tests.support.lineage_nulls import EXCHANGEABLE, NUMBERED, UNITS, Basis, Draw
from tests.support.tiers import short

from sigmascope.provenance.lineages.blocks import prepare_rows
from sigmascope.provenance.lineages.features import Features, relate_things
from sigmascope.provenance.lineages.neighbours import count_neighbours_in_place, log10_p_of_counts
from sigmascope.provenance.lineages.premise import LEVEL, check_order
from sigmascope.provenance.lineages.tails import assess_blocks
from sigmascope.provenance.lineages.unit_tests import compare_things

ALL = np.arange(UNITS)


class Sample(NamedTuple):
    """p-values of independent pairs."""

    sharp: NDArray[np.float64]
    certified: NDArray[np.float64]


def draw_pairs(draw: Draw, pairs: int, seed: int, *, relations: bool = False) -> Sample:
    basis, sharp, certified = Basis(seed), [], []
    rng = np.random.default_rng([seed, 91])
    for _ in range(pairs):
        features = []
        for _ in range(2):
            rows = draw(rng, basis).astype(np.float32)
            if relations:
                features.append(relate_things({"up": rows}, ALL, UNITS, 1))
            else:
                features.append(Features(UNITS, ALL, {"up": prepare_rows(rows)}))
        things = compare_things(*features, 1)
        assert not isinstance(things, str)
        test = assess_blocks(*things[:2])
        sharp.append(10**test.log10_p_sharp)
        certified.append(10**test.log10_p)
    return Sample(np.array(sharp), np.array(certified))


def check_uniform(sample: Sample) -> None:
    """KS > .01, and no more small values than chance allows at four deviations."""
    count = len(sample.sharp)
    assert stats.kstest(sample.sharp, "uniform").pvalue > 0.01
    for level in (0.05, 0.01):
        most = level + 4 * np.sqrt(level / count)
        assert np.mean(sample.sharp <= level) <= most
        assert np.mean(sample.certified <= level) <= level
    assert sample.certified.min() > 1e-6


@pytest.mark.parametrize("draw", short(["white", "dead units", "shared padding"], EXCHANGEABLE))
def test_p_values_of_independent_units_are_uniform(draw: Draw) -> None:
    """Notices padding that is centred, a partition that looks at weights, a wrong variance."""
    check_uniform(draw_pairs(draw, 500, 3))


LIVELY = {kind: draw for kind, draw in EXCHANGEABLE.items() if kind != "dead units"}
"""Kinds of which half of the units are alive in both models: at least 16 units are needed."""


@pytest.mark.slow
@pytest.mark.parametrize("draw", list(LIVELY.values()), ids=list(LIVELY))
def test_p_values_of_independent_relations_are_uniform(draw: Draw) -> None:
    check_uniform(draw_pairs(draw, 500, 4, relations=True))


def test_a_layer_of_few_living_units_is_not_tested() -> None:
    """If 30 % are alive in either model, 11 of 128 units are alive in both."""
    rng, basis = np.random.default_rng(97), Basis(10)
    rows = [EXCHANGEABLE["dead units"](rng, basis)[:128] for _ in range(2)]
    things = [Features(128, ALL[:128], {"up": prepare_rows(each)}) for each in rows]
    reason = compare_things(*things, 1)
    assert isinstance(reason, str)
    assert "things that are not zero in both files" in reason


def test_p_values_are_uniform_if_one_model_is_exchangeable() -> None:
    """One model of the pair may be anything, also built with a view to the test.

    12,000 pairs each with four other fixed models had KS p-values of .35, .72, .78 and .78.
    """
    rng, basis, p = np.random.default_rng(920), Basis(5), []
    fixed = prepare_rows(NUMBERED["correlated units"](rng, basis))
    for _ in range(1500):
        rows = prepare_rows(EXCHANGEABLE["shared covariance"](rng, basis))
        things = compare_things(
            Features(UNITS, ALL, {"up": fixed}), Features(UNITS, ALL, {"up": rows}), 1
        )
        assert not isinstance(things, str)
        p.append(10 ** assess_blocks(*things[:2]).log10_p_sharp)
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_counts_of_neighbours_in_place_are_those_of_chance() -> None:
    rng, basis, counts = np.random.default_rng(93), Basis(6), []
    for _ in range(400):
        one, other = (prepare_rows(EXCHANGEABLE["heavy row norms"](rng, basis)) for _ in range(2))
        counts.append(count_neighbours_in_place(one @ other.T))
    p = np.array([10 ** log10_p_of_counts([count]) for count in counts])
    assert 0.8 < np.mean(counts) < 1.2
    assert np.mean(p <= 0.05) <= 0.05
    assert p.min() > 1e-5


@pytest.mark.parametrize("draw", list(NUMBERED.values()), ids=list(NUMBERED))
def test_the_premise_check_sees_numbered_units(draw: Draw) -> None:
    """Where both models number their units alike, p-values are wrong: the check must fire."""
    rng, basis = np.random.default_rng(94), Basis(7)
    for _ in range(20):
        rows = draw(rng, basis)
        features = Features(UNITS, ALL, {"up": prepare_rows(rows)})
        assert check_order(features, np.linalg.norm(rows, axis=1)).least <= LEVEL


def test_the_premise_check_sees_sorted_norms() -> None:
    rows = EXCHANGEABLE["heavy row norms"](np.random.default_rng(95), Basis(8))
    norms = np.linalg.norm(rows, axis=1)
    order = np.argsort(-norms)
    features = Features(UNITS, ALL, {"up": prepare_rows(rows[order])})
    assert check_order(features, norms[order]).p["norms"] <= 1e-6


@pytest.mark.parametrize(
    "draw", short(["white", "int4 along the units", "dead units"], EXCHANGEABLE)
)
def test_the_premise_check_is_silent_on_exchangeable_units(draw: Draw) -> None:
    """At most 4 of 100 models are below 1 %, and at most 1 below the level of the check, 0.1 %.

    Groups of int2 along the units share a scale, which is information on their order. The check saw
    it in 2 of 600 models; p-values of such pairs are uniform.
    """
    rng, basis, p = np.random.default_rng(96), Basis(9), []
    for _ in range(100):
        rows = draw(rng, basis)
        features = Features(UNITS, ALL, {"up": prepare_rows(rows)})
        p.append(check_order(features, np.linalg.norm(rows, axis=1)).least)
    assert np.mean(np.array(p) <= 0.01) <= 0.04
    assert sum(value <= LEVEL for value in p) <= 1
