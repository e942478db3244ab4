# SPDX-License-Identifier: BSD-3-Clause
"""The product s B A of thin matrices: its shape, slices, sums, values and measures.

An adapter (LoRA; Hu et al. 2021) changes an m x n weight by such a product of rank r.
"""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from sigmascope._host.keywords import public
from sigmascope._host.memory import resolve_memory
from sigmascope._words.text import amount
from sigmascope.errors import MemoryLimitError, NonFiniteError
from sigmascope.matrices.joins import hstack, outer, vstack
from sigmascope.matrices.matrix import Matrix
from sigmascope.matrices.sources import matrix
from sigmascope.spectra import SVD, Measure, SingularValues, Spectrum, statistics

from .exact import needed_bytes, svd_of, triangle, values_of

Array = NDArray[np.float64]

# If all values but r are 0, measures of a bulk, a tail or the least value mean nothing.
_OF_A_BULK = ("mp_", "alpha", "log_alpha", "shoulder_", "effective_rank_above", "condition")


class LowRank:
    """The matrix s B A, kept as its factors; :meth:`matrix` gives a Matrix of the product.

    Parameters
    ----------
    B : Matrix or anything that :func:`matrix` takes, shape (m, r)
    A : Matrix or anything that :func:`matrix` takes, shape (r, n)
    scale : float
        The factor s.

    Raises
    ------
    ValueError
        If the shapes do not fit, one is empty, or the scale is not finite.
    """

    __array_ufunc__ = None  # so that a NumPy number times it is a product again
    __slots__ = ("A", "B", "scale")
    _r_of = staticmethod(triangle)

    @public
    def __init__(self, B: Any, A: Any, scale: float = 1.0) -> None:
        self.B, self.A, self.scale = matrix(B), matrix(A), float(scale)
        if self.B.shape[1] != self.A.shape[0] or 0 in (*self.B.shape, *self.A.shape):
            raise ValueError(f"shapes {self.B.shape} and {self.A.shape} cannot be multiplied")
        if not np.isfinite(self.scale):
            raise ValueError(f"the scale of a product must be finite, not {scale}")

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and columns, (m, n)."""
        return self.B.shape[0], self.A.shape[1]

    @property
    def rank(self) -> int:
        """Inner dimension r, the largest rank that the product can have."""
        return self.A.shape[0]

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.shape[0] * self.shape[1]

    @property
    def storage(self) -> str:
        """Storage format of B and A, or "mixed"."""
        return self.B.storage if self.B.storage == self.A.storage else "mixed"

    @property
    def nbytes(self) -> int:
        """Stored bytes of B and A."""
        return self.B.nbytes + self.A.nbytes

    @property
    def in_memory(self) -> bool:
        """True if neither B nor A has to be read from a file."""
        return self.B.in_memory and self.A.in_memory

    @property
    def working_bytes(self) -> int:
        """Bytes that its spectrum takes: B and A in float64, and their QR, later their slices."""
        return needed_bytes(*self.shape, self.rank)

    @property
    def T(self) -> LowRank:
        """The transpose."""
        return LowRank(self.A.T, self.B.T, self.scale)

    def __getitem__(self, key: Any) -> LowRank:
        """Slice rows and columns, as of a Matrix."""
        rows, columns = (*(key if isinstance(key, tuple) else (key,)), slice(None))[:2]
        return LowRank(self.B[rows], self.A[:, columns], self.scale)

    def __mul__(self, factor: float) -> LowRank:
        """Multiply by a number."""
        return LowRank(self.B, self.A, self.scale * factor)

    __rmul__ = __mul__

    def __neg__(self) -> LowRank:
        """Return -s B A."""
        return self * -1.0

    @overload
    def __add__(self, other: LowRank) -> LowRank: ...
    @overload
    def __add__(self, other: Matrix) -> Matrix: ...
    def __add__(self, other: LowRank | Matrix) -> LowRank | Matrix:
        """Add a product, which gives one of rank r + r', or a Matrix; both lazily."""
        if isinstance(other, Matrix):
            return self.matrix() + other  # small terms first
        if not isinstance(other, LowRank):
            return NotImplemented
        if self.shape != other.shape:
            raise ValueError(f"cannot add products of shapes {self.shape} and {other.shape}")
        B = hstack([self.scale * self.B, other.scale * other.B])
        return LowRank(B, vstack([self.A, other.A]))

    def __radd__(self, other: Matrix) -> Matrix:
        """Add to a Matrix, lazily."""
        return self + other if isinstance(other, Matrix) else NotImplemented

    @overload
    def __sub__(self, other: LowRank) -> LowRank: ...
    @overload
    def __sub__(self, other: Matrix) -> Matrix: ...
    def __sub__(self, other: LowRank | Matrix) -> LowRank | Matrix:
        """Subtract a product or a Matrix, as a sum."""
        return self + (-other) if isinstance(other, LowRank | Matrix) else NotImplemented

    def __reduce__(self) -> tuple[Any, ...]:
        return LowRank, (self.B, self.A, self.scale)

    def __repr__(self) -> str:
        m, n = self.shape
        return f"LowRank({m} x {n}, rank {self.rank}, {self.storage}, scale {self.scale:.6g})"

    def load(self) -> LowRank:
        """Read B and A into memory, as stored."""
        return LowRank(self.B.load(), self.A.load(), self.scale)

    def svd(self, k: int | None = None) -> SVD:
        """Compute the k largest singular triplets, by default all min(m, n, r) that may be nonzero.

        Raises
        ------
        ValueError
            If k is below 1 or above min(m, n).
        NonFiniteError
            If B or A contains NaN or infinity.

        Notes
        -----
        One read of B and A; O((m + n) r^2) time, everything in float64. Values beyond the r-th are
        0, and their vectors are not computed: a larger k is reduced to min(m, n, r).
        """
        if k is not None and not 1 <= k <= min(self.shape):
            raise ValueError(f"k = {k} must be between 1 and min(m, n) = {min(self.shape)}")
        return svd_of(*self._factors(), self.scale, k)

    def singular_values(self) -> SingularValues:
        """Compute all min(m, n) singular values; those beyond the r-th are exactly 0.

        Raises
        ------
        NonFiniteError
            If B or A contains NaN or infinity.
        """
        singular_values, unit = values_of(*self._factors(), self.scale, self._r_of)
        return singular_values.scaled(unit)

    def check_memory(
        self, memory_limit: int | str | None = None, reserved: int = 0, *, vectors: bool = False
    ) -> None:
        """Raise MemoryLimitError, with both numbers, if the spectrum exceeds the limit."""
        needed = needed_bytes(*self.shape, self.rank, vectors=vectors) + reserved
        limit = resolve_memory(memory_limit)
        if needed > limit:
            raise MemoryLimitError(
                f"the spectrum of a product of rank {self.rank} needs "
                f"{amount(needed)}, memory_limit is {amount(limit)}"
            )

    @public
    def spectrum(
        self,
        k: int = 64,
        *,
        vectors: bool = False,
        memory_limit: int | str | None = None,
        reserved: int = 0,
    ) -> Spectrum:
        """Compute every measure that is meaningful for a matrix of rank r, all of them exact.

        Parameters
        ----------
        k : int
            Number of largest values; min(m, n) if that is less.
        vectors, memory_limit, reserved
            As for :func:`spectrum`.

        Returns
        -------
        Spectrum
            With effort "exact". If r < min(m, n), measures of a bulk, of a tail or of the least
            value are absent. Statistics of the elements are always absent, since the elements are
            never computed.

        Raises
        ------
        ValueError
            If k is below 1.
        NonFiniteError
            If B or A contains NaN or infinity.
        MemoryLimitError
            If it needs more than the limit: `working_bytes`, and more with vectors.
        """
        if k < 1:
            raise ValueError(f"k = {k} must be at least 1")
        self.check_memory(memory_limit, reserved, vectors=vectors)
        singular_values, unit = values_of(*self._factors(), self.scale, self._r_of)
        measures = self._measures(singular_values, (k := min(k, *self.shape)), unit)
        singular_values = singular_values.scaled(unit)
        return Spectrum(
            shape=self.shape,
            effort="exact",
            k=k,
            top=singular_values.values[:k],
            top_errors=singular_values.errors[:k],
            values=singular_values.values,
            value_errors=singular_values.errors,
            density=None,
            moments=None,
            measures=measures,
            method=singular_values.method,
            precision=singular_values.precision,
            passes=singular_values.passes,
            block=0,
            columns=self.rank,
            seed=0,
            seconds=singular_values.seconds,
            num_threads=singular_values.num_threads,
            converged=True,
            notes=(f"rank {self.rank} or less by its form", *singular_values.notes),
            svd=self.svd(k) if vectors else None,
        )

    def matrix(self) -> Matrix:
        """Return the product as a lazy Matrix: r outer products, summed as they are decoded.

        The Matrix does not hold m x n numbers. It holds B and A, with A in float32, or in float64
        if B or A is. Elements decoded to float64 are exact to rounding; elements decoded to
        float32, to about r roundings of a term.
        """
        B, A = self._factors()
        double = "float64" in (self.B.precision, self.A.precision)
        rows = A if double else A.astype(np.float32)
        return self.scale * reduce(add, map(outer, B.T, rows))

    def _factors(self) -> tuple[Array, Array]:
        """Return B (m, r) and A (r, n) in float64."""
        factors = []
        for name, factor in (("B", self.B), ("A", self.A)):
            array = np.asarray(factor, dtype=np.float64)
            bad = np.argwhere(~np.isfinite(array))
            if len(bad):
                i, j = bad[0].tolist()
                raise NonFiniteError(
                    f"factor {name} of a product holds {len(bad)} NaN or infinite entries, "
                    f"the first at ({i}, {j})"
                )
            factors.append(array)
        return factors[0], factors[1]

    def _measures(self, singular_values: SingularValues, k: int, unit: int) -> dict[str, Measure]:
        measures = statistics.measures_from_values(
            singular_values.values,
            singular_values.errors,
            statistics.MatrixNorms(self.shape, singular_values.fro_norm, unit),
            floor=singular_values.floor,
            k=k,
        )
        if self.rank >= min(self.shape):
            return measures
        return {
            name: measure for name, measure in measures.items() if not name.startswith(_OF_A_BULK)
        }
