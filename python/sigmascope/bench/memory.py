# SPDX-License-Identifier: BSD-3-Clause
"""Peak of the memory that a call adds to its process."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def _resident(name: str) -> int:
    """Return the bytes in a line of /proc/self/status; 0 if there is no such line."""
    try:
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    kib = [int(line.split()[1]) for line in lines if line.startswith(f"{name}:")]
    return kib[0] * 1024 if kib else 0


class AddedMemory:
    """The peak of this process's resident memory above its level at construction.

    getrusage's ru_maxrss cannot be used: it starts at the peak of the process that forked, and
    never decreases. Linux resets VmHWM on request. Freed memory that the allocator still has is
    returned to the system first, since a call that reuses it would seem to need no memory.
    """

    def __init__(self) -> None:
        gc.collect()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl does not have it
        if trim is not None:
            trim(0)
        with contextlib.suppress(OSError):  # without a reset only a new peak can be seen
            _CLEAR.write_text("5", encoding="ascii")
        self._level = _resident("VmRSS")
        self._before = _resident("VmHWM")
        self._reset = self._before <= self._level + 2**20

    def bytes(self) -> int | None:
        """Return the peak so far, in bytes; None if the system does not give it."""
        peak = _resident("VmHWM")
        if not peak or (not self._reset and peak <= self._before):
            return None
        return max(peak - self._level, 0)
