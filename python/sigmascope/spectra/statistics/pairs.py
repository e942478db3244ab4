# SPDX-License-Identifier: BSD-3-Clause
"""Measures of a pair of matrices, before (W) and after (W'), and of their difference dW = W' - W.

Three sums over the entries give sizes and directions. The formats in which both are stored give the
rounding floor. Vectors and their residuals give angles between singular subspaces.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sigmascope.spectra import Measure
from sigmascope.spectra.units import exponent_of, scaled

from .marchenko_pastur import angles_of_noise
from .updates import over_gap

Array = NDArray[np.float64]
Vectors = NDArray[np.floating]
Product = Callable[[Vectors, Vectors], Array]

ROUNDING = 2.0**-44
"""Error of a sum of products over all entries, relative to the norms of both factors."""

MOST = 0.05
"""Largest sine of the error angle of a subspace that counts as resolved."""

_FORMATS = {
    "f64": (11, 52, 1023),
    "f32": (8, 23, 127),
    "bf16": (8, 7, 127),
    "f16": (5, 10, 15),
    "f8_e4m3": (4, 3, 7),
    "f8_e5m2": (5, 2, 15),
    "f4_e2m1": (2, 1, 1),
}
"""Floating point formats: bits of the exponent, bits of the mantissa, and bias."""

_WIDE = {"f32": 24, "f64": 53}
"""Binary digits of the formats whose codes are not counted."""

ABOVE = 2.0
"""Ratio of a change's squared norm to that expected from rounding, above which it is real."""


def relative_change(before2: float, change2: float, rounding: float = 0.0) -> Measure | None:
    """Return ||dW||_F / ||W||_F, in [0, inf); None if W is zero.

    `rounding`, here and below, is a bound on the error of dW relative to ||dW||_F.
    """
    if before2 == 0:
        return None
    value = math.sqrt(change2 / before2)
    return Measure(value, (ROUNDING + rounding) * value, "exact")


def cosine(before2: float, change2: float, product: float, rounding: float = 0.0) -> Measure | None:
    """Return <W, W'> / ||W|| ||W'||, in [-1, 1]; None if one is zero, or W' 2^500 times as large.

    `product` is <dW, W>. The error comes from three sums; 1 - cosine has the same absolute error.
    """
    if before2 == 0:
        return None
    unit = -math.frexp(before2)[1]  # in whose units the product of both squares is in range
    before2, change2, product = (scaled(x, unit) for x in (before2, change2, product))
    after2 = before2 + 2 * product + change2
    if after2 <= 0 or not math.isfinite(after2):
        return None
    value = (before2 + product) / math.sqrt(before2 * after2)
    slack = ROUNDING * (1 + math.sqrt(change2 / before2)) ** 2 * math.sqrt(before2 / after2)
    slack += 2 * rounding * math.sqrt(change2 / after2)
    return Measure(min(max(value, -1.0), 1.0), slack, "exact")


def decay_coefficient(
    before2: float, change2: float, product: float, rounding: float = 0.0
) -> Measure | None:
    """Return c = <dW, W> / <W, W>, so that dW - c W is orthogonal to W; None if W is zero.

    Weight decay alone gives a negative c, the same in all matrices.
    """
    if before2 == 0:
        return None
    slack = (ROUNDING + rounding) * math.sqrt(change2 / before2)
    return Measure(product / before2, slack, "exact")


class Rounding(NamedTuple):
    """The data of a stored matrix that determine its rounding error: format, norm, and codes.

    `histogram` counts its codes. For a format of 16 bits, `units2` suffices: the sum of 2^(2 e)
    over the exponents of its entries (:mod:`sigmascope.solvers.change`). Wider formats need neither
    of these. The codes of a quantised matrix give `errors2`, the expected square of the norm of
    their rounding.
    """

    dtype: str
    norm2: float
    histogram: NDArray[np.int64] | None = None
    units2: float | None = None
    errors2: float | None = None

    @property
    def counted(self) -> bool:
        """True if the codes have to be counted."""
        return self.dtype in _FORMATS and self.dtype not in _WIDE and self.units2 is None


class Codes(NamedTuple):
    """Number, unit in the last place, and expected squared rounding error of each code of a format.

    Codes of NaN and infinity count as numbers beyond the largest.
    """

    number: Array
    unit: Array
    error2: Array


