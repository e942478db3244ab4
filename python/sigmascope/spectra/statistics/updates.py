# SPDX-License-Identifier: BSD-3-Clause
"""Measures of an update dW = W' - W by which published work distinguishes regimes of fine-tuning.

They show the movement of the spectrum (all singular values of both), the movement of the directions
(leading vectors of both), and the spread of the update over rows and columns. Errors of values and
of vectors are propagated as bounds with their worst signs.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sigmascope.spectra import Measure

Array = NDArray[np.float64]

INTRUDER = 0.5
"""Cosine below which two directions of W' and W are unlike (Shuttleworth et al. 2024)."""

LEADING = 10
"""Number of leading directions of W' that are examined (Shuttleworth et al. 2024)."""


class Values(NamedTuple):
    """All singular values of a matrix, descending, and a bound on the error of each (sigma)."""

    values: Array
    errors: Array

    @property
    def norm(self) -> float:
        """Root of the sum of squares."""
        return float(np.linalg.norm(self.values))

    @property
    def slack(self) -> float:
        """Largest error of the list of values, in the Euclidean norm."""
        return float(np.linalg.norm(self.errors))


def spectral_shift(before: Values, after: Values) -> Measure | None:
    """Return ||sigma' - sigma|| / ||sigma||, in [0, inf); None if W is zero.

    Named "normalised spectral shift" in arXiv 2511.08567. By Mirsky's theorem (1960) it is at most
    ||dW||_F / ||W||_F.
    """
    norm = before.norm
    if norm <= before.slack:
        return None
    value = float(np.linalg.norm(after.values - before.values)) / norm
    error = (before.slack + after.slack + value * before.slack) / (norm - before.slack)
    return Measure(value, error, "spectrum")


def spectral_share(before: Values, after: Values, change_norm: float) -> Measure | None:
    """Return ||sigma' - sigma|| / ||dW||_F, in [0, 1]; None if dW is zero.

    It is 1 if dW changes only singular values, and 0 if it only turns singular vectors (Mirsky
    1960).
    """
    if change_norm <= 0:
        return None
    value = float(np.linalg.norm(after.values - before.values)) / change_norm
    return Measure(min(value, 1.0), (before.slack + after.slack) / change_norm, "spectrum")


def spectral_scale(before: Values, after: Values) -> dict[str, Measure]:
    """Fit sigma' = a sigma by least squares; return a and the spread about it.

    spectral_scale
        a = <sigma, sigma'> / <sigma, sigma>.
    spectral_scale_spread
        ||sigma' - a sigma|| / ||sigma'||, the sine of the angle between both lists, in [0, 1].

    Empty if either matrix is zero. He & Cao 2025 (arXiv 2509.17866) find that post-training scales
    singular values nearly uniformly.
    """
    s, t = before.values, after.values
    norm, other = before.norm, after.norm
    if norm <= before.slack or other <= after.slack:
        return {}
    square = norm**2
    a = float(s @ t) / square
    lost = 2 * norm * before.slack + before.slack**2  # of <sigma, sigma>
    top = norm * after.slack + other * before.slack + before.slack * after.slack
    least = (norm - before.slack) ** 2
    spread = float(np.linalg.norm(t - a * s)) / other
    angle = math.asin(before.slack / norm) + math.asin(after.slack / other)
    return {
        "spectral_scale": Measure(a, (top + a * lost) / least, "spectrum"),
        "spectral_scale_spread": Measure(min(spread, 1.0), angle, "spectrum"),
    }


def evenness(norms: Array) -> float | None:
    """Return the share of rows (or columns) that hold the energy: 1 / (m sum p^2), in [1/m, 1].

    p_i is the share of row i in ||dW||_F^2. The result is the participation ratio over m: 1 if all
    rows have one norm, and 1 / m if one row has all of the energy. None if all norms are zero.

    Parameters
    ----------
    norms
        (m,) Euclidean norms of the rows.
    """
    largest = float(np.max(norms, initial=0.0))
    if largest == 0:
        return None
    energy = (norms / largest) ** 2
    return float(energy.sum()) ** 2 / (len(norms) * float(np.sum(energy**2)))


class Directions(NamedTuple):
    """Leading singular vectors of one side of a matrix, with bounds on their errors.

    Attributes
    ----------
    vectors
        (n, k) nearly orthonormal columns.
    values
        (k,) their singular values.
    errors
        (k,) bound on the sine of the angle between each vector and the true one; inf if the values
        are too close to separate their vectors.
    span
        Bound on the sine of the error angle of their span.
    """

    vectors: NDArray[np.floating]
    values: Array
    errors: Array
    span: float


class Intruders(NamedTuple):
    """Leading directions of W' that are unlike all directions of W.

    Attributes
    ----------
    new, undecided
        Directions whose cosines with all directions of W are below :data:`INTRUDER`, and directions
        for which the leading vectors of W do not decide this.
    looked_at
        Number of examined directions of W'.
    energy, undecided_energy
        Shares of these in the energy of the examined directions.
    """

    new: int
    undecided: int
    looked_at: int
    energy: float
    undecided_energy: float


