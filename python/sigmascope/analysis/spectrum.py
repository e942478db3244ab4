# SPDX-License-Identifier: BSD-3-Clause
"""Everything that one effort can say of one matrix: the call that a scan makes for each tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack, overload

from sigmascope._execution import arguments
from sigmascope._execution.keywords import SpectrumOptions
from sigmascope._host.keywords import public
from sigmascope.matrices.stacks import ArrayOfAnyShape, ManyMatrices, OneMatrix, stack_of
from sigmascope.solvers.stacked import run_stack
from sigmascope.spectra import Spectrum, Stack
from sigmascope.spectra.statistics import Extremes

from .admission import SpectrumRequest
from .low_rank import LowRank
from .one_matrix import Analysis, result_nbytes
from .requested import REQUESTED, check_measures
from .routes import EFFORTS

__all__ = ["EFFORTS", "REQUESTED", "spectrum"]


@overload
def spectrum(
    A: ArrayOfAnyShape,
    *,
    effort: str = "density",
    k: int = 64,
    tol: float = 1e-3,
    max_passes: int = 300,
    accuracy: str = "reference",
    measures: str | Sequence[str] = (),
    seed: int | None = 0,
    vectors: bool = False,
    elements: bool = True,
    **options: Unpack[SpectrumOptions],
) -> Any: ...


@overload
def spectrum(
    A: OneMatrix | LowRank,
    *,
    effort: str = "density",
    k: int = 64,
    tol: float = 1e-3,
    max_passes: int = 300,
    accuracy: str = "reference",
    measures: str | Sequence[str] = (),
    seed: int | None = 0,
    vectors: bool = False,
    elements: bool = True,
    **options: Unpack[SpectrumOptions],
) -> Spectrum: ...


@overload
def spectrum(
    A: ManyMatrices,
    *,
    effort: str = "density",
    k: int = 64,
    tol: float = 1e-3,
    max_passes: int = 300,
    accuracy: str = "reference",
    measures: str | Sequence[str] = (),
    seed: int | None = 0,
    vectors: bool = False,
    elements: bool = True,
    **options: Unpack[SpectrumOptions],
) -> Stack[Spectrum]: ...


@overload
def spectrum(
    A: Any,
    *,
    effort: str = "density",
    k: int = 64,
    tol: float = 1e-3,
    max_passes: int = 300,
    accuracy: str = "reference",
    measures: str | Sequence[str] = (),
    seed: int | None = 0,
    vectors: bool = False,
    elements: bool = True,
    **options: Unpack[SpectrumOptions],
) -> Any: ...


@public
def spectrum(
    A: Any,
    *,
    effort: str = "density",
    k: int = 64,
    tol: float = 1e-3,
    max_passes: int = 300,
    accuracy: str = "reference",
    measures: str | Sequence[str] = (),
    seed: int | None = 0,
    vectors: bool = False,
    elements: bool = True,
    **options: Unpack[SpectrumOptions],
) -> Spectrum | Stack[Spectrum]:
    """Compute every measure that an effort allows, each with its error.

    Examples
    --------
    >>> import numpy as np, sigmascope as ss
    >>> A = np.random.default_rng(0).standard_normal((300, 200))
    >>> measures = ss.spectrum(A, effort="exact")
    >>> rank = measures["stable_rank"]
    >>> bool(abs(rank.value - (A**2).sum() / np.linalg.norm(A, 2) ** 2) <= rank.error)
    True

    Parameters
    ----------
    A : Matrix, LowRank, or anything that :func:`matrix` takes, shape (m, n); or a stack
        A stack has the shape (..., m, n), as for :func:`svds`. The spectrum of a LowRank is always
        exact; of the options, only k and memory_limit apply to it.
    effort : {"top", "density", "exact"}
        "top" finds the k largest values, which give norms and the concentration of energy.
        "density" also estimates the distribution of all values, with errors, from a few random
        vectors: ranks, entropies and noise edges follow from it. "exact" computes every value, in
        a time that grows with the cube of the smaller side; power laws need it. If every value
        costs less than the request, all are computed instead, and `method` says so.
    k : int
        Number of largest values; min(m, n) if that is less.
    tol : float
        Bound on errors, in units of sigma_1; in the bulk on residuals (errors <= 10 tol).
    accuracy : {"reference", "fast"}
        Accuracy if every value is computed: see :func:`svdvals`.
    measures : str or sequence of str
        Further measures, which take reads of their own: "alpha_farms", "randomized_distance",
        "correlation_traps" (:mod:`sigmascope.analysis.requested`).
    vectors : bool
        Whether to return the vectors of the k largest values too, as `svd`. They come from the same
        steps, and are as good as their residuals say (with a density, those of the recurrence).
    elements : bool
        Whether to compute the statistics of the elements, which take one pass.
    max_passes, seed, **options
        As for :func:`svds`.

    Returns
    -------
    Spectrum
        The measures. Measures that this effort cannot give are absent.
    Stack
        For a stack: item i is the Spectrum of matrix i, with the bits of a separate call.
        `failures` has the exceptions of failed matrices.

    Raises
    ------
    ValueError
        If an argument is out of range.
    NonFiniteError
        If A, or every matrix of a stack, contains NaN or infinity. The message says how many, and
        where the first one is.
    MemoryLimitError, DeviceError
        If the effort or a further measure does not fit into memory_limit, or into the free memory
        of the device; or if there is no such device.

    Warns
    -----
    FailedMatrixWarning
        If some matrices of a stack failed.

    See Also
    --------
    svds : The largest values with their vectors.
    scan : The spectrum of every matrix of a checkpoint.

    Notes
    -----
    Passes: one for the moments, one for the range, then the passes of :func:`svds` or
    :func:`svdvals`; one more for randomized_distance or correlation_traps, with which the call
    takes three times as long. A matrix in files is read from disk once if it fits into memory_limit
    together with what the call needs (:mod:`sigmascope._execution.memory`). Of a larger matrix, the
    part that fits is read once.

    With ``device="cuda"`` the device computes the statistics of the elements, the products, the
    basis and the Gram matrices, for the matrix and for its permutations. The CPU computes
    "alpha_farms", the spectrum of a LowRank, small eigenproblems and the measures themselves.
    `Spectrum.device` names the device that found the singular values.
    """
    requested = check_measures(measures)
    query = SpectrumRequest(effort, k, tol, accuracy, requested, vectors, {**options})
    return analysed(A, query, max_passes=max_passes, seed=seed, elements=elements)


def analysed(
    A: Any,
    query: SpectrumRequest,
    *,
    seed: int | None,
    max_passes: int = 300,
    elements: bool = True,
    extremes: Extremes | None = None,
) -> Spectrum | Any:
    """Compute :func:`spectrum`, with all options of `CallOptions.of` in `query`.

    `extremes`: those of the matrix, if they are known without the statistics of its elements.
    """
    if isinstance(A, LowRank):
        return A.spectrum(query.k, memory_limit=query.options.get("memory_limit"))
    stack = stack_of(A)
    arguments.check_positive(max_passes=max_passes)
    chosen, memory = query.chosen(stack.pattern)
    seed = arguments.resolve_seed(seed)
    analysis = Analysis(query, max_passes, seed, elements, extremes)
    if stack.is_single:
        return analysis.compute(chosen, memory)
    kept = result_nbytes(chosen)
    call = memory.options
    return run_stack("spectrum", stack, analysis.of_share, call, analysis.suffices, kept)
