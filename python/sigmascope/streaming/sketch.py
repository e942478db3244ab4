# SPDX-License-Identifier: BSD-3-Clause
"""A sketch of a matrix whose rows are read once, in any order, by any number of processes."""

from __future__ import annotations

import time
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sigmascope._execution import arguments
from sigmascope._execution.memory import product_need
from sigmascope._host.keywords import public
from sigmascope._host.native import _core
from sigmascope.matrices.matrix import multiply
from sigmascope.matrices.sources import matrix
from sigmascope.spectra import SVD
from sigmascope.spectra.units import scaled

from .accumulator import unchanged
from .centred_spectrum import CentredSpectrum
from .centring import CentredRows
from .chances import missed_by_sketch
from .exact_sum import ExactSum
from .native_calls import native_calls
from .principal_components import PrincipalComponents


class Sketch(CentredRows):
    """A sketch of rows that are read once: A^T A Omega, (A Omega)^T (A Omega), ||A||_F^2.

    A panel of rows A_i adds A_i^T (A_i Omega). The classical randomized SVD needs two passes for
    the same product. Sketches of parts add up, and the order of merges does not change any bit.

    Parameters
    ----------
    n_cols : int
        Columns n of the matrix, which may have any number of rows.
    k : int
        Number of singular values.
    width : int, optional
        Columns of Omega, at least k; 2 k + 10 by default, at most n_cols. More give smaller errors.
    seed : int or None
        Seed of Omega. Sketches merge only if n_cols, width and seed agree. An attacker who knows
        the seed can make rows that the sketch misses: for untrusted data pass None to draw a seed.
    center : bool or (n_cols,) array-like
        For :meth:`pca`, as in :class:`GramAccumulator`.

    See Also
    --------
    randomized_svd : For a matrix that can be read again.
    GramAccumulator : Without an error of sketching, in n^2 memory.
    LinearSketch : For data that arrive as additive updates.

    Notes
    -----
    Memory: 24 n_cols * width bytes, and 16 n_cols * width more for every factor of 2^16 between the
    largest entries of its updates. Terms are summed as integers of 80 bits, so the sums are as
    exact as their terms. An update of m rows takes 4 m n_cols * width flops, the result about 25
    n_cols * width^2. If width is near n_cols, a GramAccumulator costs a quarter. The method is that
    of Halko, Martinsson & Tropp 2011 and Yu, Gu, Li & Li 2017.

    Examples
    --------
    >>> import numpy as np, sigmascope as ss
    >>> rng = np.random.default_rng(0)
    >>> rows = rng.standard_normal((500, 8)) @ rng.standard_normal((8, 40))
    >>> sketch = ss.streaming.Sketch(40, 8)
    >>> for part in np.array_split(rows, 5):
    ...     sketch = sketch.update(part)
    >>> np.allclose(sketch.svd().s, ss.svdvals(rows)[:8])
    True
    """

    @public
    def __init__(
        self,
        n_cols: int,
        k: int,
        *,
        width: int | None = None,
        seed: int | None = 0,
        center: bool | ArrayLike = False,
    ) -> None:
        if n_cols < 1 or not 1 <= k <= n_cols:
            raise ValueError(f"k = {k} must be between 1 and n_cols = {n_cols}")
        self.k, self.seed = int(k), arguments.resolve_seed(seed)
        self.width = min(2 * k + 10 if width is None else int(width), n_cols)
        if self.width < k:
            raise ValueError(f"width = {self.width} must be at least k = {k}")
        super().__init__(
            n_cols,
            center,
            z=ExactSum((n_cols, self.width)),
            y=ExactSum((self.width, self.width)),
            f=ExactSum(()),
        )
        self._omega: NDArray[np.float64] | None = None

    @public
    def update(
        self, rows: Any, *, num_threads: int | None = None, device: str | None = None
    ) -> Self:
        """Add rows (any, n_cols), each of them once: anything that :func:`matrix` takes.

        `device` multiplies: "cpu", or "cuda" or "cuda:1" for a CUDA device. By default it is the
        one on which the rows lie. The sums stay on the host.

        Raises
        ------
        ValueError
            If the rows do not have n_cols columns.
        NonFiniteError
            If a row contains NaN or infinity; the sketch is then unchanged.
        DeviceError, MemoryLimitError
            If there is no such device, or it has no memory for the products.
        """
        a = self._of_width(matrix(rows))
        if a.shape[0] == 0:
            return self
        need = partial(product_need, columns=self.width)
        calls = native_calls(a, need, num_threads=num_threads, device=device)
        a, fro2, unit = self._surveyed(a, calls)
        if self._omega is None:
            self._omega = self._test_matrix()
        z, y = calls.module.product_f64(a.native, self._omega, "gram", **calls.options)
        gram = multiply(matrix(y).T, y, num_threads=num_threads)  # NumPy's bits depend on threads
        terms = {"z": z, "y": gram, "f": np.asarray(fro2), **self._column_sums(a, calls)}
        self._add(terms, unit, a.shape[0])
        return self

    def _test_matrix(self) -> NDArray[np.float64]:
        return np.asarray(_core.gaussian(self.n_cols, self.width, self.seed, 0, 1))

    @unchanged
    def svd(self, k: int | None = None) -> SVD:
        """Return the k largest singular values and right vectors, from one read of the data.

        A sketch does not keep left vectors: U is None. If the rank of the data is below k, the last
        rows of Vt are zero. Let E = A^T A - V s^2 V^T be the error of all triplets of the sketch.
        Then `errors` is Weyl's bound sqrt(s^2 + ||E||) - s, and `residuals` is sqrt(||E||), a bound
        on every ||A v - sigma u||. Two numbers bound ||E||: its trace, which is known exactly, and
        an estimate that leaves columns of the sketch out and fails for at most one seed in 20,000.
        The smaller bound counts, and `notes` say which one it is. On slowly decaying spectra the
        estimate is a fifth to a half of the trace, from a width of 30 on.

        Raises
        ------
        ValueError
            If k exceeds the k of the sketch, or no rows were added.
        """
        k = self._count(k)
        started = time.perf_counter()
        z, y2, fro2, unit = self._in_units()
        fro = float(np.sqrt(fro2))
        s, V, certain, likely = _factors(z, y2, float(fro2))
        missed = min(certain, likely)
        count = min(k, len(s))
        values = np.zeros(k)
        values[:count] = s[:count]
        vt = np.zeros((k, self.n_cols))
        vt[:count] = V[:, :count].T
        rounding = 1e-6 * fro
        note = "residuals are certain: they follow from the norm of A"
        if likely < certain:
            most = scaled(float(np.sqrt(certain)), unit)
            note = f"residuals are probabilistic, from subsets of columns; {most:.3g} is certain"
        return SVD(
            U=None,
            s=values,
            Vt=vt,
            residuals=np.full(k, np.sqrt(missed) + rounding),
            errors=np.sqrt(values**2 + missed) - values + rounding,
            converged=bool(certain <= rounding * fro),
            passes=1,
            block=self.width,
            columns=self.width,
            precision="float64",
            method="one-read sketch",
            seed=self.seed,
            seconds=time.perf_counter() - started,
            num_threads=1,
            fro_norm=fro,
            notes=(f"{self.rows} rows accumulated", note),
        ).scaled(unit)

    @unchanged
    def pca(self, k: int | None = None) -> PrincipalComponents:
        """Compute the k first principal components, from one read of the data.

        Let mean^T be the row of column means of N rows. Centring subtracts N mean mean^T from A^T A
        and from its products with Omega, exactly up to rounding. `explained_variance_errors` are
        ||E|| / (N - 1) plus the rounding of the means, where E is the error of the sketch of the
        centred rows, as in :meth:`svd`. If k exceeds the rank, the last variances are zero.

        Raises
        ------
        ValueError
            If the sketch was made without `center`, k exceeds the k of the sketch or the number of
            rows, or there are fewer than two rows.

        Examples
        --------
        >>> import numpy as np, sigmascope as ss
        >>> rng = np.random.default_rng(0)
        >>> rows = rng.standard_normal((500, 4)) @ rng.standard_normal((4, 40)) + 1
        >>> pca = ss.streaming.Sketch(40, 4, center=True).update(rows).pca()
        >>> bool(abs(pca.explained_variance_ratio.sum() - 1) < 1e-5)
        True
        """
        z, y2, fro2, unit = self._in_units()
        sums = self._centred(unit, float(fro2))
        k = min(self._count(k), self.rows) if k is None else self._count(k)
        if k > self.rows:
            raise ValueError(f"k = {k} exceeds the number of rows, {self.rows}")
        images = sums.sums @ self._test_matrix()
        largest = float(np.linalg.eigvalsh(y2)[-1])
        z -= np.outer(sums.sums, images / self.rows)
        y2 -= np.outer(images, images / self.rows)
        rms = float(np.sqrt(fro2 / self.rows))
        s, V, certain, likely = _factors(z, y2, sums.total, largest)
        rounding = sums.total_error + 1e-12 * sums.total
        note = "errors are certain" if certain <= likely else "errors are probabilistic bounds"
        return CentredSpectrum(
            sums,
            np.concatenate([s**2, np.zeros(max(k - len(s), 0))]),
            self._completed(V, k),
            min(certain, likely) + rounding,
        ).components(rms, (note,))

    @staticmethod
    def _completed(V: NDArray[np.float64], k: int) -> NDArray[np.float64]:
        """Return k orthonormal columns that begin with the columns of V."""
        count = V.shape[1]
        if count >= k:
            return V[:, :k]
        Q, _ = np.linalg.qr(np.hstack([V, np.eye(len(V), k)]))
        return np.hstack([V, Q[:, count:k]])

    def _count(self, k: int | None) -> int:
        """Return k, or the k of the sketch if not given; ValueError if it exceeds the latter."""
        k = self.k if k is None else k
        if not 1 <= k <= self.k:
            raise ValueError(f"k = {k} must be between 1 and the sketch's k = {self.k}")
        return k

    def _in_units(
        self,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], int]:
        """Return the sums z, y and f in units of 4^unit, and unit; ValueError without rows."""
        if self.rows == 0:
            raise ValueError("the sketch has no rows yet")
        self._require_intact()
        unit = self._sums["f"].highest // 2
        z, y2, fro2 = (self._sums[name].value(2 * unit) for name in "zyf")
        return z, y2, fro2, unit

    def _options(self) -> dict[str, Any]:
        return {**super()._options(), "k": self.k, "width": self.width, "seed": self.seed}

    def _key(self) -> dict[str, Any]:
        return {name: value for name, value in super()._key().items() if name != "k"}

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without Omega, which is a function of the seed."""
        return {**super().__getstate__(), "_omega": None}

    def __repr__(self) -> str:
        """Return shape and options."""
        return f"Sketch({self.rows} rows x {self.n_cols}, k={self.k}, width={self.width})"


def _factors(
    z: NDArray[np.float64], y2: NDArray[np.float64], fro2: float, largest: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.float64], float, float]:
    """Compute values and right vectors, and two bounds on the norm of A^T A - V s^2 V^T.

    Y = A Omega = Q R with R^T R = Y^T Y, so B^T = A^T Q = Z R^-1, by eigenvectors of Y^T Y. If an
    eigenvalue lambda is small, its eigenvector and the corresponding part of B have the relative
    error epsilon lambda_1 / lambda. `largest` is lambda_1 before the means were removed.
    """
    lam, W = np.linalg.eigh(y2)
    first = max(float(lam[-1]), largest)
    resolved = lam > 1e-12 * first
    Bt = z @ (W[:, resolved] / np.sqrt(lam[resolved]))
    V, s, _ = np.linalg.svd(Bt, full_matrices=False)
    shares = 2.0**-48 * first / lam[resolved]
    rounded = float(np.sum(shares * np.sum(Bt**2, axis=0)))
    missed = max(fro2 - float(np.sum(s**2)), 0.0)
    certain = missed + rounded
    likely = np.inf
    if resolved.all() and len(y2) < len(z):  # else nothing is missed
        likely = missed_by_sketch(z, y2) + rounded
    # E has at most len(z) - len(s) eigenvalues, and their sum is `missed`: a norm below their mean
    # contradicts that.
    if likely < (missed - rounded - 1e-12 * fro2) / max(len(z) - len(s), 1):
        likely = np.inf
    return s, V, certain, likely
