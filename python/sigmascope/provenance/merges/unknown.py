# SPDX-License-Identifier: BSD-3-Clause
"""Changes of low rank that nobody named: what is left of a tensor after the donors.

R = M - W - c_1 D_1 - ... - c_p D_p with the least squares weights c. An unknown change is not a
part of rounding if R has more power than rounding can have, and it has directions if singular
values of R stand above those of noise. These are estimates, never certificates.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from sigmascope import LowRank, low_rank
from sigmascope.errors import ConvergenceWarning, SigmascopeError

from .blocks import FLOAT32
from .number_formats import Reals
from .sources import AdapterDonor, MatrixSource, ModelDonor, Source
from .sums import Sums

REST = "rest"
"""Kind of the explanation by a change of low rank."""

STANDS_OUT = 6.0
"""Standard deviations above the power of rounding from which directions are sought."""

UNIFORM = 4.0
"""Standard deviations within which the rounding of the known change counts as uniform."""

SMOOTH = 3.0
"""Spacings that a change must have on average to be rounded uniformly, on the grid of the base."""

STEPS = 6
"""Largest number of steps towards weights without the bias of rounding."""

LEAST_SIDE = 8
"""Least count of rows and columns in which directions are sought."""

REPEATS = 2
"""So often the weights are fitted again, without the directions that stand out."""

LEAST_SHARE = 0.5
"""Least part of the excess that a change of low rank must explain."""


@dataclass
class Power:
    """Sums over the numbers of a tensor.

    Attributes
    ----------
    same_grid
        Whether the base is stored in the merged format.
    rest
        Sum of R^2.
    uniform, variance
        Mean and variance of that sum if only rounding is left, uniform in each cell.
    predicted
        The sum if exactly W + c D was rounded once.
    largest
        The largest R^2.
    base
        Sum of W^2.
    cross
        Sums of D_i (M - W - L), of shape (p,).
    before
        Mean of the power of what float32 rounds before the last rounding.
    replayed
        Sums of D_i (M - rounded W + c D), of shape (p,).
    kept
        Sum of c D times its rounded change.
    change
        Sum of (c D)^2.
    cells
        Sum of the squares of the cells' widths.
    """

    same_grid: bool
    cross: Reals
    replayed: Reals
    rest: float = 0.0
    before: float = 0.0
    kept: float = 0.0
    uniform: float = 0.0
    variance: float = 0.0
    predicted: float = 0.0
    largest: float = 0.0
    base: float = 0.0
    change: float = 0.0
    cells: float = 0.0

    @property
    def floor(self) -> float:
        """The power of rounding alone.

        A change that is not much larger than the spacing of a base on the same grid is not rounded
        uniformly. Then the rounding that the known change predicts is taken.
        """
        far = abs(self.predicted - self.uniform) > UNIFORM * np.sqrt(self.variance)
        return self.before + (self.predicted if self.coarse or far else self.uniform)

    @property
    def coarse(self) -> bool:
        """Whether the change is too small to be rounded uniformly on the grid of the base."""
        return self.same_grid and self.change < SMOOTH**2 * self.cells

    @property
    def excess(self) -> float:
        """The power that rounding, with or without an unknown change, does not explain."""
        return max(self.rest - max(self.floor, self.before + self.uniform), 0.0)

    @property
    def z(self) -> float:
        """Standard deviations by which the power exceeds that of rounding."""
        deviation = float(np.sqrt(self.variance))
        return (self.rest - self.floor) / deviation if deviation else 0.0


def find_rest(source: Source, sums: Sums) -> dict[str, Any] | None:
    """Return an estimate of what is left of a tensor as a record; None if it cannot be made.

    `z` compares the power of the rest with that of rounding. For z > 6, and if one change of low
    rank has most of the excess, `rank`, `size` (its Frobenius norm) and `share` (of the norm of the
    base) describe that change; else the rank is 0. `error` is the largest error of the weights
    if the unknown change is at 45 degrees or more to those of the donors, with the bias of least
    squares that rounding gives.
    """
    gram, cross = sums.gram, sums.cross
    if not (np.isfinite(gram).all() and np.isfinite(cross).all()):
        return None
    inverse: Reals = np.asarray(np.linalg.pinv(gram, hermitian=True)) if len(gram) else gram
    biased = np.asarray(inverse @ cross)
    weights, power = _fit_weights(source, inverse, biased)
    excess = float(np.sqrt(power.excess))
    error = excess * np.sqrt(np.maximum(np.diag(inverse), 0))
    record: dict[str, Any] = {
        "weights": weights.tolist(),
        "error": (error + np.abs(weights - biased)).tolist(),
        "z": power.z,
        "excess": excess,
        "rank": 0,
        "size": None,
        "share": None,
    }
    single = power.largest > LEAST_SHARE * power.excess  # a few edited numbers
    if not power.z > STANDS_OUT or single or not isinstance(source, MatrixSource):
        return record
    product = _directions(source, weights)
    for _ in range(REPEATS):
        if product is not None:
            weights = np.asarray(inverse @ measure_power(source, weights, product).cross)
            product = _directions(source, weights)
    if product is None:
        return record
    weights, after = _fit_weights(source, inverse, weights, product)
    size = _size_without_noise(product, after.rest)
    if after.excess > (1 - LEAST_SHARE) * power.excess or power.base == 0:
        return record
    change: dict[str, Any] = {
        "rank": product.A.shape[0],
        "size": size,
        "share": size / float(np.sqrt(power.base)),
    }
    change["error"] = (error + np.abs(weights - biased)).tolist()
    return record | change | {"weights": weights.tolist()}


def _fit_weights(
    source: Source, inverse: Reals, weights: Reals, product: LowRank | None = None
) -> tuple[Reals, Power]:
    """Return weights without the bias that rounding gives to least squares, and their power.

    If a change is smaller than the spacing, a part of it is rounded away, always the same part. So
    weights are moved until the numbers that they store, not their reals, are nearest to M.
    """
    power = measure_power(source, weights, product)
    for _ in range(STEPS if power.coarse and len(weights) else 0):
        survived = max(power.kept / power.change, 0.1) if power.change else 1.0
        moved = weights + inverse @ power.replayed / survived
        other = measure_power(source, moved, product)
        if other.rest - other.floor >= power.rest - power.floor:
            break
        weights, power = moved, other
    return weights, power


def measure_power(source: Source, weights: Reals, product: LowRank | None = None) -> Power:
    """Return the power of the rest at some weights, in one pass.

    Parameters
    ----------
    source
        The numbers of the tensor; of a matrix if there is a product.
    weights
        Weights of the donors.
    product
        An unknown change, which is taken out of the rest.
    """
    formats, p = source.formats, len(weights)
    power = Power(formats.base == formats.merged, np.zeros(p), np.zeros(p))
    for start, block in source.blocks():
        low, high = block.cells
        with np.errstate(invalid="ignore", over="ignore"):
            change = weights @ block.donors
            expected = block.base + change + _rows_of(product, start, len(block.base))
            rest = block.merged - expected
            stored = block.formats.merged.round(expected)
        fine = np.isfinite(rest) & np.isfinite(stored) & np.isfinite(low) & np.isfinite(high)
        below, above = block.merged[fine] - low[fine], high[fine] - block.merged[fine]
        rest, base, rounding = rest[fine], block.base[fine], stored[fine] - expected[fine]
        change = change[fine]
        second = (below**3 + above**3) / (3 * (below + above))
        fourth = (below**5 + above**5) / (5 * (below + above))
        # float32 errs before the last rounding: in sums of several donors, and in products.
        product_error = np.abs(weights) @ block.errors[:, fine]
        other_second = (max(p - 1, 0) * (FLOAT32 * expected[fine]) ** 2 + product_error**2) / 3
        power.rest += float(rest @ rest)
        power.uniform += float(second.sum())
        power.before += float(other_second.sum())
        power.variance += float(
            (fourth - second**2 + 4 * second * other_second + 2 * other_second**2).sum()
        )
        power.change += float(change @ change)
        power.cells += float(((below + above) ** 2).sum())
        power.predicted += float(rounding @ rounding)
        power.largest = max(power.largest, float((rest * rest).max(initial=0.0)))
        power.base += float(base @ base)
        power.cross += block.donors[:, fine] @ (rest + change)
        power.replayed += block.donors[:, fine] @ (rest - rounding)
        power.kept += float(change @ (change + rounding))
    return power


def _rows_of(product: LowRank | None, start: int, count: int) -> Reals | float:
    """Return the numbers of some whole rows of a product."""
    if product is None:
        return 0.0
    width = product.shape[1]
    top = start // width
    left = np.asarray(product.B[top : top + count // width], np.float64)
    return (product.scale * (left @ np.asarray(product.A, np.float64))).ravel()


def _size_without_noise(product: LowRank, noise: float) -> float:
    """Return the Frobenius norm of a change from the singular values that stand above noise.

    Noise of standard deviation t raises a singular value x of an m x n matrix, in units of
    t sqrt(n) and with b = m / n <= 1, to y = sqrt((x + 1 / x) (x + b / x)) (Benaych-Georges and
    Nadakuditi, 2012).
    """
    left, right = np.asarray(product.B, np.float64), np.asarray(product.A, np.float64)
    squares = np.linalg.eigvals((left.T @ left) @ (right @ right.T)).real * product.scale**2
    short, long = sorted(product.shape)
    unit = noise / short if noise > 0 else 1e-300  # t^2 n, with t^2 = noise / (m n)
    beta = short / long
    part = np.maximum(squares / unit - 1 - beta, 2 * np.sqrt(beta))
    true = unit * (part + np.sqrt(part * part - 4 * beta)) / 2
    return float(np.sqrt(np.minimum(true, np.maximum(squares, 0)).sum()))


def _directions(source: MatrixSource, weights: Reals) -> LowRank | None:
    """Return the part of the rest whose singular values stand above noise, if there is one."""
    rows = slice(0, source.height)
    base = source.base[rows]
    rest = source.merged[rows] - base
    for weight, donor in zip(weights.tolist(), source.donors, strict=True):
        if isinstance(donor, AdapterDonor):
            rest = rest - (weight * donor.product[rows]).matrix()
        elif isinstance(donor, ModelDonor):
            rest = rest - weight * (donor.matrix[rows] - base)
    if min(rest.shape) < LEAST_SIDE:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            approximation = low_rank(rest, "edge")
    except (SigmascopeError, ValueError):
        return None
    if not 0 < approximation.rank <= min(rest.shape) // 4:
        return None
    return approximation.factors
