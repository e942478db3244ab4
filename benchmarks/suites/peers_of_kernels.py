# SPDX-License-Identifier: BSD-3-Clause
"""sigmascope and the libraries its kernels are timed against, each behind the same small call.

A library that is not installed is skipped. Those that compute singular triplets are compared by
`sigmascope bench`, in processes of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import sigmascope as ss
from sigmascope import _core
from sigmascope._host.threads import resolve_threads
from sigmascope.bench.machine import installed
from sigmascope.results import SVD

Array = NDArray[Any]

OURS = "sigmascope"


@dataclass(frozen=True)
class Peer:
    """One way to compute something."""

    name: str
    package: str
    run: Callable[..., Any]
    dtypes: tuple[str, ...] = ()
    """Storage that it takes; empty: all that are asked."""

    @property
    def installed(self) -> bool:
        return installed(self.package)

    def takes(self, dtype: str) -> bool:
        return not self.dtypes or dtype in self.dtypes


# ---------------------------------------------------------------------------------- k triplets


def ours_svds(A: Array, k: int, tol: float) -> SVD:
    return ss.svds(A, k, tol=tol)


SVDS = (Peer(OURS, "sigmascope", ours_svds),)

# --------------------------------------------- every singular value of a float32 or bf16 array

FAST = "sigmascope, fast"


def ours_svdvals(A: Array) -> Array:
    return ss.svdvals(A).values


def ours_fast_svdvals(A: Array) -> Array:
    return ss.svdvals(A, accuracy="fast").values


def numpy_svdvals(A: Array) -> Array:
    return np.linalg.svd(A.astype(np.float32), compute_uv=False)


def numpy_svdvals_f64(A: Array) -> Array:
    return np.linalg.svd(A.astype(np.float64), compute_uv=False)


def numpy_gram_f64(A: Array) -> Array:
    wide = A.astype(np.float64)
    return np.asarray(np.sqrt(np.maximum(np.linalg.eigvalsh(wide.T @ wide)[::-1], 0.0)))


def lapack_two_stage(A: Array) -> Array:
    """The float64 Gram matrix by dsyrk, its eigenvalues by LAPACK's two-stage dsyevd.

    SciPy wraps no two-stage driver, so OpenBLAS is called directly. A is square or tall.
    """
    from ctypes import CDLL, byref, c_char_p, c_double, c_int, c_void_p

    import scipy_openblas32

    blas = CDLL(f"{scipy_openblas32.get_lib_dir()}/libscipy_openblas.so")
    blas.scipy_openblas_set_num_threads(c_int(resolve_threads(None)))
    wide = np.ascontiguousarray(A, dtype=np.float64)
    m, n = (c_int(extent) for extent in wide.shape)
    G, values = np.zeros((n.value, n.value)), np.zeros(n.value)
    one, zero, failed = c_double(1), c_double(0), c_int()
    lower, none = c_char_p(b"L"), c_char_p(b"N")
    at = [c_void_p(array.ctypes.data) for array in (wide, G, values)]
    blas.scipy_dsyrk_(
        lower, none, *map(byref, (n, m, one)), at[0], *map(byref, (n, zero)), at[1], byref(n)
    )

    def solve(work: Array, size: int, integers: Array, count: int) -> None:
        blas.scipy_dsyevd_2stage_(
            none,
            lower,
            byref(n),
            at[1],
            byref(n),
            at[2],
            c_void_p(work.ctypes.data),
            byref(c_int(size)),
            c_void_p(integers.ctypes.data),
            byref(c_int(count)),
            byref(failed),
        )

    work, integers = np.zeros(1), np.zeros(1, dtype=np.int32)
    solve(work, -1, integers, -1)
    count = max(int(integers[0]), 1)
    solve(np.zeros(int(work[0])), int(work[0]), np.zeros(count, dtype=np.int32), count)
    assert failed.value == 0
    return np.asarray(np.sqrt(np.maximum(values[::-1], 0.0)))


TWO_STAGE = "float64 Gram matrix, dsyevd_2stage"

SVDVALS = (
    Peer(OURS, "sigmascope", ours_svdvals),
    Peer(FAST, "sigmascope", ours_fast_svdvals),
    Peer(TWO_STAGE, "scipy_openblas32", lapack_two_stage),
    Peer("numpy svd, float32", "numpy", numpy_svdvals),
    Peer("numpy svd, float64", "numpy", numpy_svdvals_f64),
    Peer("numpy eigvalsh of the float64 Gram matrix", "numpy", numpy_gram_f64),
)

# ------------------------------------------- a stored array to numbers: float32, or float64 of f64


def ours_decode(A: Array) -> Array:
    return np.asarray(ss.matrix(A))


def numpy_decode(A: Array) -> Array:
    return A.astype(np.float64 if A.dtype == np.float64 else np.float32)


def torch_decode(A: Array) -> Array:
    import torch

    tensor = torch_tensor(A)
    wanted = torch.float64 if tensor.dtype == torch.float64 else torch.float32
    return tensor.to(wanted, copy=True).numpy()


def torch_tensor(A: Array) -> Any:
    """The same bytes as a torch tensor."""
    import torch

    names = {"bfloat16": "bfloat16", "float8_e4m3fn": "float8_e4m3fn", "float8_e5m2": "float8_e5m2"}
    if A.dtype.name not in names:
        return torch.from_numpy(A)
    codes = torch.from_numpy(A.view(np.int16 if A.dtype.itemsize == 2 else np.uint8))
    return codes.view(getattr(torch, names[A.dtype.name]))


DECODE = (
    Peer(OURS, "sigmascope", ours_decode),
    Peer("torch", "torch", torch_decode),
    Peer("numpy, ml_dtypes", "ml_dtypes", numpy_decode),
)

# -------------------- products in float32; "gram" is (A^T (A X), A X), the step of a Krylov method


def ours_product(A: Array, X: Array, verb: str) -> Any:
    return _core.product_f32(
        ss.matrix(A).native,
        X,
        verb,
        threads=resolve_threads(None),
        panel_rows=0,
        load_bytes=0,
        progress=None,
    )


def numpy_product(A: Array, X: Array, verb: str) -> Any:
    return _apply(A, X, verb)


def torch_product(A: Array, X: Array, verb: str) -> Any:
    import torch

    result = _apply(torch_tensor(A).to(torch.float32), torch.from_numpy(X), verb)
    return tuple(part.numpy() for part in result) if verb == "gram" else result.numpy()


def torch_product_bf16(A: Array, X: Array, verb: str) -> Any:
    import torch

    result = _apply(torch_tensor(A), torch.from_numpy(X).to(torch.bfloat16), verb)
    if verb == "gram":
        return tuple(part.to(torch.float32).numpy() for part in result)
    return result.to(torch.float32).numpy()


def _apply(A: Any, X: Any, verb: str) -> Any:
    if verb == "multiply":
        return A @ X
    if verb == "adjoint":
        return A.T @ X
    image = A @ X
    return A.T @ image, image


def ours_rounded_product(A: Array, X: Array, verb: str) -> Any:
    """A, X and A X rounded to bf16, sums in fp32: the products of the first steps of a search."""
    return ours_product(A, X, {"multiply": "multiply_bf16", "gram": "steer"}[verb])


def ours_two_part_product(A: Array, X: Array, verb: str) -> Any:
    """The block as a sum of two parts in bf16, hi + lo: A hi + A lo, both in one read."""
    k = X.shape[1]
    parts = np.empty((len(X), 2 * k), np.float32)
    high, low = parts[:, :k], parts[:, k:]
    np.bitwise_and(X.view(np.uint32), np.uint32(0xFFFF0000), out=high.view(np.uint32))
    np.subtract(X, high, out=low)
    both = ours_product(A, parts, "multiply_bf16")
    return both[:, :k] + both[:, k:]


TWO_PARTS = "sigmascope, block as hi + lo"

PRODUCTS = (
    Peer(OURS, "sigmascope", ours_product),
    Peer("numpy", "numpy", numpy_product, ("f32",)),
    Peer("torch, A.float() @ X", "torch", torch_product),
    Peer("torch, all in bf16", "torch", torch_product_bf16, ("bf16",)),
)

ROUNDED_PRODUCTS = (
    Peer(OURS, "sigmascope", ours_rounded_product),
    Peer("torch, all in bf16", "torch", torch_product_bf16),
    Peer(TWO_PARTS, "sigmascope", ours_two_part_product),
    Peer("sigmascope, float32", "sigmascope", ours_product),
)