def codes_of(dtype: str) -> Codes:
    """Return all codes of an 8- or 16-bit format, from 0 on.

    This assumes that the values that round to a number lie evenly within half a unit of it, which
    gives the mean square unit^2 / 12. The number below a power of two is half as far away, which
    gives unit^2 / 16.
    """
    exponent_bits, mantissa_bits, bias = _FORMATS[dtype]
    size = 1 << 16 if exponent_bits + mantissa_bits == 15 else 1 << 8
    code = np.arange(size)
    exponent = (code >> mantissa_bits) & ((1 << exponent_bits) - 1)
    mantissa = code & ((1 << mantissa_bits) - 1)
    unit = np.ldexp(1.0, np.maximum(exponent, 1) - bias - mantissa_bits)
    number = (mantissa + np.where(exponent > 0, 1 << mantissa_bits, 0)) * unit
    closer = (mantissa == 0) & (exponent > 1)
    return Codes(number, unit, unit**2 / np.where(closer, 16, 12))


def rounding_variance(stored: Rounding) -> float | None:
    """Return the expected squared Frobenius norm of the rounding of one matrix to its format.

    It is the sum over the entries of ulp(w)^2 / 12, less at powers of two (:func:`codes_of`). It is
    exact if it comes from counts of codes or sums of units. If stored codes are multiplied by
    scales, it assumes the same distribution of codes under every scale. For f32 and f64 it assumes
    mantissas uniform in the logarithm. None for an unknown format.
    """
    if stored.errors2 is not None:
        return stored.errors2
    if stored.dtype in _WIDE:
        digits = _WIDE[stored.dtype]
        share = 3 / (8 * math.log(2)) * 4.0 ** (1 - digits)  # mean of ulp(w)^2 / w^2, 1 <= w < 2
        return share * stored.norm2 / 12
    if stored.dtype not in _FORMATS:
        return None
    if stored.units2 is not None:
        return stored.units2 * 4.0 ** -_FORMATS[stored.dtype][1] / 12
    if stored.histogram is None:
        return None
    codes, counts = codes_of(stored.dtype), stored.histogram.astype(np.float64)
    norm2 = float(counts @ codes.number**2)
    return float(counts @ codes.error2) / norm2 * stored.norm2 if norm2 > 0 else 0.0


def rounding_floor(*rounded: Rounding) -> float | None:
    """Return the expected Frobenius norm of a difference that rounding of matrices alone causes.

    This assumes that each matrix was rounded once, independently. If one was not rounded, because
    training began with the stored numbers, the result is too large by a factor of up to sqrt(2).
    """
    variances = [rounding_variance(one) for one in rounded]
    known = [variance for variance in variances if variance is not None]
    return math.sqrt(sum(known)) if len(known) == len(variances) else None


def product_floor(scale: float, B: Array, A: Array, dtypes: tuple[str, str]) -> float | None:
    """Return the expected Frobenius norm of the error of s B A due to rounding of its factors.

    This assumes that every number b of B and a of A was rounded once, independently, with the
    variances e(b) and e(a) = ulp^2 / 12 of :func:`codes_of`. With E and F for the rounding errors,
    (B + E)(A + F) - B A = E A + B F + E F has the expected square

        sum over k of  e(b_k) |a_k|^2 + |b_k|^2 e(a_k) + e(b_k) e(a_k),

    where b_k is the k-th column of B, a_k the k-th row of A, and e(b_k) a sum over its entries: the
    three terms are uncorrelated. None for a format that is not a plain float of 16 bits or more.

    Parameters
    ----------
    scale, B, A
        s; (m, r); (r, n).
    dtypes
        Formats in which B and A are stored.
    """
    if not set(dtypes) <= {"f64", "f32", "bf16", "f16"}:
        return None
    p, q = (exponent_of(float(np.abs(x).max(initial=0.0))) for x in (B, A))
    b2, a2 = (scaled(B, -p) ** 2).sum(axis=0), (scaled(A, -q) ** 2).sum(axis=1)
    e_b = _rounding_errors2(B, dtypes[0], p).sum(axis=0)
    e_a = _rounding_errors2(A, dtypes[1], q).sum(axis=1)
    norm = math.sqrt(float(np.sum(e_b * a2 + b2 * e_a + e_b * e_a)))
    return scaled(abs(scale) * norm, p + q)


def _rounding_errors2(numbers: Array, dtype: str, shift: int) -> Array:
    """Return the expected squared rounding error of each number, in units of 4^shift."""
    unit, closer = units_of(numbers, dtype, shift)
    return np.asarray(unit**2 / np.where(closer, 16, 12))


