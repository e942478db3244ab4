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
from .triplets import SVDRequest


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
    """Compute the k largest singular values and vectors to a tolerance.

    Parameters
    ----------
    A : Matrix or anything that :func:`matrix` takes, shape (m, n); or a stack, shape (..., m, n)
        A stack is an array, or a sequence of matrices of one shape and dtype. Or a matrix that is
        known by its products: a sparse matrix of SciPy, or a linear operator, an object with shape,
        matvec or matmat, and rmatvec or rmatmat, like ``scipy.sparse.linalg.LinearOperator``.
    k : int
        How many; at most min(m, n).
    tol : float
        In units of sigma_1. With vectors: every residual <= tol * sigma_1. Without: every value's
        error bound <= tol * sigma_1, which takes fewer passes. Below the floor of the precision (96
        units of roundoff of float32, 192 of float64) it acts as the floor, and a note says so.
    vectors : bool
        Whether U and Vt are wanted.
    method : {"auto", "krylov", "gram"}
        Block Krylov, or the eigenvectors of the whole Gram matrix (exact, costs m n^2), or the
        cheaper of the two.
    max_passes : int
        Krylov steps, one read of A each, after which to stop without convergence. The result has
        them as `steps`; its `passes` counts every read: also the one before the steps, and those of
        the answer, one or two. A search ends sooner where its basis would be the whole space, or
        its work two fifths of that of a full decomposition (a quarter below order 256): the Gram
        matrix takes its place, if there is memory for it, and a note says so. So it does at once
        where k is at least a quarter of min(m, n). Both together take about twice a full
        decomposition at most. Below order 128 a search may take all of that work.
    block : int, optional
        Columns per Krylov step; by default those of least cost
        (:mod:`sigmascope._execution.costs`).
    precision : {"mixed", "split", "float32", "float64"}, optional
        "float64" for more than six digits; it is the default where a tile of A is f64. "float32",
        in which nothing below about 6e-6 * sigma_1 is resolved, is the default elsewhere. "mixed"
        and "split" search with products rounded to 8 and 16 bits and read the answer from products
        in float32: the errors are as small, and the search is shorter where the device multiplies
        bfloat16. There "mixed" is the default for min(m, n) >= 512. Elsewhere "split" is "float32".
        docs/numerics.md says which products are rounded, and how the errors include that.
    seed : int or None
        Of the random start, which follows from it and from a hash of the numbers of A. The same A,
        order of storage (by rows or by columns), precision and seed give the same bits, whatever
        the shards and the threads. Of the other order, the last bits differ: sums run along the
        other side. Whoever knows the seed can construct a matrix whose largest direction the start
        misses. For a matrix from a stranger pass None, which draws a seed that nobody knows;
        `seed` of the result has it.
    **options
        device, num_threads, memory_limit, panel_rows, progress, executor: see
        :class:`sigmascope._execution.keywords.ComputeOptions`. Of a stack, progress counts the
        bytes of all matrices, and there is no executor.

    Returns
    -------
    SVD
        U (m, k), s (k,) descending, Vt (k, n) in `precision`, with the residuals (sigma), the
        error bound of each value (sigma), steps, passes and whether it converged. Where A is an
        array of CuPy or torch on a GPU, or made of such arrays of one library, U and Vt are arrays
        of that library on that GPU, float32 or float64, and Vt is a transposed view; all else is
        NumPy's, vectors for arrays of other libraries included (a note says so). Where A is a
        tensor of torch on the host, or a sequence of them, U, s and Vt are tensors too, without a
        copy; s is float64 whatever U is (``U * s.to(U.dtype) @ Vt``), and residuals and errors are
        NumPy's. No gradients are propagated: a tensor that requires them is detached, and no result
        requires them. The residuals are of both sides, and measured by products that the search
        had no part in, with 48 units of roundoff for their own rounding. What is not orthonormal,
        or holds more than ||A||_F, has not converged.
    SVDStack
        Of a stack: U (..., m, k), s (..., k), Vt (..., k, n), and the evidence of each matrix. The
        threads and the memory are divided among matrices that are computed concurrently. Each
        result has the bits of the call on its matrix alone; if the memory is too small for any
        search to grow freely, matrices are computed one after the other, with the memory that the
        results leave. A matrix that fails leaves NaN, and its exception in `failures`.

    Raises
    ------
    ValueError
        If k < 1, k > min(m, n), or another argument is out of range.
    NonFiniteError
        If A holds NaN or infinity; of a stack, if all matrices do.
    MemoryLimitError
        If not even a restarted basis fits into memory_limit.

    Warns
    -----
    ConvergenceWarning
        If the tolerance, plus 50 units of roundoff for the rounding of residuals (the floor, of
        errors without vectors), was not reached. A tolerance below the floor acts as the floor.
    FailedMatrixWarning
        If some matrices of a stack failed.

    See Also
    --------
    svdvals : Every value.
    randomized_svd : A fixed number of passes.
    spectrum : Measures of the values, each with its error.

    Notes
    -----
    Products with a sparse matrix are sums in float64, of a copy. An operator is examined by
    products with 32 random vectors (with the identity up to order 256): products that are not
    linear, or not adjoint, are refused, and their errors beyond rounding are added to residuals and
    errors. So are those of the transpose for the left vectors of the result, which one more product
    shows in whatever direction they lie (but in one case of a million). Above that order ||A||_F is
    not known (NaN); a bound that fails in three cases of a million takes its place. Notes say all
    this. Python code multiplies, without executor or device.

    Passes over A: one for norm and range, one per Krylov step, one at the end (two where values
    are lost in rounding); a wide matrix in files is read along its rows twice for each. Memory:
    min(m, n) * columns numbers of the basis, (m + n) * k of the result, three times that when they
    are read out (:mod:`sigmascope._execution.memory`). The basis is restarted at twice the columns
    that are expected, or sooner where there is no memory for them.

    Randomized block Krylov iteration (Musco & Musco 2015; Yuan, Gu & Li 2018) with full
    reorthogonalisation, thick restart (Wu & Simon 2000), residual-based stopping and two guards
    against missed copies of multiple values. The bound on a converged value is quadratic in its
    residual once it is separated from the rest: by the distance to the (block - 2)-th nearest of
    the other values, since a block tells no more apart (Saad 1980). Among more values than that,
    closer than the search resolves, it is the residual times the tangent of an angle that the
    random start bounds (it fails in one case of a million). That every copy was found is a
    probabilistic certificate. The bound on one that has not converged is Weyl's, with
    ||A - A V V^T||_F.

    By the Gram matrix nothing is missed, and the bound is sqrt(sigma^2 + 4e-14 sigma_1^2) - sigma
    up to order n = 2048, above it sqrt(n / 2048) times 4e-14. Where that, or a residual, is above
    the tolerance, with vectors or without, or where k is at least a third of min(m, n) (a quarter
    below order 256, where that also follows a search that was given up), A itself is decomposed
    (LAPACK's dgesdd), if there is memory for it in float64: every value is then right to the floor.

    Examples
    --------
    >>> import numpy as np, sigmascope as ss
    >>> experts = np.random.default_rng(0).standard_normal((4, 60, 40))
    >>> U, s, Vt = found = ss.svds(experts, k=3)
    >>> U.shape, s.shape, found[2].s.shape, found.failures
    ((4, 60, 3), (4, 3), (3,), {})
    """
    stack = stack_of(A, products=True)
    a = stack.pattern
    how: dict[str, Any] = {"precisions": SEARCHES, "products": stack.products}
    call = CallOptions.of(a, precision=precision, cuda=True, **how, **options)
    arguments.check_rank(k, a.shape)
    arguments.check_positive(tol=tol, max_passes=max_passes)
    if method not in ("auto", "krylov", "gram"):
        raise ValueError(f"method is 'auto', 'krylov' or 'gram', not {method!r}")
    if method == "gram" and call.operator is not None:
        call = call.with_precision("float64")  # of the identity, and so of what is examined
    if block is not None and block < 1:
        raise ValueError(f"block must be at least 1, not {block}")
    query = SVDRequest(k, tol, vectors, method, max_passes, block, arguments.resolve_seed(seed))
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
