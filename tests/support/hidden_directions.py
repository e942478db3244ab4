# SPDX-License-Identifier: BSD-3-Clause
"""Matrices that hide their largest singular value from the random start of a known seed.

The start follows from a seed and a fingerprint of the matrix. The fingerprint is linear in the
words of the entries: a sum of word times public key modulo 2^64, then an invertible mixture. So a
fingerprint is chosen first. A matrix is made whose largest direction is orthogonal to the start of
that fingerprint. Forty entries of one row, below 1e-16 of the largest entry, then get fraction bits
that give the matrix this fingerprint: they are a short solution of one linear equation, which
lattice reduction finds.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

import sigmascope as ss
from sigmascope import _core

WORD = 1 << 64
_TARGET = 0x0123456789ABCDEF
_FREE = 40
"""Entries that are adjusted; each has 23 bits of a fraction."""

_REDUCED = 8
"""Dimension of the lattice: it spans all differences modulo 2^64 with short vectors."""


def fingerprint(A: NDArray[Any]) -> int:
    """Return the fingerprint of a matrix, which its first pass computes."""
    a = ss.matrix(A)
    survey = _core.survey(a.native, threads=1, panel_rows=0, load_bytes=1 << 40, progress=None)
    return int(_core.fingerprint(survey["digest"], survey["largest"], *A.shape))


def hiding_matrix(m: int, n: int, seed: int, *, columns: int = 64) -> NDArray[np.float32]:
    """Make a matrix (m > n) of norm 1.6 whose start of this seed leaves values of at most 1."""
    start = _core.start_of(_TARGET, seed)
    G = np.hstack(
        [_core.gaussian(n, columns, start, 0, 1), _core.gaussian(n, 24, (start + 1) % WORD, 0, 1)]
    ).astype(float)  # the start, and the test vectors of randomized_svd
    rng = np.random.default_rng(5)
    h = _orthogonal_to(G, rng)
    V = rng.standard_normal((n, n - 1))
    V, _ = np.linalg.qr(V - np.outer(h, h @ V))
    V -= np.outer(h, h @ V)
    values = np.r_[1.6, np.linspace(1, 0.8, 6), np.linspace(0.3, 0.01, n - 7)]
    U = np.vstack([np.linalg.qr(rng.standard_normal((m - 1, n)))[0], np.zeros(n)])
    A = np.ascontiguousarray(((U * values) @ np.column_stack([h, V]).T).astype(np.float32))
    A[-1] = 2.0**-64
    _adjust(A)
    assert fingerprint(A) == _TARGET
    return A


def _orthogonal_to(G: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    h = rng.standard_normal(len(G))
    for _ in range(3):
        h -= G @ np.linalg.lstsq(G, h, rcond=None)[0]
    return np.asarray(h / np.linalg.norm(h))


def _adjust(A: NDArray[np.float32]) -> None:
    """Give the last row the fraction bits by which the fingerprint becomes the target."""
    m, n = A.shape
    shape = _mixed((_mixed(m) + n) % WORD)
    lacking = (_unmixed(_TARGET) ^ shape) - (_unmixed(fingerprint(A)) ^ shape)
    rows, columns = _keys(m, longer=True), _keys(n, longer=False)
    bits = A.view(np.uint32)
    steps = _short_solution([int(rows[m - 1] ^ columns[j]) for j in range(_FREE)], lacking)
    for j, step in enumerate(steps):
        bits[m - 1, j] = int(bits[m - 1, j]) + step


def _keys(count: int, *, longer: bool) -> NDArray[np.uint32]:
    salt = np.uint32(0x9E3779B9 if longer else 0x7F4A7C15)
    keys = _mixed32(_mixed32(np.arange(count, dtype=np.uint32)) ^ _mixed32(np.full(1, salt)))
    return keys | np.uint32(1) if longer else keys & np.uint32(0xFFFFFFFE)


def _mixed32(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return np.asarray(x ^ (x >> np.uint32(16)))


def _mixed(x: int) -> int:
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) % WORD
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) % WORD
    return x ^ x >> 31


def _unmixed(y: int) -> int:
    """Invert :func:`_mixed`."""
    x = _unshifted(y, 31) * pow(0x94D049BB133111EB, -1, WORD) % WORD
    x = _unshifted(x, 27) * pow(0xBF58476D1CE4E5B9, -1, WORD) % WORD
    return _unshifted(x, 30)


def _unshifted(y: int, shift: int) -> int:
    x = y
    for _ in range(64 // shift + 1):
        x = y ^ (x >> shift)
    return x


def _short_solution(keys: list[int], wanted: int) -> list[int]:
    """Return small integers x with sum x_j keys_j = wanted modulo 2^64.

    Rounded multiples of the keys come close. A short lattice vector of the first keys, by Babai's
    nearest plane, makes up the rest.
    """
    wanted %= WORD
    wanted -= WORD * (wanted >= WORD // 2)
    norm = sum(key * key for key in keys)
    x = [wanted * key // norm for key in keys]
    rest = wanted - sum(step * key for step, key in zip(x, keys, strict=True))
    few, scale = keys[:_REDUCED], 1 << 50
    basis = _reduced(
        [[int(i == j) for j in range(_REDUCED)] + [scale * few[i]] for i in range(_REDUCED)]
    )
    kernel = [b[:_REDUCED] for b in basis if b[_REDUCED] == 0]
    unit = next(b for b in basis if b[_REDUCED] != 0)
    step = rest // (unit[_REDUCED] // scale)
    y = [value * step for value in unit[:_REDUCED]]
    for b, q in zip(reversed(kernel), reversed(_orthogonalised(kernel)), strict=True):
        factor = round(_dot(y, q) / _dot(q, q))
        y = [u - factor * v for u, v in zip(y, b, strict=True)]
    return [u + v for u, v in zip(x, y + [0] * (len(x) - _REDUCED), strict=True)]


def _dot(a: Any, b: Any) -> Any:
    return sum(u * v for u, v in zip(a, b, strict=True))


def _orthogonalised(basis: list[list[int]]) -> list[list[Fraction]]:
    """Return the Gram-Schmidt vectors of a basis, exactly."""
    vectors: list[list[Fraction]] = []
    for b in basis:
        v = [Fraction(x) for x in b]
        for q in vectors:
            factor = _dot(b, q) / _dot(q, q)
            v = [x - factor * y for x, y in zip(v, q, strict=True)]
        vectors.append(v)
    return vectors


def _reduced(basis: list[list[int]]) -> list[list[int]]:
    """Reduce a small lattice basis (Lenstra, Lenstra & Lovász 1982), in exact arithmetic."""
    k = 1
    while k < len(basis):
        for j in range(k - 1, -1, -1):
            q = _orthogonalised(basis[: j + 1])[j]
            factor = round(_dot(basis[k], q) / _dot(q, q))
            basis[k] = [x - factor * y for x, y in zip(basis[k], basis[j], strict=True)]
        last, q = _orthogonalised(basis[: k + 1])[k - 1 :]
        ratio = _dot(basis[k], last) / _dot(last, last)
        if _dot(q, q) >= (Fraction(3, 4) - ratio**2) * _dot(last, last):
            k += 1
        else:
            basis[k], basis[k - 1] = basis[k - 1], basis[k]
            k = max(k - 1, 1)
    return basis
