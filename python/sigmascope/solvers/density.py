# SPDX-License-Identifier: BSD-3-Clause
"""Distributions: of the singular values, from a few passes; of the entries, from one."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import Any, Unpack, overload

import numpy as np

from sigmascope._execution import arguments, distributed
from sigmascope._execution.keywords import ComputeOptions
from sigmascope._execution.memory import NeedOf, density_need
from sigmascope._execution.memory_plan import CallMemory
from sigmascope._execution.native_results import Problem, QuadratureRule
from sigmascope._execution.options import CallOptions
from sigmascope._execution.rounding import DENSITIES
from sigmascope._host.keywords import public
from sigmascope._host.native import _core
from sigmascope.matrices.matrix import Matrix
from sigmascope.matrices.stacks import ArrayOfAnyShape, ManyMatrices, OneMatrix, stack_of
from sigmascope.spectra import Density, Stack
from sigmascope.spectra.quadrature import SAME_SIGN

from .stacked import run_stack


@overload
def spectral_density(
    A: ArrayOfAnyShape,
    *,
    passes: int = 12,
    probes: int = 32,
    precision: str | None = None,
    seed: int | None = 0,
    **options: Unpack[ComputeOptions],
) -> Any: ...


@overload
def spectral_density(
    A: OneMatrix,
    *,
    passes: int = 12,
    probes: int = 32,
    precision: str | None = None,
    seed: int | None = 0,
    **options: Unpack[ComputeOptions],
) -> Density: ...


@overload
def spectral_density(
    A: ManyMatrices,
    *,
    passes: int = 12,
    probes: int = 32,
    precision: str | None = None,
    seed: int | None = 0,
    **options: Unpack[ComputeOptions],
) -> Stack[Density]: ...


@overload
def spectral_density(
    A: Any,
    *,
    passes: int = 12,
    probes: int = 32,
    precision: str | None = None,
    seed: int | None = 0,
    **options: Unpack[ComputeOptions],
) -> Any: ...


@public
def spectral_density(
    A: Any,
    *,
    passes: int = 12,
    probes: int = 32,
    precision: str | None = None,
    seed: int | None = 0,
    **options: Unpack[ComputeOptions],
) -> Density | Stack[Density]:
    """Estimate the distribution of all singular values from a few passes.

    Parameters
    ----------
    A : Matrix or anything that :func:`matrix` takes, shape (m, n); or a stack, shape (..., m, n)
        As for :func:`sigmascope.svds`.
    passes : int
        Krylov steps; each gives one node of the quadrature per probe. One more read takes the norm.
    probes : int
        Random start vectors, at least 2. The standard error falls with the root of their number.
    precision, seed, **options
        As for :func:`sigmascope.svds`.

    Returns
    -------
    Density
        Quadrature nodes and weights. Its methods give moments, effective ranks and quantiles, each
        with a standard error and a quadrature error.
    Stack
        For a stack, computed as by :func:`sigmascope.svds`: ``found[i]`` is the Density of matrix
        i, with the bits of a separate call. `failures` has the exceptions of failed matrices.

    Raises
    ------
    ValueError
        If passes < 1 or probes < 2.
    NonFiniteError
        If A, or every matrix of a stack, contains NaN or infinity.

    Warns
    -----
    FailedMatrixWarning
        If some matrices of a stack failed.

    See Also
    --------
    svdvals : Every value, each with a bound on its error.
    spectrum : Measures of the density, each with its error.

    Notes
    -----
    Memory: min(m, n) * passes * probes numbers. The method is stochastic Lanczos quadrature (Ubaru,
    Chen & Saad 2017) from one block run. It deflates the converged part (Chen & Hallman 2023), uses
    the known n and ||A||_F^2 as control variates, and pairs the Gauss with the Gauss-Radau rule.

    Examples
    --------
    >>> import numpy as np, sigmascope as ss
    >>> rng = np.random.default_rng(0)
    >>> A = rng.standard_normal((300, 200))
    >>> density = ss.spectral_density(A)
    >>> norm = density.nuclear_norm()
    >>> bool(abs(norm - ss.svdvals(A).sum()) < 4 * norm.error)
    True
    """
    stack = stack_of(A)
    a = stack.pattern
    how: dict[str, Any] = {"precisions": DENSITIES, "reads": (passes + 1) * len(stack.matrices)}
    call = CallOptions.of(a, precision=precision, **how, **options)
    arguments.check_positive(passes=passes)
    n = min(a.shape)
    if probes < 2:
        raise ValueError(f"a standard error needs at least 2 probes, not {probes}")
    if n < 2:
        raise ValueError(f"a density needs at least 2 singular values, but shape {a.shape} has {n}")
    probes = min(probes, n)
    query = DensityRequest(probes, passes, arguments.resolve_seed(seed))
    if stack.is_single:
        return query.compute(a, call)
    kept = 16 * probes * passes * (probes + 2)  # nodes and weights of both rules
    return run_stack("spectral_density", stack, query.compute, call, query.suffices, kept)


@dataclass(frozen=True, slots=True)
class DensityRequest:
    """The arguments of one call of :func:`spectral_density`, checked."""

    probes: int
    passes: int
    seed: int

    def need(self, call: CallOptions) -> NeedOf:
        """Return the need of the basis."""
        width = call.itemsize
        return partial(density_need, probes=self.probes, passes=self.passes, width=width)

    def suffices(self, a: Matrix, call: CallOptions) -> bool:
        """Return whether the basis and the matrix fit into the memory."""
        return CallMemory(a, call).fits_held(self.need(call))

    def compute(self, a: Matrix, call: CallOptions) -> Density:
        """Compute the density of one matrix."""
        shape = arguments.of_shape(a.shape)
        what = f"a basis of {self.passes} blocks of {self.probes} columns for {shape}"
        plan = CallMemory(a, call).plan(self.need(call), what)
        started = time.perf_counter()
        result = call.device.solvers.density(
            distributed.operand(a, call),
            block=self.probes,
            steps=self.passes,
            seed=self.seed,
            products=call.products,
            f64=call.precision == "float64",
            gather=plan.adds_tiles,
            separate=plan.splits_remainder,
            **plan.native(),
        )
        seconds = time.perf_counter() - started
        steps = result["steps"]
        return density_of(a.shape, result, result, call.precision, self.seed, steps, seconds)


_AT_HAND = 144
"""Additions that follow one another in a sum of 65,536 terms."""


def _resolution(shape: tuple[int, int], fro2: float, largest: float, precision: str) -> float:
    """Return the effect of rounding on a node, in units of the largest one, beyond 1e-6 of itself.

    The sums of repeated rows have roundings of one sign. The constants suffice for 65,536 rows:
    constant columns were off by 42 roundings, and the largest node may move by 21 resolutions,
    which are 70 roundings. Every addition of a longer sum adds one rounding: 10^7 rows add 8.

    A block and its image are rounded to 2^-18, and err by that times ||A||_F / sqrt(n). The image
    has the size of sigma_1 if it holds the largest direction. The largest effect seen was 0.6 of
    their product.
    """
    longer = max(_core.product_additions(max(shape)) - _AT_HAND, 0) / (1 + SAME_SIGN)
    if precision == "float64":
        return 1e-14 + longer * 2.0**-53
    single = 2e-7 + longer * 2.0**-24
    if precision == "float32" or largest <= 0:
        return single
    return max(single, 2.0**-18 * float(np.sqrt(fro2 / (min(shape) * largest))))


def density_of(
    shape: tuple[int, int],
    rule: QuadratureRule,
    problem: Problem,
    precision: str,
    seed: int,
    steps: int,
    seconds: float,
) -> Density:
    """Build the Density of a native quadrature of a matrix of this shape."""
    largest = float(np.max(rule["gauss_nodes"]))
    return Density.from_quadrature(
        min(shape),
        problem["fro2"],
        rule["gauss_nodes"],
        rule["gauss_weights"],
        rule["radau_nodes"],
        rule["radau_weights"],
        rule["residuals"],
        resolution=_resolution(shape, problem["fro2"], largest, precision),
        steps=steps,
        seed=seed,
        passes=problem["reads"],
        precision=precision,
        seconds=seconds,
        exponent=problem["unit"],
    )
