# SPDX-License-Identifier: BSD-3-Clause
"""Types of the dictionaries that the native engine returns.

Values are in units of 2^`unit` and squares in units of 4^`unit`; vectors are columns of `u` and
rows of `vt`.
"""

from __future__ import annotations

from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Problem(TypedDict):
    """Facts that every algorithm reports: reads of the matrix, ||A||_F^2, and the unit."""

    reads: int
    fro2: float
    unit: int


class QuadratureRule(TypedDict):
    """Gauss and Gauss-Radau rules of a block Krylov basis: nodes sigma, and their weights."""

    gauss_nodes: Floats
    gauss_weights: Floats
    radau_nodes: Floats
    radau_weights: Floats
    residuals: Floats
    columns: int


class Vectors(TypedDict, total=False):
    """Singular vectors, if requested: (m, k) and (k, n), in the caller's orientation.

    They are arrays of NumPy, or arrays that `allocate` made for a call on a device.
    """

    u: NDArray[Any] | Any
    vt: NDArray[Any] | Any


class Triplets(Problem, Vectors):
    """The k largest singular values, with errors and residuals."""

    s: Floats
    residuals: Floats
    errors: Floats
    converged: bool


class Quadrature(TypedDict, total=False):
    """The quadrature of the basis, if a density was requested."""

    quadrature: QuadratureRule


class KrylovResult(Triplets, Quadrature):
    """Result of `_core.krylov`."""

    injected: bool
    restarted: bool
    refined: bool
    consistent: bool
    costly: bool
    columns: int
    required_columns: int
    steps: int


class DensityResult(Problem, QuadratureRule):
    """Result of `_core.density`."""

    steps: int


class LowRankResult(Triplets):
    """Result of `_core.low_rank`."""

    contradicted: bool
    columns: int
    steps: int


class GramResult(Triplets):
    """Result of `_core.gram_top`."""

    complete: bool


class ValuesResult(Problem):
    """Result of `_core.every_value`: every singular value, descending."""

    values: Floats
    errors: Floats
    floor: float
    precision: str
    fallen_back: bool
    fast_reduction: bool


class SurveyResult(TypedDict):
    """Result of `_core.survey`: norm, largest entry, hash, and entries that are not finite."""

    fro2: float
    unit: int
    largest: float
    digest: tuple[int, int]
    nan: int
    inf: int
    first_nonfinite: tuple[int, int] | None
