# SPDX-License-Identifier: BSD-3-Clause
"""Tests of hidden units, layer by layer: U, N, UR and L."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log10
from typing import NamedTuple

import numpy as np

from .blocks import (
    BLOCK,
    Doubles,
    Floats,
    Integers,
    centre_blocks,
    compare_blocks,
    effect_size,
    partition_things,
    pool_blocks,
    variance_of,
)
from .features import Features, Layer, LayerFeatures, multiply_rows, place_of
from .levels import bonferroni, holm
from .models import Model
from .neighbours import count_neighbours_in_place, log10_p_of_counts
from .outcomes import LayerLink, LayerOutcome, Outcome
from .tails import BlockTest, assess_blocks

LEAST_THINGS = 16
"""Fewer things have too few permutations."""

MOST_PAIRS_OF_LAYERS = 20_000

_SCREEN = 3.0
"""Pairs of layers below this z have certified p-values near 1: they are not computed."""


class Aligned(NamedTuple):
    """Features of two models for the same things, alive in both."""

    before: tuple[Floats, ...]
    after: tuple[Floats, ...]
    things: int

    @property
    def columns(self) -> int:
        """Number of features of a thing in all views."""
        return sum(rows.shape[1] for rows in self.before)


class Compared(NamedTuple):
    """The blocks of one layer, and their number of views and features."""

    similarities: Doubles
    views: int
    features: int


def align(before: Features, after: Features) -> Aligned | str:
    """Return the rows of things that are alive in both models, or the reason why there are none.

    Leaving out dead things is exact, by conditioning on their places: only the others are permuted.
    """
    if before.count != after.count:
        return f"other numbers of things: {before.count} and {after.count}"
    if not np.array_equal(before.numbers, after.numbers):
        return "other samples of things"
    kinds = [
        kind
        for kind, rows in before.views.items()
        if kind in after.views and after.views[kind].shape == rows.shape
    ]
    if not kinds:
        return "no matrix of equal role and width"
    alive = np.ones(len(before.numbers), bool)
    for kind in kinds:
        alive &= before.views[kind].any(axis=1) & after.views[kind].any(axis=1)
    places: Integers | slice = slice(None) if alive.all() else np.flatnonzero(alive)  # no copies
    return Aligned(
        tuple(before.views[kind][places] for kind in kinds),
        tuple(after.views[kind][places] for kind in kinds),
        int(alive.sum()),
    )


def compare_things(
    before: Features, after: Features, seed: int, size: int = BLOCK
) -> Compared | str:
    """Return the similarities inside blocks of things, or the reason why there are none."""
    rows = align(before, after)
    if isinstance(rows, str):
        return rows
    if rows.things < min(LEAST_THINGS, size):
        return f"only {rows.things} things that are not zero in both files"
    partition = partition_things(rows.things, size, seed=seed)
    similarities = compare_blocks(rows.before, rows.after, partition)
    return Compared(similarities, len(rows.before), rows.columns)


def pooled_outcome(name: str, layers: Sequence[Compared], log10_alpha: float) -> Outcome:
    """Return the test of all blocks of several layers, whose permutations are independent."""
    if not layers:
        return Outcome(name, reason="no layer of equal sizes and roles")
    if len({each.similarities.shape[1] for each in layers}) > 1:
        return Outcome(name, reason="layers with other numbers of things")
    weights = [len(each.similarities) for each in layers]
    sizes = [effect_size(each.similarities, each.views) for each in layers]
    pooled = pool_blocks([each.similarities for each in layers])
    test = assess_blocks(pooled, rho=float(np.average(sizes, weights=weights)))
    return outcome_of(name, test, log10_alpha)


def outcome_of(name: str, test: BlockTest, log10_alpha: float) -> Outcome:
    """Return a test of blocks as a record; it abstains if its group is too small."""
    if test.log10_floor > log10_alpha:
        reason = f"the least p-value of {test.blocks} blocks is 1e{test.log10_floor:.1f}"
        return Outcome(name, things=test.things, blocks=test.blocks, reason=reason)
    return Outcome(
        name,
        log10_p=test.log10_p,
        log10_p_sharp=test.log10_p_sharp,
        log10_floor=test.log10_floor,
        z=test.z,
        rho=test.rho,
        things=test.things,
        blocks=test.blocks,
    )


class UnitTests:
    """Collects the layers of a pair, and tests them together."""

    def __init__(self, seed: int, log10_alpha: float) -> None:
        self.seed, self.log10_alpha = seed, log10_alpha
        self.in_place: dict[Layer, Compared] = {}
        self.related: dict[Layer, Compared] = {}
        self.counts: dict[Layer, tuple[int, int]] = {}
        self.orders: dict[Layer, tuple[float, float]] = {}
        self.sketches: tuple[dict[Layer, Features], dict[Layer, Features]] = ({}, {})
        self.reasons: dict[str, str] = {}

    def read(self, before: Model, after: Model, layers: Sequence[Layer], *, others: bool) -> None:
        """Compare some layers in place, and read the others of both models if requested."""
        for layer in layers:
            first, second = before.layer(layer), after.layer(layer)
            for side, features in enumerate((first, second)):
                if features is not None:
                    self.sketches[side][layer] = features.sketch
            if first is not None and second is not None:
                self._compare(layer, first, second)
        for side, model in enumerate((before, after) if others else ()):
            for layer in model.layers:
                features = None if layer in self.sketches[side] else model.layer(layer)
                if features is not None:
                    self.sketches[side][layer] = features.sketch

    def _compare(self, layer: Layer, first: LayerFeatures, second: LayerFeatures) -> None:
        self.orders[layer] = first.order.least, second.order.least
        units = compare_things(first.units, second.units, self.seed)
        if isinstance(units, str):
            self.reasons.setdefault("U", f"layer {layer.text}: {units}")
        else:
            self.in_place[layer] = units
            rows = align(first.sketch, second.sketch)
            assert not isinstance(rows, str)
            similarities = sum(
                multiply_rows(a, b) for a, b in zip(rows.before, rows.after, strict=True)
            )
            self.counts[layer] = count_neighbours_in_place(np.asarray(similarities)), rows.things
        relations = compare_things(first.relations, second.relations, self.seed)
        if isinstance(relations, str):
            self.reasons.setdefault("UR", f"layer {layer.text}: {relations}")
        else:
            self.related[layer] = relations

    def outcome(self, name: str) -> Outcome:
        """Return the test U, N or UR over all layers."""
        if name == "N":
            return self._neighbours()
        layers = list((self.in_place if name == "U" else self.related).values())
        if not layers:
            return Outcome(name, reason=self.reasons.get(name, "no layer in common"))
        return pooled_outcome(name, layers, self.log10_alpha)

    def _neighbours(self) -> Outcome:
        counts = [count for count, _ in self.counts.values()]
        things = sum(units for _, units in self.counts.values())
        if not counts:
            return Outcome("N", reason=self.reasons.get("U", "no layer in common"))
        log10_p = log10_p_of_counts(counts)
        return Outcome(
            "N",
            log10_p=log10_p,
            log10_p_sharp=log10_p,
            log10_floor=log10_p_of_counts([units for _, units in self.counts.values()]),
            rho=sum(counts) / max(things, 1),
            things=things,
        )

    def layers(self) -> tuple[LayerOutcome, ...]:
        """Return the test U of each layer alone, adjusted for their number."""
        tests = {
            layer: assess_blocks(each.similarities, each.views)
            for layer, each in self.in_place.items()
        }
        adjusted = holm({layer: test.log10_p for layer, test in tests.items()})
        return tuple(
            LayerOutcome(
                layer,
                layer,
                test.log10_p,
                adjusted[layer],
                test.rho,
                *self.counts[layer],
                *self.orders[layer],
            )
            for layer, test in tests.items()
        )

    def layers_by_relations(self) -> tuple[Layer, ...]:
        """Return the layers that UR certifies alone, adjusted for their number."""
        tests = {
            layer: assess_blocks(each.similarities).log10_p for layer, each in self.related.items()
        }
        return tuple(layer for layer, p in holm(tests).items() if p <= self.log10_alpha)

    def links(self) -> tuple[Outcome, tuple[LayerLink, ...]]:
        """Test all pairs of layers, and return which layer of one is tied to which of the other."""
        pairs = [
            (a, b)
            for a in sorted(self.sketches[0], key=place_of)
            for b in sorted(self.sketches[1], key=place_of)
            if (a.tower, a.expert, a.part) == (b.tower, b.expert, b.part)
        ]
        if len(pairs) < 2 or len(pairs) > MOST_PAIRS_OF_LAYERS:
            reason = "one layer" if len(pairs) < 2 else f"{len(pairs)} pairs of layers"
            return Outcome("L", reason=reason), ()
        best: dict[Layer, LayerLink] = {}
        least, floor, compared = 0.0, 0.0, False
        for a, b in pairs:
            units = compare_things(self.sketches[0][a], self.sketches[1][b], self.seed)
            if isinstance(units, str):
                continue
            compared = True
            test = _assess_above(units, _SCREEN)
            least, floor = min(least, test.log10_p), min(floor, test.log10_floor)
            link = LayerLink(a, b, bonferroni(test.log10_p, len(pairs)), test.rho)
            if link.log10_adjusted <= self.log10_alpha and (
                a not in best or _stronger(link, best[a])
            ):
                best[a] = link
        if not compared:
            return Outcome("L", reason="no layers with equal numbers of units"), ()
        log10_p = bonferroni(least, len(pairs))
        outcome = Outcome(
            "L", log10_p=log10_p, log10_p_sharp=log10_p, log10_floor=floor + log10(len(pairs))
        )
        return outcome, tuple(best.values())


def _stronger(link: LayerLink, other: LayerLink) -> bool:
    return (-link.log10_adjusted, link.rho) > (-other.log10_adjusted, other.rho)


def _assess_above(units: Compared, z: float) -> BlockTest:
    """Return the test of one pair of layers, with p = 1 if it is below a z."""
    centred = centre_blocks(units.similarities)
    variance = variance_of(centred)
    statistic = float(np.trace(centred, axis1=1, axis2=2).sum())
    if statistic > z * np.sqrt(variance):
        return assess_blocks(units.similarities, units.views)
    empty = assess_blocks(np.zeros_like(units.similarities), units.views)
    return empty


def least_orders(orders: Mapping[Layer, tuple[float, float]]) -> tuple[float, float]:
    """Return the least premise p-value of either file, adjusted for the number of layers."""
    count = len(orders)
    sides = zip(*orders.values(), strict=True) if orders else ((1.0,), (1.0,))
    first, second = (min(1.0, max(count, 1) * min(side)) for side in sides)
    return first, second
