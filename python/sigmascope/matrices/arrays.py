# SPDX-License-Identifier: BSD-3-Clause
"""Arrays, tensors and sequences of numbers as matrices, without a copy where possible."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope._host.native import _core

from .device_arrays import detached, exported, from_device, lies_on_device
from .dtypes import array_dtype
from .integers import check_exact, exact_float64
from .refusals import (
    MASKED,
    check_kind,
    complex_refusal,
    dtype_name,
    holds_integers,
    not_two,
    unsupported,
)

_NESTED = 4
"""Depth to which nested sequences are checked; no array of this package has more dimensions."""


def is_array(source: Any) -> bool:
    """Return whether an object is an array of NumPy, or of a library that exports its memory."""
    exports = ("__dlpack__", "__cuda_array_interface__")
    return isinstance(source, np.ndarray) or any(hasattr(source, name) for name in exports)


def native_array(source: Any, codes: str | None = None) -> _core.Matrix:
    """Make a matrix, in the native engine, of an array, a tensor or a sequence of numbers.

    Parameters
    ----------
    source : array-like
        It stays where it is, on the host or on a GPU, if a matrix may have its dtype.
    codes : str, optional
        The dtype of the codes in an array of unsigned integers.

    Raises
    ------
    TypeError, ValueError, DeviceError
        As :func:`sigmascope.matrix` does.
    """
    check_unmasked(source)
    if not isinstance(source, np.ndarray):
        check_kind(source)
        if lies_on_device(source):
            if codes is None and holds_integers(source):
                raise TypeError(unsupported(np.dtype(dtype_name(source))))
            return from_device(source, codes)
        if hasattr(source, "__dlpack__") and codes is None and not holds_integers(source):
            return _from_dlpack(source)
        source = array_of(source)
    if codes is None:
        source = storable(source)
    kind = array_dtype(source.dtype, codes)
    if source.ndim != 2:
        raise ValueError(f"a matrix has 2 dimensions, {not_two(source.shape)}")
    address = source.__array_interface__["data"][0]
    return _core.Matrix.from_memory(address, source, kind, *source.shape, *source.strides)


def _from_dlpack(source: Any) -> _core.Matrix:
    source = detached(source)
    shape = tuple(getattr(source, "shape", (0, 0)))
    if len(shape) != 2:
        raise ValueError(f"a matrix has 2 dimensions, {not_two(shape)}")
    return _core.Matrix.from_dlpack(exported(source), source, "")


def array_of(source: Any) -> NDArray[Any]:
    """Convert an array-like of numbers; TypeError for anything else."""
    if hasattr(source, "__dlpack__"):
        return np.from_dlpack(source)
    try:
        return real_array(source)
    except (TypeError, ValueError) as error:
        kind = type(source).__name__
        raise TypeError(f"a {kind} cannot be converted to a matrix: {error}") from error


def check_unmasked(x: Any, nested: int = _NESTED) -> None:
    """Raise TypeError for an array with masked elements, or a sequence that holds one.

    The arbitrary values under a mask would count as numbers.
    """
    if type(x) is np.ndarray:  # most arrays
        return
    if np.ma.is_masked(x):
        raise TypeError(MASKED)
    if isinstance(x, list | tuple) and nested:
        for part in x:
            check_unmasked(part, nested - 1)


def real_array(x: Any) -> NDArray[np.float64]:
    """Convert an array-like to float64.

    Raises
    ------
    TypeError
        It is masked, complex, or does not hold numbers.
    ValueError
        Its rows differ in length, it holds text, or an integer that float64 does not have.
    """
    check_unmasked(x)
    array = np.asarray(x)
    if array.dtype.kind in "cSUmM":
        raise TypeError(unsupported(array.dtype))
    if array.dtype.kind == "O" and any(isinstance(each, complex) for each in array.flat):
        raise TypeError(f"a matrix of complex numbers {complex_refusal()}")
    if array.dtype.kind in "iub":
        return exact_float64(array)
    check_exact(array if isinstance(x, np.ndarray) else x)
    return np.asarray(array, dtype=np.float64)


def storable(x: NDArray[Any]) -> NDArray[Any]:
    """Return an array in a dtype that a matrix may have: as it is, or an exact copy of it.

    Integers and booleans become float64, as in NumPy; floats whose bytes are in the other order are
    turned. Other dtypes that a matrix does not have are left for :func:`unsupported` to refuse.

    Raises
    ------
    ValueError
        If float64 does not have one of the integers.
    """
    if isinstance(x, np.ma.MaskedArray):
        x = x.data
    if x.dtype.kind in "iub":
        return exact_float64(x)
    if x.dtype.kind == "f" and not x.dtype.isnative:
        return x.astype(x.dtype.newbyteorder("="))
    return x
