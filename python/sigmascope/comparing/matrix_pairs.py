# SPDX-License-Identifier: BSD-3-Clause
"""Pairs of matrices: two stored ones, a weight and an adapter's change of it, or two such changes.

Each pair has `before`, `after` and their difference `delta`. For stored matrices `delta` is a list
of tiles, and each entry is subtracted while it is decoded. For an adapter `delta` is the exact
product s B A, and `after` is the list of tiles that adds it to `before`.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np

from sigmascope._execution.memory import Need
from sigmascope.analysis.low_rank import LowRank
from sigmascope.errors import NonFiniteError
from sigmascope.matrices.matrix import Matrix
from sigmascope.solvers.change import Change, change, fingerprint, inner, inner_need
from sigmascope.solvers.moments import moments
from sigmascope.spectra import SVD, Moments
from sigmascope.spectra.units import exponent_of, scaled
from sigmascope.statistics import pairs


class PairNorms(NamedTuple):
    """Sums over the entries of a pair, of W before, W' after and dW = W' - W.

    Attributes
    ----------
    change
        ||W||^2, ||dW||^2 and <dW, W>, in units of 4^unit, 4^delta_unit and 4^unit.
    after2
        ||W'||^2, in units of 4^unit.
    floor
        Expected ||dW|| if rounding made all of dW, in units of 2^unit, or None; see
        :mod:`sigmascope.statistics.pairs`.
    floor_rank
        Effective rank of such a dW, or None. It is None for an adapter, where rounding errors have
        the low rank of the change.
    passes
        Passes over each matrix.
    unit, delta_unit
        Binary exponents of the units above.
    fingerprint
        Hash of the numbers of both, from which the random numbers of all their spectra follow.
    """

    change: Change
    after2: float
    floor: float | None
    floor_rank: float | None = None
    passes: int = 2
    unit: int = 0
    delta_unit: int = 0
    fingerprint: int | None = None


@dataclass(frozen=True, slots=True)
class StoredPair:
    """Two stored matrices of one shape."""

    before: Matrix
    after: Matrix

    @property
    def delta(self) -> Matrix:
        """`after` - `before`, as a list of tiles."""
        return self.after - self.before

    @property
    def nbytes(self) -> int:
        """Stored bytes of both matrices."""
        return self.before.nbytes + self.after.nbytes

    @property
    def in_memory(self) -> bool:
        """True if nothing has to be read from a file."""
        return self.before.in_memory and self.after.in_memory

    def without(self, decay: float) -> Matrix:
        """Return `delta` - `decay` * `before`, as a list of tiles."""
        return self.delta - decay * self.before

    def load(self) -> StoredPair:
        """Return the pair with both matrices in memory."""
        return StoredPair(*_loaded(self.before, self.after))

    def norms(self, **options: Any) -> PairNorms:
        """Compute the sums, in a pass over both; options as for :func:`moments`.

        A second pass over a matrix of 8-bit numbers, or of codes with scales, counts its codes.

        Raises
        ------
        NonFiniteError
            If one of them holds NaN or infinity.
        """
        seen = change(self.before, self.after, **options)
        norms2, units2 = (seen.change.before2, seen.after2), seen.units2 or (None, None)
        finite = math.isfinite(sum(norms2) + seen.change.change2)
        stored = [
            pairs.Rounding(a.dtype, norm2, units2=units)
            for a, norm2, units in zip((self.before, self.after), norms2, units2, strict=True)
        ]
        passes = 1
        for i, side in enumerate(("before", "after")):
            if stored[i].counted or not finite:  # _moments raises, with the place, if not finite
                of_side = _moments(side, getattr(self, side), **options)
                stored[i] = stored[i]._replace(histogram=of_side.histogram)
                passes = 2
        floor = pairs.rounding_floor(*stored)
        return PairNorms(
            seen.change,
            seen.after2,
            floor,
            None if floor is None else pairs.noise_effective_rank(self.before.shape),
            passes,
            seen.unit,
            seen.delta_unit,
            seen.fingerprint,
        )


@dataclass(frozen=True, slots=True)
class AdaptedPair:
    """A stored matrix, and the change that an adapter adds to it."""

    before: Matrix
    delta: LowRank

    @property
    def after(self) -> Matrix:
        """`before` + `delta`, as a list of tiles."""
        return self.before + self.delta

    @property
    def nbytes(self) -> int:
        """Stored bytes of the matrix and of the factors of its change."""
        return self.before.nbytes + self.delta.nbytes

    @property
    def in_memory(self) -> bool:
        """True if nothing has to be read from a file."""
        return self.before.in_memory and self.delta.in_memory

    def without(self, decay: float) -> Matrix:
        """Return `delta` - `decay` * `before`, as a list of tiles."""
        return self.delta - decay * self.before

    def load(self) -> AdaptedPair:
        """Return the pair with the matrix and the factors in memory."""
        return AdaptedPair(*_loaded(self.before, self.delta))

    def norms_need(self, num_threads: int) -> Need:
        """Return the memory that the second pass of :meth:`norms` needs."""
        return inner_need(self.before, self.delta.rank, num_threads)

    def norms(self, **options: Any) -> PairNorms:
        """Compute the sums in two passes over the matrix; the second gives <dW, W>.

        <dW, W> is computed from the singular triplets of dW.

        Raises
        ------
        NonFiniteError
            If the matrix, or a factor of the change, holds NaN or infinity.
        MemoryLimitError
            If the factors of the change, in float64, do not fit.
        """
        self.delta.check_memory(options["memory_limit"], options["reserved"])
        svd = self.delta.svd()
        norm = _moments("before", self.before, histogram=False, **options).fro_norm
        unit = exponent_of(norm)
        W = self.before * 2.0**-unit if unit else self.before
        product = inner(svd.scaled(-unit), W, **options)
        norms = _norms_from_svd(norm, unit, svd, product, _relative_error(svd), _floor(self.delta))
        own = fingerprint(self.before, self.delta.B, self.delta.A, **options)
        return norms._replace(fingerprint=own, passes=3)


@dataclass(frozen=True, slots=True)
class AdapterPair:
    """The changes that two adapters make to one weight."""

    before: LowRank
    after: LowRank

    @property
    def delta(self) -> LowRank:
        """`after` - `before`, a product of rank r + r'."""
        return self.after - self.before

    @property
    def nbytes(self) -> int:
        """Stored bytes of all factors."""
        return self.before.nbytes + self.after.nbytes

    @property
    def in_memory(self) -> bool:
        """True if nothing has to be read from a file."""
        return self.before.in_memory and self.after.in_memory

    def without(self, decay: float) -> LowRank:
        """Return `delta` - `decay` * `before`."""
        return self.after - (1.0 + decay) * self.before

    def load(self) -> AdapterPair:
        """Return the pair with all factors in memory."""
        return AdapterPair(*_loaded(self.before, self.after))

    def norms(self, **options: Any) -> PairNorms:
        """Compute the sums from the singular triplets of both, as :meth:`AdaptedPair.norms`."""
        self.delta.check_memory(options["memory_limit"], options["reserved"])
        was, floors = self.before.svd(), (_floor(self.before), _floor(self.after))
        known = [floor for floor in floors if floor is not None]
        floor = math.hypot(*known) if len(known) == 2 else None
        unit = exponent_of(was.fro_norm)
        if self._same:  # B A - B A would leave rounding errors
            norm2 = scaled(was.fro_norm, -unit) ** 2
            floor = None if floor is None else scaled(floor, -unit)
            return PairNorms(Change(norm2, 0.0, 0.0), norm2, floor, unit=unit, delta_unit=unit)
        svd = self.delta.svd()
        U, V, P, Q = (np.asarray(x) for x in (svd.U, svd.Vt, was.U, was.Vt))
        s, t = (scaled(x.s, -unit) for x in (svd, was))
        product = float(s @ ((U.T @ P) * (V @ Q.T)) @ t)
        lost = _relative_error(svd) + _relative_error(was)
        return _norms_from_svd(was.fro_norm, unit, svd, product, lost, floor)

    @property
    def _same(self) -> bool:
        one, two = self.before, self.after
        alike = ((one.B, two.B), (one.A, two.A))
        return one.scale == two.scale and all(np.array_equal(x, y) for x, y in alike)


