# SPDX-License-Identifier: BSD-3-Clause
"""cuSOLVER's gesvdr and gesvdp on arrays of CuPy, by ctypes since CuPy 14 binds neither.

The prototypes are from cusolverDn.h. Matrices are stored by columns, m >= n.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

_TYPES = {"float32": 0, "float64": 1}
"""Values of cudaDataType."""

_VECTORS, _ECONOMIC = 1, 1


def gesvdr(A: Any, k: int, oversampling: int, n_iter: int) -> tuple[Any, Any, Any]:
    """Find the k largest singular triplets by randomized subspace iteration.

    Parameters
    ----------
    A : array of CuPy, shape (m, n), m >= n, float32 or float64
    k, oversampling, n_iter : int
        Triplets, further columns of the block (at most n - k) and iterations.

    Returns
    -------
    U (m, k), s (k,), V (n, k)

    Raises
    ------
    TypeError
        If cuSOLVER has no such routine for the dtype.
    RuntimeError
        If cuSOLVER refuses the call or does not converge.
    """
    import cupy

    m, n = A.shape
    a, s, kind = _operands(A)
    # It needs full matrices, and writes k columns of them.
    U, V = (cupy.empty((extent, extent), A.dtype, order="F") for extent in (m, n))
    arguments = [
        ctypes.c_byte(ord("S")),
        ctypes.c_byte(ord("S")),
        *map(ctypes.c_int64, (m, n, k, min(oversampling, n - k), n_iter)),
        *_arrays(kind, a, s, U, V),
    ]
    _run("cusolverDnXgesvdr", arguments, [])
    return U[:, :k], s[:k], V[:, :k]


def gesvdp(A: Any) -> tuple[Any, Any, Any]:
    """Find every singular triplet by the polar decomposition.

    Parameters
    ----------
    A : array of CuPy, shape (m, n), m >= n, float32 or float64

    Returns
    -------
    U (m, n), s (n,), V (n, n)

    Raises
    ------
    TypeError
        If cuSOLVER has no such routine for the dtype.
    RuntimeError
        If cuSOLVER refuses the call or does not converge.
    """
    import cupy

    m, n = A.shape
    a, s, kind = _operands(A)
    U, V = (cupy.empty((extent, n), A.dtype, order="F") for extent in (m, n))
    arguments = [
        *map(ctypes.c_int, (_VECTORS, _ECONOMIC)),
        *map(ctypes.c_int64, (m, n)),
        *_arrays(kind, a, s, U, V),
    ]
    perturbation = ctypes.c_double(0.0)  # of the values; the accuracy check sees it
    _run("cusolverDnXgesvdp", arguments, [ctypes.byref(perturbation)])
    return U, s, V


def _operands(A: Any) -> tuple[Any, Any, Any]:
    """Return a copy of A by columns, which is overwritten, space for values, and the data type."""
    import cupy

    if A.dtype.name not in _TYPES:
        raise TypeError(f"cuSOLVER takes float32 and float64, not {A.dtype.name}")
    kind = ctypes.c_int(_TYPES[A.dtype.name])
    return cupy.array(A, order="F", copy=True), cupy.empty(A.shape[1], A.dtype), kind


def _arrays(kind: Any, a: Any, s: Any, U: Any, V: Any) -> Iterator[Any]:
    """Yield arrays by columns as arguments: type, pointer and rows; at last the type of sums."""
    for array in (a, s, U, V):
        yield from (kind, _pointer(array))
        if array is not s:
            yield ctypes.c_int64(len(array))
    yield kind


def _pointer(array: Any) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.data.ptr)


@cache
def _library() -> Any:
    """Load the library of cuSOLVER that CuPy uses."""
    from cuda.pathfinder import load_nvidia_dynamic_lib

    return ctypes.CDLL(load_nvidia_dynamic_lib("cusolver").abs_path)


def _run(name: str, arguments: Sequence[Any], outputs: Sequence[Any]) -> None:
    """Call a routine of the 64-bit interface with the workspace that it asks for."""
    import cupy
    from cupy.cuda import cusolver

    handle = cupy.cuda.device.get_cusolver_handle()
    cusolver.setStream(handle, cupy.cuda.get_current_stream().ptr)
    params = cusolver.createParams()
    try:
        head = [ctypes.c_void_p(handle), ctypes.c_void_p(params), *arguments]
        on_device, on_host = ctypes.c_size_t(0), ctypes.c_size_t(0)
        _check(f"{name}_bufferSize", *head, ctypes.byref(on_device), ctypes.byref(on_host))
        work = cupy.empty(max(on_device.value, 1), "uint8")
        host = ctypes.create_string_buffer(max(on_host.value, 1))
        info = cupy.zeros(1, "int32")
        _check(
            name,
            *head,
            *(_pointer(work), on_device),
            *(ctypes.cast(host, ctypes.c_void_p), on_host),
            _pointer(info),
            *outputs,
        )
        if int(info[0]) != 0:
            raise RuntimeError(f"{name} did not converge: info = {int(info[0])}")
    finally:
        cusolver.destroyParams(params)


def _check(name: str, *arguments: Any) -> None:
    status = getattr(_library(), name)(*arguments)
    if status != 0:
        raise RuntimeError(f"{name} returned status {status} of cusolverStatus_t")
