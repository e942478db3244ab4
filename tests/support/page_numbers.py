# SPDX-License-Identifier: BSD-3-Clause
"""The numbers of pages, plots and terminals before they are shown, for any values and errors.

A page has them only as text, rounded to what it shows. This module alone knows where the package
computes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope._display import curves, glossary
from sigmascope._display.html import estimates, payload
from sigmascope._words import rows, text

Array = NDArray[np.float64]
Row = dict[str, Any]

# ------------------------------------------------------------------------------ numbers as text


def number_with_error(value: float | None, error: float | None = 0.0) -> str:
    """Write a number with the digits that its error allows."""
    return text.with_error(value, error)


def number_in_row(row: Row, column: str, times: float = 1.0) -> str:
    """Write a column of a row with its error."""
    return text.number_of(row, column, times)


def number_alone(value: float, digits: int = 3) -> str:
    """Write a number without an error."""
    return text.short(value, digits)


def ends_of_interval(low: float, high: float, digits: int) -> tuple[str, str]:
    """Write the ends of an interval, rounded outwards."""
    return text.bounds(low, high, digits)


def median_and_error(
    pairs: Sequence[tuple[float, float | None]],
) -> tuple[float, float | None]:
    """Return the median of values with errors, and its error."""
    return text.median_with_error(pairs)


def kept_number(value: float | None, error: float | None = 0.0) -> float | int | None:
    """Return the digits of a number that a page keeps."""
    return payload.compact(value, error)


def kept_error(value: float | None, error: float | None) -> float | int | None:
    """Return the digits of an error that a page keeps."""
    return payload.compact_error(value, error)


# --------------------------------------------------------------------------------- many matrices


def median_with_interval(
    values: Sequence[float], errors: Sequence[float] | None = None
) -> tuple[float, float, float]:
    """Return the median of values, and the ends of its interval of 95 %."""
    middle = estimates.middle(values, errors)
    return middle.value, middle.low, middle.high


def names_far_from_their_role(matrices: Sequence[Row], column: str) -> list[str]:
    """Return the names of the matrices that stand out at a level of 5 %."""
    return [outlier.row["name"] for outlier in estimates.outliers(matrices, [column], 0.05)]


def largest_rank(row: Row, column: str) -> int:
    """Return the rank that a matrix of a row can have by its form."""
    return rows.full_rank(row, column)


def entry_of(column: str) -> glossary.Entry:
    """Return what is known of a measure: label, meaning, unit, sign."""
    return glossary.entry(column)


def measures_of(matrices: Sequence[Row]) -> list[str]:
    """Return the columns of rows that are measures."""
    return glossary.measured(matrices)


def explained_measures() -> dict[str, glossary.Entry]:
    """Return every measure of a matrix that has an entry of its own."""
    return dict(glossary.MEASURES)


def explained_measures_of_pairs() -> dict[str, glossary.Entry]:
    """Return every measure of a pair that has an entry of its own."""
    return dict(glossary.PAIR)


# --------------------------------------------------------------------------- curves of one matrix


def spectrum_of_row(row: Row, side: str = "") -> curves.Curve | None:
    """Return the singular values of a row by rank, as charts draw them."""
    return curves.curve_of(row, side)


def known_spectrum_of_row(row: Row) -> curves.Curve:
    """Return the singular values of a row that has some."""
    curve = spectrum_of_row(row)
    assert curve is not None
    return curve


def counts_above(curve: curves.Curve, x: Array) -> tuple[Array, Array]:
    """Return how many values of a curve are greater than each x, and the errors of these."""
    return curves.counts_above(curve, x)


def density_in_bars(curve: curves.Curve, edges: Array) -> Array:
    """Return the mean density of a curve between each two edges."""
    return curves.histogram(curve, edges)


def density_of_noise(sigma: Array, edge: float, shape: tuple[int, int]) -> Array:
    """Return the density of the singular values of noise of a shape, up to an edge."""
    return curves.marchenko_pastur(sigma, edge, shape)


def least_angle_of_chance(k: int, dimension: int) -> float | None:
    """Return the least angle of two random subspaces."""
    return curves.least_random_angle(k, dimension)


def points_of_chart(curve: curves.Curve, most: int) -> curves.Curve:
    """Return a curve with so many points as a chart has room for."""
    return curves.thinned(curve, most)