MatrixPair = StoredPair | AdaptedPair | AdapterPair
One = TypeVar("One", Matrix, LowRank)
Two = TypeVar("Two", Matrix, LowRank)


def _loaded(one: One, two: Two) -> tuple[One, Two]:
    """Read both into memory at once: making the pages of memory takes longer than reading."""
    with ThreadPoolExecutor(1, thread_name_prefix="sigmascope-load") as pool:
        second = pool.submit(two.load)
        return one.load(), second.result()


def _moments(side: str, a: Matrix, **options: Any) -> Moments:
    seen = moments(a, **options)
    if seen.nan or seen.inf:
        raise NonFiniteError(
            f"the matrix {side} holds {seen.nan} NaN and {seen.inf} infinite entries, "
            f"the first at {seen.first_nonfinite}"
        )
    return seen


def _norms_from_svd(
    norm: float, unit: int, svd: SVD, product: float, error: float, floor: float | None
) -> PairNorms:
    """Return the sums of W and W + dW.

    Parameters
    ----------
    norm
        ||W||_F.
    unit
        Binary exponent of the unit of W.
    svd
        The singular triplets of dW.
    product
        <dW, W>, in units of 4^unit.
    error
        Rounding error of the triplets, relative to ||dW||_F.
    floor
        Expected ||dW||_F if rounding made all of dW, or None.
    """
    before2, delta_unit = scaled(norm, -unit) ** 2, exponent_of(svd.fro_norm)
    change2 = scaled(svd.fro_norm, -delta_unit) ** 2
    after2 = before2 + 2 * product + scaled(change2, 2 * (delta_unit - unit))
    floor = None if floor is None else scaled(floor, -unit)
    change = Change(before2, change2, product, error)
    return PairNorms(change, after2, floor, unit=unit, delta_unit=delta_unit)


def _relative_error(svd: SVD) -> float:
    """Bound the rounding error of a product's decomposition in float64, relative to its norm."""
    return float(svd.errors[0]) / svd.fro_norm if svd.fro_norm > 0 else 0.0


def _floor(product: LowRank) -> float | None:
    """Return the expected norm of a product's error from the rounding of its stored factors."""
    B, A = (np.asarray(factor, dtype=np.float64) for factor in (product.B, product.A))
    return pairs.product_floor(product.scale, B, A, (product.B.dtype, product.A.dtype))
