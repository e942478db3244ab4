# SPDX-License-Identifier: BSD-3-Clause
"""Features of exchangeable things, each computed from one model alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from sigmascope import matrix, multiply

from .blocks import SEED, Floats, Integers, prepare_rows, unit_rows

SKETCH_WIDTH = 256
"""Sums of features that stand for the features of a view where all pairs of things are compared."""


class Layer(NamedTuple):
    """One MLP: a layer of a tower, or an expert of it."""

    tower: str
    number: int
    expert: int | None = None
    part: str = ""
    """ "shared_" for the experts that every token uses, otherwise empty."""

    @property
    def text(self) -> str:
        """The layer in words: "3", "vision 3", "3, expert 7"."""
        words = f"{self.number}" if self.tower in ("", "text") else f"{self.tower} {self.number}"
        if self.expert is not None:
            words += f", {'shared ' if self.part else ''}expert {self.expert}"
        elif self.part:
            words += ", shared expert"
        return words


def place_of(layer: Layer) -> tuple[str, int, int, str]:
    """Return the place of a layer in a sorted list."""
    return layer.tower, layer.number, -1 if layer.expert is None else layer.expert, layer.part


@dataclass(frozen=True, slots=True)
class Features:
    """Prepared rows of things that may be permuted.

    Attributes
    ----------
    count : int
        Number of things in the model, of which a sample may have been read.
    numbers : array (n,)
        Their numbers, ascending.
    views : mapping of str to array (n, f)
        Prepared rows by the matrix that they come from. Rows of zeros are dead things.
    """

    count: int
    numbers: Integers
    views: Mapping[str, Floats]

    @property
    def alive(self) -> NDArray[np.bool_]:
        """True for things that are not zero in any view."""
        alive = np.ones(len(self.numbers), bool)
        for rows in self.views.values():
            alive &= rows.any(axis=1)
        return alive


@dataclass(frozen=True, slots=True)
class Order:
    """Whether the order of the units of one layer is information: p-values, by statistic."""

    p: Mapping[str, float] = field(default_factory=dict)

    @property
    def least(self) -> float:
        """The least p-value, times the number of statistics."""
        return min(1.0, len(self.p) * min(self.p.values(), default=1.0))


@dataclass(frozen=True, slots=True)
class LayerFeatures:
    """Features of the hidden units of one layer.

    Attributes
    ----------
    units : Features
        Rows of gate and up, and columns of down where all of them are read.
    relations : Features
        Inner products of one half of the units with the other half.
    sketch : Features
        As `units`, with at most `SKETCH_WIDTH` features in a view.
    order : Order
        The premise check.
    """

    units: Features
    relations: Features
    sketch: Features
    order: Order


def choose_things(features: Features, places: Integers) -> Features:
    """Return the features of the things at some places of `numbers`."""
    views = {kind: rows[places] for kind, rows in features.views.items()}
    return Features(features.count, features.numbers[places], views)


def sketch_rows(rows: Floats, width: int, seed: int = SEED) -> Floats:
    """Return rows with at most `width` features: signed sums of groups of features.

    The map depends on the number of features and the seed, never on the rows, so it keeps a test
    exact. An inner product changes by about 1/√width of the product of the norms.

    References
    ----------
    Charikar, Chen & Farach-Colton, Finding frequent items in data streams, 2002.
    """
    count = rows.shape[1]
    if count <= width:
        return rows
    rng = np.random.default_rng([seed, count, width, 4])
    signs = rng.choice(np.array([-1, 1], np.float32), count)
    group = -(-count // width)
    filled = np.zeros((len(rows), group * width), np.float32)
    np.multiply(rows, signs, out=filled[:, :count])
    # features j, j + width, j + 2 width, ... are summed: no neighbours, and no columns are moved
    sums: Floats = filled.reshape(len(rows), group, width).sum(axis=1)
    return sums


def sketch_features(features: Features, width: int, seed: int = SEED) -> Features:
    """Return features with at most `width` columns in each view, as unit rows."""
    views = {
        kind: unit_rows(sketch_rows(rows, width, seed + crc32(kind.encode())))
        for kind, rows in features.views.items()
    }
    return Features(features.count, features.numbers, views)


def halve_things(numbers: Integers, count: int, seed: int = SEED) -> tuple[Integers, Integers]:
    """Return the positions of the half that is permuted and of the half that stays fixed.

    Both are ascending. They depend on the numbers of things alone.
    """
    order = np.random.default_rng([seed, count, len(numbers), 2]).permutation(len(numbers))
    half = len(numbers) // 2
    return np.sort(order[:half]), np.sort(order[half:])


def relate_things(
    views: Mapping[str, Floats], numbers: Integers, count: int, seed: int
) -> Features:
    """Describe one half of the things by their inner products with the other half.

    Parameters
    ----------
    views : mapping of str to array (n, f)
        Rows as they are read. A rotation of their features changes no inner product.

    Returns
    -------
    Features
        Of the half that is permuted.
    """
    free, fixed = halve_things(numbers, count, seed)
    related = {}
    for kind, raw in views.items():
        rows = prepare_rows(raw, scale_columns=False)
        related[kind] = prepare_rows(multiply_rows(rows[free], rows[fixed]))
    return Features(count, numbers[free], related)


def multiply_rows(rows: Floats, others: Floats) -> Floats:
    """Return rows @ others.T; its bits do not depend on the number of threads."""
    product: Floats = multiply(matrix(rows), np.ascontiguousarray(others.T))
    return product
