# SPDX-License-Identifier: BSD-3-Clause
"""Low-rank approximation in a fixed number of passes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import Any, Unpack, overload

import numpy as np

from sigmascope._execution import arguments, costs, distributed
from sigmascope._execution.keywords import ComputeOptions
from sigmascope._execution.memory import NeedOf, low_rank_need
from sigmascope._execution.memory_plan import CallMemory
from sigmascope._execution.options import CallOptions
from sigmascope._host.keywords import public
from sigmascope.matrices.matrix import Matrix
from sigmascope.matrices.stacks import (
    ArrayOfAnyShape,
    ByProducts,
    ManyMatrices,
    OneMatrix,
    stack_of,
)
from sigmascope.spectra import SVD, SVDStack

from .convergence import exact_to, floor_of
from .gram import GramTriplets
from .products import with_evidence
from .stacked import run_stack, svd_stack
from .tensors import as_callers_arrays

_PASSES, _PASSES_OF_MANY = 5, 3
"""Default number of passes, and the one for k of at least a tenth of min(m, n), as in scikit-learn.

On slowly decaying, Gaussian and sparse matrices of order 500, the error of the worst value is then
0.2 to 0.6 times scikit-learn's with the same number of reads; with 4 passes, up to ten times."""

_CONTRADICTED = (
    "||A||_F contradicts the random vectors, which missed a direction: the errors follow only "
    "from ||A||_F; try another seed"
)


@overload
def randomized_svd(
    A: ArrayOfAnyShape,
    k: int,
    *,
    passes: int | None = None,
    oversampling: int | None = None,
    precision: str | None = None,
    seed: int | None = 0,
    **options: Unpack[ComputeOptions],
) -> Any: ...


@overload
def randomized_svd(
    A: OneMatrix | ByProducts,
    k: int,
    *,
    passes: int | None = None,
    oversampling: int | None = None,
    precision: str | None = None,
    seed: int | None = 0,
    **options: Unpack[ComputeOptions],
) -> SVD: ...


@overload
def randomized_svd(
    A: ManyMatrices,
    k: int,
    *,
    passes: int | None = None,
    oversampling: int | None = None,
    precision: str | None = None,
    seed: int | None = 0,
    **options: Unpack[ComputeOptions],
) -> SVDStack: ...


@overload
def randomized_svd(
    A: Any,
    k: int,
    *,
    passes: int | None = None,
    oversampling: int | None = None,
    precision: str | None = None,
    seed: int | None = 0,
    **options: Unpack[ComputeOptions],
) -> Any: ...


