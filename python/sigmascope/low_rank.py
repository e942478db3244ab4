# SPDX-License-Identifier: BSD-3-Clause
"""A product s B A of two thin matrices: its spectrum exactly, through matrices of order r.

An adapter (LoRA; Hu et al. 2021) changes an m x n weight by such a product of rank r. With
B = Q_B R_B and A^T = Q_A R_A the product is Q_B (s R_B R_A^T) Q_A^T, so that the singular values of
the r x r core are all of its values but zeros, and m x n numbers are never made.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import statistics
from .errors import MemoryLimitError, NonFiniteError
from .matrices import Matrix
from .sources import matrix
from .spectra import SVD, Measure, SingularValues, Spectrum
from .threads import amount, resolve_memory

Array = NDArray[np.float64]

METHOD = "low-rank product, exact"

# Where all but r of the values are 0 there is no bulk, no tail and no least value to speak of.
_OF_A_BULK = ("mp_", "alpha", "log_alpha", "shoulder_", "effective_rank_above", "condition")


class LowRank:
    """The matrix s B A, which is never formed unless it is asked for.

    Parameters
    ----------
    B : Matrix or anything that :func:`matrix` takes, shape (m, r)
    A : likewise, shape (r, n)
    scale : float
        s.

    Raises
    ------
    ValueError
        The shapes do not fit, one is empty, or the scale is not finite.
    """

    __slots__ = ("A", "B", "scale")

    def __init__(self, B: Any, A: Any, scale: float = 1.0) -> None:
        self.B, self.A, self.scale = matrix(B), matrix(A), float(scale)
        if self.B.shape[1] != self.A.shape[0] or 0 in (*self.B.shape, *self.A.shape):
            raise ValueError(f"no product of shapes {self.B.shape} and {self.A.shape}")
        if not np.isfinite(self.scale):
            raise ValueError(f"the scale of a product must be finite, not {scale}")

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n)."""
        return self.B.shape[0], self.A.shape[1]

    @property
    def rank(self) -> int:
        """r, the most that its rank can be."""
        return self.A.shape[0]

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.shape[0] * self.shape[1]

    @property
    def dtype(self) -> str:
        """How B and A are stored."""
        return self.B.dtype if self.B.dtype == self.A.dtype else "mixed"

    @property
    def nbytes(self) -> int:
        """Stored bytes of B and A."""
        return self.B.nbytes + self.A.nbytes

    @property
    def in_memory(self) -> bool:
        """Whether neither has to be read from a file."""
        return self.B.in_memory and self.A.in_memory

    @property
    def working_bytes(self) -> int:
        """Memory that its spectrum takes: both in float64, with their orthogonal factors."""
        m, n = self.shape
        return 8 * (3 * (m + n) * self.rank + 6 * self.rank**2 + 4 * min(m, n))

    @property
    def T(self) -> LowRank:
        """The transpose."""
        return LowRank(self.A.T, self.B.T, self.scale)

    def __getitem__(self, key: Any) -> LowRank:
        """Rows and columns by slices, as of a Matrix."""
        rows, columns = (*(key if isinstance(key, tuple) else (key,)), slice(None))[:2]
        return LowRank(self.B[rows], self.A[:, columns], self.scale)

    def __reduce__(self) -> tuple[Any, ...]:
        return LowRank, (self.B, self.A, self.scale)

    def __repr__(self) -> str:
        m, n = self.shape
        return f"LowRank({m} x {n}, rank {self.rank}, {self.dtype}, scale {self.scale:.6g})"

    def load(self) -> LowRank:
        """Read both into memory, as stored."""
        return LowRank(self.B.load(), self.A.load(), self.scale)

    def svd(self, k: int | None = None) -> SVD:
        """Compute the k largest singular triplets, or all min(m, n, r) that may not be 0.

        Raises
        ------
        ValueError
            k is below 1 or above min(m, n).
        NonFiniteError
            B or A holds NaN or infinity.

        Notes
        -----
        One read of B and A; O((m + n) r^2) time, everything in float64. Values beyond the r-th are
        0, and their vectors are not made: k is cut down to min(m, n, r).
        """
        began = time.perf_counter()
        B, A = self._factors()
        top = min(*self.shape, self.rank)
        if k is not None and not 1 <= k <= min(self.shape):
            raise ValueError(f"k = {k} must be between 1 and min(m, n) = {min(self.shape)}")
        k = top if k is None else min(k, top)
        Q_B, R_B = np.linalg.qr(B)  # m x q, q x r
        Q_A, R_A = np.linalg.qr(A.T)  # n x p, p x r
        X, s, Yt = np.linalg.svd(self.scale * (R_B @ R_A.T), full_matrices=False)
        U, Vt = Q_B @ X[:, :k], Yt[:k] @ Q_A.T
        left = self.scale * (B @ (A @ Vt.T)) - U * s[:k]
        right = self.scale * ((U.T @ B) @ A) - s[:k, None] * Vt
        residuals = np.maximum(np.linalg.norm(left, axis=0), np.linalg.norm(right, axis=1))
        return SVD(
            U=U,
            s=s[:k],
            Vt=Vt,
            residuals=residuals,
            errors=np.full(k, self._rounding(R_B, R_A)),
            converged=True,
            passes=1,
            block=self.rank,
            columns=self.rank,
            precision="float64",
            method=METHOD,
            seed=0,
            seconds=time.perf_counter() - began,
            num_threads=1,
            fro_norm=float(np.linalg.norm(s)),
        )

    def singular_values(self) -> SingularValues:
        """Compute all min(m, n) singular values; those beyond the r-th are exactly 0.

        Raises
        ------
        NonFiniteError
            B or A holds NaN or infinity.
        """
        began = time.perf_counter()
        B, A = self._factors()
        R_B, R_A = (np.asarray(np.linalg.qr(x, mode="r")) for x in (B, A.T))
        s = np.linalg.svd(self.scale * (R_B @ R_A.T), compute_uv=False)
        values, errors = np.zeros((2, min(self.shape)))
        values[: len(s)] = s
        errors[: len(s)] = self._rounding(R_B, R_A)
        return SingularValues(
            values=values,
            errors=errors,
            floor=float(errors[0]),
            method=METHOD,
            precision="float64",
            passes=1,
            seconds=time.perf_counter() - began,
            num_threads=1,
            fro_norm=float(np.linalg.norm(s)),
        )

    def spectrum(self, k: int = 64, *, memory_limit: int | str | None = None) -> Spectrum:
        """Compute every measure that means something for a matrix of rank r, all of them exact.

        Parameters
        ----------
        k : int
            Largest values wanted; min(m, n) if that is less.
        memory_limit : int or str, optional
            As for :func:`spectrum`.

        Returns
        -------
        Spectrum
            With effort "exact". Measures of a bulk, of a tail or of the least value are absent
            where r < min(m, n), and so are the statistics of the elements, which are never made.

        Raises
        ------
        ValueError
            k is below 1.
        NonFiniteError
            B or A holds NaN or infinity.
        MemoryLimitError
            `working_bytes` are above the limit.
        """
        if k < 1:
            raise ValueError(f"k = {k} must be at least 1")
        if self.working_bytes > (limit := resolve_memory(memory_limit)):
            raise MemoryLimitError(
                f"the spectrum of a product of rank {self.rank} needs "
                f"{amount(self.working_bytes)}, memory_limit is {amount(limit)}"
            )
        found = self.singular_values()
        return Spectrum(
            shape=self.shape,
            effort="exact",
            k=(k := min(k, *self.shape)),
            top=found.values[:k],
            top_errors=found.errors[:k],
            values=found.values,
            value_errors=found.errors,
            density=None,
            moments=None,
            measures=self._measures(found, k),
            method=found.method,
            precision=found.precision,
            passes=found.passes,
            block=0,
            columns=self.rank,
            seed=0,
            seconds=found.seconds,
            num_threads=found.num_threads,
            converged=True,
            notes=(f"rank {self.rank} or less by its form",),
        )

    def matrix(self, *, memory_limit: int | str | None = None) -> Matrix:
        """Form all m x n elements in float32, or in float64 if B or A is; sums are float64.

        Raises
        ------
        MemoryLimitError
            They do not fit: both sizes are named.
        """
        m, n = self.shape
        double = "float64" in (self.B.precision, self.A.precision)
        needed = m * n * (8 if double else 4) + self.working_bytes
        if needed > (limit := resolve_memory(memory_limit)):
            raise MemoryLimitError(
                f"the elements of a product {m} x {n} need {amount(needed)}, "
                f"memory_limit is {amount(limit)}"
            )
        B, A = self._factors()
        dense = np.empty((m, n), dtype=np.float64 if double else np.float32)
        for row in range(0, m, 256):
            dense[row : row + 256] = self.scale * (B[row : row + 256] @ A)
        return matrix(dense)

    def _factors(self) -> tuple[Array, Array]:
        """B (m, r) and A (r, n) in float64."""
        found = []
        for name, factor in (("B", self.B), ("A", self.A)):
            array = np.asarray(factor, dtype=np.float64)
            bad = np.argwhere(~np.isfinite(array))
            if len(bad):
                i, j = bad[0].tolist()
                raise NonFiniteError(
                    f"factor {name} of a product holds {len(bad)} NaN or infinite entries, "
                    f"the first at ({i}, {j})"
                )
            found.append(array)
        return found[0], found[1]

    def _rounding(self, R_B: Array, R_A: Array) -> float:
        """Bound what float64 adds: gamma_(mr) of each factorisation (Higham 2002, theorem 19.4)."""
        m, n = self.shape
        steps = self.rank * (m + n + 12 * self.rank)
        size = abs(self.scale) * float(np.linalg.norm(R_B) * np.linalg.norm(R_A))
        return steps * 2.0**-53 * size

    def _measures(self, found: SingularValues, k: int) -> dict[str, Measure]:
        measures = statistics.measures_from_values(
            found.values, found.errors, self.shape, found.fro_norm, floor=found.floor, k=k
        )
        if self.rank >= min(self.shape):
            return measures
        return {
            name: measure for name, measure in measures.items() if not name.startswith(_OF_A_BULK)
        }
