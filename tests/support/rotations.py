# SPDX-License-Identifier: BSD-3-Clause
"""Rotations of planes, and an ascent over their angles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def rotation_matrix(planes: NDArray[Any], angles: Array, rows: int) -> Array:
    """The identity, with each plane turned by its angle."""
    turn = np.eye(rows)
    one, two = planes.T
    turn[one, one] = turn[two, two] = np.cos(angles)
    turn[one, two], turn[two, one] = -np.sin(angles), np.sin(angles)
    return turn


def triangle(rows: Array) -> Array:
    """R of W^T = Q R, for the rows W."""
    return np.asarray(np.linalg.qr(rows.T, mode="r"))


def largest_by_ascent(q: Array, k: Array, planes: NDArray[Any], starts: int) -> float:
    """A large value of ||q^T R k||_2 over rotations R of planes, from random starts.

    For fixed singular vectors u and v, u^T q^T R k v is a sum over planes, which one angle each
    makes largest; this alternates with new singular vectors, so the norm never falls.
    """
    rng = np.random.default_rng(0)
    one, two = planes.T
    left, right = triangle(q), triangle(k)
    largest = 0.0
    for _ in range(starts):
        angles = rng.uniform(0, 2 * np.pi, len(planes))
        for _ in range(60):
            turn = rotation_matrix(planes, angles, len(q))
            U, s, Vt = np.linalg.svd(left @ turn @ right.T)
            largest = max(largest, float(s[0]))
            x, y = left.T @ U[:, 0], right.T @ Vt[0]
            cosines = x[one] * y[one] + x[two] * y[two]
            angles = np.arctan2(x[two] * y[one] - x[one] * y[two], cosines)
    return largest
