# SPDX-License-Identifier: BSD-3-Clause
"""What is compared: two stored matrices, a matrix and what an adapter adds to it, or two adapters'.

Each has `before`, `after` and `delta`, their difference, of which one is made of the others: of
stored matrices as a list of tiles, where each entry is subtracted as it is decoded; of an adapter
the change itself is given, s B A, exactly, and `after` is the list of tiles that adds it.
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


class Sums(NamedTuple):
    """What the entries of a pair add up to.

    Attributes
    ----------
    change
        ||W||^2, ||dW||^2 and <dW, W>, in units of 4^unit, 4^delta_unit and 4^unit.
    after2
        ||W'||^2, in units of 4^unit.
    floor
        ||dW|| expected of rounding alone, in units of 2^unit, or None; see
        :mod:`sigmascope.statistics.pairs`.
    floor_rank
        The effective rank of that, or None: of an adapter it has the form of the change.
    passes
        Over each matrix.
    fingerprint
        A hash of the numbers of both, for the random numbers that all their spectra share.
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
class Couple:
    """Two matrices of one shape, as they are stored."""

    before: Matrix
    after: Matrix

    @property
    def delta(self) -> Matrix:
        """Their difference, lazily."""
        return self.after - self.before

    @property
    def nbytes(self) -> int:
        """Of both."""
        return self.before.nbytes + self.after.nbytes

    @property
    def in_memory(self) -> bool:
        """Whether nothing has to be read from a file."""
        return self.before.in_memory and self.after.in_memory

    def without(self, decay: float) -> Matrix:
        """`delta` less so much of `before`, lazily."""
        return self.delta - decay * self.before

    def load(self) -> Couple:
        """Read both into memory."""
        return Couple(*_loaded(self.before, self.after))

    def sums(self, **options: Any) -> Sums:
        """Add up, in a pass over both; options as for :func:`moments`.

        Another over a matrix of 8 bits, or whose codes are multiplied, counts its codes.

        Raises
        ------
        NonFiniteError
            One of them holds NaN or infinity.
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
            if stored[i].counted or not finite:  # then it says where
                found = _moments(side, getattr(self, side), **options)
                stored[i] = stored[i]._replace(histogram=found.histogram)
                passes = 2
        floor = pairs.rounding_floor(*stored)
        return Sums(
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
class Adapted:
    """A matrix, and the change that an adapter adds to it."""

    before: Matrix
    delta: LowRank

    @property
    def after(self) -> Matrix:
        """Their sum, lazily."""
        return self.before + self.delta

    @property
    def nbytes(self) -> int:
        """Of the matrix and the factors of its change."""
        return self.before.nbytes + self.delta.nbytes

    @property
    def in_memory(self) -> bool:
        """Whether nothing has to be read from a file."""
        return self.before.in_memory and self.delta.in_memory

    def without(self, decay: float) -> Matrix:
        """`delta` less so much of `before`, lazily."""
        return self.delta - decay * self.before

    def load(self) -> Adapted:
        """Read both into memory."""
        return Adapted(*_loaded(self.before, self.delta))

    def sums_need(self, num_threads: int) -> Need:
        """What the second pass of :meth:`sums` takes."""
        return inner_need(self.before, self.delta.rank, num_threads)

    def sums(self, **options: Any) -> Sums:
        """Add up, in two passes over the matrix, the second for <dW, W> by the triplets of dW.

        Raises
        ------
        NonFiniteError
            The matrix, or a factor of the change, holds NaN or infinity.
        MemoryLimitError
            The factors of the change, in float64, do not fit.
        """
        self.delta.check_memory(options["memory_limit"], options["reserved"])
        svd = self.delta.svd()
        norm = _moments("before", self.before, histogram=False, **options).fro_norm
        unit = exponent_of(norm)
        W = self.before * 2.0**-unit if unit else self.before
        product = inner(svd.scaled(-unit), W, **options)
        found = _of_svd(norm, unit, svd, product, _lost(svd), _floor(self.delta))
        own = fingerprint(self.before, self.delta.B, self.delta.A, **options)
        return found._replace(fingerprint=own, passes=3)


@dataclass(frozen=True, slots=True)
class Adapters:
    """What two adapters add to one weight."""

    before: LowRank
    after: LowRank

    @property
    def delta(self) -> LowRank:
        """Their difference, a product of rank r + r'."""
        return self.after - self.before

    @property
    def nbytes(self) -> int:
        """Of all factors."""
        return self.before.nbytes + self.after.nbytes

    @property
    def in_memory(self) -> bool:
        """Whether nothing has to be read from a file."""
        return self.before.in_memory and self.after.in_memory

    def without(self, decay: float) -> LowRank:
        """`delta` less so much of `before`."""
        return self.after - (1.0 + decay) * self.before

    def load(self) -> Adapters:
        """Read both into memory."""
        return Adapters(*_loaded(self.before, self.after))

    def sums(self, **options: Any) -> Sums:
        """Add up, from the triplets of both; as :meth:`Adapted.sums`."""
        self.delta.check_memory(options["memory_limit"], options["reserved"])
        was, floors = self.before.svd(), (_floor(self.before), _floor(self.after))
        known = [floor for floor in floors if floor is not None]
        floor = math.hypot(*known) if len(known) == 2 else None
        unit = exponent_of(was.fro_norm)
        if self._same:  # not what rounding leaves of B A - B A
            norm2 = scaled(was.fro_norm, -unit) ** 2
            floor = None if floor is None else scaled(floor, -unit)
            return Sums(Change(norm2, 0.0, 0.0), norm2, floor, unit=unit, delta_unit=unit)
        svd = self.delta.svd()
        U, V, P, Q = (np.asarray(x) for x in (svd.U, svd.Vt, was.U, was.Vt))
        s, t = (scaled(x.s, -unit) for x in (svd, was))
        product = float(s @ ((U.T @ P) * (V @ Q.T)) @ t)
        return _of_svd(was.fro_norm, unit, svd, product, _lost(svd) + _lost(was), floor)

    @property
    def _same(self) -> bool:
        one, two = self.before, self.after
        alike = ((one.B, two.B), (one.A, two.A))
        return one.scale == two.scale and all(np.array_equal(x, y) for x, y in alike)


