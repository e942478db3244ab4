# SPDX-License-Identifier: BSD-3-Clause
"""Products of linear operators, which are examined by products with random vectors.

An operator is a SciPy operator, or any object with a shape, ``matvec`` or ``matmat``, and
``rmatvec`` or ``rmatmat``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope.errors import NonFiniteError
from sigmascope.matrices.refusals import complex_refusal

from .evidence import Evidence, checked_shape, door_exponent, hash_of, working_nbytes

_Product = Callable[[NDArray[Any]], NDArray[Any]]

_EXACT_ORDER = 256
"""Largest order at which the matrix is multiplied by the identity, which gives ||A||_F."""

_PROBES = 32
_CHANCE = 1e-6
_WRONG = 1e-3
"""Relative error of products that rounding of a linear operator cannot explain."""

_NOTICED = 64
"""Units of roundoff from which errors of products count in addition to those of blocks."""

_SUMS = 16
"""Units of roundoff of sums over a side of the matrix, from which an error of a vector counts."""

_STRIP = 4096
"""Rows that are multiplied at once."""

_FLOOR = 96
"""Error of the values in units of the error of products, as in units of roundoff of float32."""


def is_operator(source: object) -> bool:
    """Return whether an object is a linear operator, known only by its products."""
    multiplies = hasattr(source, "matvec") or hasattr(source, "matmat")
    return multiplies and hasattr(source, "shape") and not hasattr(source, "__array__")


class OperatorProducts:
    """A linear operator, examined by products with random vectors."""

    def __init__(self, source: Any) -> None:
        self.shape = checked_shape(source)
        self._name = f"a {type(source).__name__}"
        dtype = getattr(source, "dtype", None)
        dtype = np.dtype(np.float64 if dtype is None else dtype)
        if dtype.kind == "c":
            raise TypeError(f"{self._name} of {dtype} {complex_refusal()}")
        self.precision = "float32" if dtype in (np.float32, np.float16) else "float64"
        if not (hasattr(source, "rmatvec") or hasattr(source, "rmatmat")):
            raise TypeError(_no_adjoint(self._name))
        self._source = source
        self._exponent = 0

    @property
    def nbytes(self) -> int:
        """Bytes of blocks; nothing is copied."""
        n = min(self.shape)
        return working_nbytes(self.shape, (n if n <= _EXACT_ORDER else _PROBES) + 1)

    def evidence(self, precision: str) -> Evidence:
        """Multiply by random vectors, or by the identity if the order is small."""
        self._exponent, dtype = 0, np.dtype(precision)
        m, n = self.shape
        exact = min(m, n) <= _EXACT_ORDER
        flipped = exact and m < n
        gaussian = np.random.default_rng(n).standard_normal((n, _PROBES)).astype(dtype)
        x, weights = _with_sum(np.eye(min(m, n)) if exact else gaussian, dtype)
        forward: _Product = self.adjoint if flipped else self.multiply
        back: _Product = self.multiply if flipped else self.adjoint
        y = forward(x)
        size = _root_mean_square(y[:, :-1], 1 if exact else _PROBES, min(m, n))
        self._exponent = door_exponent(size)
        y = np.ldexp(y, -self._exponent).astype(dtype)
        z = back(y).astype(np.float64)
        probed = self.multiply(gaussian) if exact else y[:, :-1]
        y = y.astype(np.float64)
        error = _error(x.astype(np.float64), y, z, weights, self._name)
        norm2 = float(np.square(y[:, :-1]).sum())
        fro2 = norm2 if exact else _norm_bound(norm2, float(np.square(z[:, :-1]).sum()))
        unit = 2.0**-53 if precision == "float64" else 2.0**-24
        counted = error > _NOTICED * unit
        return Evidence(
            exponent=self._exponent,
            fro2=fro2 * (1 + 4 * (error if counted else unit)),
            norm_is_bound=not exact or counted,
            fro_norm=math.ldexp(math.sqrt(norm2), self._exponent) if exact else math.nan,
            absolute_error=0.0,
            relative_error=_FLOOR * error if counted else 0.0,
            fingerprint=hash_of(self.shape, [(y, np.float64)]),
            looks=1,
            notes=_notes(exact, error if counted else 0.0, fro2 * _PROBES / max(norm2, 1e-300)),
            defects=partial(self._defects, gaussian, probed),
        )

    def _defects(
        self, x: NDArray[Any], y: NDArray[Any], u: NDArray[Any], s: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return bounds on |B u - A^T u| for left vectors u; B is the operator's own transpose.

        For Gaussian x, x^T B u - (A x)^T u is Gaussian too. Its variance is the square of this
        norm, in whatever direction B u is wrong. The mean of the squares exceeds the share
        `_least_mean_square` of it in all but one case of a million. 0 means rounding.
        """
        unit = np.finfo(u.dtype).eps / 2
        image = self.adjoint(u).astype(np.float64)
        x, y, u = (each.astype(np.float64) for each in (x, y, u))
        means = np.square(_inner(x, image) - _inner(y, u)).mean(axis=0)
        bounds = np.sqrt(means / _least_mean_square(_PROBES))
        rounding = _SUMS * unit * (np.linalg.norm(y) / math.sqrt(_PROBES) + s * math.sqrt(len(x)))
        return np.where(bounds > rounding, bounds, 0.0)

    def multiply(self, x: NDArray[Any]) -> NDArray[Any]:
        """Multiply by the scaled matrix."""
        return self._product("matmat", "matvec", x, self.shape[0])

    def adjoint(self, y: NDArray[Any]) -> NDArray[Any]:
        """Multiply by the transpose of the scaled matrix."""
        try:
            return self._product("rmatmat", "rmatvec", y, self.shape[1])
        except (NotImplementedError, TypeError) as error:
            if isinstance(error, NotImplementedError) or self._lacks_adjoint(y[:, 0]):
                raise TypeError(_no_adjoint(self._name)) from error
            raise

    def _lacks_adjoint(self, y: NDArray[Any]) -> bool:
        """Return whether rmatvec is missing according to SciPy; its rmatmat does not say so."""
        try:
            getattr(self._source, "rmatvec", np.conj)(y)
        except NotImplementedError:
            return True
        except TypeError:
            pass
        return False

    def _product(self, many: str, single: str, x: NDArray[Any], rows: int) -> NDArray[Any]:
        with np.errstate(invalid="ignore", over="ignore"):  # NaN and infinity raise an error below
            product = self._returned(many, single, x)
        if product.dtype.kind == "c":
            kind = f"{self._name} with products of {product.dtype}"
            raise TypeError(f"{kind} {complex_refusal()}")
        if product.shape != (rows, x.shape[1]):
            raise ValueError(
                f"{many} of {self._name} returned an array of shape {product.shape}, "
                f"not ({rows}, {x.shape[1]})"
            )
        if not np.isfinite(product).all():
            raise NonFiniteError(f"{many} of {self._name} returned NaN or infinity")
        numbers = product.astype(np.result_type(product, np.float32), copy=False)
        scaled: NDArray[Any] = np.ldexp(numbers, -self._exponent)
        return scaled

    def _returned(self, many: str, single: str, x: NDArray[Any]) -> NDArray[Any]:
        product: Callable[[Any], Any] | None = getattr(self._source, many, None)
        if product is not None:
            return np.asarray(product(x))
        product = getattr(self._source, single)
        columns = [np.asarray(product(x[:, j])).reshape(-1) for j in range(x.shape[1])]
        return np.stack(columns, axis=1)


