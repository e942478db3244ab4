# SPDX-License-Identifier: BSD-3-Clause
"""The Gram matrix of rows that are read once: every singular value from n^2 numbers."""

from __future__ import annotations

import time
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sigmascope._execution.memory import Need
from sigmascope._host.keywords import public
from sigmascope._host.memory import resolve_memory
from sigmascope._host.native import _core
from sigmascope._host.threads import resolve_threads
from sigmascope._words.text import amount
from sigmascope.errors import MemoryLimitError
from sigmascope.matrices.sources import matrix
from sigmascope.spectra import SVD, SingularValues

from .accumulator import unchanged
from .centred_spectrum import CentredSpectrum
from .centring import CentredRows
from .exact_sum import ExactSum, grid_of
from .native_calls import PART, native_calls, packed_gram
from .principal_components import PrincipalComponents


class GramAccumulator(CentredRows):
    """The Gram matrix A^T A of rows that are read once, in float64, without random numbers.

    Parameters
    ----------
    n_cols : int
        Columns n of the matrix, which may have any number of rows.
    center : bool or (n_cols,) array-like
        True also accumulates the column sums, for :meth:`pca`. An array is in addition subtracted
        from every row first. Pass rough means of the columns, such as the means of the first rows,
        if the means are much larger than the deviations: that keeps digits that would be lost.
        :meth:`pca` removes the exact means in any case. Accumulators merge only if their arrays are
        equal. An array cannot be subtracted from rows that lie on a device: a DeviceError.
    memory_limit : int or str, optional
        Bytes, as for :func:`svdvals`. Updates, values or vectors that need more are refused before
        they begin, with both numbers. It is not saved.

    See Also
    --------
    Sketch : The k largest values in less memory.
    svdvals : For a matrix that can be read again.

    Notes
    -----
    Memory: 8 n^2 bytes (half of the matrix, as integers of 128 bits), and as much again for every
    factor of 2^16 between the largest entries of the Gram matrices of its updates. An update or the
    values take 12 n^2 bytes more, vectors 38 n^2. An update of h rows takes h n^2 flops and about
    n^2 / 2 integer sums. Updates of fewer than a few hundred rows are therefore inefficient;
    :meth:`extend` collects rows.

    Terms are summed as integers of 80 bits: the order of merges does not change any bit. An update
    is one term, so other divisions of the rows into updates change the last bits.

    :meth:`svdvals` and :meth:`svd` are of the rows less an array `center`, if one was given. They
    do not remove means.

    Examples
    --------
    >>> import numpy as np, sigmascope as ss
    >>> rng = np.random.default_rng(0)
    >>> rows = rng.standard_normal((500, 40))
    >>> gram = ss.streaming.GramAccumulator(40).update(rows[:300]).update(rows[300:])
    >>> np.allclose(gram.svdvals(), ss.svdvals(rows))
    True
    """

    @public
    def __init__(
        self,
        n_cols: int,
        *,
        center: bool | ArrayLike = False,
        memory_limit: int | str | None = None,
    ) -> None:
        if not 1 <= n_cols <= 46340:
            raise ValueError(f"n_cols = {n_cols} must be between 1 and 46340, the limit of LAPACK")
        self._memory = resolve_memory(memory_limit)
        triangle = ExactSum((n_cols * (n_cols + 1) // 2,))
        super().__init__(n_cols, center, g=triangle, f=ExactSum(()))
        self._require_memory(20, "an update of")

    @public
    def update(
        self, rows: Any, *, num_threads: int | None = None, device: str | None = None
    ) -> Self:
        """Add rows (any, n_cols), each of them once: anything that :func:`matrix` takes.

        `device` forms the Gram matrix of the rows: "cpu", or "cuda" or "cuda:1" for a CUDA device.
        By default it is the one on which the rows lie. The sums stay on the host.

        Raises
        ------
        ValueError
            If the rows do not have n_cols columns.
        NonFiniteError
            If a row contains NaN or infinity; the accumulator is then unchanged.
        MemoryLimitError
            If entries of new magnitudes would need more memory than the limit, or the device has
            no memory for the Gram matrix; the accumulator is then unchanged.
        DeviceError
            If there is no such device.
        """
        a = self._of_width(matrix(rows))
        if a.shape[0] == 0:
            return self
        squares = Need(16 * self.n_cols**2, 0)  # sums, and those of a group of chains
        calls = native_calls(a, lambda _: squares, num_threads=num_threads, device=device)
        a, fro2, unit = self._surveyed(a, calls)
        if a.shape[0] > PART:
            self._require_memory(28, "an update of many rows of")
        packed = packed_gram(a, calls)
        terms = {"g": packed, "f": np.asarray(fro2), **self._column_sums(a, calls)}
        with self._lock:
            grids = self._sums["g"].grids
            if grids and grid_of(float(packed.max(initial=0.0))) + 2 * unit not in grids:
                self._require_memory(20, "another grid of sums in", more=1)
            self._add(terms, unit, a.shape[0])
        return self

    def merge(self, other: Self) -> Self:
        """Add the data of another accumulator; MemoryLimitError as for updates."""
        if not isinstance(other, GramAccumulator):
            return super().merge(other)  # refuses it
        with self._alone_with(other):
            grids = self._sums["g"].grids.keys() | other._sums["g"].grids.keys()
            more = len(grids) - max(len(self._sums["g"].grids), 1)
            self._require_memory(20, "other grids of sums in", more=max(more, 0))
            return super().merge(other)

    @unchanged
    def svdvals(self, *, num_threads: int | None = None) -> SingularValues:
        """Compute all min(rows, n_cols) singular values, with error bounds and a floor.

        Raises
        ------
        ValueError
            No rows were added.
        MemoryLimitError
            The computation needs more than memory_limit.

        Notes
        -----
        (4/3) n^3 flops. Errors and floor are those of :func:`svdvals`.
        """
        self._require_memory(21, "svdvals of")
        started = time.perf_counter()
        threads = resolve_threads(num_threads)
        packed, unit, fro = self._in_units()
        solution = _core.packed_spectrum(packed, self.n_cols, top=0, threads=threads)
        count = min(self.rows, self.n_cols)
        return SingularValues(
            values=solution["values"][:count],
            errors=solution["errors"][:count],
            floor=solution["floor"],
            method="Gram matrix of a stream",
            precision="float64",
            passes=1,
            seconds=time.perf_counter() - started,
            num_threads=threads,
            fro_norm=fro,
            notes=(f"{self.rows} rows accumulated",),
        ).scaled(unit)

    @unchanged
    def svd(self, k: int) -> SVD:
        """Compute the k largest singular values and right vectors; U is None.

        `residuals` bounds the residuals of v, s and the best u, which is parallel to A v if A v is
        resolved. It follows from ||A^T A v - sigma^2 v||, measured on the Gram matrix. `errors` are
        the bounds of :func:`svdvals`; values below 1.4e-7 sigma_1 are not resolved.

        Raises
        ------
        ValueError
            If k is not between 1 and min(rows, n_cols).
        MemoryLimitError
            As :meth:`svdvals`.
        """
        self._count(k)
        self._require_memory(46, "singular vectors of")
        started = time.perf_counter()
        packed, unit, fro = self._in_units()
        solution = _core.packed_spectrum(packed, self.n_cols, top=k, threads=1)
        s, residuals = solution["values"], solution["residuals"]
        return SVD(
            U=None,
            s=s,
            Vt=solution["v"].T,
            residuals=residuals,
            errors=solution["errors"],
            converged=bool(np.all(residuals <= 1e-6 * s[0])),
            passes=1,
            block=0,
            columns=self.n_cols,
            precision="float64",
            method="Gram matrix of a stream",
            seed=0,
            seconds=time.perf_counter() - started,
            num_threads=1,
            fro_norm=fro,
            notes=(f"{self.rows} rows accumulated",),
        ).scaled(unit)

    @unchanged
    def pca(self, k: int | None = None) -> PrincipalComponents:
        """Compute the first k principal components, by default all min(rows, n_cols).

        The centred A^T A is G - N mean mean^T, from the sums of N rows. Its eigenvalues have errors
        of 4e-14 times the largest of them, plus 6e-14 N ||mean||^2 (a little more if a single
        update had more than 100,000 rows). An array `center` reduces the second term.

        Raises
        ------
        ValueError
            If the accumulator was made without `center`, k is not between 1 and min(rows, n_cols),
            or there are fewer than two rows.
        MemoryLimitError
            As :meth:`svdvals`.

        Examples
        --------
        >>> import numpy as np, sigmascope as ss
        >>> rows = np.random.default_rng(0).standard_normal((500, 4)) * [4, 3, 2, 1] + 10
        >>> gram = ss.streaming.GramAccumulator(4, center=True)
        >>> gram = gram.update(rows[:300]).update(rows[300:])
        >>> pca = gram.pca()
        >>> np.allclose(pca.explained_variance, np.linalg.eigvalsh(np.cov(rows.T))[::-1])
        True
        >>> bool(np.all(pca.explained_variance_errors < 1e-9))
        True
        """
        packed, unit, fro = self._in_units()
        sums = self._centred(unit, fro**2)
        k = self._count(min(self.rows, self.n_cols) if k is None else k)
        self._require_memory(54, "principal components of")
        n, rows = self.n_cols, self.rows
        lengths = np.arange(n, 0, -1)
        starts = np.cumsum(lengths) - lengths  # of the columns of the triangle
        root_mean_squares = np.sqrt(packed[starts] / rows)
        for j, start in enumerate(starts):
            packed[start : start + n - j] -= sums.sums[j:] * (sums.sums[j] / rows)
        solution = _core.packed_spectrum(packed, n, top=min(k + 1, n), threads=1)
        values = solution["values"] ** 2
        solver = _core.gram_error(PART, n)
        error = (solver + sums.rounding) * values[0] + sums.error
        spectrum = CentredSpectrum(sums, values, solution["v"][:, :k], float(error))
        return spectrum.components(root_mean_squares)

    def _count(self, k: int) -> int:
        """Return k; ValueError unless it is between 1 and min(rows, n_cols)."""
        if not 1 <= k <= min(self.rows, self.n_cols):
            shape = self.rows, self.n_cols
            raise ValueError(f"k = {k} must be between 1 and min(rows, n_cols) of {shape}")
        return k

    def _in_units(self) -> tuple[NDArray[np.float64], int, float]:
        """Return the packed Gram matrix in units of 4^unit; unit; ||A||_F in units of 2^unit."""
        self._require_intact()
        if self.rows == 0:
            raise ValueError("the Gram matrix has no rows yet")
        unit = self._sums["g"].highest // 2
        packed, fro2 = (self._sums[name].value(2 * unit) for name in "gf")
        return packed, unit, float(np.sqrt(fro2))

    def _require_memory(self, bytes_per_element: int, what: str, more: int = 0) -> None:
        """Raise MemoryLimitError if the limit is exceeded; each further grid takes 8 n^2 bytes."""
        grids = max(len(self._sums["g"].grids), 1) + more
        needed = (bytes_per_element + 8 * (grids - 1)) * self.n_cols**2 + 11200 * self.n_cols
        if needed > self._memory:
            raise MemoryLimitError(
                f"{what} a Gram matrix of order {self.n_cols} needs {amount(needed)}, but the "
                f"memory limit is {amount(self._memory)}; the memory of a Sketch grows with the "
                "order, not with its square"
            )

    def __repr__(self) -> str:
        """Return the shape."""
        return f"GramAccumulator({self.rows} rows x {self.n_cols})"
