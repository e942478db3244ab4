# SPDX-License-Identifier: BSD-3-Clause
"""How much memory a call adds to its process at its peak."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def _resident(name: str) -> int:
    """Bytes of a line of /proc/self/status; 0 where there is none."""
    try:
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    kib = [int(line.split()[1]) for line in lines if line.startswith(f"{name}:")]
    return kib[0] * 1024 if kib else 0


class AddedMemory:
    """The peak of the resident memory of this process since this was made, above its level then.

    getrusage's ru_maxrss does not serve: it starts at the peak of the process that forked, and
    never falls. Linux resets VmHWM on request; what freed memory the allocator has kept is given
    back first, or a call that reuses it would seem to need none.
    """

    def __init__(self) -> None:
        gc.collect()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, musl has not
        if trim is not None:
            trim(0)
        with contextlib.suppress(OSError):  # then only a new peak of the process can be seen
            _CLEAR.write_text("5", encoding="ascii")
        self._level = _resident("VmRSS")
        self._before = _resident("VmHWM")
        self._reset = self._before <= self._level + 2**20

    def bytes(self) -> int | None:
        """So far; None where the system does not tell."""
        peak = _resident("VmHWM")
        if not peak or (not self._reset and peak <= self._before):
            return None
        return max(peak - self._level, 0)
