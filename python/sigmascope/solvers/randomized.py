# SPDX-License-Identifier: BSD-3-Clause
"""Low-rank approximation in a fixed number of passes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import Any, Unpack

import numpy as np

from sigmascope._execution import arguments, distributed
from sigmascope._execution.keywords import ComputeOptions
from sigmascope._execution.memory import low_rank_need
from sigmascope._execution.memory_plan import MemoryPlan, NeedOf, fits_held
from sigmascope._execution.options import CallOptions
from sigmascope._host.keywords import public
from sigmascope.matrices.matrix import Matrix
from sigmascope.matrices.stacks import stack_of
from sigmascope.spectra import SVD

from .products import with_evidence
from .stacked import run_stack, svd_stack
from .tensors import in_kind_of


@public
def randomized_svd(
    A: Any,
    k: int,
    *,
    passes: int = 2,
    oversampling: int | None = None,
    precision: str | None = None,
    seed: int | None = 0,
    **options: Unpack[ComputeOptions],
) -> SVD | Any:
    """Compute the best rank-k approximation that a fixed number of passes affords.

    Parameters
    ----------
    A : Matrix or anything that :func:`matrix` takes, shape (m, n); or a stack, shape (..., m, n)
        As for :func:`sigmascope.svds`, sparse matrices and linear operators included.
    k : int
        Rank; at most min(m, n).
    passes : int
        Products A^T (A X), each one read of A. One read more looks at the norm and for NaN, and
        another, of k + oversampling + 10 columns, measures the answer.
    oversampling : int, optional
        The block has k + oversampling columns; 10 by default, and at most min(m, n) in all.
    precision, seed, **options
        As for :func:`sigmascope.svds`.

    Returns
    -------
    SVD
        U, s and Vt as :func:`sigmascope.svds` returns them. `residuals` are measured by that last
        product, and so are the values, which are never above those of A by more than rounding (96
        units of roundoff of float32, 192 of float64, times sigma_1). `errors` is Weyl's bound,
        sqrt(sigma^2 + ||A - A P||_F^2) - sigma: that norm from what is left of ||A||_F^2, or from
        ten random vectors, whichever is less (the latter fails in one case of a million).
        `converged` is true only if the approximation is exact to rounding: a fixed budget promises
        nothing more.
    SVDStack
        Of a stack, as :func:`sigmascope.svds` returns it; each result has the bits of the call on
        its matrix alone.

    Raises
    ------
    ValueError
        If k or passes is out of range.
    NonFiniteError
        If A holds NaN or infinity; of a stack, if all matrices do.

    Warns
    -----
    FailedMatrixWarning
        If some matrices of a stack failed.

    See Also
    --------
    svds : Values and vectors to a tolerance.
    Sketch : The same of a stream of rows.

    Notes
    -----
    Memory: (m + n) * passes * (k + oversampling) numbers. Halko, Martinsson & Tropp 2011 with all
    blocks kept (Musco & Musco 2015) and projected from the left, so that one read does what their
    two-pass method does (Yu, Gu, Li & Li 2017); their section 4.3 for the random vectors. For data
    seen only once: :class:`Sketch`.

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
    how: dict[str, Any] = {"products": stack.products, "reads": (passes + 2) * len(stack.matrices)}
    call = CallOptions.of(a, precision=precision, cuda=True, **how, **options)
    arguments.check_rank(k, a.shape)
    arguments.check_positive(passes=passes)
    b = min(k + (10 if oversampling is None else oversampling), min(a.shape))
    if b < k:
        raise ValueError(f"oversampling must not be negative, it is {oversampling}")
    asked = _Asked(k, b, passes, arguments.resolve_seed(seed))
    if stack.is_single:
        return in_kind_of(A, with_evidence(asked.compute(a, call), call))
    kept = 8 * sum(a.shape) * k
    found = svd_stack(
        run_stack("randomized_svd", stack, asked.compute, call, asked.suffices, kept), call, a, k
    )
    return in_kind_of(A, found)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The arguments of one call of :func:`randomized_svd`, checked."""

    k: int
    block: int
    passes: int
    seed: int

    def need(self, call: CallOptions) -> NeedOf:
        width = call.itemsize
        return partial(low_rank_need, k=self.k, block=self.block, passes=self.passes, width=width)

    def suffices(self, a: Matrix, call: CallOptions) -> bool:
        return fits_held(a, call, self.need(call))

    def compute(self, a: Matrix, call: CallOptions) -> SVD:
        what = f"{self.passes} blocks of {self.block} columns for {arguments.of_shape(a.shape)}"
        plan = MemoryPlan.fit(a, call, self.need(call), what)
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
            notes=call.device.notes,
        ).scaled(result["unit"])
