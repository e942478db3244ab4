# SPDX-License-Identifier: BSD-3-Clause
"""How files are read: what every function that opens one may be told.

"buffered" reads at positions, through the page cache, and the system reads ahead: what fits into
free memory is warm the next time. "uncached" reads past the page cache, so that scanning a large
checkpoint does not push other programs' files out of it; where the file system refuses that,
pages are dropped as soon as they have been read, also those that were warm before. "mapped"
computes on the page cache itself: the fastest for files that are warm, but one that is cut short
while it is used ends the process (SIGBUS), as with every mapping. The numbers are the same.
"""

from __future__ import annotations

import mmap
import os

READINGS = ("buffered", "uncached", "mapped")


def check_reading(reading: str) -> str:
    """Return it as a plain string; ValueError if there is no such way to read."""
    if reading not in READINGS:
        raise ValueError(f"reading is one of {', '.join(READINGS)}, not {reading!r}")
    return str(reading)  # of an enumeration the value


def read_span(path: str | os.PathLike[str], offset: int, count: int, reading: str) -> bytes:
    """Read a few bytes of a file, without reading ahead; fewer where the file ends early.

    Parameters
    ----------
    path : path
        A regular file.
    offset, count : int
        Where the bytes begin, and how many they are.
    reading : str
        If "uncached", their pages are dropped from the page cache after it.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with open(path, "rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        parts: list[bytes] = []
        position, end = offset, offset + count
        while position < end and (part := os.pread(file.fileno(), end - position, position)):
            parts.append(part)
            position += len(part)
        if reading == "uncached":
            start = offset // mmap.PAGESIZE * mmap.PAGESIZE
            stop = -(-end // mmap.PAGESIZE) * mmap.PAGESIZE
            os.posix_fadvise(file.fileno(), start, stop - start, os.POSIX_FADV_DONTNEED)
    return b"".join(parts)
