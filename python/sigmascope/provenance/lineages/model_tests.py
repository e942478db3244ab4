# SPDX-License-Identifier: BSD-3-Clause
"""All tests of one pair of models, and their adjusted p-values."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from math import log10

import numpy as np

from .alignment import (
    ALIGNED_LAYERS,
    NAME,
    NOT_NEEDED,
    AlignedTest,
    Bases,
    assess_aligned,
    is_needed,
)
from .blocks import BLOCK, Integers, sample_things, unit_rows
from .extraction import choose_deep
from .features import Layer, multiply_rows
from .levels import holm
from .models import Model
from .outcomes import FailedPremise, LayerLink, LayerOutcome, Match, Outcome
from .premise import LEVEL
from .tails import assess_blocks
from .unit_tests import (
    Compared,
    UnitTests,
    compare_things,
    least_orders,
    outcome_of,
    pooled_outcome,
)
from .vocabularies import SharedRows, share_rows

TESTS = ("U", "N", "UR", "R", "RR", "H")
"""The tests that can be chosen; L and U aligned belong to U."""

MATCHED_UNITS = 512

NUMBERED_UNITS = (
    "in both files the order of the units is information (sorted, or nested by importance): a test "
    "needs one file whose units are as its training left them"
)


@dataclass(frozen=True, slots=True)
class PairOutcome:
    """The numbers of one pair, before they are put into words.

    Attributes
    ----------
    outcomes : dict of str to Outcome
    layers : tuple of LayerOutcome
    links : tuple of LayerLink
    by_relations, aligned : tuple of Layer
        Layers that UR certifies alone, and those of U in aligned bases.
    matches : tuple of Match
    order, coordinate_order : tuple of float
        Least premise p-value of either file for its units, adjusted for the number of layers, and
        for its residual coordinates.
    features : int
        Features of all units that were read: they decide which ties can be seen.
    """

    outcomes: dict[str, Outcome]
    layers: tuple[LayerOutcome, ...]
    links: tuple[LayerLink, ...]
    by_relations: tuple[Layer, ...]
    aligned: tuple[Layer, ...]
    matches: tuple[Match, ...]
    order: tuple[float, float]
    coordinate_order: tuple[float, float]
    features: int

    def failed_premises(self, names: tuple[str, str]) -> tuple[FailedPremise, ...]:
        """Return the files that cannot carry a premise, where the other one can."""
        checks = {"units": self.order, "residual coordinates": self.coordinate_order}
        return tuple(
            FailedPremise(place, names[place], things, p)
            for things, order in checks.items()
            for place, p in enumerate(order)
            if p <= LEVEL < max(order)
        )

    def rejecting(self, names: Collection[str], log10_alpha: float) -> list[str]:
        """Return the tests among some whose adjusted bound is at most the level."""
        return [
            name
            for name in names
            if name in self.outcomes and self.outcomes[name].rejects(log10_alpha)
        ]


def assess_pair(
    before: Model,
    after: Model,
    *,
    layers: Collection[int] | None,
    tests: Sequence[str],
    log10_alpha: float,
) -> PairOutcome:
    """Run the tests on two models, and adjust them for each other."""
    common = [
        layer
        for layer in before.layers
        if layer in after.layers and (layers is None or layer.number in layers)
    ]
    units = UnitTests(before.seed, log10_alpha)
    outcomes: dict[str, Outcome] = {}
    links: tuple[LayerLink, ...] = ()
    if {"U", "N", "UR"} & set(tests):
        units.read(before, after, common, others="U" in tests and layers is None)
        outcomes |= {name: units.outcome(name) for name in ("U", "N", "UR") if name in tests}
        if "U" in tests and layers is None:
            outcomes["L"], links = units.links()
    order = least_orders(units.orders)
    sampled = _is_sampled(before) or _is_sampled(after)
    shared = share_rows(before.vocabulary, after.vocabulary, before.seed)
    aligned = AlignedTest(Outcome(NAME, reason=NOT_NEEDED), (), None)
    if is_needed(outcomes, log10_alpha):
        some = choose_deep(common, sampled, ALIGNED_LAYERS)
        aligned = assess_aligned(before, after, some, shared, log10_alpha)
    if "U" in tests:
        outcomes[NAME] = aligned.outcome
    if max(order) <= LEVEL:
        reason = NUMBERED_UNITS
        for name in ("U", "L", "N", "UR", NAME):
            if name in outcomes:
                outcomes[name] = Outcome(name, reason=reason)
        links = ()
    deep = choose_deep(common, sampled)
    on_coordinates, coordinate_order = _test_coordinates(
        before, after, deep, tests, shared, log10_alpha
    )
    outcomes |= on_coordinates
    if "H" in tests:
        outcomes["H"] = _test_heads(before, after, common, log10_alpha)
    outcomes = _adjust({name: outcomes[name] for name in (*TESTS, "L", NAME) if name in outcomes})
    features = sum(
        each.similarities[:, :, 0].size * each.features for each in units.in_place.values()
    )
    pair = PairOutcome(
        outcomes,
        units.layers(),
        links,
        units.layers_by_relations(),
        aligned.layers,
        (),
        order,
        coordinate_order,
        features,
    )
    if not _needs_match(pair, sampled, log10_alpha):
        return pair
    basis = pair.outcomes["RR"]
    bases = None if basis.log10_p is None or basis.rejects(log10_alpha) else aligned.bases
    matches = [match_units(before, after, layer, bases) for layer in deep]
    return replace(pair, matches=tuple(match for match in matches if match is not None))


def _needs_match(pair: PairOutcome, sampled: bool, log10_alpha: float) -> bool:
    """Return whether the match of units is worth its bytes: all rows of gate and up.

    It adds to RR, or replaces it where it abstains. Where units are sampled and RR sees no shared
    basis, all rows would be read for every pair of strangers.
    """
    basis = pair.outcomes.get("RR")
    if basis is None or pair.rejecting(("U", "N", "UR", "L", NAME), log10_alpha):
        return False
    return not sampled or basis.log10_p is None or basis.rejects(log10_alpha)


def _is_sampled(model: Model) -> bool:
    return model.units is not None and any(count > model.units for count in model.layers.values())


def _adjust(outcomes: dict[str, Outcome]) -> dict[str, Outcome]:
    """Adjust the tests that ran for each other by Holm's method.

    A test that was not needed counts with p = 1: other p-values decide whether it runs, so a family
    of the tests that ran would be too small.
    """
    p = {name: each.log10_p for name, each in outcomes.items() if each.log10_p is not None}
    adjusted = holm(p | {name: 0.0 for name, each in outcomes.items() if each.reason == NOT_NEEDED})
    adjusted = {name: adjusted[name] for name in p}
    return {
        name: replace(each, log10_adjusted=adjusted.get(name)) for name, each in outcomes.items()
    }


def _test_coordinates(
    before: Model,
    after: Model,
    deep: Sequence[Layer],
    tests: Sequence[str],
    shared: SharedRows | str,
    log10_alpha: float,
) -> tuple[dict[str, Outcome], tuple[float, float]]:
    """Return the tests R and RR, which abstain if both files number the coordinates."""
    if not {"R", "RR"} & set(tests):
        return {}, (1.0, 1.0)
    rows = SharedRows(None, None) if isinstance(shared, str) else shared
    first, first_order = before.coordinates(rows.before)
    second, second_order = after.coordinates(rows.after)
    numbered = all(order.least <= LEVEL for order in (first_order, second_order))
    pairs = {} if isinstance(shared, str) else {"R": (first, second)}
    if "RR" in tests and not numbered:
        pairs["RR"] = before.related_coordinates(deep), after.related_coordinates(deep)
    outcomes = {}
    for name in ("R", "RR"):
        if name not in tests:
            continue
        one, other = pairs.get(name, (None, None))
        if numbered:
            reason = "in both files the order of the residual coordinates is information"
            outcomes[name] = Outcome(name, reason=reason)
        elif one is None or other is None:
            absent = shared if isinstance(shared, str) else "no embedding"
            if name == "RR":
                absent = "no layer in common whose rows are all read"
            outcomes[name] = Outcome(name, reason=absent)
        else:
            things = compare_things(one, other, before.seed)
            outcomes[name] = (
                Outcome(name, reason=things)
                if isinstance(things, str)
                else outcome_of(name, assess_blocks(*things[:2]), log10_alpha)
            )
    return outcomes, (first_order.least, second_order.least)


def _test_heads(
    before: Model, after: Model, common: Sequence[Layer], log10_alpha: float
) -> Outcome:
    """Return the test H, which pools the heads of several layers."""
    if before.slopes or after.slopes:
        return Outcome("H", reason="the heads have slopes (ALiBi), so that they differ by number")
    places = list(dict.fromkeys(Layer(layer.tower, layer.number) for layer in common))
    deep = choose_deep(places, _is_sampled(before) or _is_sampled(after))
    first, second = before.heads(deep), after.heads(deep)
    layers, reason = [], "no attention heads that can be told apart by name or config.json"
    for layer in deep:
        if layer in first and layer in second:
            size = min(BLOCK, first[layer].count)
            things = compare_things(first[layer], second[layer], before.seed, size)
            if isinstance(things, Compared):
                layers.append(things)
            else:
                reason = f"layer {layer.text}: {things}"
    return pooled_outcome("H", layers, log10_alpha) if layers else Outcome("H", reason=reason)


def match_units(
    before: Model, after: Model, layer: Layer, bases: Bases | None = None
) -> Match | None:
    """Count units of which gate and up have the same nearest unit in the other model.

    Units may be permuted, or left out. Chance gives one agreement in a layer, also in bases that
    are aligned on embeddings.
    """
    one, other = (None, None) if bases is None else bases
    first, second = before.assignable(layer, one), after.assignable(layer, other)
    if not {"gate", "up"} <= first.keys() & second.keys():
        return None
    if any(first[kind].shape[1] != second[kind].shape[1] for kind in ("gate", "up")):
        return None
    sample = sample_things(len(first["gate"]), MATCHED_UNITS, seed=before.seed)
    nearest: list[Integers] = []
    for kind in ("gate", "up"):
        similarities = multiply_rows(unit_rows(first[kind][sample]), second[kind])
        top = similarities.max(axis=1)
        alone = (similarities == top[:, None]).sum(axis=1) == 1
        nearest.append(np.where(alone, similarities.argmax(axis=1), -1 - len(nearest)))
    agreements = int((nearest[0] == nearest[1]).sum())
    return Match(layer, layer, agreements, len(sample))


def log10_level(alpha: float) -> float:
    """Return the logarithm of a level.

    Raises
    ------
    ValueError
        If it is not between 0 and 1/2.
    """
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha = {alpha} is not between 0 and 0.5")
    return log10(alpha)