def units_of(numbers: Array, dtype: str, shift: int = 0) -> tuple[Array, NDArray[np.bool_]]:
    """Return the unit in the last place of each number of a format, and which are powers of two.

    Units are in units of 2^shift. The number below a normal power of two is half a unit away.
    """
    _, mantissa_bits, bias = _FORMATS[dtype]
    fraction, exponent = np.frexp(np.abs(numbers))  # 1/2 <= fraction < 1, or 0
    least = 2 - bias  # exponent of the least normal number
    place = np.where(numbers == 0, least, np.maximum(exponent, least))
    unit = np.ldexp(1.0, np.asarray(place - 1 - mantissa_bits - shift))
    return unit, np.asarray((fraction == 0.5) & (exponent > least))


def is_rounded(dtype: str) -> bool:
    """Return whether the rounding of numbers of a format is known."""
    return dtype in _FORMATS


def above_rounding(change2: float, floor: float) -> bool:
    """Return whether at least half of ||dW||_F^2 cannot be rounding."""
    return change2 > ABOVE * floor**2


def noise_effective_rank(shape: tuple[int, int]) -> float:
    """Return the effective rank of pure noise of a shape, such as rounding errors.

    It is exp(entropy of sigma / sum sigma) under the Marchenko-Pastur law, for large matrices.
    """
    sigma, weight = angles_of_noise(min(shape) / max(shape))
    mean = float(weight @ sigma)
    return min(shape) * mean * math.exp(-float(weight @ (sigma * np.log(sigma))) / mean)


def subspace_errors(values: Array, errors: Array, residuals: Array, rounding: float) -> Array:
    """Bound the sine of the error angle of the span of the first j vectors, j = 1 .. k - 1.

    Wedin 1972: sqrt(sum of squared residuals of both sides) / gap, where the gap is the distance
    from s_j to all true values beyond the j-th, which are at most s_{j+1} + error. inf without gap.

    Parameters
    ----------
    values, errors, residuals
        (k,) descending, their error bounds, and max(||A v - s u||, ||A^T u - s v||); sigma units.
    rounding
        Rounding error (sigma) of a residual that would be zero in exact arithmetic.
    """
    s, e, r = (np.asarray(x, dtype=np.float64) for x in (values, errors, residuals))
    gap = s[:-1] - (s[1:] + e[1:])
    total = np.sqrt(np.cumsum(r[:-1] ** 2 + rounding**2))
    return over_gap(total, gap)


def resolved(bounds: Array, most: float = MOST) -> int:
    """Return the largest j whose bound is at most `most`; 0 if there is none."""
    good = np.flatnonzero(bounds <= most)
    return int(good[-1]) + 1 if len(good) else 0


def _by_numpy(A: Vectors, B: Vectors) -> Array:
    return np.asarray(A.T.astype(np.float64) @ B.astype(np.float64))


def principal_angles(X: Vectors, Y: Vectors, product: Product = _by_numpy) -> Array:
    """Return the angles between the spans of the columns of X and of Y, ascending, in radians.

    There are min(p, q) angles for X (m, p) and Y (m, q) with nearly orthonormal columns. Small
    angles come from sines and large ones from cosines. Both are therefore accurate (Bjoerck & Golub
    1973), to about 1e-8. `product` computes A^T B in float64.
    """
    X, Y = (Y, X) if X.shape[1] < Y.shape[1] else (X, Y)
    S, T = (np.linalg.inv(np.linalg.cholesky(product(x, x)).T) for x in (X, Y))
    C = S.T @ product(X, Y) @ T  # Q^T P for the orthonormal Q = X S and P = Y T
    cosines = np.clip(np.linalg.svd(C, compute_uv=False), 0.0, 1.0)
    if cosines[0] ** 2 < 0.5:  # no sine is small
        return np.asarray(np.arccos(cosines))
    D = product(Y.T, T) - product(X.T, S @ C)  # P - Q Q^T P, m x q
    sines = np.sqrt(np.clip(np.linalg.eigvalsh(product(D, D)), 0.0, 1.0))
    return np.asarray(np.where(sines**2 < 0.5, np.arcsin(sines), np.arccos(cosines)))


def angle_error(first: float, second: float) -> float:
    """Bound the error of every principal angle from the sines of both subspace errors.

    No angle between two subspaces changes by more than the largest angle between a subspace and
    its replacement (Qiu, Zhang & Li 2005).
    """
    return math.asin(min(first, 1.0)) + math.asin(min(second, 1.0))
