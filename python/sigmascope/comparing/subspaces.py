# SPDX-License-Identifier: BSD-3-Clause
"""Leading singular subspaces of the matrices of a pair: their errors, and angles between them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sigmascope._tables.schema import Row
from sigmascope.analysis.low_rank import METHOD
from sigmascope.matrices.matrix import multiply
from sigmascope.matrices.sources import matrix
from sigmascope.spectra import SVD
from sigmascope.spectra.statistics import pairs, updates
from sigmascope.spectra.units import exponent_of, scaled

Array = NDArray[np.float64]

_ROUNDED = {"float64": 48.0 * 2.0**-53, "mixed": 2.0**-15, "split": 2.0**-15}
"""Rounding error of A v - s u by the precision of the products, as a fraction of sigma_1.

For a precision that is not listed it is 48 units of float32's roundoff. A search with rounded
products may compute its last residuals from 16 bits of every number; see `block_krylov.hpp`.
"""


def span_bounds(svd: SVD) -> Array:
    """Bound the sine of the error angle of the first j vectors' span, for each j."""
    return pairs.subspace_errors(*_known(svd))


def vector_bounds(svd: SVD) -> Array:
    """Bound the sine of the error angle of each vector."""
    return updates.vector_errors(*_known(svd))


def _known(svd: SVD) -> tuple[Array, Array, Array, float]:
    svd = svd.scaled(-exponent_of(float(svd.s[0])))  # a sine has no unit
    rounding = _ROUNDED.get(svd.precision, 48.0 * 2.0**-24) * float(svd.s[0])
    if svd.method == METHOD:  # B (A v) rounds in units of |B| |A|, which may far exceed sigma_1
        rounding = max(rounding, float(svd.errors[0]))
    # An exact decomposition of a product has all nonzero values; one zero stands for the rest.
    rest = [0.0] if svd.method == METHOD and len(svd.s) == svd.columns else []
    s, e, r = (np.append(x, rest) for x in (svd.s, svd.errors, svd.residuals))
    return s, e, r, rounding


def inner_products(num_threads: int) -> pairs.Product:
    """Return a function that computes X^T Y in the engine, with the threads of this call."""

    def product(X: pairs.Vectors, Y: pairs.Vectors) -> Array:
        return multiply(matrix(X).T, Y.astype(np.float64), num_threads=num_threads)

    return product


def angle_columns(
    prefix: str, one: SVD | None, two: SVD | None, num_threads: int, *, together: bool
) -> Row:
    """Return the principal angles between the leading singular subspaces of two matrices.

    Each subspace is the largest that the errors of its vectors resolve. With `together`, both have
    the same dimension: the largest that is resolved in both.
    """
    if one is None or two is None:
        return {}
    first, second = span_bounds(one), span_bounds(two)
    if together:
        common = min(len(first), len(second))
        i = j = pairs.resolved(np.maximum(first[:common], second[:common]))
    else:
        i, j = pairs.resolved(first), pairs.resolved(second)
    if i == 0 or j == 0:
        return {}
    error = pairs.angle_error(float(first[i - 1]), float(second[j - 1]))
    product = inner_products(num_threads)
    row: Row = {}
    for side, X, Y in (("left", one.U, two.U), ("right", one.Vt, two.Vt)):
        assert X is not None
        assert Y is not None
        x, y = (X[:, :i], Y[:, :j]) if side == "left" else (X[:i].T, Y[:j].T)
        row[f"{prefix}angles_{side}"] = pairs.principal_angles(x, y, product).tolist()
        row[f"{prefix}angles_{side}_error"] = error
    return row


def left_directions(svd: SVD, most: int) -> updates.Directions | None:
    """Return leading left vectors whose span is resolved; None if there are no such vectors."""
    spans = span_bounds(svd)[:most]
    k = pairs.resolved(spans)
    if k == 0 or svd.U is None:
        return None
    values = scaled(np.asarray(svd.s[:k]), -exponent_of(float(svd.s[0])))
    return updates.Directions(svd.U[:, :k], values, vector_bounds(svd)[:k], float(spans[k - 1]))
