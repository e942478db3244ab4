# SPDX-License-Identifier: BSD-3-Clause
"""Results of the matrices of a stack, collected in arrays; a warning names failed matrices."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sigmascope._execution.options import CallOptions
from sigmascope._execution.stacks import Suffices, run_each
from sigmascope.errors import FailedMatrixWarning
from sigmascope.matrices.matrix import Matrix
from sigmascope.matrices.stacks import MatrixStack
from sigmascope.spectra import SVD, SingularValues, SingularValuesStack, Stack, SVDStack

R = TypeVar("R")
One = TypeVar("One", SVD, SingularValues)

_SHOWN = 3
"""Number of matrices that a message names."""


def run_stack(
    name: str,
    stack: MatrixStack,
    compute: Callable[[Matrix, CallOptions], R],
    call: CallOptions,
    suffices: Suffices,
    kept_nbytes: int = 0,
) -> Stack[R]:
    """Compute a result of each matrix of a stack.

    `name` is the name of the public function, which must call this one directly: the warning points
    to its caller. For the rest see :func:`sigmascope._execution.stacks.run_each`.

    Raises
    ------
    Exception
        If all matrices failed: the exception of the first one.

    Warns
    -----
    FailedMatrixWarning
        If some matrices failed.
    """
    started = time.perf_counter()
    outcomes = run_each(stack.matrices, compute, call, suffices, kept_nbytes)
    results = Stack(stack.shape, tuple(outcomes), time.perf_counter() - started)
    failures = results.failures
    if not failures:
        return results
    count, first = len(outcomes), next(iter(failures.values()))
    if len(failures) == count:
        first.add_note(f"{name} failed for all {count} matrices of the stack; this is the first")
        raise first
    shown = [f"{_name(index)} ({error})" for index, error in failures.items()]
    warnings.warn(
        f"{name} failed for {len(failures)} of {count} matrices, whose results are missing or "
        f"NaN: {format_names(shown)}",
        FailedMatrixWarning,
        stacklevel=4,
    )
    return results


def format_names(names: Sequence[str]) -> str:
    """Return the first names of matrices, and the number of others."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def not_converged(triplets: SVDStack) -> list[str]:
    """Return the names of the matrices whose triplets have not converged, without failed ones."""
    return [_name(index) for index, one in triplets.items() if not one.converged]


def _name(index: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, index))}]"


def svd_stack(
    results: Stack[SVD], call: CallOptions, a: Matrix, k: int, *, vectors: bool = True
) -> SVDStack:
    """Collect the triplets of matrices that have the shape of `a`."""
    shape, outcomes, seconds = results.shape, list(results.outcomes), results.seconds
    count, (m, n) = len(outcomes), a.shape
    starts = {"s": np.nan, "residuals": np.inf, "errors": np.inf}
    arrays: dict[str, Any] = {name: np.full((count, k), x) for name, x in starts.items()}
    if vectors:
        arrays["U"] = _empty_vectors([getattr(one, "U", None) for one in outcomes], m, k, call)
        arrays["Vt"] = _empty_vectors([getattr(one, "Vt", None) for one in outcomes], k, n, call)
    del results  # each matrix gives up its own vectors once they are copied
    for i, one in enumerate(outcomes):
        outcomes[i] = _with_views(one, {name: array[i] for name, array in arrays.items()})
    return SVDStack(
        shape=shape,
        outcomes=tuple(outcomes),
        seconds=seconds,
        U=_in_axes(arrays.get("U"), shape),
        Vt=_in_axes(arrays.get("Vt"), shape),
        s=_in_axes(arrays["s"], shape),
        residuals=_in_axes(arrays["residuals"], shape),
        errors=_in_axes(arrays["errors"], shape),
        converged=_of_each(outcomes, shape, "converged", False),
        passes=_of_each(outcomes, shape, "passes", 0),
        fro_norm=_of_each(outcomes, shape, "fro_norm", np.nan),
    )


def values_stack(results: Stack[SingularValues], p: int) -> SingularValuesStack:
    """Collect every singular value of matrices that have p of them."""
    shape, outcomes = results.shape, list(results.outcomes)
    values = np.full((len(outcomes), p), np.nan)
    errors = np.full((len(outcomes), p), np.inf)
    for i, one in enumerate(outcomes):
        outcomes[i] = _with_views(one, {"values": values[i], "errors": errors[i]})
    return SingularValuesStack(
        shape=shape,
        outcomes=tuple(outcomes),
        seconds=results.seconds,
        values=_in_axes(values, shape),
        errors=_in_axes(errors, shape),
        floor=_of_each(outcomes, shape, "floor", np.inf),
        passes=_of_each(outcomes, shape, "passes", 0),
        fro_norm=_of_each(outcomes, shape, "fro_norm", np.nan),
    )


def _empty_vectors(parts: Sequence[Any], rows: int, columns: int, call: CallOptions) -> Any:
    """Return an array for the vectors of all matrices, in the library of their vectors."""
    precisions = [str(part.dtype) for part in parts if part is not None] or [call.precision]
    precision = "float64" if any("float64" in name for name in precisions) else "float32"
    library, index = call.device.library, call.device.index
    if library is None or index is None:
        return np.full((len(parts), rows, columns), np.nan, precision)
    array = library.empty((len(parts) * rows, columns), precision, index)
    return array.reshape(len(parts), rows, columns)


def _with_views(one: One | Exception, places: dict[str, Any]) -> One | Exception:
    """Copy the arrays of a result into the arrays of the stack; return it with these views.

    An array of another dtype stays as it is. A failed matrix has NaN for vectors.
    """
    if isinstance(one, Exception):
        for name in ("U", "Vt"):
            if name in places:
                places[name][...] = float("nan")
        return one
    views = {}
    for name, place in places.items():
        own = getattr(one, name)
        place[...] = own
        views[name] = place if place.dtype == own.dtype else own
    return replace(one, **views)


def _in_axes(array: Any, shape: tuple[int, ...]) -> Any:
    return None if array is None else array.reshape(*shape, *array.shape[1:])


def _of_each(
    outcomes: Sequence[object], shape: tuple[int, ...], name: str, missing: float
) -> NDArray[Any]:
    """Return an attribute of each result, which is a number; `missing` for failed matrices."""
    numbers = [getattr(one, name, missing) for one in outcomes]
    return np.array(numbers, dtype=type(missing)).reshape(shape)
