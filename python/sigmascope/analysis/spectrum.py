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
        A stack has the shape (..., m, n), as for :func:`svds`. Of a LowRank the spectrum is exact,
        and no other option than k counts.
    effort : {"top", "density", "exact"}
        "top" finds the k largest values, which give norms and the concentration of energy.
        "density" also estimates the distribution of all values, with errors, from a few random
        vectors: ranks, entropies and noise edges follow from it. "exact" computes every value, in
        a time that grows with the cube of the smaller side; power laws need it. Where every value
        costs less than what was asked, it is computed instead, and `method` says so.
    k : int
        Largest values wanted; min(m, n) if that is less.
    tol : float
        Error bound of the k values, in units of sigma_1.
    accuracy : {"reference", "fast"}
        Of every value: see :func:`svdvals`.
    measures : str or sequence of str
        Further measures, which take reads of their own: "alpha_farms", "randomized_distance",
        "correlation_traps" (:mod:`sigmascope.analysis.requested`).
    vectors : bool
        Whether the vectors of the k largest values are wanted as well, as `svd`: they come from the
        same steps, and are as good as their residuals say (with a density those of the recurrence).
    elements : bool
        Whether the statistics of the elements are wanted; without, one pass less.
    max_passes, seed, **options
        As for :func:`svds`.

    Returns
    -------
    Spectrum
        A measure that this effort cannot give is absent.
    Stack
        Of a stack: item i is the Spectrum of matrix i, with the bits of the call on that matrix
        alone; `failures` has the exceptions of matrices that failed.

    Raises
    ------
    ValueError
        If an argument is out of range.
    NonFiniteError
        If A holds NaN or infinity: how many, and where the first is; of a stack, if all
        matrices do.
    MemoryLimitError, DeviceError
        If the effort, or a measure on request, does not fit into memory_limit, or into the free
        memory of the device; or if there is no such device.

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
    Passes: one for the moments, one for the range, then those of :func:`svds` or :func:`svdvals`;
    one more for randomized_distance or correlation_traps, which take three times as long in all.
    A matrix in files that fits into memory_limit together with what the call needs
    (:mod:`sigmascope._execution.memory`) is read from disk once. Of a larger matrix, the part that
    fits is read once.

    With ``device="cuda"`` the device computes the statistics of the elements, the products, the
    basis and the Gram matrices, of the matrix and of its permutations. The CPU computes
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

    `extremes`: of the matrix, where they are known without the statistics of its elements.
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