AnyCouple = Couple | Adapted | Adapters
One = TypeVar("One", Matrix, LowRank)
Two = TypeVar("Two", Matrix, LowRank)


def _loaded(one: One, two: Two) -> tuple[One, Two]:
    """Read both into memory, side by side: what is new there costs more than what is read."""
    with ThreadPoolExecutor(1, thread_name_prefix="sigmascope-load") as beside:
        second = beside.submit(two.load)
        return one.load(), second.result()


def _moments(side: str, a: Matrix, **options: Any) -> Moments:
    seen = moments(a, **options)
    if seen.nan or seen.inf:
        raise NonFiniteError(
            f"the matrix {side} holds {seen.nan} NaN and {seen.inf} infinite entries, "
            f"the first at {seen.first_nonfinite}"
        )
    return seen


def _of_svd(
    norm: float, unit: int, svd: SVD, product: float, lost: float, floor: float | None
) -> Sums:
    """Of ||W||_F, of W + dW, where `product` is in units of 4^unit."""
    before2, delta_unit = scaled(norm, -unit) ** 2, exponent_of(svd.fro_norm)
    change2 = scaled(svd.fro_norm, -delta_unit) ** 2
    after2 = before2 + 2 * product + scaled(change2, 2 * (delta_unit - unit))
    floor = None if floor is None else scaled(floor, -unit)
    change = Change(before2, change2, product, lost)
    return Sums(change, after2, floor, unit=unit, delta_unit=delta_unit)


def _lost(svd: SVD) -> float:
    """Bound what float64 took of a product, relative to its norm."""
    return float(svd.errors[0]) / svd.fro_norm if svd.fro_norm > 0 else 0.0


def _floor(product: LowRank) -> float | None:
    """What rounding of its factors, as they are stored, is expected to give a product."""
    B, A = (np.asarray(factor, dtype=np.float64) for factor in (product.B, product.A))
    return pairs.product_floor(product.scale, B, A, (product.B.dtype, product.A.dtype))
