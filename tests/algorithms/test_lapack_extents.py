# SPDX-License-Identifier: BSD-3-Clause
"""Tall matrices and LAPACK's 32-bit integers: elements are counted in 64 bits beneath them.

Columns that are 2^31 - 1 numbers apart have the elements of a matrix of more than 2^31 numbers,
and pages of memory that nothing touches do not exist.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import sigmascope as ss

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="sparse memory of terabytes"),
    pytest.mark.unsanitized,
]
M, N = 150, 120
FAR = 2**31 - 1
NO_RESERVE = 0x4000
"""Linux's MAP_NORESERVE, which Python's module lacks."""


def lapack() -> ctypes.CDLL:
    """Return the library that the extension calls."""
    path = Path(ss.__file__).parent / "_libs" / "libscipy_openblas.so"
    if not path.exists():  # an in-place build
        import scipy_openblas32

        path = Path(scipy_openblas32.get_lib_dir()) / path.name
    return ctypes.CDLL(str(path))


class Arguments:
    """A routine's matrices, with columns so many numbers apart."""

    def __init__(self, ld: int) -> None:
        self.ld = ld
        self.maps: list[mmap.mmap] = []
        self.rng = np.random.default_rng(0)
        self.work = np.zeros(10**6)

    def matrix(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | NO_RESERVE
        pages = mmap.mmap(-1, 8 * self.ld * numbers.shape[1], flags=flags)
        self.maps.append(pages)
        strides = (8, 8 * self.ld)
        copy: NDArray[np.float64] = np.ndarray(numbers.shape, np.float64, pages, strides=strides)
        copy[...] = numbers
        return copy

    def call(self, name: str, *arguments: Any) -> None:
        """Call a routine: integers, numbers and arrays by reference, letters as they are."""
        function = getattr(lapack(), f"scipy_{name}_")
        values: list[Any] = []
        for given in arguments:
            if isinstance(given, np.ndarray):
                values.append(ctypes.c_void_p(given.ctypes.data))
            elif isinstance(given, bytes):
                values.append(given)
            else:
                kind = ctypes.c_int if isinstance(given, int) else ctypes.c_double
                values.append(ctypes.byref(kind(given)))
        letters = [ctypes.c_size_t(1) for given in arguments if isinstance(given, bytes)]
        function(*values, *letters)

    def lapack(self, name: str, *arguments: Any) -> None:
        """Call a routine of LAPACK, whose last argument says whether it failed."""
        info = np.zeros(1, np.int32)
        self.call(name, *arguments, info)
        assert info[0] == 0


def tall(a: Arguments) -> NDArray[np.float64]:
    return a.matrix(a.rng.standard_normal((M, N)))


def square(a: Arguments) -> NDArray[np.float64]:
    x = a.rng.standard_normal((N, N))
    return a.matrix(x.T @ x)


def qr(a: Arguments) -> Any:
    x, tau = tall(a), np.zeros(N)
    a.lapack("dgeqrf", M, N, x, a.ld, tau, a.work, a.work.size)
    product = a.matrix(np.eye(M, N))
    a.lapack("dormqr", b"L", b"N", M, N, N, x, a.ld, tau, product, a.ld, a.work, a.work.size)
    return x, product


def products(a: Arguments) -> Any:
    x, c, g = tall(a), a.matrix(np.zeros((M, N))), a.matrix(np.zeros((N, N)))
    a.call("dgemm", b"N", b"N", M, N, N, 1.0, x, a.ld, x, a.ld, 0.0, c, a.ld)
    a.call("dgemm", b"T", b"N", N, N, M, 1.0, x, a.ld, x, a.ld, 0.0, g, a.ld)
    upper = a.matrix(np.zeros((N, N)))
    a.call("dsyrk", b"U", b"T", N, M, 1.0, x, a.ld, 0.0, upper, a.ld)
    return c, g, upper


def triangles(a: Arguments) -> Any:
    x = square(a)
    a.lapack("dpotrf", b"U", N, x, a.ld)
    a.lapack("dtrtri", b"U", b"N", N, x, a.ld)
    return (x,)


def linear(a: Arguments) -> Any:
    x, b = square(a), tall(a)
    a.lapack("dgesv", N, N, x, a.ld, np.zeros(N, np.int32), b, a.ld)
    return (b,)


def reflections(a: Arguments) -> Any:
    near = Arguments(M)  # dsytrd counts in 32 bits
    x, d, e, tau = square(near), np.zeros(N), np.zeros(N), np.zeros(N)
    near.lapack("dsytrd", b"L", N, x, near.ld, d, e, tau, near.work, near.work.size)
    x, q = a.matrix(x), a.matrix(np.eye(N))
    a.lapack("dormtr", b"L", b"L", b"N", N, N, x, a.ld, tau, q, a.ld, a.work, a.work.size)
    return (q,)


@pytest.mark.parametrize("routine", [qr, products, triangles, linear, reflections])
def test_elements_beyond_2_to_the_31_are_found(routine: Callable[[Arguments], Any]) -> None:
    for near, far in zip(routine(Arguments(M)), routine(Arguments(FAR)), strict=True):
        np.testing.assert_array_equal(near, far)
