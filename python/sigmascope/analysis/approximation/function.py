# SPDX-License-Identifier: BSD-3-Clause
"""The function low_rank: thin factors near a matrix, and the error that remains."""

from __future__ import annotations

import time
import warnings
from typing import Any, Unpack

from sigmascope._execution import arguments
from sigmascope._execution.keywords import ComputeOptions
from sigmascope._execution.options import CallOptions
from sigmascope._execution.rounding import SEARCHES
from sigmascope._host.keywords import public
from sigmascope._words.text import counted
from sigmascope.analysis.low_rank import LowRank
from sigmascope.errors import ConvergenceWarning
from sigmascope.matrices.sources import matrix

from .criteria import Criterion
from .products import find_in_product
from .result import LowRankApproximation
from .results import result_of
from .search import SearchArguments, Settings, find, find_smallest
from .weighted import weighted


@public
def low_rank(
    A: Any,
    rank: int | str | None = None,
    *,
    energy: float | None = None,
    error: float | None = None,
    part: str = "largest",
    weight: Any = None,
    tol: float = 1e-4,
    max_passes: int = 300,
    precision: str | None = None,
    seed: int | None = 0,
    **options: Unpack[ComputeOptions],
) -> LowRankApproximation:
    """Approximate a matrix by a product of thin factors, and measure the error that remains.

    Exactly one of `rank`, `energy` and `error` decides the rank.

    Examples
    --------
    >>> import numpy as np, sigmascope as ss
    >>> A = np.diag([4.0, 3.0, 0.5, 0.1])
    >>> approx = ss.low_rank(A, rank=2)
    >>> bool(abs(approx.remaining.value - np.hypot(0.5, 0.1)) <= approx.remaining.error)
    True
    >>> ss.low_rank(A, error=0.05).rank
    3

    Parameters
    ----------
    A : Matrix, LowRank, or anything that :func:`matrix` takes, shape (m, n)
        Also a lazy sum, difference or multiple of matrices. A LowRank is truncated exactly, through
        matrices of order r; of the options, only the criterion and memory_limit apply to it.
    rank : int or "edge"
        At most min(m, n). "edge" takes the number of singular values above the level that noise of
        the observed bulk reaches in one matrix of a hundred. If the values spread too far for that,
        it is 0, with a warning. Without noise, it is the number of values above rounding.
    energy : float
        Least share of ||A||_F^2 that the approximation has, between 0 and 1.
    error : float
        Largest ||A - L||_F / ||A||_F, between 0 and 1. The rank is the smallest one that certainly
        satisfies `energy` or `error`, up to the resolution of the search.
    part : {"largest", "smallest"}
        Singular triplets in L. The smallest take min(m, n) (m + n) float64 numbers. An adapter
        starts from the largest in PiSSA (arXiv 2404.02948), from the smallest in MiLoRA (arXiv
        2406.09044): `balanced` gives its factors, and `residual` the matrix that replaces A.
    weight : GramAccumulator or array, shape (n, n), optional
        S = X^T X of activations X (any, n) that A is multiplied with. L then minimises
        ||(A - L) S^(1/2)||_F = ||X (A - L)^T||_F among products of its rank, and `energy` and
        `error` refer to this norm. S may be singular; eigenvalues below rounding count as an error.
    tol, max_passes, precision, seed, **options
        As for :func:`svds`, for the search for singular vectors. `progress` counts the bytes of
        each search and of each product anew.

    Returns
    -------
    LowRankApproximation
        The factors in float64, and ||A - L||_F of exactly these factors with a bound on its error.
        The bound is valid even if the search stopped early.

    Raises
    ------
    TypeError
        Unless exactly one of `rank`, `energy` and `error` is given.
    ValueError
        If `rank` is below 1 or above min(m, n), or another argument is out of range.
    NonFiniteError, MemoryLimitError
        If A contains NaN or infinity, or the search does not fit into memory_limit.

    Warns
    -----
    ConvergenceWarning
        If the tolerance or the criterion was not reached, or "edge" does not apply.

    See Also
    --------
    svds : Only the triplets.
    spectrum : The noise edge, and other measures of the rank.

    Notes
    -----
    L = A V V^T for the right vectors V of the search, truncated. ||A - L||_F^2 is
    ||A||_F^2 - ||A V||_F^2 plus the squares of the truncated values. Products and sums are in
    float64, and the error includes all of their roundings with their worst signs. If cancellation
    leaves fewer than six digits, one more read sums the entries of A - L, with 2 m n k operations.

    With a weight, let S = C C^T by its eigenvectors, and U the left singular vectors of A C. Then
    L = U U^T A, which needs no inverse of S (as in ASVD, SVD-LLM). The error is summed over the
    entries of (A - L) C. It takes max(m, n) n more float64 numbers.

    Passes: as :func:`svds` for k + 1 triplets, and one or two more. "edge" adds the passes of
    :func:`spectrum`. `energy` and `error` repeat the search for 16, 32, ... triplets; if all values
    cost less (:mod:`sigmascope._execution.costs`), :func:`svdvals` gives the rank.
    Memory: as :func:`svds`, then 4 (m + n) (k + 1) float64 numbers.
    """
    criterion = Criterion.of(rank, energy, error)
    approx = approximated(
        A,
        criterion,
        SearchArguments(tol, max_passes, precision, seed),
        part=part,
        weight=weight,
        **options,
    )
    return _told(approx)


