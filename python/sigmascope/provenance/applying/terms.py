# SPDX-License-Identifier: BSD-3-Clause
"""Terms of W + sum c_i D_i: their values in float64, bounds of errors, and exact values."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from sigmascope import LowRank
from sigmascope.extension.pairs import Elements
from sigmascope.provenance.merges.number_formats import NumberFormat, Reals
from sigmascope.provenance.merges.sources import as_float64

from .rounding import other_neighbour, round_exactly, round_sums, two_product, two_sum

FLOAT64 = 2.0**-53
"""Largest relative error of one rounding to float64."""

LEAST = 1e-290
"""More than the absolute errors near zero of the operations on one number."""


class ProductTerm:
    """The change c s B A of a matrix, in the orientation in which the matrix is stored.

    Parameters
    ----------
    product
        s B A; the factors are held in float64.
    weight
        c.
    """

    def __init__(self, product: LowRank, weight: float) -> None:
        self._exact_scale = Fraction(float(product.scale)) * Fraction(weight)
        self._scale = float(self._exact_scale)
        self._left, self._right = as_float64(product.B), as_float64(product.A)
        # |float64 product - exact| <= 2^-53 (r + 4) |c s| ||b_i|| ||a_j||, in any order of sums
        factor = FLOAT64 * (len(self._right) + 4) * abs(self._scale)
        self._left_norms = factor * np.linalg.norm(self._left, axis=1)
        self._right_norms = np.linalg.norm(self._right, axis=0) * (1 + 1e-9)

    def values(self, rows: slice, columns: slice) -> tuple[Reals, Reals]:
        """Return c s B A of some rows and columns in C order, and bounds of the errors."""
        values = self._scale * (self._left[rows] @ self._right[:, columns])
        bounds = np.outer(self._left_norms[rows], self._right_norms[columns])
        return values.ravel(), bounds.ravel()

    def exact(self, row: int, column: int) -> Fraction:
        """Return one number of the change without rounding."""
        pairs = zip(self._left[row], self._right[:, column], strict=True)
        return self._exact_scale * sum(
            (Fraction(float(b)) * Fraction(float(a)) for b, a in pairs), Fraction(0)
        )


@dataclass(frozen=True)
class ModelTerm:
    """The change c (F - W) by another model: c, and the numbers of F where W is."""

    weight: float
    numbers: Reals

    def exact(self, place: int, base: Reals) -> Fraction:
        """Return one number of the change without rounding."""
        change = Fraction(float(self.numbers[place])) - Fraction(float(base[place]))
        return Fraction(self.weight) * change


@dataclass(frozen=True)
class Place:
    """Rows and columns of a matrix that a block of numbers has."""

    rows: slice
    columns: slice

    @property
    def count(self) -> int:
        """Count of numbers."""
        return int(self.rows.stop - self.rows.start) * self.width

    @property
    def width(self) -> int:
        """Count of columns."""
        return int(self.columns.stop - self.columns.start)

    def of(self, index: int) -> tuple[int, int]:
        """Return row and column of a number of the block."""
        row, column = divmod(index, self.width)
        return self.rows.start + row, self.columns.start + column


class BlockSum:
    """The sum W + sum c_i D_i of a block of numbers.

    Parameters
    ----------
    base
        W.
    place
        Rows and columns of the block.
    products, models
        The terms.

    Attributes
    ----------
    change
        Sum of the terms in float64.
    """

    def __init__(
        self, base: Reals, place: Place, products: list[ProductTerm], models: list[ModelTerm]
    ) -> None:
        self._base, self._place = base, place
        self._products, self._models = products, models
        self.change = np.zeros_like(base)
        self._bounds = np.zeros_like(base)
        self._sizes = np.abs(base)
        for product in products:
            values, bounds = product.values(place.rows, place.columns)
            self._add(values, np.abs(values))
            self._bounds += bounds
        with np.errstate(invalid="ignore", over="ignore"):
            for model in models:
                size = abs(model.weight) * (np.abs(model.numbers) + np.abs(base))
                self._add(model.weight * (model.numbers - base), size)

    def _add(self, values: Reals, sizes: Reals) -> None:
        self.change += values
        self._sizes += sizes

    def rounded(self, number_format: NumberFormat) -> Reals:
        """Return the exact sums, rounded once. A base that is not finite stays as it is."""
        base, change = self._base, self.change
        if self._models and not self._products:
            rounded = self._rounded_sums_of_models(number_format)
        else:
            with np.errstate(invalid="ignore"):
                sums = base + change
                bounds = self._bounds + self._errors()
            rounded = round_sums(sums, bounds, number_format, self._exact)
        zero = rounded == 0
        if zero.any():
            rounded = np.where(zero, self._zeros(), rounded)
        finite = np.isfinite(base)
        return rounded if finite.all() else np.where(finite, rounded, base)

    def _zeros(self) -> Reals:
        """Return zeros with the signs of the sums; of the base where the sum is exactly zero."""
        with np.errstate(invalid="ignore"):
            sums = self._base + self.change
        signs = np.where(sums != 0, sums, np.where(self._base == 0, self._base, 0.0))
        return np.copysign(0.0, signs)

    def _errors(self) -> Reals:
        terms = len(self._products) + len(self._models)
        errors = self._sizes * (FLOAT64 * (terms + 3)) + LEAST
        errors *= self.change != 0
        return errors

    def _rounded_sums_of_models(self, number_format: NumberFormat) -> Reals:
        """Add the terms of models with the errors of all operations, since ties are common here."""
        sums = self._base.copy()
        rest, size = np.zeros_like(sums), np.zeros_like(sums)
        with np.errstate(invalid="ignore", over="ignore"):
            for model in self._models:
                change, lost = two_sum(model.numbers, -self._base)
                product, error = two_product(model.weight, change)
                sums, other = two_sum(sums, product)
                for each in (model.weight * lost, error, other):
                    rest += each
                    size += np.abs(each)
            # The exact sum is sums + rest, up to `doubt`.
            doubt = 2.0**-48 * size
            nearest = number_format.round(sums)
            neighbour = other_neighbour(sums, nearest, number_format)
            above = np.fmax(nearest, neighbour)
            below = np.fmin(nearest, neighbour)
            is_tie = ~np.isnan(neighbour)
            rounded = np.where(is_tie & (rest > doubt), above, nearest)
            rounded = np.where(is_tie & (rest < -doubt), below, rounded)
            reach = size + np.spacing(np.abs(sums))
            near = number_format.round(sums - reach) != number_format.round(sums + reach)
            unclear = np.where(is_tie, (np.abs(rest) <= doubt) & (size > 0), near & (size > 0))
        unclear &= np.isfinite(sums)
        for place in np.flatnonzero(unclear):
            rounded[place] = round_exactly(self._exact(int(place)), number_format)
        return rounded

    def _exact(self, index: int) -> Fraction:
        row, column = self._place.of(index)
        total = Fraction(float(self._base[index]))
        for product in self._products:
            total += product.exact(row, column)
        for model in self._models:
            total += model.exact(index, self._base)
        return total


class NumberStream:
    """The numbers of a stored tensor, taken in pieces of any size."""

    def __init__(self, elements: Elements) -> None:
        self._chunks = iter(elements)
        self._rest: Reals = np.zeros(0)

    def take(self, count: int) -> Reals:
        """Return the next numbers."""
        pieces = [self._rest]
        length = len(self._rest)
        while length < count:
            chunk = np.asarray(next(self._chunks), dtype=np.float64).ravel()
            pieces.append(chunk)
            length += len(chunk)
        numbers = np.concatenate(pieces)
        self._rest = numbers[count:]
        return numbers[:count]
