# SPDX-License-Identifier: BSD-3-Clause
"""Products of thin matrices whose terms cancel: without rounding, or to 30 digits.

A matrix is cut into slices with few bits each. BLAS then multiplies two slices without rounding
(Ozaki, Ogita, Oishi and Rump 2012).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_TERMS = 128
"""Terms of a scalar product that are summed at once."""
_ALL = 16
"""Slices of a part of a matrix: 320 bits, which hold all formats but float64 from end to end."""
_BITS = (53 - (_TERMS * _ALL).bit_length()) // 2
"""Bits of a slice: the sum of 16 products of 128 terms is an integer below 2^53."""
_DOUBLED = 6
"""Slices that hold the 106 bits of two float64 numbers."""


def fro_norm(B: Array, A: Array, scale: float) -> float:
    """Compute ||s B A||_F = |s| sqrt(tr(B^T B A A^T)), with sums of integers, without rounding.

    The factors are cut to `_ALL` slices if the norm is 2^64 times the largest effect of this cut.
    Work grows with the square of the number of parts; a float64 element can have seven.

    Parameters
    ----------
    B, A, scale : (m, r), (r, n), s
    """
    b, a, left, right = _exponent(B), _exponent(A), _parts(B), _parts(A)
    for most in range(1, max(left, right) + 1):
        p, q = min(left, most), min(right, most)
        root = math.isqrt(
            _sum_of_squares(B, A, p, q) << 128
        )  # 64 bits more than those of an integer
        unit = b + a - 64 - _BITS * _ALL * (p + q)
        size = math.isqrt(len(B) * A.shape[1]) + 1  # over r: ||X||_F <= sqrt(m r) 2^exponent
        lost = (2 * B.shape[1] * size).bit_length() + b + a - _BITS * _ALL * most
        if most == max(left, right) or unit + root.bit_length() > lost + 64:
            break
    extra = max(root.bit_length() - 128, 0)  # so that it is a number of float64
    return math.ldexp(abs(scale) * (root >> extra), unit + extra)


def _sum_of_squares(B: Array, A: Array, p: int, q: int) -> int:
    """Compute ||B A||_F^2 of factors cut to p and q parts, in squares of the unit of `_integers`.

    The sum is tr(B^T B A A^T), which takes fewer operations than B A if r is small.
    """
    m, r, n = *B.shape, A.shape[1]
    total, b, a = 0, _exponent(B), _exponent(A)
    trace = r * (m + n) < m * n
    count, width = (r, r) if trace else (m, n)
    rows = max(1, 2**13 // width, count // 32)
    for start in range(0, count, rows):
        part = slice(start, start + rows)
        if trace:
            left = _integers(B.T[part], B, (b, b), (p, p))
            total += np.sum(left * _integers(A[part], A.T, (a, a), (q, q)))
        else:
            total += np.sum(_integers(B[part], A, (b, a), (p, q)) ** 2)
    return int(total)


def defects(B: Array, A: Array, scale: float, v: Array, u: Array, s: Array) -> Array:
    """Compute the norms of s_B B A v - s u, column by column, in twice the digits of float64.

    A bound on the remaining error, 2^-100 |s_B| ||B||_F ||A||_F, is added.

    Parameters
    ----------
    B, A, scale : (m, r), (r, n), s_B
    v, u, s : (n, k), (m, k), (k,)
    """
    if scale == 0:
        return np.asarray(s * np.linalg.norm(u, axis=0))
    exponent = _exponent(B)
    B, scale = np.ldexp(B, -exponent), math.ldexp(scale, exponent)
    high, low = product(A, v)
    ratio = s / scale
    pairs = zip(s, ratio, strict=True)
    rest = [float(Fraction(x) / Fraction(scale) - Fraction(q)) for x, q in pairs]
    right = np.vstack([high, -np.diag(ratio)])
    residuals = np.empty_like(u)
    for start in range(0, len(B), _TERMS):
        part = slice(start, start + _TERMS)
        whole = product(np.hstack([B[part], u[part]]), right)
        residuals[part] = whole[0] + (whole[1] + B[part] @ low - u[part] * rest)
    hidden = 2.0**-100 * np.linalg.norm(B) * np.linalg.norm(A)
    return np.asarray(abs(scale) * (np.linalg.norm(residuals, axis=0) + hidden))


def product(X: Array, Y: Array) -> tuple[Array, Array]:
    """Compute X Y as the sum of two arrays, to about 2^-110 of the product of their largest."""
    high, low = np.zeros((2, len(X), Y.shape[1]))
    x, y = _exponent(X), _exponent(Y)
    for start in range(0, X.shape[1], _TERMS):
        part = slice(start, start + _TERMS)
        for level, exact in _levels(X[:, part], Y[part], x, y, _DOUBLED):
            term = np.ldexp(exact, x + y - _BITS * level)
            total = high + term
            back = total - high
            low += (high - (total - back)) + (term - back)  # what rounding took (Knuth 1969)
            high = total
    return high, low


def _integers(
    X: Array, Y: Array, exponents: tuple[int, int], parts: tuple[int, int]
) -> NDArray[Any]:
    """Return X Y as integers of Python, in units of 2^(x + y - _BITS _ALL (p + q)).

    X and Y, with exponents x and y, are sums of p and q parts, each of `_ALL` slices.
    """
    total = np.zeros((len(X), Y.shape[1]), dtype=object)
    most = 2**9 // min(parts)  # of numbers below 2^53, summed over parts of one level
    for first in range(0, X.shape[1], _TERMS * most):
        sums = np.zeros((_ALL * sum(parts) + 1, *total.shape), dtype=np.int64)
        for start in range(first, min(first + _TERMS * most, X.shape[1]), _TERMS):
            columns = slice(start, start + _TERMS)
            lefts = list(_cut(X[:, columns], exponents[0], parts[0]))
            for q, right in enumerate(_cut(Y[columns], exponents[1], parts[1])):
                for p, left in enumerate(lefts):
                    for level, exact in _levels(left, right, *exponents, 2 * _ALL):
                        sums[level + _ALL * (p + q)] += exact.astype(np.int64)
        for level in np.flatnonzero(sums.any(axis=(1, 2))).tolist():
            total += sums[level].astype(object) << _BITS * (_ALL * sum(parts) - level)
    return total


def _parts(X: Array) -> int:
    """Return the number of parts, of `_ALL` slices each, that hold every bit of X."""
    least = float(np.abs(X).min(where=X != 0, initial=np.inf))
    if not math.isfinite(least):
        return 1
    bits = _exponent(X) - max(math.frexp(least)[1] - 53, -1074)
    return -(-bits // (_BITS * _ALL))


def _cut(X: Array, exponent: int, parts: int) -> Iterator[Array]:
    """Cut X into sum_p 2^(-p _BITS _ALL) X_p, with |X_p| <= 2^exponent; for one part X itself."""
    if parts == 1:
        yield X
        return
    bits, rest = _BITS * _ALL, np.ldexp(X, -exponent)
    for _ in range(parts):
        part = np.ldexp(np.rint(np.ldexp(rest, bits)), -bits)
        rest = np.ldexp(rest - part, bits)
        yield np.ldexp(part, exponent)


def _levels(X: Array, Y: Array, x: int, y: int, count: int) -> Iterator[tuple[int, Array]]:
    """Yield the sums of X_i Y_j with i + j = level <= count + 1, all exact integers."""
    length = X.shape[1]
    rows, columns = _slices(X, x, count), _slices(Y.T, y, count)
    p, q = (part.shape[1] // length for part in (rows, columns))
    if not p or not q:
        return
    columns = columns.reshape(-1, q, length)[:, ::-1].reshape(-1, q * length)  # Y_q ... Y_1
    for level in range(2, min(p + q, count + 1) + 1):
        first, last = max(1, level - q), min(p, level - 1)
        i = slice((first - 1) * length, last * length)
        j = slice((q - level + first) * length, (q - level + last + 1) * length)
        yield level, rows[:, i] @ columns[:, j].T


def _slices(X: Array, exponent: int, count: int) -> Array:
    """Cut X into integers [X_1 X_2 ...] with X = 2^exponent sum_i 2^(-i _BITS) X_i."""
    slices = np.empty((len(X), min(count, _ALL), X.shape[1]))
    rest, used = np.ldexp(X, -exponent), 0  # below 1
    while used < slices.shape[1] and rest.any():
        np.rint(np.ldexp(rest, _BITS, out=rest), out=slices[:, used])
        rest -= slices[:, used]
        used += 1
    return slices[:, :used].reshape(len(X), used * X.shape[1])


def _exponent(X: Array) -> int:
    return math.frexp(float(np.abs(X).max(initial=0.0)))[1]
