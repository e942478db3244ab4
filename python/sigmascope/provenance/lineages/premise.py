# SPDX-License-Identifier: BSD-3-Clause
"""The premise check: is the order of the units of one model information?

A test is exact if the units of one of the two models are exchangeable. Units that are sorted after
pruning, or that nested training orders by importance, are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from math import exp, sqrt

import numpy as np
from numpy.typing import NDArray

from .blocks import Doubles, Floats
from .features import Features, Order
from .tails import log_normal_tail

PERMUTATIONS = 999
LEVEL = 1e-3
"""Level of the check over all layers of a model: it fails at LEVEL / layers."""

_SEED = 20261130


@cache
def _orders(count: int) -> NDArray[np.int64]:
    rng = np.random.default_rng([_SEED, count, 5])
    return np.array([rng.permutation(count) for _ in range(PERMUTATIONS)])


def check_order(features: Features, norms: Doubles) -> Order:
    """Return p-values of three statistics of the order of things, from 999 permutations.

    Parameters
    ----------
    features : Features
        Prepared rows. Things that are zero in a view are left out.
    norms : array (n,)
        Norms of the rows before their preparation.

    Returns
    -------
    Order
        "neighbours": the sum of the cosines of consecutive things. "norms": the correlation of
        the rank of the norm with the position. "drift": the norm of the sum of all rows times their
        centred positions. A p-value below 1/1000 is the tail of a fitted law (normal, or
        Wilson and Hilferty's of a sum of squares), which is good enough for a guard.
    """
    alive = features.alive
    count = int(alive.sum())
    if count < 16:
        return Order()
    views = [rows[alive].astype(np.float64) for rows in features.views.values()]
    rows = np.concatenate(views, axis=1)
    orders = np.concatenate([np.arange(count)[None], _orders(count)])
    gram = rows @ rows.T
    ranks = np.argsort(np.argsort(norms[alive], kind="stable"), kind="stable").astype(np.float64)
    place = np.arange(count) - (count - 1) / 2
    positions = np.empty((len(orders), count))
    np.put_along_axis(positions, orders, np.broadcast_to(place, orders.shape), axis=1)
    neighbours = np.array([gram[order[:-1], order[1:]].sum() for order in orders])
    drift = np.einsum("pf,pf->p", positions @ rows, positions @ rows)
    norm_ranks = np.abs(positions @ (ranks - ranks.mean()))
    return Order(
        {
            "neighbours": _upper_p(neighbours),
            "norms": min(1.0, _upper_p(norm_ranks, half_normal=True)),
            "drift": _upper_p(drift, squares=True),
        }
    )


def _upper_p(values: Doubles, *, half_normal: bool = False, squares: bool = False) -> float:
    """Return the p-value of the first value among the others."""
    first, others = float(values[0]), values[1:]
    exceeding = int((others >= first * (1 - 1e-12)).sum())
    p = (exceeding + 1) / (len(others) + 1)
    if exceeding:
        return p
    mean, deviation = float(others.mean()), float(others.std())
    if not deviation > 0:
        return 1.0
    if half_normal:
        scale = sqrt(float(np.square(others).mean()))
        return min(p, 2 * exp(max(log_normal_tail(first / scale), -700.0)))
    z = (first - mean) / deviation
    if squares:
        third = 2 / 9 / (2 * (mean / deviation) ** 2)
        z = ((first / mean) ** (1 / 3) - (1 - third)) / sqrt(third)
    return min(p, exp(max(log_normal_tail(z), -700.0)))


def norms_of(views: Mapping[str, Floats]) -> Doubles:
    """Return the norms of things over all of their rows."""
    squares = [np.einsum("ij,ij->i", rows, rows, dtype=np.float64) for rows in views.values()]
    norms: Doubles = np.sqrt(np.sum(squares, axis=0))
    return norms