def intruders(before: Directions, after: Directions, cosines: Array) -> Intruders:
    """Count the leading directions of W' that are unlike all directions of W.

    Shuttleworth et al. 2024 (arXiv 2410.21228) call them intruder dimensions and compare with all
    directions of W. Here k leading ones are known. A direction u of W' has the cosines c with them;
    no cosine with any other direction of W exceeds sqrt(1 - |c|^2). It is an intruder if every
    cosine and this bound are below `INTRUDER`. It is not an intruder if a cosine reaches it.
    Otherwise it is undecided. Errors of the vectors are added with their worst signs.

    Parameters
    ----------
    before, after
        Leading directions of one side of W and of W'.
    cosines
        (p, q), U^T U' of the vectors.
    """
    q = min(after.vectors.shape[1], LEADING)
    size = np.minimum(np.abs(cosines[:, :q]), 1.0)
    own = np.arcsin(np.minimum(after.errors[:q], 1.0))
    angle = np.arccos(size)
    slack = np.arcsin(np.minimum(before.errors, 1.0))[:, None] + own
    most = np.cos(np.maximum(angle - slack, 0.0)).max(axis=0)
    least = np.where(angle + slack < math.pi / 2, np.cos(angle + slack), 0.0).max(axis=0)
    outside = np.arccos(np.minimum(np.linalg.norm(size, axis=0), 1.0))
    outside += own + math.asin(min(before.span, 1.0))
    rest = np.sin(np.minimum(outside, math.pi / 2))
    known = least >= INTRUDER
    new = ~known & (most < INTRUDER) & (rest < INTRUDER)
    open_ = ~known & ~new
    energy = after.values[:q] ** 2
    total = float(energy.sum())
    return Intruders(
        int(new.sum()),
        int(open_.sum()),
        q,
        float(energy[new].sum()) / total if total else 0.0,
        float(energy[open_].sum()) / total if total else 0.0,
    )


def vector_errors(values: Array, errors: Array, residuals: Array, rounding: float) -> Array:
    """Bound the sine of the error angle of each singular vector but the last; inf without gap.

    Wedin 1972: sqrt(2) residual / gap. The gap is the least distance to any other true value: the
    one above, and the one below, for which s_{j+1} + error is an upper bound.

    Parameters
    ----------
    values, errors, residuals
        (k,) descending, their error bounds, and max(||A v - s u||, ||A^T u - s v||); sigma units.
    rounding
        Rounding error (sigma) of a residual that would be zero in exact arithmetic.

    Returns
    -------
    (k - 1,) float64
    """
    s, e, r = (np.asarray(x, dtype=np.float64) for x in (values, errors, residuals))
    below = s[:-1] - (s[1:] + e[1:])
    above = np.concatenate([[np.inf], s[:-2] - e[:-2] - s[1:-1]])
    gap = np.minimum(below, above)
    total = np.sqrt(2.0 * (r[:-1] ** 2 + rounding**2))
    return over_gap(total, gap)


def over_gap(residuals: Array, gap: Array) -> Array:
    """Divide residuals by the gaps of their values (Wedin 1972); inf without a gap."""
    return np.where(gap > 0, residuals / np.where(gap > 0, gap, 1.0), np.inf)


class Shares(NamedTuple):
    """Shares of ||dW||_F^2 in leading singular subspaces of W, and the shares by chance.

    Attributes
    ----------
    left, right, both
        ||P dW||^2, ||dW Q||^2 and ||P dW Q||^2 over ||dW||^2, for the projectors P and Q on the
        leading left and right vectors.
    chance
        The expected shares of an update without any preference: k/m, k/n and k^2/(m n).
    """

    left: Measure
    right: Measure
    both: Measure
    chance: tuple[float, float, float]


def shares_in_subspaces(
    images: tuple[Array, Array, Array],
    change_norm: float,
    shape: tuple[int, int],
    bounds: tuple[float, float],
) -> Shares | None:
    """Return the shares of an update in leading singular subspaces of W; None if dW is zero.

    Parameters
    ----------
    images
        dW^T U (n, k), dW V (m, k) and U^T dW V (k, k), for the leading left and right vectors.
    change_norm
        ||dW||_F.
    shape
        (m, n).
    bounds
        Bounds on the sines of the error angles of the spans of U and of V. A projector that is off
        by a sine s changes ||P dW|| by at most s ||dW||.
    """
    if change_norm <= 0:
        return None
    m, n = shape
    k = images[0].shape[1]
    slack = (bounds[0], bounds[1], bounds[0] + bounds[1])
    left, right, both = (
        _share(float(np.linalg.norm(image)) / change_norm, sine)
        for image, sine in zip(images, slack, strict=True)
    )
    return Shares(left, right, both, (k / m, k / n, k * k / (m * n)))


def _share(part: float, sine: float) -> Measure:
    part = min(part, 1.0)
    return Measure(part**2, min(2 * part * sine + sine**2, 1.0), "top")
