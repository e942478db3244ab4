# SPDX-License-Identifier: BSD-3-Clause
"""Explanations of tensors that no weights of the donors alone explain.

Three kinds of merge are looked for: a base with a weight of its own (weights that do not sum to 1,
or an interpolation on a sphere: SLERP), changes of which small numbers were left out (TIES; Yadav
et al., 2023), and changes of which numbers were left out at random (DARE; Yu et al., 2023).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from .blocks import Block, Change
from .fitting import hull
from .number_formats import Reals
from .number_rows import Ellipsoid, Indices
from .order_list import iter_orders
from .orders import Once, Order
from .rows import largest_weights, rows_of
from .sources import Source
from .weights import WeightSet

LINE = 0.9995
"""Cosine of two tensors above which SLERP interpolates on a line (mergekit)."""

SHOWS = 8.0
"""A change by more than so many half cells cannot be rounded away."""

FEWEST = 50
"""Least count of numbers that stayed, and of those that moved, for a statement."""

TRIMMED, DROPPED = 0.15, (0.4, 0.6)
"""Probability that a change that was left out is larger than one that was made."""


def explain(source: Source) -> dict[str, Any] | None:
    """Return what else explains a tensor, as a record with its `kind`; None if nothing does.

    One or two passes over the tensor, after a sample of it has decided which.
    """
    return explain_by_base(source) or _with_numbers_left_out(source)


def explain_by_base(source: Source) -> dict[str, Any] | None:
    """Return the weights of a tensor if W has one of its own: the base becomes one more donor."""
    places, sample = source.sample()
    free = with_base(sample)
    most, _ = largest_weights(free)
    weights = _set_of(Once(), free, places, most)
    if weights is None:
        return None
    sums = np.zeros(3)
    for start, block in source.blocks():
        within = np.arange(start, start + len(block.base), dtype=np.intp)
        weights.add(rows_of(Once(), with_base(block), most, within))
        if len(block.changes) == 1:
            model = block.base + block.donors[0]
            sums += block.base @ block.base, block.base @ model, model @ model
    box = weights.box()
    if box is None:
        return None
    record = {"weights": box[:-1].tolist(), "base": (1 + box[-1]).tolist()}
    if len(box) == 2 and np.isfinite(box).all():
        sphere = _on_a_sphere(box, sums)
        if sphere is not None:
            return record | sphere
    return record | {"kind": "sum"}


def with_base(block: Block) -> Block:
    """Return the block with its base as a last donor."""
    base = Change(block.base, np.zeros_like(block.base))
    return replace(block, changes=(*block.changes, base))


def _set_of(order: Order, block: Block, places: Indices, most: Reals) -> WeightSet | None:
    rows = rows_of(order, block, most, places)
    ellipsoid = Ellipsoid.of(rows)
    if ellipsoid is None or rows.impossible.size:
        return None
    weights = WeightSet(ellipsoid)
    weights.add(rows)
    return None if weights.box() is None else weights


def _on_a_sphere(box: Reals, sums: Reals) -> dict[str, Any] | None:
    """Return the position of an interpolation between base (0) and model (1), if it is one.

    M = s_0 W + s_1 F with s_1 = sin(t a) / sin(a) and s_0 = sin((1 - t) a) / sin(a), where a is the
    angle between both tensors.
    """
    cosine = float(sums[1] / np.sqrt(sums[0] * sums[2]))
    if not abs(cosine) < LINE:
        return None
    angle = np.arccos(cosine)
    ends = box[0] * np.sin(angle)
    if not (np.abs(ends) <= 1).all():
        return None
    t = np.arcsin(ends) / angle
    total = np.sin((1 - t) * angle) / np.sin(angle) + box[0] - 1
    error = 1e-6 / np.sin(angle)  # a merger sums the angle in float32
    if total.min() - error > box[1, 1] or total.max() + error < box[1, 0]:
        return None
    return {"kind": "slerp", "position": t.tolist(), "cosine": cosine}


def _with_numbers_left_out(source: Source) -> dict[str, Any] | None:
    """Compare changes that were left out with those that were made.

    Numbers of a foreign change also stay now and then, large and small alike. So changes that were
    dropped at random are stated only if one weight explains all numbers that moved.
    """
    _, sample = source.sample()
    stayed, shown = _left_out(sample)
    size = np.abs(sample.donors).sum(axis=0)
    if min(stayed.sum(), (shown & ~stayed).sum()) < FEWEST:
        return None
    ranks = np.argsort(np.argsort(size[shown])) / shown.sum()
    kept = stayed[shown]
    # P(size of one that stayed > size of one that moved), from mean ranks (Mann and Whitney, 1947)
    larger = float(ranks[kept].mean() - ranks[~kept].mean() + 0.5)
    box = _weight_of_the_moved(source, sample) if len(sample.donors) == 1 else None
    if larger <= TRIMMED and (box is not None or len(sample.donors) > 1):
        kind = "trimmed"
    elif DROPPED[0] <= larger <= DROPPED[1] and box is not None:
        kind = "dropped at random"
    else:
        return None
    return {
        "kind": kind,
        "left_out": float(kept.mean()),
        "larger": larger,
        "weights": None if box is None else box.tolist(),
    }


def _left_out(block: Block) -> tuple[Any, Any]:
    """Return which numbers stayed, and which would have moved if their change had been made."""
    low, high = block.cells
    shown = np.abs(block.donors).sum(axis=0) > SHOWS * (high - low) / 2
    return shown & (low <= block.base) & (block.base <= high), shown


def _weight_of_the_moved(source: Source, sample: Block) -> Reals | None:
    """Return the weight that all numbers that moved have in common, in some order of rounding."""

    def moved(block: Block) -> tuple[Indices, Block]:
        stayed, shown = _left_out(block)
        chosen = np.flatnonzero(shown & ~stayed)
        return chosen, block.part(chosen)

    places, first = moved(sample)
    most, _ = largest_weights(first)
    models = not first.errors.any()
    orders = list(iter_orders(source.formats, 1, models=models))
    sets = [_set_of(order, first, places, most) for order in orders]
    fits = [(order, own) for order, own in zip(orders, sets, strict=True) if own is not None]
    for start, block in source.blocks() if fits else ():
        places, some = moved(block)
        for order, weights in fits:
            weights.add(rows_of(order, some, most, start + places))
    boxes = [box for _, weights in fits if (box := weights.box()) is not None]
    return hull(boxes) if boxes else None
