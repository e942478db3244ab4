# SPDX-License-Identifier: BSD-3-Clause
"""A library of C++ that tests compile with the algorithm headers of the source tree."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import sigmascope as ss

ROOT = Path(__file__).parents[2]
DOUBLES = ctypes.POINTER(ctypes.c_double)


def compiled(own: Sequence[Path], folder: Path) -> ctypes.CDLL:
    """Return the library of source files; the test is skipped where there is no compiler."""
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler on this machine")
    blas = Path(ss.__file__).parent / "_libs" / "libscipy_openblas.so"
    if not blas.exists():  # an in-place build
        import scipy_openblas32

        blas = Path(scipy_openblas32.get_lib_dir()) / "libscipy_openblas.so"
    library = folder / "algorithms.so"
    sources = [
        *own,
        ROOT / "cpp/algorithms/implicit_ql.cpp",
        ROOT / "cpp/algorithms/small_dense.cpp",
        ROOT / "cpp/algorithms/small_eigen.cpp",
        ROOT / "cpp/algorithms/small_svd.cpp",
        ROOT / "cpp/algorithms/small_tridiagonal.cpp",
        ROOT / "cpp/storage/memory.cpp",
    ]
    flags = ["-std=c++20", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    command = [compiler, *flags, f"-I{ROOT / 'cpp'}", *map(str, sources), str(blas)]
    subprocess.run([*command, f"-Wl,-rpath,{blas.parent}", "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


def pointer(array: NDArray[np.float64]) -> Any:
    return array.ctypes.data_as(DOUBLES)
