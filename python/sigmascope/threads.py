# SPDX-License-Identifier: BSD-3-Clause
"""How many threads to use, and how much memory: what every call may leave to a default."""

from __future__ import annotations

import ctypes
import math
import os
import re
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


_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_UNITS |= {"ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def resolve_memory(limit: float | str | None) -> int:
    """Bytes of a memory limit: a number, a text like "2GiB"; None: half of what is free.

    Raises
    ------
    ValueError
        If it cannot be read or is not positive.
    """
    if limit is None:
        return max(available_memory() // 2, 2**28)
    if isinstance(limit, str):
        number = r"([0-9]+\.?[0-9]*|\.[0-9]+)"
        match = re.fullmatch(rf"\s*{number}\s*([kmgt]?i?)b?\s*", limit.lower())
        if match is None or match[2] not in _UNITS:
            raise ValueError(f"memory_limit {limit!r} is not a size like '2GiB' or '500MB'")
        limit = float(match[1]) * _UNITS[match[2]]
    if limit < 1:
        raise ValueError(f"memory_limit must be positive, not {limit:g}")
    return int(limit)


def amount(nbytes: int) -> str:
    """Show bytes as memory is counted, three digits, rounded up.

    >>> amount(2_254_857_830), amount(2**28), amount(50_000)
    ('2.1 GiB', '256 MiB', '48.9 kiB')
    """
    unit, name = next(
        (unit, name)
        for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "kiB"), (1, "B"))
        if nbytes >= unit or unit == 1
    )
    grid = 10.0 ** max(3 - len(str(nbytes // unit)), 0)
    return f"{math.ceil(nbytes / unit * grid) / grid:.6g} {name}"


def available_memory() -> int:
    """Bytes that this machine can still give without swapping."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