def _no_adjoint(name: str) -> str:
    return (
        f"{name} has no product with its transpose, which singular values need; "
        "scipy.sparse.linalg.LinearOperator(shape, matvec=..., rmatvec=...) has one"
    )


def _with_sum(
    columns: NDArray[Any], dtype: np.dtype[Any]
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return columns to multiply by, the last a weighted sum of the others, and the weights.

    The identity and integers are exact in every precision. Weights of many digits show whether
    products are in float32.
    """
    rng = np.random.default_rng(len(columns))
    size = math.sqrt(np.square(columns).sum() / len(columns))  # a sum has entries of size 1
    drawn = np.asarray(rng.uniform(1, 2, columns.shape[1]))
    weights = np.ldexp(drawn, -round(math.log2(size))).astype(dtype).astype(np.float64)
    return np.column_stack([columns, (columns * weights).sum(axis=1)]).astype(dtype), weights


def _inner(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return X^T Y, summed strip by strip, since one long sum of a library has a larger error."""
    strips = range(0, len(x), _STRIP)
    total: NDArray[np.float64] = np.sum(
        [x[i : i + _STRIP].T @ y[i : i + _STRIP] for i in strips], axis=0
    )
    return total


def _root_mean_square(image: NDArray[Any], probes: int, n: int) -> float:
    """Return the root mean square of the singular values, from images of probes of any size."""
    size = float(np.abs(image).max(initial=0.0))
    if size == 0:
        return 0.0
    ratio = float(np.square(image.astype(np.float64) / size).sum())
    return size * math.sqrt(ratio / (probes * n))


def _error(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    z: NDArray[np.float64],
    weights: NDArray[np.float64],
    name: str,
) -> float:
    """Return the relative error of products Y = A X and Z = A^T Y, a power of two.

    The last column of X is a weighted sum of the others. Up to rounding, the last column of Y is
    the same sum, and X^T Z is Y^T Y. A power of two does not depend on the order in which a library
    adds.
    """
    size = float(np.linalg.norm(y[:, :-1]))
    if size == 0:
        return 0.0
    of_sum = size * math.sqrt(float(np.square(weights).mean()))
    sums = float(np.linalg.norm(y[:, -1] - y[:, :-1] @ weights)) / of_sum
    square = y.T @ y
    adjoint = float(np.linalg.norm(x.T @ z - square) / np.linalg.norm(square))
    if sums > _WRONG:
        raise ValueError(f"{name} is not linear: A (x + y) is not A x + A y")
    if adjoint > _WRONG:
        raise ValueError(f"rmatvec of {name} does not multiply by the transpose of its matvec")
    worst = max(sums, adjoint)
    return 2.0 ** math.ceil(math.log2(worst)) if worst > 0 else 0.0


def _least_mean_square(count: int) -> float:
    """Return the share of its expectation that a mean of squares falls below once in a million.

    The squares are of Gaussian numbers.
    """
    half = count / 2
    return math.exp((math.log(_CHANCE) + math.lgamma(half + 1)) / half) / half


def _norm_bound(squares: float, fourth: float) -> float:
    """Return an upper bound on ||A||_F^2 from ||A X||_F^2 and ||A^T A X||_F^2, X Gaussian.

    In one case of a million, the mean of squares is below the share `least` of its expectation. In
    another, it is below the expectation by 2 sqrt(log(1e6) tr (A^T A)^2 / probes) (Laurent &
    Massart 2000).
    """
    least = _least_mean_square(_PROBES)
    mean, trace = squares / _PROBES, fourth / _PROBES / least
    return min(mean / least, mean + 2 * math.sqrt(-math.log(_CHANCE) * trace / _PROBES))


def _notes(exact: bool, error: float, margin: float) -> tuple[str, ...]:
    notes = ["only products with the matrix are available, not its elements"]
    if not exact:
        notes.append(
            f"||A||_F is not known; its square is bounded by {margin:.2g} times an estimate from "
            f"{_PROBES} random vectors, and this bound fails in three of a million cases"
        )
    if error > 0:
        notes.append(
            f"products have a relative error of {error:.2g}: residuals and errors below "
            f"{_FLOOR * error:.2g} sigma_1 are not resolved"
        )
    return tuple(notes)
