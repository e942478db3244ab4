# SPDX-License-Identifier: BSD-3-Clause
"""Products of linear operators, which are examined by products with random vectors.

Operators are those of SciPy, and all objects with a shape, ``matvec`` or ``matmat``, and
``rmatvec`` or ``rmatmat``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope.errors import NonFiniteError
from sigmascope.matrices.arrays import complex_refusal

from .evidence import Evidence, checked_shape, door_exponent, hash_of, working_nbytes

_EXACT_ORDER = 256
"""Order up to which the matrix is multiplied by the identity, so that ||A||_F is known."""

_PROBES = 32
_CHANCE = 1e-6
_WRONG = 1e-3
"""Relative error of products from which they are no rounded products of a linear operator."""

_NOTICED = 64
"""Units of roundoff from which errors of products count in addition to those of blocks."""

_FLOOR = 96
"""Error of the values in units of the error of products, as in units of roundoff of float32."""


def is_operator(source: object) -> bool:
    """Tell whether an object is known by its products alone."""
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
        return working_nbytes(self.shape)

    def evidence(self, precision: str) -> Evidence:
        """Multiply by random vectors, or by the identity where its order is small."""
        self._exponent, dtype = 0, np.dtype(precision)
        wide = self.shape[0] < self.shape[1]
        forward, back = (self.adjoint, self.multiply) if wide else (self.multiply, self.adjoint)
        n = min(self.shape)
        exact = n <= _EXACT_ORDER
        probes, weights = _probes(n, exact, dtype)
        image = forward(probes)
        self._exponent = door_exponent(_root_mean_square(image[:, :-1], 1 if exact else _PROBES, n))
        image = np.ldexp(image, -self._exponent)
        again = back(image.astype(dtype)).astype(np.float64)
        image = image.astype(np.float64)
        error = _error(probes.astype(np.float64), image, again, weights, self._name)
        norm2 = float(np.square(image[:, :-1]).sum())
        fro2 = norm2 if exact else _norm_bound(norm2, float(np.square(again[:, :-1]).sum()))
        unit = 2.0**-53 if precision == "float64" else 2.0**-24
        counted = error > _NOTICED * unit
        return Evidence(
            exponent=self._exponent,
            fro2=fro2 * (1 + 4 * max(error, unit)),
            exact=exact,
            absolute_error=0.0,
            relative_error=_FLOOR * error if counted else 0.0,
            fingerprint=hash_of(self.shape, [(image, np.float64)]),
            looks=1,
            notes=_notes(exact, error if counted else 0.0, fro2 * _PROBES / max(norm2, 1e-300)),
        )

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
        """Tell whether SciPy says that rmatvec is missing, which its rmatmat does not say."""
        try:
            getattr(self._source, "rmatvec", np.conj)(y)
        except NotImplementedError:
            return True
        except TypeError:
            pass
        return False

    def _product(self, many: str, single: str, x: NDArray[Any], rows: int) -> NDArray[Any]:
        with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is an error below
            found = self._returned(many, single, x)
        if found.dtype.kind == "c":
            raise TypeError(f"a product by {self._name} of {found.dtype} {complex_refusal()}")
        if found.shape != (rows, x.shape[1]):
            raise ValueError(
                f"{many} of {self._name} returned an array of shape {found.shape}, "
                f"not ({rows}, {x.shape[1]})"
            )
        if not np.isfinite(found).all():
            raise NonFiniteError(f"{many} of {self._name} returned NaN or infinity")
        numbers = found.astype(np.result_type(found, np.float32), copy=False)
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


def _probes(n: int, exact: bool, dtype: np.dtype[Any]) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return columns to multiply by, the last one a sum of the others, and weights of that sum.

    Columns of the identity and integers are exact in every precision: weights of many digits show
    that products are in float32.
    """
    rng = np.random.default_rng(n)
    columns = np.eye(n) if exact else rng.standard_normal((n, _PROBES))
    weights = np.asarray(rng.uniform(1, 2, columns.shape[1]), dtype).astype(np.float64)
    return np.column_stack([columns, (columns * weights).sum(axis=1)]).astype(dtype), weights


def _root_mean_square(image: NDArray[Any], probes: int, n: int) -> float:
    """Return that of the singular values, from the image of probes, whose size may be extreme."""
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

    The last column of X is a weighted sum of the others, and so is that of Y up to rounding; and
    X^T Z is Y^T Y. A power of two does not depend on the order in which a library adds.
    """
    size = float(np.linalg.norm(y[:, :-1]))
    if size == 0:
        return 0.0
    sums = float(np.linalg.norm(y[:, -1] - y[:, :-1] @ weights)) / size
    square = y.T @ y
    adjoint = float(np.linalg.norm(x.T @ z - square) / np.linalg.norm(square))
    if sums > _WRONG:
        raise ValueError(f"{name} is not linear: A (x + y) is not A x + A y")
    if adjoint > _WRONG:
        raise ValueError(f"rmatvec of {name} does not multiply by the transpose of its matvec")
    worst = max(sums, adjoint)
    return 2.0 ** math.ceil(math.log2(worst)) if worst > 0 else 0.0


def _norm_bound(squares: float, fourth: float) -> float:
    """Return an upper bound on ||A||_F^2 from ||A X||_F^2 and ||A^T A X||_F^2, X Gaussian.

    The mean of squares is below the share `least` of its expectation in one case of a million, and
    below it by 2 sqrt(log(1e6) tr (A^T A)^2 / probes) in another (Laurent & Massart 2000).
    """
    half = _PROBES / 2
    least = math.exp((math.log(_CHANCE) + math.lgamma(half + 1)) / half) / half
    mean, trace = squares / _PROBES, fourth / _PROBES / least
    return min(mean / least, mean + 2 * math.sqrt(-math.log(_CHANCE) * trace / _PROBES))


def _notes(exact: bool, error: float, margin: float) -> tuple[str, ...]:
    notes = ["the matrix is known by its products alone"]
    if not exact:
        notes.append(
            f"||A||_F is not known: a bound on its square, {margin:.2g} times an estimate from "
            f"{_PROBES} random vectors, took its place; it fails in three cases of a million"
        )
    if error > 0:
        notes.append(
            f"products have a relative error of {error:.2g}: residuals and errors below "
            f"{_FLOOR * error:.2g} sigma_1 are not claimed"
        )
    return tuple(notes)
