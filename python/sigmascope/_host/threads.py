# SPDX-License-Identifier: BSD-3-Clause
"""The number of threads of a call, and its default."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from importlib import import_module

from .keywords import public

ENTRIES_OF_A_THREAD = 1 << 17
"""Entries of a matrix for which one more thread saves more time than its start and waits take."""

_chosen: int | None = None


@public
def set_num_threads(threads: int | None) -> None:
    """Set the number of threads of later calls; None stands for the cores of this process.

    No bit of a result depends on this number.

    Raises
    ------
    ValueError
        If `threads` is less than 1.

    See Also
    --------
    show_config : Return the number of threads that is in use, among others.
    Resources : Set threads, memory and device of some calls.

    Examples
    --------
    Use two threads in every call that does not set its own number, then all cores again:

    >>> import sigmascope as ss
    >>> ss.set_num_threads(2)
    >>> ss.set_num_threads(None)
    """
    global _chosen
    _chosen = None if threads is None else resolve_threads(threads)


def resolve_threads(threads: int | None) -> int:
    """Return the threads of a call: the argument, else the number set, else the cores."""
    if threads is None:
        return _chosen or len(os.sched_getaffinity(0))
    if threads < 1:
        raise ValueError(f"num_threads must be at least 1, not {threads}")
    return int(threads)


def useful_threads(threads: int, entries: int) -> int:
    """Return how many of `threads` a matrix with `entries` entries keeps busy, at least one."""
    return min(threads, 1 + entries // ENTRIES_OF_A_THREAD)


def set_numpy_threads(threads: int) -> bool:
    """Set the number of threads of NumPy's BLAS, if that is the OpenBLAS of NumPy's wheels.

    Only for processes that belong to this package, such as the command line. The threads of
    OpenBLAS wait busily between calls on the cores that the engine's threads use. With their number
    the last bits of NumPy's products may change.

    Returns
    -------
    bool
        True if the number was set; False for another BLAS.
    """
    linked = import_module("numpy.linalg._umath_linalg").__file__
    library = ctypes.CDLL(linked)  # symbols of the libraries that it is linked with are found, too
    for name in ("scipy_openblas_set_num_threads64_", "openblas_set_num_threads64_"):
        with suppress(AttributeError):
            getattr(library, name)(ctypes.c_int(threads))
            return True
    return False
