# SPDX-License-Identifier: BSD-3-Clause
"""Result types: what the functions of :mod:`sigmascope` return, with the evidence for it.

Everything is frozen; arrays are float64 unless said otherwise. sigma means singular values,
lambda their squares.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .units import beyond, scaled, scaled_errors

Array = NDArray[np.float64]


def _few(values: Array, count: int = 3) -> str:
    """Show the first values in brackets, with dots where there are more."""
    shown = ", ".join(f"{v:.6g}" for v in values[:count])
    return f"[{shown}{', ...' if len(values) > count else ''}]"


def state(converged: bool) -> str:
    """Say whether it converged."""
    return "converged" if converged else "NOT converged"


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class SVD:
    """The top k singular triplets; unpacks as ``U, s, Vt``.

    Attributes
    ----------
    U, s, Vt
        Left vectors (m, k) or None, values (k,) descending (sigma), right vectors (k, n) or None.
    residuals
        (k,) max(||A v - sigma u||, ||A^T u - sigma v||), sigma units.
    errors
        (k,) bound on |s_i - sigma_i|, sigma units.
    converged
        Whether what was asked for was reached: the residuals (with vectors) or the errors (without)
        are within the tolerance. An error bound may be larger than a residual: it also covers
        values that may be missing above one that has not yet come apart from the rest.
    passes, block, columns
        Reads of A; width of the Krylov block; columns of the basis in the end.
    precision, method, seed, seconds, num_threads, notes
        How it was computed, and what is worth knowing about it.
    fro_norm
        ||A||_F, exact to rounding; NaN from a LinearSketch, which can only estimate it.
    """

    U: NDArray[np.floating] | None
    s: Array
    Vt: NDArray[np.floating] | None
    residuals: Array
    errors: Array
    converged: bool
    passes: int
    block: int
    columns: int
    precision: str
    method: str
    seed: int
    seconds: float
    num_threads: int
    fro_norm: float
    notes: tuple[str, ...] = ()

    def scaled(self, exponent: int) -> SVD:
        """Return the triplets of the matrix times 2^exponent (:mod:`sigmascope.spectra.units`)."""
        if exponent == 0:
            return self
        return replace(
            self,
            s=scaled(self.s, exponent),
            residuals=scaled_errors(self.residuals, self.s, exponent),
            errors=scaled_errors(self.errors, self.s, exponent),
            fro_norm=scaled(self.fro_norm, exponent),
            notes=self.notes + beyond(exponent, self.fro_norm, float(self.s.max(initial=0.0))),
        )

    def __iter__(self) -> Iterator[NDArray[np.floating] | None]:
        return iter((self.U, self.s, self.Vt))

    def __repr__(self) -> str:
        return (
            f"SVD(k = {len(self.s)}, sigma = {_few(self.s)}, "
            f"error <= {self.errors.max(initial=0.0):.1g}, {state(self.converged)}, "
            f"{self.passes} passes, {self.precision}, {self.seconds:.2f} s)"
        )


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class SingularValues:
    """Every singular value of a matrix; behaves as the array of its values.

    Attributes
    ----------
    values, errors
        (p,) descending, and the bound on each error, p = min(m, n); sigma units.
    floor
        Below this sigma the method cannot tell a value from zero.
    method, precision, passes, seconds, num_threads, fro_norm, notes
        As for :class:`SVD`.
    """

    values: Array
    errors: Array
    floor: float
    method: str
    precision: str
    passes: int
    seconds: float
    num_threads: int
    fro_norm: float
    notes: tuple[str, ...] = ()

    def scaled(self, exponent: int) -> SingularValues:
        """Return the values of the matrix times 2^exponent (:mod:`sigmascope.spectra.units`)."""
        if exponent == 0:
            return self
        return replace(
            self,
            values=scaled(self.values, exponent),
            errors=scaled_errors(self.errors, self.values, exponent),
            floor=scaled_errors(self.floor, self.floor, exponent),
            fro_norm=scaled(self.fro_norm, exponent),
            notes=self.notes + beyond(exponent, self.fro_norm),
        )

    def __array__(
        self, dtype: DTypeLike | None = None, copy: bool | None = None
    ) -> NDArray[np.generic]:
        return np.array(self.values, dtype=dtype, copy=copy)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int | slice | NDArray[np.intp]) -> Array | float:
        item: Array | float = self.values[index]
        return item

    def __iter__(self) -> Iterator[float]:
        return iter(self.values.tolist())

    def __repr__(self) -> str:
        return (
            f"SingularValues({len(self)} values, sigma = {_few(self.values)}, "
            f"floor {self.floor:.1g}, {self.method}, {self.precision}, {self.seconds:.2f} s)"
        )


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Moments:
    """Elementwise, row and column statistics from one pass.

    Attributes
    ----------
    shape, count, zeros, nan, inf
        Entries in all, exact zeros, NaNs, infinities.
    first_nonfinite
        (row, column) of the first NaN or infinity in row order, or None.
    min, max, mean, std, skewness, kurtosis
        Over the finite entries; kurtosis is 3 for a Gaussian.
    fro_norm, abs_max
        Frobenius norm and largest magnitude, over the finite entries.
    row_norms, column_norms
        Euclidean norms, (m,) and (n,); no row norms (None) where a stream did not keep them.
    histogram
        How often each code occurs: 65536 or 256 counts for 16- and 8-bit dtypes, else None.
    passes, seconds
        Reads of A (1), and wall time.
    """

    shape: tuple[int, int]
    count: int
    zeros: int
    nan: int
    inf: int
    first_nonfinite: tuple[int, int] | None
    min: float
    max: float
    mean: float
    std: float
    skewness: float
    kurtosis: float
    fro_norm: float
    abs_max: float
    row_norms: Array | None
    column_norms: Array
    histogram: NDArray[np.int64] | None
    passes: int
    seconds: float

    def outlier_rows(self, threshold: float = 6.0) -> NDArray[np.intp]:
        """Return the rows whose norm exceeds median + threshold * 1.4826 * MAD of them all."""
        if self.row_norms is None:
            raise ValueError("the row norms were not kept; see MomentsAccumulator")
        return _outliers(self.row_norms, threshold)

    def outlier_columns(self, threshold: float = 6.0) -> NDArray[np.intp]:
        """Return the columns whose norm exceeds median + threshold * 1.4826 * MAD of them all."""
        return _outliers(self.column_norms, threshold)

    def __repr__(self) -> str:
        bad = f", {self.nan} NaN, {self.inf} Inf" if self.nan or self.inf else ""
        return (
            f"Moments({self.shape[0]} x {self.shape[1]}, mean {self.mean:.3g}, std {self.std:.3g}, "
            f"kurtosis {self.kurtosis:.3g}, ||A||_F = {self.fro_norm:.6g}{bad})"
        )


def _outliers(norms: Array, threshold: float) -> NDArray[np.intp]:
    if len(norms) == 0:
        return np.zeros(0, dtype=np.intp)
    median = np.median(norms)
    # 1.4826 MAD estimates the standard deviation of a Gaussian.
    spread = 1.4826 * np.median(np.abs(norms - median))
    return np.flatnonzero(norms > median + threshold * spread)
