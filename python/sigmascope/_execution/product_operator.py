# SPDX-License-Identifier: BSD-3-Clause
"""The operator that native algorithms multiply with, if only products of a matrix are known."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope.matrices.products import Evidence, Products

_GRAM_COLUMNS = 128
"""Columns of the Gram matrix that are computed at a time."""


class ProductOperator:
    """The counterpart of :class:`sigmascope._execution.distributed.DistributedOperator`.

    Attributes
    ----------
    rows, cols : int
        Shape of the operator: the matrix or its transpose, whichever is tall.
    flipped : bool
        Whether the operator is the transpose.
    evidence : Evidence
        Facts about the matrix, which is examined at the first use of this attribute.
    exponent, fro2, norm_is_bound, absolute_error, relative_error, looks, fingerprint
        As in the evidence.
    """

    def __init__(
        self, products: Products, precision: str, progress: Callable[[int], object] | None
    ) -> None:
        self._products, self._precision, self._progress = products, precision, progress
        self.flipped = products.shape[0] < products.shape[1]
        self.rows, self.cols = products.shape[:: -1 if self.flipped else 1]
        self._used = 0

    def examined_in(self, precision: str) -> ProductOperator:
        """Return the same operator, examined by products with blocks of another precision."""
        return ProductOperator(self._products, precision, self._progress)

    @cached_property
    def evidence(self) -> Evidence:
        """The evidence of the products."""
        return self._products.evidence(self._precision)

    @property
    def exponent(self) -> int:
        """The operator is the matrix times 2^-exponent."""
        return self.evidence.exponent

    @property
    def fro2(self) -> float:
        """The square of the Frobenius norm of the operator, or a bound on it."""
        return self.evidence.fro2

    @property
    def norm_is_bound(self) -> bool:
        """Whether `fro2` is an upper bound."""
        return self.evidence.norm_is_bound

    @property
    def absolute_error(self) -> float:
        """Spectral norm of the error of products, in sigma of the operator."""
        return self.evidence.absolute_error

    @property
    def relative_error(self) -> float:
        """The same in units of sigma_1."""
        return self.evidence.relative_error

    @property
    def looks(self) -> int:
        """Number of products that the evidence took."""
        return self.evidence.looks

    @property
    def fingerprint(self) -> int:
        """A hash of the numbers."""
        return self.evidence.fingerprint

    @staticmethod
    def block(k: int) -> int:
        """Return the columns of a Krylov step: few, since more do not make each of them cheaper."""
        return 8 if k <= 8 else 16 if k <= 64 else 32

    def multiply(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return A x, (rows, b), for x (cols, b)."""
        product = self._products.adjoint if self.flipped else self._products.multiply
        return self._counted(product(x), x)

    def multiply_adjoint(self, y: NDArray[Any]) -> NDArray[Any]:
        """Return A^T y, (cols, b), for y (rows, b)."""
        product = self._products.multiply if self.flipped else self._products.adjoint
        return self._counted(product(y), y)

    def gram_step(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return A^T (A x), (cols, b)."""
        return self.multiply_adjoint(self.multiply(x))

    def steer(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return A^T (A x), (cols, b); products are not rounded further."""
        return self.gram_step(x)

    def gram_step_with_image(self, x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return A^T (A x), and A x."""
        y = self.multiply(x)
        return self.multiply_adjoint(y.copy()), y

    def gram(self) -> NDArray[np.float64]:
        """Return A^T A in float64, (cols, cols)."""
        result = np.empty((self.cols, self.cols))
        for start in range(0, self.cols, _GRAM_COLUMNS):
            stop = min(start + _GRAM_COLUMNS, self.cols)
            result[:, start:stop] = self.gram_step(np.eye(self.cols, stop - start, -start))
        return (result + result.T) / 2

    def _counted(self, product: NDArray[Any], x: NDArray[Any]) -> NDArray[Any]:
        self._used += product.nbytes + x.nbytes
        if self._progress is not None:
            self._progress(self._used)
        return product.astype(x.dtype, copy=False)
