# SPDX-License-Identifier: BSD-3-Clause
"""The memory limit of a call, and its default."""

from __future__ import annotations

import os
import re
import time

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}

_UNITS |= {"ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def resolve_memory(limit: float | str | None) -> int:
    """Return a memory limit in bytes.

    Parameters
    ----------
    limit : number, str or None
        Bytes, or a text like "2GiB"; None stands for half of the available memory.

    Raises
    ------
    ValueError
        If the text is not a size, or the limit is not positive.
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


_SECONDS = 0.01
"""Time for which a reading of the memory is used again. It takes as long as a small call."""

_reading = (-_SECONDS, 0)


def available_memory() -> int:
    """Return the bytes that this machine can allocate without swapping."""
    global _reading
    now = time.monotonic()
    if now - _reading[0] >= _SECONDS:
        _reading = now, _read_available_memory()
    return _reading[1]


def _read_available_memory() -> int:
    try:
        # os.open, to avoid the buffers of a file object.
        opened = os.open("/proc/meminfo", os.O_RDONLY)
        try:
            match = re.search(rb"MemAvailable: *(\d+)", os.read(opened, 4096))
        finally:
            os.close(opened)
        if match:
            return int(match[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
