# SPDX-License-Identifier: BSD-3-Clause
"""Singular values and vectors of matrices, each with its evidence."""

from __future__ import annotations

from typing import Any, Unpack, overload

from sigmascope._execution import arguments
from sigmascope._execution.keywords import ComputeOptions
from sigmascope._execution.options import CallOptions
from sigmascope._execution.rounding import SEARCHES
from sigmascope._host.keywords import public
from sigmascope.matrices.stacks import (
    ArrayOfAnyShape,
    ByProducts,
    ManyMatrices,
    OneMatrix,
    stack_of,
)
from sigmascope.spectra import SVD, SVDStack

from .convergence import warn_if_not_converged, warn_if_stack_not_converged
from .products import with_evidence
from .stacked import run_stack, svd_stack
from .tensors import as_callers_arrays
from .triplets import TripletsRequest


@overload
def svds(
    A: ArrayOfAnyShape,
    k: int = 6,
    *,
    tol: float = 1e-4,
    vectors: bool = True,
    method: str = "auto",
    max_passes: int = 300,
    block: int | None = None,
    precision: str | None = None,
    seed: int | None = 0,
    **options: Unpack[ComputeOptions],
) -> Any: ...


@overload
def svds(
    A: OneMatrix | ByProducts,
    k: int = 6,
    *,
    tol: float = 1e-4,
    vectors: bool = True,
    method: str = "auto",
    max_passes: int = 300,
    block: int | None = None,
    precision: str | None = None,
    seed: int | None = 0,
    **options: Unpack[ComputeOptions],
) -> SVD: ...


@overload
def svds(
    A: ManyMatrices,
    k: int = 6,
    *,
    tol: float = 1e-4,
    vectors: bool = True,
    method: str = "auto",
    max_passes: int = 300,
    block: int | None = None,
    precision: str | None = None,
    seed: int | None = 0,
    **options: Unpack[ComputeOptions],
) -> SVDStack: ...


@overload
def svds(
    A: Any,
    k: int = 6,
    *,
    tol: float = 1e-4,
    vectors: bool = True,
    method: str = "auto",
    max_passes: int = 300,
    block: int | None = None,
    precision: str | None = None,
    seed: int | None = 0,
    **options: Unpack[ComputeOptions],
) -> Any: ...


@public
def svds(
    A: Any,
    k: int = 6,
    *,
    tol: float = 1e-4,
    vectors: bool = True,
    method: str = "auto",
    max_passes: int = 300,
    block: int | None = None,
    precision: str | None = None,
    seed: int | None = 0,
    **options: Unpack[ComputeOptions],
) -> SVD | SVDStack:
    """Compute the k largest singular values and vectors of a matrix, with error bounds.

    Examples
    --------
    >>> import numpy as np, sigmascope as ss
    >>> A = np.random.default_rng(0).standard_normal((60, 40))
    >>> U, s, Vt = top = ss.svds(A, k=3)
    >>> U.shape, s.shape, Vt.shape, top.converged
    ((60, 3), (3,), (3, 40), True)
    >>> ss.svds(np.stack([A, 2 * A]), k=3).s.shape     # a stack of matrices in one call
    (2, 3)

    Parameters
    ----------
    A : Matrix or anything that :func:`matrix` takes, shape (m, n); or a stack, shape (..., m, n)
        Also a SciPy sparse matrix or a linear operator (an object with shape, matvec or matmat, and
        rmatvec or rmatmat). Only the products of such an object are used. A stack is an array, or a
        sequence of matrices of one shape and dtype.
    k : int
        Number of values, from 1 to min(m, n).
    tol : float
        Tolerance relative to sigma_1, for every residual; without vectors, for every error bound,
        which takes fewer passes. Below the floor of the precision it acts as the floor, and a note
        says so.
    vectors : bool
        Whether to compute U and Vt.
    method : {"auto", "krylov", "gram"}
        "krylov" is a block Krylov search. "gram" takes the eigenvectors of the whole Gram matrix
        (exact, costs m n^2). "auto" chooses the cheaper of the two.
    max_passes : int
        Maximum number of Krylov steps, each of which reads A once. If a search becomes too
        expensive, the Gram matrix replaces it, and a note says so.
    block : int, optional
        Columns per Krylov step. By default, the number with the lowest cost.
    precision : {"mixed", "split", "float32", "float64"}, optional
        Use "float64" for more than six digits; it is the default if any tile of A is f64. "mixed"
        and "split" search with rounded products. Their answer is as exact as with "float32".
    seed : int or None
        Seed of the random start. The same A, order of storage (by rows or by columns), precision
        and seed give the same bits, whatever the shards and the threads. For an untrusted matrix
        pass None: sigmascope then draws a seed and reports it as `seed` of the result.
    **options
        device, num_threads, memory_limit, panel_rows, progress, executor: see
        :class:`sigmascope._execution.keywords.ComputeOptions`. A stack does not take an executor.

    Returns
    -------
    SVD
        U (m, k), s (k,) descending, Vt (k, n), residuals and error bounds (sigma), passes and
        `converged`. If A is a torch tensor or lies on a GPU, the arrays are of the same kind.
    SVDStack
        For a stack: U (..., m, k), s (..., k), Vt (..., k, n), and evidence of each matrix, with
        the bits of a separate call. A failed matrix has NaN, and its exception is in `failures`.

    Raises
    ------
    ValueError
        If k < 1, k > min(m, n), or another argument is out of range.
    NonFiniteError, MemoryLimitError
        If A, or every matrix of a stack, contains NaN or infinity; or if not even a restarted basis
        fits into memory_limit.

    Warns
    -----
    ConvergenceWarning
        If the search did not reach the tolerance. The error bounds remain valid.
    FailedMatrixWarning
        If some matrices of a stack failed.

    See Also
    --------
    svdvals : Every value.
    randomized_svd : A fixed number of passes.
    spectrum : Measures of the values, each with its error.

    Notes
    -----
    Residuals are measured with new products, independent of the search. A result whose vectors are
    not orthonormal, or whose values exceed ||A||_F, is reported as not converged.
    docs/how-svds-works.md describes methods and sources, passes, memory, and why bounds hold.
    """
    stack = stack_of(A, products=True)
    a = stack.pattern
    how: dict[str, Any] = {"precisions": SEARCHES, "products": stack.products}
    call = CallOptions.of(a, precision=precision, **how, **options)
    arguments.check_rank(k, a.shape)
    arguments.check_positive(tol=tol, max_passes=max_passes)
    if method not in ("auto", "krylov", "gram"):
        raise ValueError(f"method must be 'auto', 'krylov' or 'gram', not {method!r}")
    if method == "gram" and call.operator is not None:
        call = call.with_precision("float64")  # for the identity, and so for its examination
    if block is not None and block < 1:
        raise ValueError(f"block must be at least 1, not {block}")
    seed = arguments.resolve_seed(seed)
    query = TripletsRequest(k, tol, seed, vectors, method, max_passes, block)
    if stack.is_single:
        top = with_evidence(query.compute(a, call), call, tol)
        return as_callers_arrays(A, warn_if_not_converged(top, tol, max_passes))
    kept = 8 * sum(a.shape) * k if vectors else 0
    triplets = svd_stack(
        run_stack("svds", stack, query.compute, call, query.suffices, kept),
        call,
        a,
        k,
        vectors=vectors,
    )
    return as_callers_arrays(A, warn_if_stack_not_converged(triplets, tol))
