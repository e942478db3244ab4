# SPDX-License-Identifier: BSD-3-Clause
"""Pairs of independent matrices of exchangeable rows, of many kinds, and two kinds that are not."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float64]
UNITS, FEATURES = 256, 64


class Basis:
    """A covariance that both models of a pair share."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng([seed, 90])
        rotation = np.linalg.qr(rng.normal(size=(FEATURES, FEATURES)))[0]
        self.map: Rows = rotation * np.arange(1, FEATURES + 1) ** -0.7


Draw = Callable[[np.random.Generator, Basis], Rows]


def white(rng: np.random.Generator) -> Rows:
    return rng.normal(size=(UNITS, FEATURES))


def with_outlier_columns(rng: np.random.Generator, basis: Basis) -> Rows:
    rows = white(rng) @ basis.map
    rows[:, :2] = 12 * (1 + 0.5 * rng.normal(size=(UNITS, 2)))
    return rows


def rounded_in_groups(rows: Rows, largest: int, group: int = 32) -> Rows:
    """Integers in groups along the last axis."""
    parts = rows.reshape(*rows.shape[:-1], -1, group)
    scale = np.abs(parts).max(axis=-1, keepdims=True) / largest
    scale = np.where(scale > 0, scale, 1)
    return (np.round(parts / scale) * scale).reshape(rows.shape)


def correlated_units(rng: np.random.Generator, basis: Basis) -> Rows:
    rows = white(rng)
    for unit in range(1, UNITS):
        rows[unit] = 0.9 * rows[unit - 1] + sqrt(1 - 0.81) * rows[unit]
    return rows @ basis.map


def ordered_by_importance(rng: np.random.Generator, basis: Basis) -> Rows:
    return white(rng) @ basis.map + 3 * np.linspace(1, 0, UNITS)[:, None] * basis.map[0]


EXCHANGEABLE: dict[str, Draw] = {
    "white": lambda rng, basis: white(rng),
    "shared covariance": lambda rng, basis: white(rng) @ basis.map,
    "heavy row norms": lambda rng, basis: white(rng) * np.exp(1.5 * rng.normal(size=(UNITS, 1))),
    "shared outlier columns and mean": with_outlier_columns,
    "heavy entries": lambda rng, basis: rng.standard_t(2, size=(UNITS, FEATURES)),
    "sparse rows": lambda rng, basis: white(rng) * (rng.random((UNITS, FEATURES)) < 0.05),
    "dead units": lambda rng, basis: white(rng) * (rng.random((UNITS, 1)) < 0.3),
    "shared clusters": lambda rng, basis: (
        0.5 * white(rng) + 3 * basis.map[rng.integers(0, 8, UNITS)]
    ),
    "int4 by rows": lambda rng, basis: rounded_in_groups(white(rng) @ basis.map, 7),
    "int4 along the units": lambda rng, basis: rounded_in_groups((white(rng) @ basis.map).T, 7).T,
    "int2 along the units": lambda rng, basis: rounded_in_groups((white(rng) @ basis.map).T, 1).T,
    "shared padding": lambda rng, basis: white(rng) * (np.arange(UNITS) < 200)[:, None],
}
"""Kinds of rows that may be permuted."""

NUMBERED: dict[str, Draw] = {
    "correlated units": correlated_units,
    "ordered by importance": ordered_by_importance,
}
"""Kinds of rows whose order is information."""
