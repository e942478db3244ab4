# SPDX-License-Identifier: BSD-3-Clause
"""Results of a stack of matrices: arrays with its axes, and the result of each matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from types import EllipsisType
from typing import Any, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from sigmascope._words.text import at_most

from .array_values import ArrayOfValues
from .results import SVD, SingularValues

R = TypeVar("R")
Array = NDArray[np.float64]
Index = tuple[int, ...]

_SHOWN = 3
"""Number of failed matrices that a representation names."""


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class StackedResults(Generic[R]):
    """Base of the results of a stack.

    Attributes
    ----------
    shape
        Axes of the stack: the (...) in (..., m, n).
    outcomes
        The result of each matrix in row order, or the exception that its computation raised.
    seconds
        Wall time of the whole stack.
    """

    shape: Index
    outcomes: tuple[R | Exception, ...]
    seconds: float

    @property
    def failures(self) -> dict[Index, Exception]:
        """Exceptions of the failed matrices, by their index in the stack."""
        return {i: each for i, each in self._indexed() if isinstance(each, Exception)}

    def items(self) -> Iterator[tuple[Index, R]]:
        """Iterate over index and result of each matrix that did not fail."""
        for index, each in self._indexed():
            if not isinstance(each, Exception):
                yield index, each

    def each(self, get: Callable[[R], float]) -> Array:
        """Compute one number from each result, as an array with the axes of the stack.

        Parameters
        ----------
        get
            Function that maps the result of one matrix to a number.

        Returns
        -------
        (...) float64
            NaN for failed matrices.

        Examples
        --------
        >>> import numpy as np, sigmascope as ss
        >>> experts = np.random.default_rng(0).standard_normal((4, 60, 40))
        >>> found = ss.spectrum(experts, effort="exact")
        >>> found.each(lambda one: one["stable_rank"].value).shape
        (4,)
        """
        numbers = np.full(self.shape, np.nan)
        for index, one in self.items():
            numbers[index] = get(one)
        return numbers

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> R | Any:
        """Return the result of one matrix, or the results of a part of the stack.

        Raises
        ------
        Exception
            If the matrix failed: the exception of its computation.
        IndexError
            If there is no such matrix.
        """
        explicit = _without_ellipsis(index, len(self.shape))
        places = np.arange(len(self.outcomes)).reshape(self.shape)[explicit]
        if places.ndim > 0:
            return self._part(places, explicit)
        one = self.outcomes[int(places)]
        if isinstance(one, Exception):
            raise one.with_traceback(None)
        return one

    def _part(self, places: NDArray[np.intp], index: tuple[Any, ...]) -> Self:
        outcomes = tuple(self.outcomes[place] for place in places.ravel().tolist())
        own = {field.name for field in fields(StackedResults)}
        stacked = {
            field.name: array[index]
            for field in fields(self)
            if field.name not in own and (array := getattr(self, field.name)) is not None
        }
        return replace(self, shape=places.shape, outcomes=outcomes, **stacked)

    def _indexed(self) -> Iterator[tuple[Index, R | Exception]]:
        return zip(np.ndindex(self.shape), self.outcomes, strict=True)

    def _told(self, name: str, *facts: str) -> str:
        """Return the representation: the shape of the stack, facts, failures, seconds."""
        failed = [_place(index) for index in self.failures]
        if failed:
            more = ", ..." if len(failed) > _SHOWN else ""
            facts += (f"{len(failed)} failed: {', '.join(failed[:_SHOWN])}{more}",)
        axes = " x ".join(map(str, self.shape))
        return f"{name}({axes} matrices, {', '.join(facts)}, {self.seconds:.2f} s)"


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Stack(StackedResults[R]):
    """Densities or spectra of a stack of matrices: ``found[i]`` is the result of matrix i.

    Iteration runs over the first axis. Like ``found[i]``, it raises the exception of a failed
    matrix; :meth:`items` leaves failed matrices out.

    Attributes
    ----------
    shape, outcomes, seconds, failures
        Axes of the stack; results or exceptions in row order; wall time; exceptions by index.
    """

    def __iter__(self) -> Iterator[R | Any]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        done = [one for _, one in self.items()]
        return self._told("Stack", f"{len(done)} of {type(done[0]).__name__}" if done else "none")


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class SVDStack(StackedResults[SVD]):
    """The top k singular triplets of each matrix of a stack; unpacks as ``U, s, Vt``.

    ``found[i]`` is the :class:`SVD` of matrix i, with its own evidence. It raises the exception of
    a failed matrix. In the arrays a failed matrix has NaN, and infinite errors and residuals.

    Attributes
    ----------
    U, s, Vt
        (..., m, k) or None, (..., k), (..., k, n) or None. As in :class:`SVD`, they may be torch
        tensors. If some vectors are in float64 and others in float32, all are in float64 here;
        ``found[i]`` has them as they were computed.
    residuals, errors
        (..., k) sigma units.
    converged, passes, fro_norm
        (...) one for each matrix; False, 0 and NaN if it failed.
    shape, outcomes, seconds, failures
        Axes of the stack; results or exceptions in row order; wall time; exceptions by index.
    """

    U: Any
    s: Array
    Vt: Any
    residuals: Array
    errors: Array
    converged: NDArray[np.bool_]
    passes: NDArray[np.int64]
    fro_norm: Array

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return iter((self.U, self.s, self.Vt))

    def __repr__(self) -> str:
        return self._told(
            "SVDStack",
            f"k = {self.s.shape[-1]}",
            _largest(np.asarray(self.s), self.errors),
            f"{np.count_nonzero(self.converged)} converged",
        )


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class SingularValuesStack(ArrayOfValues, StackedResults[SingularValues]):
    """Every singular value of each matrix of a stack; behaves like the array of its values.

    ``found[i]`` is the :class:`SingularValues` of matrix i. It raises the exception of a failed
    matrix. In the arrays a failed matrix has NaN, and infinite errors and floor.

    Attributes
    ----------
    values, errors
        (..., p) descending along the last axis, and a bound on the error of each; sigma units.
    floor, passes, fro_norm
        (...) one for each matrix, as in :class:`SingularValues`; `passes` is 0 if it failed.
    shape, outcomes, seconds, failures
        Axes of the stack; results or exceptions in row order; wall time; exceptions by index.
    """

    values: Array
    errors: Array
    floor: Array
    passes: NDArray[np.int64]
    fro_norm: Array

    def __iter__(self) -> Iterator[SingularValues | Any]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        count = f"{self.values.shape[-1]} values each"
        return self._told("SingularValuesStack", count, _largest(self.values, self.errors))


def _largest(s: Array, errors: Array) -> str:
    """Return the range of the largest values, and the largest error, over matrices that worked."""
    first = s[..., 0][np.isfinite(s[..., 0])]
    if first.size == 0:
        return "no values"
    bound = float(at_most(errors[np.isfinite(errors)].max(initial=0.0)))
    return f"sigma_1 from {first.min():.6g} to {first.max():.6g}, error <= {bound:.1g}"


def _place(index: Index) -> str:
    return str(index[0] if len(index) == 1 else index)


def _without_ellipsis(index: Any, axes: int) -> tuple[Any, ...]:
    """Return an index with explicit axes of the stack; it never reaches an axis of a result."""
    parts = index if isinstance(index, tuple) else (index,)
    for place, part in enumerate(parts):
        if isinstance(part, EllipsisType):
            between = (slice(None),) * (axes - len(parts) + 1)
            return (*parts[:place], *between, *parts[place + 1 :])
    return parts
