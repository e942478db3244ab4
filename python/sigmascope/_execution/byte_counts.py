# SPDX-License-Identifier: BSD-3-Clause
"""Stored bytes that calls on several threads have used so far; the calls can be stopped."""

from __future__ import annotations

from collections.abc import Callable

POLL = 0.05
"""Seconds between two reports of the bytes of calls on other threads."""


class Stopped(BaseException):
    """The work has ended, and nobody waits for this call any more."""


class ByteCounts:
    """Bytes that calls have used, by the index of the call; a call counts on its own thread."""

    def __init__(self) -> None:
        self._stopped = False
        self._counts: dict[int, list[int]] = {}

    def listener(self, index: int) -> Callable[[int], None]:
        """Start a count; return its listener, which takes the bytes used so far over all passes."""
        counts = self._counts[index] = [0, 0]

        def read(nbytes: int) -> None:
            if self._stopped:
                raise Stopped
            if nbytes < counts[1]:  # another native call, whose count begins at zero
                counts[0] += counts[1]
            counts[1] = nbytes

        return read

    def of(self, index: int) -> int:
        """Return the stored bytes that one call has used so far."""
        return sum(self._counts[index])

    def total(self) -> int:
        """Return the stored bytes that all calls have used so far."""
        return sum(sum(counts) for counts in list(self._counts.values()))

    def stop(self) -> None:
        """End every call at its next report of bytes."""
        self._stopped = True
