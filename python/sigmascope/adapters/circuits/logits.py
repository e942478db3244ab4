# SPDX-License-Identifier: BSD-3-Clause
"""Bounds on attention logits over all rotations, and the planes in which positions rotate.

Positions turn q and k by angles that differ by R(t), which turns plane j, two components of a head,
by the angle t f_j, and leaves components without positions as they are. A logit is q^T R(t) k. All
functions take the triangles R_q and R_k of W_q^T = Q_q R_q and W_k^T = Q_k R_k, whose columns
belong to the components: W_q^T X W_k = Q_q (R_q X R_k^T) Q_k^T has the norm of R_q X R_k^T.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sigmascope.spectra.units import exponent_of, scaled

from .factors import Array
from .rotary import Rotation


class LogitBound(NamedTuple):
    """Bounds on the magnitude of an attention logit, biases not included.

    A logit is the number in the exponent of the softmax; it has no unit.

    Attributes
    ----------
    same_position : float
        For a query and a key at one position: scale x d x ||W_q^T W_k||_2, since a normalised input
        of d numbers has norm sqrt(d) at most.
    any_positions : float
        For any two positions, with any frequencies: a bound on ||W_q^T R W_k||_2 over all rotations
        R replaces ||W_q^T W_k||_2. With norms of q and k, their gains alone bound both.
    """

    same_position: float
    any_positions: float


class RotaryPlanes(NamedTuple):
    """The part of a circuit W_q^T W_k in each plane in which positions rotate.

    The circuit at distance t is the sum over planes j of W_q,j^T R(t f_j) W_k,j, where W_q,j and
    W_k,j have the two rows of the plane, plus the product of the rows that do not rotate.

    Attributes
    ----------
    rows : array (p, 2)
        Rows of W_q and W_k that form each plane.
    frequencies : array (p,) or None
        Radians per position, f_j; None if the settings of the model do not determine them.
    same_position : array (p,)
        ||W_q,j^T W_k,j||_2, in the unit of the circuit.
    any_positions : array (p,)
        The largest ||W_q,j^T R W_k,j||_2 over all rotations R.
    unrotated : float
        2-norm of the product of the rows that do not rotate, which is the same at every distance;
        0 if all rows rotate.
    """

    rows: NDArray[np.intp]
    frequencies: Array | None
    same_position: Array
    any_positions: Array
    unrotated: float


@dataclass(frozen=True, slots=True)
class LogitScale:
    """The factors that make a bound on logits out of a norm.

    `size` is the factor of the logits times both norms of what W_q and W_k multiply. With norms of
    q and k, `gains` has their gains, and the logits do not depend on the size of W_q and W_k.
    """

    size: float
    gains: tuple[Array, Array] | None = None


def planes_of(R_q: Array, R_k: Array, rotation: Rotation) -> RotaryPlanes:
    """Return the part of a circuit in each plane.

    The largest norm of a plane over all rotations is ||W_q,j||_2 ||W_k,j||_2: with the singular
    value decompositions W_q,j = X S Y^T and W_k,j = Z T V^T of 2 x d matrices, the norm is that of
    S X^T R Z T. X^T R Z runs through all rotations or through all reflections of the plane, and the
    identity, or diag(1, -1), attains s_1 t_1, above which no value can be.
    """
    (R_q, R_k), unit = _in_units(R_q, R_k)
    planes, rest = rotation.planes, _unrotated(R_q, rotation)
    left, right = (_planes(R, rotation) for R in (R_q, R_k))
    same = np.asarray(np.linalg.norm(left @ right.swapaxes(1, 2), 2, axis=(1, 2)))
    largest = _norms_of_planes(R_q, rotation) * _norms_of_planes(R_k, rotation)
    return RotaryPlanes(
        planes,
        np.array(rotation.frequencies) if rotation.frequencies else None,
        scaled(same, unit),
        scaled(largest, unit),
        scaled(_norm(R_q[:, rest] @ R_k[:, rest].T), unit) if rest.any() else 0.0,
    )


def norm_over_rotations(R_q: Array, R_k: Array, rotation: Rotation | None) -> float:
    """Bound ||W_q^T R W_k||_2 over all rotations R of all planes, each by any angle.

    For every positive c_j, D = diag(c_j), with one c_j for a plane, commutes with R. Therefore
    ||W_q^T R W_k|| = ||(D W_q)^T R (D^-1 W_k)|| <= ||D W_q|| ||D^-1 W_k|| (Doyle 1982, for
    structured singular values). The result is the least bound of three: c_j = 1, which is
    ||W_q|| ||W_k||; c_j^2 = ||W_k,j|| / ||W_q,j||, which is at most the sum of the largest norms of
    all planes; and the c_j after `_STEPS` steps of descent from the better of both. All c_j give a
    bound, so the descent need not converge. W_q and W_k of rows that do not rotate first become
    U S^(1/2) and S^(1/2) V^T of their product U S V^T, and count as one plane.

    Without a rotation given, the result is ||W_q|| ||W_k||, which holds for all orthogonal R.
    """
    if rotation is None:
        return _norm(R_q) * _norm(R_k)
    rows = slice(rotation.first, rotation.first + rotation.width)
    left, right, plane = R_q[:, rows], R_k[:, rows], rotation.planes_by_row
    rest = _unrotated(R_q, rotation)
    if rest.any():
        fixed = _balanced(R_q[:, rest], R_k[:, rest])
        plane = np.concatenate([plane, np.full(fixed[0].shape[1], rotation.width // 2)])
        left, right = np.hstack([left, fixed[0]]), np.hstack([right, fixed[1]])
    starts = [np.zeros(plane[-1] + 1)]
    norms = [_norms_of_planes(R, rotation) for R in (R_q, R_k)]
    if all(norm.all() for norm in norms):
        starts.append(np.log(np.append(norms[1] / norms[0], np.ones(int(rest.any())))))
    bounds = [_scaled_norm(left, right, u[plane]) for u in starts]
    best = starts[int(np.argmin(bounds))]
    return min(*bounds, _scaled_norm(left, right, _descended(left, right, plane, best)[plane]))


_STEPS = 100
"""Steps of the descent: more lower the bound of random heads of 128 rows by 1 % at most."""


def _descended(left: Array, right: Array, plane: NDArray[np.intp], u: Array) -> Array:
    """Return u = log c^2 with a lower bound, by a subgradient descent; u of every plane.

    log ||D W_q||_2^2 = max over x of log sum_j e^(u_j) |W_q,j x|^2 is convex in u, and its
    derivative is the share of plane j in the largest left singular vector of D W_q. The shares come
    from two steps of the power method at every step. The mean of the last half is returned.
    """
    A, B, count = left.T @ left, right.T @ right, len(u)
    x, y, total = A.sum(axis=1), B.sum(axis=1), np.zeros(count)
    for step in range(_STEPS):
        c = np.exp(u / 2)[plane]
        for _ in range(2):
            x, y = c * (A @ (c * x)), (B @ (y / c)) / c
            sizes = float(np.linalg.norm(x)), float(np.linalg.norm(y))
            if not (0 < sizes[0] < np.inf and 0 < sizes[1] < np.inf):
                return u
            x, y = x / sizes[0], y / sizes[1]
        shares = (np.bincount(plane, each * each, count) for each in (x, y))
        u = u - 4 / np.sqrt(step + 1) * np.subtract(*shares)
        total += u if 2 * step >= _STEPS else 0.0
    return total / (_STEPS // 2)


def _scaled_norm(left: Array, right: Array, u: Array) -> float:
    """Return ||D W_q||_2 ||D^-1 W_k||_2 for u = log c^2 of each row."""
    c = np.exp(u / 2)
    return _norm(left * c) * _norm(right / c)


def _planes(R: Array, rotation: Rotation) -> Array:
    """Return a triangle for each plane, with the Gram matrix of its two rows."""
    return np.asarray(np.linalg.qr(R.T[rotation.planes].swapaxes(1, 2), mode="r"))


def _norms_of_planes(R: Array, rotation: Rotation) -> Array:
    return np.asarray(np.linalg.norm(_planes(R, rotation), 2, axis=(1, 2)))


def gain_over_rotations(of_q: Array, of_k: Array, rotation: Rotation | None) -> float:
    """Return the largest ||diag(g_q) R diag(g_k)||_2 over all rotations R of all planes.

    The matrix is diagonal but for blocks of two rows, for which :func:`planes_of` says why the
    largest norm is max |g_q| max |g_k|. A gain of a row that does not rotate meets its own.
    """
    of_q, of_k = np.abs(of_q), np.abs(of_k)
    if rotation is None:
        return float(of_q.max() * of_k.max())
    rest = np.ones(len(of_q), dtype=bool)
    rest[rotation.planes] = False
    planes = of_q[rotation.planes].max(axis=1) * of_k[rotation.planes].max(axis=1)
    return float(np.max(np.concatenate([planes, of_q[rest] * of_k[rest]])))


def bound_logits(
    R_q: Array, R_k: Array, rotation: Rotation | None, scale: LogitScale
) -> LogitBound:
    """Bound logits from the triangles of W_q^T and W_k^T."""
    if scale.gains is not None:
        same_position = float(np.max(np.abs(scale.gains[0] * scale.gains[1])))
        any_positions = gain_over_rotations(*scale.gains, rotation)
    else:
        (R_q, R_k), unit = _in_units(R_q, R_k)
        norm = _norm(R_q @ R_k.T)
        turns = rotation is None or rotation.width > 0
        most = norm_over_rotations(R_q, R_k, rotation) if turns else norm
        same_position, any_positions = scaled(norm, unit), scaled(max(norm, most), unit)
    return LogitBound(scale.size * same_position, scale.size * any_positions)


def _in_units(*arrays: Array) -> tuple[list[Array], int]:
    """Return arrays times powers of two, and the exponent of what their product is a unit of."""
    units = [exponent_of(float(np.abs(R).max(initial=0.0))) for R in arrays]
    return [scaled(R, -unit) for R, unit in zip(arrays, units, strict=True)], sum(units)


def _unrotated(R: Array, rotation: Rotation) -> NDArray[np.bool_]:
    rest = np.ones(R.shape[1], dtype=bool)
    rest[rotation.first : rotation.first + rotation.width] = False
    return rest


def _balanced(left: Array, right: Array) -> tuple[Array, Array]:
    """Return factors of left right^T whose squared norms are both that of the product."""
    U, s, Vt = np.linalg.svd(left @ right.T)
    return U * np.sqrt(s), Vt.T * np.sqrt(s)


def _norm(X: Array) -> float:
    """Return ||X||_2 as the root of the largest eigenvalue of X^T X, with X near 1."""
    size = float(np.abs(X).max(initial=0.0))
    if not 0 < size < np.inf:
        return size
    X = X / size
    return size * float(np.sqrt(np.linalg.eigvalsh(X.T @ X)[-1]))
