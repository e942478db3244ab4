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

import io
import mmap
import os
import stat

from sigmascope.errors import CheckpointError

READINGS = ("buffered", "uncached", "mapped")


def check_reading(reading: str) -> str:
    """Return it as a plain string; ValueError if there is no such way to read."""
    if reading not in READINGS:
        raise ValueError(f"reading is one of {', '.join(READINGS)}, not {reading!r}")
    return str(reading)  # of an enumeration the value


_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_regular(path: str | os.PathLike[str]) -> io.FileIO:
    """Open a regular file, or a symbolic link to one, to read; never waits for another program.

    Everything that this package reads is opened here, or by the native engine in the same way:
    opening a pipe would wait for a writer, reading a terminal for its user, for ever.

    Raises
    ------
    CheckpointError
        It is a folder, a pipe, a device or a socket.
    OSError
        It cannot be opened.
    """
    _check_regular(path, os.stat(path).st_mode)  # some devices act when they are opened
    file = open(path, "rb", buffering=0, opener=_without_waiting)  # noqa: SIM115
    try:
        _check_regular(path, os.stat(file.fileno()).st_mode)
    except BaseException:
        file.close()
        raise
    return file


def _without_waiting(path: str, flags: int) -> int:
    """Open what may have been put in the place of a regular file meanwhile."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def _check_regular(path: str | os.PathLike[str], mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise CheckpointError(f"{os.fspath(path)}: not a regular file but {kind}")


def read_regular(path: str | os.PathLike[str], most: int) -> bytes:
    """Read a whole regular file; CheckpointError if it is larger than the limit of bytes, or none.

    Raises
    ------
    CheckpointError, OSError
        As for :func:`open_regular`.
    """
    with io.BufferedReader(open_regular(path)) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise CheckpointError(
                f"{os.fspath(path)}: {size} bytes, above the limit of {most} bytes"
            )
        return file.read(size)  # what is appended meanwhile is another's


def read_span(path: str | os.PathLike[str], offset: int, count: int, reading: str) -> bytes:
    """Read a few bytes of a file, without reading ahead; fewer where the file ends early.

    Parameters
    ----------
    path : path
    offset, count : int
        Where the bytes begin, and how many they are.
    reading : str
        If "uncached", their pages are dropped from the page cache after it.

    Raises
    ------
    CheckpointError, OSError
        As for :func:`open_regular`.
    """
    with open_regular(path) as file:
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
