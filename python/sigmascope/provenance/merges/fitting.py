# SPDX-License-Identifier: BSD-3-Clause
"""The weights that explain all numbers of one tensor, in each order of rounding that can."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from .blocks import Block, Formats
from .number_formats import NumberFormat, Reals
from .number_rows import Ellipsoid, Indices, NumberRows
from .order_list import AT_RANDOM, iter_orders, words_of
from .orders import Once, Order
from .parallel import in_turn
from .replay import replayed_box
from .rows import largest_weights, rows_of
from .sources import Source
from .sums import Sums
from .weights import WeightSet, witness_of

QUICK = 256
"""Least size of the part of a sample that is tried first."""


@dataclass
class OrderFit:
    """The weights of a tensor that one order of rounding leaves.

    Attributes
    ----------
    order
        The order.
    formats
        The formats of the tensor.
    most
        Bounds of the weights' magnitudes, for which the rows were made.
    weights
        The set of weights.
    box
        The interval of each weight, of shape (p, 2); None if no weights fit.
    misses
        The number of numbers that the claim does not store in this order; then those of its
        roundings, if the order rounds weights.
    """

    order: Order
    formats: Formats
    most: Reals
    weights: WeightSet
    box: Reals | None = None
    misses: list[int] = field(default_factory=list)

    @property
    def words(self) -> str:
        """The order in words."""
        return words_of(self.order, self.formats)

    @property
    def is_at_random(self) -> bool:
        """True if numbers were rounded up or down at random, the weakest order."""
        return self.order == AT_RANDOM


@dataclass(frozen=True)
class TensorFit:
    """All orders that explain a tensor, and those that were refuted.

    Attributes
    ----------
    fits
        The orders in which some weights store every number.
    refuted
        Numbers that contradict each other, for each refuted order, by its words; the numbers are
        empty if sums of squares refuted it.
    sums
        Sums over the tensor.
    proved
        False if larger weights than ``LIMIT`` were not searched.
    """

    fits: tuple[OrderFit, ...]
    refuted: dict[str, tuple[int, ...]]
    sums: Sums
    proved: bool

    @property
    def box(self) -> Reals | None:
        """The interval of each weight over all orders; None if nothing fits."""
        boxes = [fit.box for fit in self.fits if fit.box is not None]
        return hull(boxes) if boxes else None

    @property
    def fits_exactly(self) -> bool:
        """True if an order explains the tensor that does not round at random."""
        return any(not each.is_at_random for each in self.fits)

    def joined(self, other: TensorFit) -> TensorFit:
        """Return this fit with the orders of another of the same tensor."""
        refuted = self.refuted | other.refuted
        return replace(self, fits=self.fits + other.fits, refuted=refuted)


def hull(boxes: Sequence[Reals]) -> Reals:
    """Return the smallest box, of shape (p, 2), that contains all boxes."""
    low = np.min([box[:, 0] for box in boxes], axis=0)
    high = np.max([box[:, 1] for box in boxes], axis=0)
    return np.stack([low, high], axis=1)


def rounded_claims(claim: Reals, *formats: NumberFormat) -> list[Reals]:
    """Return the claim, and its roundings to formats in which a merger may hold the weights."""
    claims = [claim]
    for number_format in formats:
        rounded = number_format.round(claim)
        if not any(np.array_equal(rounded, other) for other in claims):
            claims.append(rounded)
    return claims


def fit_tensor(
    source: Source, claim: Reals | None, likely: Collection[str] | None = None
) -> TensorFit:
    """Find all weights that store every number of a tensor, in every order.

    One pass over the tensor, after a sample of it has refuted most orders; a second pass if no
    order is left. Memory: a block of each operand, and the rows that bound the weights.

    Parameters
    ----------
    source
        The numbers of the tensor.
    claim
        Weights of shape (p,) whose replay is counted; None if nothing is claimed.
    likely
        Words of the orders that explain other tensors of the same file. If one of them explains
        this tensor, too, no others are tried.
    """
    fit = _fit(source, claim, likely)
    if likely is not None and not fit.fits and len(fit.sums.gram) and fit.refuted:
        return _fit(source, claim, None)
    return fit


def _fit(source: Source, claim: Reals | None, likely: Collection[str] | None) -> TensorFit:
    places, sample = source.sample()
    p, formats = len(sample.changes), source.formats
    if not len(sample.base):
        return _count_differences(source, p)
    claims = [] if claim is None else rounded_claims(claim, formats.change, formats.base)
    most, proved = largest_weights(sample)
    refuted: dict[str, tuple[int, ...]] = {}
    fits: list[OrderFit] = []
    models = not any(change.error.any() for change in sample.changes)
    for order in iter_orders(formats, p, models=models):
        words = words_of(order, formats)
        if likely is not None and words not in likely:
            continue
        fit = _fit_sample(order, places, sample, most, len(claims))
        if fit is None:
            refuted[words] = ()
        else:
            fits.append(fit)
    weights = _near_weights(fits, claim, p)
    sums = Sums.start(weights, len(claims))
    _read(source, fits, claims, sums)
    alive = [fit for fit in fits if _finish(fit, sample)]
    refuted |= {fit.words: fit.weights.witness for fit in fits if fit not in alive}
    if not alive and likely is None:
        fit = _fit_sample(AT_RANDOM, places, sample, most, len(claims))
        if fit is not None:
            _read(source, [fit], claims, Sums.start(weights, len(claims)))
            if _finish(fit, sample):
                alive = [fit]
    if not alive and not any(refuted.values()):
        first = Once()
        refuted[words_of(first, formats)] = witness_of(rows_of(first, sample, most, places))
    return TensorFit(tuple(alive), refuted, sums, proved)


def _count_differences(source: Source, p: int) -> TensorFit:
    """Compare a tensor that no donor changes."""
    sums = Sums.start(np.zeros(p), 0)
    _read(source, [], (), sums)
    return TensorFit((), {}, sums, proved=True)


def fits_sample(source: Source, likely: Collection[str] | None = None) -> bool:
    """Return whether some weights explain a sample of a tensor in some (likely) order."""
    places, sample = source.sample()
    if not len(sample.base):
        return False
    most, _ = largest_weights(sample)
    models = not any(change.error.any() for change in sample.changes)
    return any(
        _fit_sample(order, places, sample, most, 0) is not None
        for order in iter_orders(source.formats, len(sample.changes), models=models)
        if likely is None or words_of(order, source.formats) in likely
    )


def _near_weights(fits: Sequence[OrderFit], claim: Reals | None, p: int) -> Reals:
    """Return weights that the sample allows, or else the claim."""
    if fits and p:
        weights = fits[0].weights
        return weights.ellipsoid.centre + weights.ellipsoid.axes @ weights.middle
    return np.zeros(p) if claim is None else claim


def _fit_sample(
    order: Order, places: Indices, sample: Block, most: Reals, claims: int
) -> OrderFit | None:
    """Fit an order to a sample, with bounds of the weights that the sample itself gives.

    If no weights up to `most` fit the sample except those in a box, then larger bounds than those
    of the box need not be allowed for: the intervals of the numbers become narrower.
    """
    few = sample.part(slice(0, len(sample.base), 8))
    if len(few.base) >= QUICK and _set_of(order, places[::8], few, most) is None:
        return None
    for _ in range(3):
        weights = _set_of(order, places, sample, most)
        box = None if weights is None else weights.box()
        if weights is None or box is None:
            return None
        own = claims if order.rounds_weights else min(claims, 1)
        fit = OrderFit(order, sample.formats, most, weights, misses=[0] * own)
        reach = np.abs(box).max(axis=1)
        narrower = np.where(np.isfinite(reach), np.minimum(reach, most), most)
        if isinstance(order, Once) or (narrower > 0.95 * most).all():
            break
        most = narrower
    return fit


def _set_of(order: Order, places: Indices, sample: Block, most: Reals) -> WeightSet | None:
    """Return the weights that explain a sample; None if no weights do."""
    rows = rows_of(order, sample, most, places)
    ellipsoid = Ellipsoid.of(rows)
    if rows.impossible.size or ellipsoid is None:
        return None
    weights = WeightSet(ellipsoid)
    weights.add(rows)
    weights.tighten()
    return None if weights.empty else weights


def _read(source: Source, fits: Sequence[OrderFit], claims: Sequence[Reals], sums: Sums) -> None:
    """Add all numbers of a tensor to the fits and the sums, in the order of the tensor."""

    def work(
        part: tuple[int, Block],
    ) -> tuple[Sums, list[tuple[NumberRows, list[int]] | None]]:
        start, block = part
        own = Sums.start(sums.weights, len(claims))
        own.add(block, claims)
        return own, [_rows_and_misses(fit, block, start, claims) for fit in fits]

    for own, results in in_turn(work, source.blocks()):
        sums.join(own)
        for fit, result in zip(fits, results, strict=True):
            if result is not None:
                fit.weights.add(result[0])
                fit.misses = [a + b for a, b in zip(fit.misses, result[1], strict=True)]


def _rows_and_misses(
    fit: OrderFit, block: Block, start: int, claims: Sequence[Reals]
) -> tuple[NumberRows, list[int]] | None:
    if fit.weights.empty:
        return None
    places = np.arange(start, start + len(block.base), dtype=np.intp)
    misses = []
    for claim in claims[: len(fit.misses)]:
        stores = fit.order.stores(block, claim, claim)
        misses.append(int(np.count_nonzero(~stores & (np.isfinite(block.base) | block.lost))))
    return rows_of(fit.order, block, fit.most, places), misses


def _finish(fit: OrderFit, sample: Block) -> bool:
    """Set the box of an order; return False if no weights are left."""
    fit.box = fit.weights.box()
    worth = not isinstance(fit.order, Once) and knows_base(sample)
    if fit.box is not None and worth and np.isfinite(fit.box).all():
        fit.box = replayed_box(fit.order, sample, fit.box)
    return fit.box is not None


def knows_base(sample: Block) -> bool:
    """Return whether the merger's base is known but for last digits.

    A replay closes what roundings of the merger leave open; cells of the base leave open far more.
    """
    return bool(np.median(sample.reach) <= 2.0**-16 * np.median(np.abs(sample.base)))
