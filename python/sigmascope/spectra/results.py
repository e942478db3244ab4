# SPDX-License-Identifier: BSD-3-Clause
"""Result types of the functions of :mod:`sigmascope`, each with its evidence.

Everything is frozen; arrays are float64 unless said otherwise. sigma means singular values,
lambda their squares.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from sigmascope._words.notebook import values_html
from sigmascope._words.text import at_most, counted, with_error

from .array_values import ArrayOfValues
from .units import beyond, scaled, scaled_errors

Array = NDArray[np.float64]


def _few(values: Array, errors: Array) -> str:
    """Show the first three values in brackets, with dots if there are more.

    A value has six digits if its error is below the last of them; else its error follows it.
    """
    shown = ", ".join(
        f"{v:.6g}" if e < 5e-7 * abs(v) else with_error(v, e)
        for v, e in zip(values[:3].tolist(), errors[:3].tolist(), strict=True)
    )
    return f"[{shown}{', ...' if len(values) > 3 else ''}]"


def _at_most(bound: float) -> str:
    """Show a bound with one digit, rounded up."""
    return f"{float(at_most(bound)):.1g}"


def state(converged: bool) -> str:
    """Return "converged" or "NOT converged"."""
    return "converged" if converged else "NOT converged"


def steps_and_reads(steps: int, reads: int) -> str:
    """Return "2 steps, 4 reads", or only the reads if the method has no steps."""
    return (
        f"{counted(steps, 'step')}, {counted(reads, 'read')}" if steps else counted(reads, "read")
    )


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class SVD:
    """The top k singular triplets; a sequence ``U, s, Vt``, as ``numpy.linalg.svd`` returns.

    Attributes
    ----------
    U, s, Vt
        Left vectors (m, k) or None, values (k,) descending (sigma), right vectors (k, n) or None.
        For an array on a GPU, U and Vt are arrays of its library on that GPU. For a torch tensor on
        the host, all three are tensors (:func:`sigmascope.svds`). All other arrays are NumPy's.
    residuals
        (k,) max(||A v - sigma u||, ||A^T u - sigma v||), sigma units.
    errors
        (k,) bound on |s_i - sigma_i|, sigma units.
    converged
        True if the residuals (with vectors) or the errors (without) are within the tolerance,
        before they are rounded to subnormal numbers (a note says so). An error bound may exceed the
        residual: as long as a value is not separated from the rest, it also covers values that the
        search may have missed above it.
    passes
        Total number of reads of A: before the steps, one for each step, and for the answer.
    steps
        Number of Krylov steps, which `max_passes` limits, or `passes` of
        :func:`sigmascope.randomized_svd`; 0 for a method without steps.
    block, columns
        Width of the Krylov block, and number of columns of the basis at the end.
    precision, method, seed, seconds, num_threads, notes
        How the result was computed, and remarks on it.
    fro_norm
        ||A||_F, exact to rounding. NaN from a LinearSketch, and for a linear operator of more than
        256 rows and columns, for which it can only be estimated.
    """

    # Arrays of the caller's library, or None. Type checkers see Any, since no type covers all of
    # these. Unpacked, they see NumPy arrays: calls with other arrays have the type Any as a whole.
    U: Any
    s: Array
    Vt: Any
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
    steps: int = 0

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

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return iter((self.U, self.s, self.Vt))

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: SupportsIndex) -> NDArray[Any]:
        part: NDArray[Any] = (self.U, self.s, self.Vt)[index]
        return part

    def __repr__(self) -> str:
        return (
            f"SVD(k = {len(self.s)}, sigma = {_few(np.asarray(self.s), self.errors)}, "
            f"error <= {_at_most(self.errors.max(initial=0.0))}, "
            f"residual <= {_at_most(self.residuals.max(initial=0.0))}, {state(self.converged)}, "
            f"{steps_and_reads(self.steps, self.passes)}, {self.precision}, {self.seconds:.2f} s)"
        )

    def _repr_html_(self) -> str:
        return values_html(repr(self), self.s, self.errors, self.residuals)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class SingularValues(ArrayOfValues):
    """Every singular value of a matrix; behaves like the array of its values.

    Comparisons, arithmetic and attributes such as ``shape`` and ``sum`` act on the array; their
    results have no errors.

    Attributes
    ----------
    values, errors
        (p,) descending, and a bound on the error of each, p = min(m, n); sigma units.
    floor
        Rounding floor: the method cannot distinguish a value below this sigma from zero.
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

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int | slice | NDArray[np.intp]) -> Array | float:
        item: Array | float = self.values[index]
        return item

    def __iter__(self) -> Iterator[float]:
        return iter(self.values.tolist())

    def __repr__(self) -> str:
        return (
            f"SingularValues({len(self)} values, sigma = {_few(self.values, self.errors)}, "
            f"floor {_at_most(self.floor)}, {self.method}, {self.precision}, {self.seconds:.2f} s)"
        )

    def _repr_html_(self) -> str:
        return values_html(repr(self), self.values, self.errors, None)
