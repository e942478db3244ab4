# SPDX-License-Identifier: BSD-3-Clause
"""The number of threads of a call, and its default."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from importlib import import_module

_chosen: int | None = None


def set_num_threads(threads: int | None) -> None:
    """Set how many threads later calls use; None: as many as this process has cores.

    No result depends on it, to the bit.

    Raises
    ------
    ValueError
        If `threads` is less than 1.
    """
    global _chosen
    _chosen = None if threads is None else resolve_threads(threads)


def resolve_threads(threads: int | None) -> int:
    """The threads of one call: as asked, else as set, else the cores this process may use."""
    if threads is None:
        return _chosen or len(os.sched_getaffinity(0))
    if threads < 1:
        raise ValueError(f"num_threads must be at least 1, not {threads}")
    return int(threads)


def set_numpy_threads(threads: int) -> bool:
    """Set the threads of NumPy's own BLAS, where that is the OpenBLAS of its wheels; else False.

    For a process that is ours alone. Those threads wait busily between calls, on the cores that the
    engine's own would use; and with their number the last bits of a product may change.
    """
    linked = import_module("numpy.linalg._umath_linalg").__file__
    library = ctypes.CDLL(linked)  # which finds what it is linked with
    for name in ("scipy_openblas_set_num_threads64_", "openblas_set_num_threads64_"):
        with suppress(AttributeError):
            getattr(library, name)(ctypes.c_int(threads))
            return True
    return False
