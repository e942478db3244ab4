# SPDX-License-Identifier: BSD-3-Clause
"""Pairs of matrices: two stored ones, a weight and an adapter's change of it, or two such changes.

Each pair has `before`, `after` and their difference `delta`. For stored matrices, `delta` is a list
of tiles, and each entry is subtracted while it is decoded. For an adapter, `delta` is the exact
product s B A, and `after` is a list of tiles that adds it to `before`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sigmascope._execution.memory import Need
from sigmascope._execution.options import CallOptions
from sigmascope.adapters.circuits.product import CircuitProduct
from sigmascope.analysis.low_rank import LowRank
from sigmascope.matrices.matrix import Matrix
from sigmascope.solvers.change import Change, change, fingerprint, inner, inner_need
from sigmascope.solvers.moments import check_finite, element_moments
from sigmascope.spectra import Moments
from sigmascope.spectra.statistics import pairs
from sigmascope.spectra.units import exponent_of, scaled

from .pair_base import PairBase, loaded
from .pair_norms import PairNorms, norms_from_svd, relative_error
from .quantisation import expected_errors, profile_of
from .scaled_pairs import ScaledPair


@dataclass(frozen=True, slots=True)
class StoredPair(PairBase):
    """Two stored matrices of one shape; if they were loaded, `codes` holds both as stored."""

    before: Matrix
    after: Matrix
    codes: tuple[Matrix, Matrix] | None = None

    @property
    def _stored(self) -> tuple[Matrix, Matrix]:
        return self.before, self.after

    @property
    def delta(self) -> Matrix:
        """`after` - `before`, as a list of tiles."""
        return self.after - self.before

    @property
    def quantised(self) -> int:
        """Number of the two matrices stored as codes: of 8 bits or fewer, or with scales."""
        return sum(a.native.quantised for a in self.codes or self._stored)

    def without(self, decay: float) -> Matrix:
        """Return `delta` - `decay` * `before`, as a list of tiles."""
        return self.delta - decay * self.before

    def load(self) -> StoredPair:
        """Return the pair with both matrices in memory."""
        return StoredPair(*loaded(*self._stored), codes=self.codes or self._stored)

    def norms(self, **options: Any) -> PairNorms:
        """Compute the sums, in a pass over both; options as for :func:`moments`.

        A second pass over a matrix of 8-bit numbers counts its codes, and one over a matrix of
        codes in groups or blocks sums the variances of their rounding errors.

        Raises
        ------
        NonFiniteError
            If one of them holds NaN or infinity.
        """
        seen = change(self.before, self.after, **options)
        norms2, units2 = (seen.change.before2, seen.after2), seen.units2 or (None, None)
        finite = math.isfinite(sum(norms2) + seen.change.change2)
        codes = self.codes or self._stored
        errors = tuple(expected_errors(a, **options) for a in codes)
        stored = [
            pairs.Rounding(a.storage, norm2, None, units, _errors2(known, seen.unit))
            if known is not None or not a.native.encoded
            else pairs.Rounding("codes", norm2)
            for a, norm2, units, known in zip(codes, norms2, units2, errors, strict=True)
        ]
        passes = 1 if errors == (None, None) else 2
        for i, side in enumerate(("before", "after")):
            if stored[i].counted or not finite:  # if not finite, _moments raises with the place
                of_side = _moments(side, getattr(self, side), **options)
                stored[i] = stored[i]._replace(histogram=of_side.histogram)
                passes = 2
        one = [rounded for a, rounded in zip(codes, stored, strict=True) if a.native.quantised]
        # The numbers before quantisation are the stored numbers of the other matrix.
        floor = pairs.rounding_floor(*(one if len(one) == 1 else stored))
        return PairNorms(
            seen.change,
            seen.after2,
            floor,
            None if floor is None else pairs.noise_effective_rank(self.before.shape),
            passes,
            seen.unit,
            seen.delta_unit,
            seen.fingerprint,
            seen.unchanged / self.before.size,
            profile_of(codes, errors),
        )


@dataclass(frozen=True, slots=True)
class AdaptedPair(PairBase):
    """A stored matrix, and the change that an adapter adds to it."""

    before: Matrix
    delta: LowRank

    @property
    def _stored(self) -> tuple[Matrix, LowRank]:
        return self.before, self.delta

    @property
    def after(self) -> Matrix:
        """`before` + `delta`, as a list of tiles."""
        return self.before + self.delta

    def without(self, decay: float) -> Matrix:
        """Return `delta` - `decay` * `before`, as a list of tiles."""
        return self.delta - decay * self.before

    def load(self) -> AdaptedPair:
        """Return the pair with the matrix and the factors in memory."""
        return AdaptedPair(*loaded(*self._stored))

    def norms_need(self, **options: Any) -> Need:
        """Return the memory that the second pass of :meth:`norms` needs."""
        return inner_need(self.before, self.delta.rank, **options)

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
        norms = norms_from_svd(norm, unit, svd, product, relative_error(svd), _floor(self.delta))
        own = fingerprint(self.before, self.delta.B, self.delta.A, **options)
        return norms._replace(fingerprint=own, passes=3)


@dataclass(frozen=True, slots=True)
class AdapterPair(PairBase):
    """The changes that two adapters make to one weight, or a circuit in two checkpoints."""

    before: LowRank
    after: LowRank

    @property
    def _stored(self) -> tuple[LowRank, LowRank]:
        return self.before, self.after

    @property
    def delta(self) -> LowRank:
        """`after` - `before`, a product of rank r + r'."""
        return self.after - self.before

    def without(self, decay: float) -> LowRank:
        """Return `delta` - `decay` * `before`."""
        return self.after - (1.0 + decay) * self.before

    def load(self) -> AdapterPair:
        """Return the pair with all factors in memory."""
        return AdapterPair(*loaded(*self._stored))

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
        lost = relative_error(svd) + relative_error(was)
        return norms_from_svd(was.fro_norm, unit, svd, product, lost, floor)

    @property
    def _same(self) -> bool:
        one, two = self.before, self.after
        alike = ((one.B, two.B), (one.A, two.A))
        return one.scale == two.scale and all(np.array_equal(x, y) for x, y in alike)


MatrixPair = StoredPair | AdaptedPair | AdapterPair | ScaledPair


def _moments(side: str, a: Matrix, *, histogram: bool = True, **options: Any) -> Moments:
    call = CallOptions.of(a, **options)
    moments = element_moments(a, call, histogram=histogram)
    check_finite(moments, f"the matrix {side}")
    return moments


def _errors2(expected: Moments | None, unit: int) -> float | None:
    """Return the expected squared norm of rounding errors, in units of 4^unit."""
    return None if expected is None else scaled(expected.fro_norm, -unit) ** 2


def _floor(product: LowRank) -> float | None:
    """Return the expected norm of a product's error from the rounding of its stored factors."""
    B, A = (np.asarray(factor, dtype=np.float64) for factor in (product.B, product.A))
    stored = (product.B.storage, product.A.storage)
    if isinstance(product, CircuitProduct):
        stored = product.storages
    return pairs.product_floor(product.scale, B, A, stored)