@public
def randomized_svd(
    A: Any,
    k: int,
    *,
    passes: int | None = None,
    oversampling: int | None = None,
    precision: str | None = None,
    seed: int | None = 0,
    **options: Unpack[ComputeOptions],
) -> SVD | SVDStack:
    """Compute a rank-k approximation in a fixed number of passes, and measure it.

    Parameters
    ----------
    A : Matrix or anything that :func:`matrix` takes, shape (m, n); or a stack, shape (..., m, n)
        As for :func:`sigmascope.svds`, including sparse matrices and linear operators.
    k : int
        Rank, at most min(m, n).
    passes : int, optional
        Number of products A^T (A X). Each reads A once, and all of their blocks are kept. By
        default 5, or 3 if k is at least a tenth of min(m, n). The result has it as `steps`. A read
        before them takes the norm and looks for NaN. A read after them, of k + oversampling + 10
        columns, measures the answer. `passes` of the result counts these two as well. If all this
        costs more than a decomposition of A itself, the exact methods of :func:`sigmascope.svds`
        replace it.
    oversampling : int, optional
        The block has k + oversampling columns, at most min(m, n). By default 10.
    precision, seed, **options
        As for :func:`sigmascope.svds`.

    Returns
    -------
    SVD
        U, s and Vt as from :func:`sigmascope.svds`. The last read measures `residuals` and values.
        A value exceeds that of A by at most rounding (96 units of roundoff of float32, 192 of
        float64, times sigma_1). `errors` is the least of several bounds (see Notes): rounding for
        values that are separated from the rest, 4 to 20 % of a value in slowly decaying spectra.
        `converged` is true only if the approximation is exact to rounding: residuals within
        256 u ||A||_F and errors within sqrt(128 u) ||A||_F for the unit roundoff u. The root
        (1.2e-7 in float64, 2.8e-3 in float32) allows for one value that the rounding of ||A||_F^2
        may hide. A fixed budget does not promise more: for errors within a tolerance use
        :func:`sigmascope.svds`. `method` may also name its "Gram matrix" or "full decomposition".
    SVDStack
        For a stack, as from :func:`sigmascope.svds`. The result of each matrix has the bits of a
        separate call.

    Raises
    ------
    ValueError
        If k, passes or oversampling is out of range.
    NonFiniteError
        If A, or every matrix of a stack, contains NaN or infinity.

    Warns
    -----
    FailedMatrixWarning
        If some matrices of a stack failed.

    See Also
    --------
    svds : Values and vectors to a tolerance; use it if errors matter.
    Sketch : The same for a stream of rows.

    Notes
    -----
    Memory: (m + n) * passes * (k + oversampling) numbers. The method is Halko, Martinsson & Tropp
    2011 (section 4.3 for the ten random vectors below) with all blocks kept (Musco & Musco 2015).
    It projects from the left, so one read replaces their two passes (Yu, Gu, Li & Li 2017). With
    the defaults, values are at least as close as scikit-learn's with its defaults. Its function
    multiplies 16 times by A or its transpose (10 times for k from a tenth of min(m, n) on), which
    would be 8 (5) reads; here there are 7 (5). For data seen only once use :class:`Sketch`.

    Four bounds on the error of a value. Two are Weyl's, sqrt(sigma^2 + ||A - A P||_F^2) - sigma,
    with the norm from the remainder of ||A||_F^2, or from ten random vectors. One uses that the
    Gaussian start has a part of known size in every direction (Chen & Dongarra 2005), whatever A
    is. Lehmann's uses the residuals, for values above the bound on the next one. Each bound from
    random vectors fails in one case of a million. If ||A||_F contradicts them, only its own bound
    counts, and a note says so.

    Examples
    --------
    >>> import numpy as np, sigmascope as ss
    >>> rng = np.random.default_rng(0)
    >>> A = rng.standard_normal((200, 5)) @ rng.standard_normal((5, 80))
    >>> U, s, Vt = ss.randomized_svd(A, 5)
    >>> np.allclose(U * s @ Vt, A)
    True
    """
    stack = stack_of(A, products=True)
    a = stack.pattern
    if passes is None:
        passes = _PASSES if 10 * k < min(a.shape) else _PASSES_OF_MANY
    how: dict[str, Any] = {"products": stack.products, "reads": (passes + 2) * len(stack.matrices)}
    call = CallOptions.of(a, precision=precision, **how, **options)
    arguments.check_rank(k, a.shape)
    arguments.check_positive(passes=passes)
    b = min(k + (10 if oversampling is None else oversampling), min(a.shape))
    if b < k:
        raise ValueError(f"oversampling must be at least 0, not {oversampling}")
    query = _Request(k, b, passes, arguments.resolve_seed(seed))
    if stack.is_single:
        return as_callers_arrays(A, with_evidence(query.compute(a, call), call))
    kept = 8 * sum(a.shape) * k
    triplets = svd_stack(
        run_stack("randomized_svd", stack, query.compute, call, query.suffices, kept), call, a, k
    )
    return as_callers_arrays(A, triplets)


@dataclass(frozen=True, slots=True)
class _Request:
    """The arguments of one call of :func:`randomized_svd`, checked."""

    k: int
    block: int
    passes: int
    seed: int

    def need(self, call: CallOptions) -> NeedOf:
        width = call.itemsize
        return partial(low_rank_need, k=self.k, block=self.block, passes=self.passes, width=width)

    def suffices(self, a: Matrix, call: CallOptions) -> bool:
        memory = CallMemory(a, call)
        return self.exact(memory) is not None or memory.fits_held(self.need(call))

    def exact(self, memory: CallMemory) -> GramTriplets | None:
        """Return an exact method if one costs less and fits; there is none for an operator."""
        a, call = memory.a, memory.options
        if call.operator is not None:
            return None
        cheaper = costs.randomized_exceeds_svd(
            a.shape,
            self.block,
            self.passes,
            call.precision,
            call.reread_nbytes(a),
            call.device.is_cuda,
        )
        tol, value_tol = floor_of("float64"), exact_to("float64")
        every = GramTriplets(a.shape, self.k, tol, self.seed, value_tol=value_tol, complete=True)
        return every if cheaper and every.fits(memory, complete=True) else None

    def compute(self, a: Matrix, call: CallOptions) -> SVD:
        memory = CallMemory(a, call)
        if (every := self.exact(memory)) is not None:
            return every.run(memory.plan(every.need(memory), every.what))
        what = f"{self.passes} blocks of {self.block} columns for {arguments.of_shape(a.shape)}"
        plan = memory.plan(self.need(call), what)
        started = time.perf_counter()
        result = call.device.solvers.low_rank(
            distributed.operand(a, call),
            k=self.k,
            block=self.block,
            passes=self.passes,
            seed=self.seed,
            f64=call.precision == "float64",
            gather=plan.adds_tiles,
            **plan.native(),
        )
        return SVD(
            U=result["u"],
            s=result["s"],
            Vt=result["vt"],
            residuals=result["residuals"],
            errors=result["errors"],
            converged=result["converged"],
            passes=result["reads"],
            block=self.block,
            columns=result["columns"],
            precision=call.precision,
            method="randomized block Krylov, measured",
            seed=self.seed,
            seconds=time.perf_counter() - started,
            num_threads=call.threads,
            fro_norm=float(np.sqrt(result["fro2"])),
            notes=call.device.notes + (_CONTRADICTED,) * result["contradicted"],
            steps=result["steps"],
        ).scaled(result["unit"])
