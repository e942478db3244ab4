# SPDX-License-Identifier: BSD-3-Clause
"""A sketch of a matrix that changes by additive updates."""

from __future__ import annotations

import time
from functools import partial
from typing import Any, Self

import numpy as np

from sigmascope._execution import arguments
from sigmascope._execution.memory import product_need
from sigmascope._host.keywords import public
from sigmascope.matrices.sources import matrix
from sigmascope.spectra import SVD
from sigmascope.spectra.units import in_units, scaled

from .accumulator import Accumulator, unchanged
from .chances import mean_square_limits
from .exact_sum import ExactSum
from .factors import in_factors, outer
from .linear_images import Array, Images, TestMatrices, entries
from .native_calls import native_calls, require_finite, surveyed

_STEP = 16  # exponents of units are multiples of it, as ExactSum requires


class LinearSketch(Accumulator):
    """A sketch of an m x n matrix A that arrives as additive updates.

    It holds four linear functions of A: the range A Omega^T, the co-range Upsilon A, the core
    Phi A Psi^T, and Theta A for the error. The sketch of A + H is the sum of their sketches.

    **For rows that arrive once, use** :class:`Sketch`. Use this one only for data that cannot
    arrive as rows. On slowly decaying spectra, such as those of trained weights, its values are off
    by 100 % and more, as its `errors` state (docs/streaming.md has the table).

    Parameters
    ----------
    shape : (int, int)
        Shape (m, n) of A.
    k : int
        Number of singular values.
    width : int, optional
        Rows of Upsilon and Omega, at least k; 4 k + 1 by default, at most min(m, n).
    core : int, optional
        Rows of Phi and Psi, at least width; 2 width + 1 by default.
    probes : int
        Rows of Theta, at least 4.
    seed : int or None
        Seed of the random matrices, as for `Sketch`. Sketches merge only if all but k agree.

    Notes
    -----
    Memory, in numbers of 8 bytes: (m + n) (width + core) + m probes for the random matrices, and
    twice (m + n) width + core^2 + n probes for the sums, as much again for every factor of 2^16
    between the largest entries of its updates. Terms are summed as integers of 80 bits. No bit
    depends on their order, and a term that is added and then subtracted leaves no trace.

    Tropp, Yurtsever, Udell & Cevher 2019, "Streaming low-rank matrix approximation with an
    application to scientific simulation", with Gaussian matrices and the sizes for flat spectra.
    """

    @public
    def __init__(
        self,
        shape: tuple[int, int],
        k: int,
        *,
        width: int | None = None,
        core: int | None = None,
        probes: int = 16,
        seed: int | None = 0,
    ) -> None:
        m, n = (int(extent) for extent in shape)
        if min(m, n) < 1:
            raise ValueError(f"a sketch needs at least one row and one column, not shape {(m, n)}")
        arguments.check_rank(k, (m, n))
        self.shape, self.k, self.seed = (m, n), int(k), arguments.resolve_seed(seed)
        self.width = min(4 * k + 1 if width is None else int(width), m, n)
        if self.width < k:
            raise ValueError(f"width = {self.width} must be at least k = {k}")
        self.core = 2 * self.width + 1 if core is None else int(core)
        if self.core < self.width:
            raise ValueError(f"core = {self.core} must be at least width = {self.width}")
        self.probes = int(probes)
        if self.probes < 4:
            raise ValueError(f"an error needs at least 4 probes, not {probes}")
        super().__init__(
            x=ExactSum((n, self.width)),  # co-range, (Upsilon A)^T
            y=ExactSum((m, self.width)),  # range, A Omega^T
            z=ExactSum((self.core, self.core)),
            w=ExactSum((n, self.probes)),  # (Theta A)^T
        )
        self._test = TestMatrices((m, n), self.width, self.core, self.probes, self.seed)

    @public
    def update(
        self,
        delta: Any,
        *,
        row: int | None = None,
        column: int | None = None,
        num_threads: int | None = None,
        device: str | None = None,
    ) -> Self:
        """Add a dense matrix of the shape of A, or a block whose first entry is at (row, column).

        Parameters
        ----------
        delta : anything that :func:`matrix` takes
            m x n. It may be smaller if `row` or `column` gives its place; the other is then 0.
        row, column, num_threads : int, optional
        device : str, optional
            The device that multiplies: "cpu", "cuda" or "cuda:1"; by default the one of `delta`.

        Raises
        ------
        ValueError
            If `delta` does not fit.
        NonFiniteError
            If `delta` contains NaN or infinity; the sketch is then unchanged.
        DeviceError, MemoryLimitError
            If there is no such device, or it has no memory for the products.
        """
        a, i, j = matrix(delta), row or 0, column or 0
        if row is None and column is None and a.shape != self.shape:
            raise ValueError(
                f"an update has shape {a.shape}, but the sketch has shape {self.shape}; for a "
                "block, give its row or column"
            )
        if min(i, j) < 0 or i + a.shape[0] > self.shape[0] or j + a.shape[1] > self.shape[1]:
            raise ValueError(f"a block {a.shape} at {(i, j)} does not fit into {self.shape}")
        if 0 in a.shape:
            return self
        need = partial(product_need, columns=self.width + max(self.core, self.probes))
        calls = native_calls(a, need, num_threads=num_threads, device=device)
        a, _, unit = surveyed(a, "numbers of the update", calls, step=_STEP)
        return self._add(self._test.of_block(a, i, j, calls), unit)

    def update_outer(
        self, u: Any, v: Any, *, num_threads: int | None = None, device: str | None = None
    ) -> Self:
        """Add u v^T: vectors (m,) and (n,), or matrices (m, p) and (n, p).

        Parameters
        ----------
        u, v : array or tensor
            On the host, or on a GPU in a format that :func:`matrix` takes.
        num_threads : int, optional
        device : str, optional
            The device that multiplies: "cpu", "cuda" or "cuda:1"; by default that of `u` or `v`.

        Raises
        ------
        ValueError
            If the shapes do not fit.
        NonFiniteError
            If `u` or `v` contains NaN or infinity; the sketch is then unchanged.
        DeviceError, MemoryLimitError
            If there is no such device, or it has no memory for the products.
        """
        U, V = outer(u, v, self.shape)
        if U.size == 0:
            return self
        need = partial(product_need, columns=self.width + max(self.core, self.probes))
        update = in_factors(U, V, need, _STEP, num_threads=num_threads, device=device)
        return self._add(self._test.of_outer(update.left, update.right), update.unit)

    def add_entries(self, i: Any, j: Any, values: Any) -> Self:
        """Add values[t] to entry (i[t], j[t]) for every t; indices may repeat.

        CuPy and torch arrays on a GPU are copied to the host.

        Raises
        ------
        ValueError
            If the lengths differ or an index is out of range.
        TypeError
            If the indices are not integers.
        NonFiniteError
            If a value is NaN or infinite; the sketch is then unchanged.
        """
        rows, cols, numbers = entries(i, j, values, self.shape)
        if len(numbers) == 0:
            return self
        require_finite(numbers)
        numbers, unit = in_units(numbers, _STEP)
        return self._add(self._test.of_entries(rows, cols, numbers), unit)

    def _add(self, images: Images, unit: int) -> Self:
        terms = {
            "x": (images.corange, images.column),
            "y": (images.range, images.row),
            "z": (images.core, 0),
            "w": (images.theta, images.column),
        }
        with self._changing():
            for name, (term, first) in terms.items():
                self._sums[name].add(term, first, unit)
        return self

    @unchanged
    def svd(self, k: int | None = None) -> SVD:
        """Return the k largest singular triplets of the approximation A_hat = Q C P^T.

        `errors` and `residuals` are the bound ||Theta (A - A_hat)|| / chi on ||A - A_hat||, where
        chi^2 is the 0.1 % quantile of chi^2 with `probes` degrees of freedom. A_hat does not depend
        on Theta, so the bound fails with probability 1e-3. `fro_norm` is NaN; ``residual_norm(0)``
        estimates it.

        Raises
        ------
        ValueError
            If k exceeds the k of the sketch, or nothing was added.
        """
        k = self.k if k is None else k
        if not 1 <= k <= self.k:
            raise ValueError(f"k = {k} must be between 1 and the sketch's k = {self.k}")
        started = time.perf_counter()
        U, s, V = self._factors()
        missed = float(np.linalg.norm(self._unexplained(U, s, V), 2))
        least, _ = mean_square_limits(self.probes)
        bound = missed / np.sqrt(self.probes * least) + 1e-12 * s[0]
        return SVD(
            U=U[:, :k],
            s=s[:k],
            Vt=V[:, :k].T,
            residuals=np.full(k, bound),
            errors=np.full(k, bound),
            converged=bool(bound <= 1e-6 * s[0]),
            passes=1,
            block=self.width,
            columns=self.width,
            precision="float64",
            method="linear sketch",
            seed=self.seed,
            seconds=time.perf_counter() - started,
            num_threads=1,
            fro_norm=float("nan"),
            notes=(f"{self.updates} updates", f"core {self.core}, {self.probes} probes"),
        ).scaled(self._unit)

    @unchanged
    def residual_norm(self, k: int | None = None) -> tuple[float, float, float]:
        """Estimate ||A - A_hat_k||_F, A_hat truncated to rank k (0: ||A||_F; None: not truncated).

        Returns
        -------
        (float, float, float)
            The estimate, and the ends of an interval that contains the norm with a probability of
            at least 99.8 %. The square of the estimate has the square of the norm as its mean; at
            worst (rank one) its distribution is chi^2 with `probes` degrees of freedom.
        """
        U, s, V = self._factors()
        k = len(s) if k is None else k
        if not 0 <= k <= len(s):
            raise ValueError(f"k = {k} must be between 0 and width = {len(s)}")
        seen = float(np.linalg.norm(self._unexplained(U[:, :k], s[:k], V[:, :k])))
        value = scaled(seen / float(np.sqrt(self.probes)), self._unit)
        few, many = np.sqrt(mean_square_limits(self.probes)).tolist()
        return value, value / many, value / few

    @property
    def _unit(self) -> int:
        """Exponent of the units 2^unit of the sums, which keeps squares from overflowing."""
        return max(total.highest for total in self._sums.values())

    def _factors(self) -> tuple[Array, Array, Array]:
        """Compute A_hat = U diag(s) V^T of rank `width` by least squares (Tropp et al. 2019)."""
        self._require_intact()
        if self.updates == 0:
            raise ValueError("the sketch has no updates yet")
        sums = {name: total.value(self._unit) for name, total in self._sums.items()}
        Q = np.linalg.qr(sums["y"])[0]  # m x width
        P = np.linalg.qr(sums["x"])[0]  # n x width
        half = np.linalg.lstsq(self._test.phi.T @ Q, sums["z"], rcond=None)[0]  # width x core
        core = np.linalg.lstsq(self._test.psi.T @ P, half.T, rcond=None)[0].T  # width x width
        U, s, Vt = np.linalg.svd(core)
        return Q @ U, s, P @ Vt.T

    def _unexplained(self, U: Array, s: Array, V: Array) -> Array:
        """Compute (Theta (A - U diag(s) V^T))^T, n x probes."""
        seen = self._sums["w"].value(self._unit)
        return np.asarray(seen - V @ (s[:, None] * (U.T @ self._test.theta)))

    def _options(self) -> dict[str, Any]:
        names = ("k", "width", "core", "probes", "seed")
        return {"shape": list(self.shape), **{name: getattr(self, name) for name in names}}

    def _key(self) -> dict[str, Any]:
        return {name: value for name, value in self._options().items() if name != "k"}

    def __repr__(self) -> str:
        """Return shape, options and number of updates."""
        m, n = self.shape
        return f"LinearSketch({m} x {n}, k={self.k}, width={self.width}, {self.updates} updates)"
