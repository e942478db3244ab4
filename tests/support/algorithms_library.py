# SPDX-License-Identifier: BSD-3-Clause
"""A library of C++ that tests compile with the algorithm headers of the source tree."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import sigmascope as ss

ROOT = Path(__file__).parents[2]
SOURCES = (
    "algorithms/implicit_ql.cpp",
    "algorithms/small_dense.cpp",
    "algorithms/small_eigen.cpp",
    "algorithms/small_svd.cpp",
    "algorithms/small_tridiagonal.cpp",
    "storage/memory.cpp",
)
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
    cache = shutil.which("ccache")
    flags = ["-std=c++20", "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", f"-I{ROOT / 'cpp'}"]

    def compile_one(source: Path, included: Sequence[str] = ()) -> str:
        target = str(folder / f"{source.stem}.o")
        more = [word for each in included for word in ("-include", each)]
        command = [compiler, *flags, *more, "-c", str(source), "-o", target]
        subprocess.run([cache, *command] if cache else command, check=True)
        return target

    # One unit of all that this package has: they share the headers, which take most of the time.
    *others, last = SOURCES
    with ThreadPoolExecutor(2) as pool:
        units = [pool.submit(compile_one, source) for source in own]
        units.append(pool.submit(compile_one, ROOT / "cpp" / last, others))
        objects = [unit.result() for unit in units]
    library = folder / "algorithms.so"
    linked = [*objects, str(blas), f"-Wl,-rpath,{blas.parent}", "-o", str(library)]
    subprocess.run([compiler, "-shared", *linked], check=True)
    return ctypes.CDLL(str(library))


def pointer(array: NDArray[np.float64]) -> Any:
    return array.ctypes.data_as(DOUBLES)