def approximated(
    A: Any,
    criterion: Criterion,
    search: SearchArguments,
    *,
    part: str = "largest",
    weight: Any = None,
    **options: Any,
) -> LowRankApproximation:
    """Compute :func:`low_rank` for a criterion, without a warning."""
    started = time.perf_counter()
    tol, max_passes, precision, seed = search
    criterion.check_part(part, weighted=weight is not None)
    if isinstance(A, LowRank):
        if part == "smallest" or weight is not None:
            raise ValueError(
                "a product can only be truncated to its largest values, without a weight"
            )
        criterion.check(A.shape)
        A.check_memory(options.get("memory_limit"), vectors=True)
        return result_of(find_in_product(A, criterion), criterion, 1, started)
    a = matrix(A)
    call = CallOptions.of(a, precision=precision, precisions=SEARCHES, **options)
    criterion.check(a.shape)
    arguments.check_positive(tol=tol, max_passes=max_passes)
    how = Settings(call, options, tol, max_passes, arguments.resolve_seed(seed))
    if weight is not None:
        return weighted(a, weight, criterion, how, started)
    if part == "smallest":
        assert criterion.rank is not None
        truncation = find_smallest(a, criterion.rank, how)
    else:
        truncation = find(a, criterion, how)
    return result_of(truncation, criterion, call.threads, started)


def _told(approx: LowRankApproximation) -> LowRankApproximation:
    """Warn the caller of low_rank if the search or the criterion failed."""
    if not approx.met and approx.rank == 0:
        warnings.warn(
            f"{approx.criterion} does not apply, and the approximation is zero: "
            f"{approx.notes[0]}. Give a rank, energy or error",
            ConvergenceWarning,
            stacklevel=4,
        )
    elif not approx.met:
        rest, norm = approx.weighted or approx.remaining, approx.weighted_norm or approx.fro_norm
        warnings.warn(
            f"{approx.criterion} is not certain even with rank {approx.rank}: what remains is "
            f"{rest} of the norm {norm:.6g}",
            ConvergenceWarning,
            stacklevel=4,
        )
    elif not approx.converged:
        warnings.warn(
            f"the search of low_rank did not converge in {counted(approx.passes, 'read')} of A: "
            f"another product of rank {approx.rank} may be closer; the remaining error is still "
            "right",
            ConvergenceWarning,
            stacklevel=4,
        )
    return approx
