# SPDX-License-Identifier: BSD-3-Clause
"""Regular files and the modes in which they are read.

Every function that opens a file takes one of three modes as its option `reading`. The numbers read
are the same.

"buffered" reads at positions through the page cache, and the system reads ahead. Bytes that fit
into free memory need not be read from the disk the next time.

"uncached" reads past the page cache, so that scanning a large checkpoint does not push the files of
other programs out of it. If the file system refuses that, the pages of each read are dropped from
the cache after it, even pages that were there before.

"mapped" computes on the page cache itself. It is the fastest mode for files in the cache, but if
another program shortens the file meanwhile, the process ends (SIGBUS), as with every mapping.
"""

from __future__ import annotations

import io
import mmap
import os
import stat

from sigmascope.errors import CheckpointError

READINGS = ("buffered", "uncached", "mapped")


def check_reading(reading: str) -> str:
    """Return a mode of reading as a plain string; ValueError if there is no such mode."""
    if reading not in READINGS:
        raise ValueError(f"reading must be one of {', '.join(READINGS)}, not {reading!r}")
    return str(reading)  # an enumeration becomes its value


_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def state_of(status: os.stat_result) -> tuple[int, int, int]:
    """Return size, time of the last write and inode: a write or a replacement changes them."""
    return status.st_size, status.st_mtime_ns, status.st_ino


def open_regular(path: str | os.PathLike[str]) -> io.FileIO:
    """Open a regular file, or a symbolic link to one, for reading, without waiting.

    Every file that this package reads is opened here, or by the native engine in the same way.
    Opening a pipe would wait for a writer, and reading a terminal would wait for its user.

    Raises
    ------
    CheckpointError
        If the path is a folder, a pipe, a device or a socket.
    OSError
        If the file cannot be opened.
    """
    _check_regular(path, os.stat(path).st_mode)  # before opening, which makes some devices act
    file = open(path, "rb", buffering=0, opener=_without_waiting)  # noqa: SIM115
    try:
        _check_regular(path, os.stat(file.fileno()).st_mode)
    except BaseException:
        file.close()
        raise
    return file


def _without_waiting(path: str, flags: int) -> int:
    """Open a path without waiting, in case a pipe has replaced the regular file meanwhile."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def _check_regular(path: str | os.PathLike[str], mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise CheckpointError(f"{os.fspath(path)}: not a regular file but {kind}")


def read_regular(path: str | os.PathLike[str], most: int) -> bytes:
    """Read all bytes of a regular file.

    Raises
    ------
    CheckpointError
        If the file has more than `most` bytes; also as for :func:`open_regular`.
    OSError
        As for :func:`open_regular`.
    """
    with io.BufferedReader(open_regular(path)) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise CheckpointError(
                f"{os.fspath(path)}: {size} bytes, above the limit of {most} bytes"
            )
        return file.read(size)  # without bytes that another program appends meanwhile


def read_span(path: str | os.PathLike[str], offset: int, count: int, reading: str) -> bytes:
    """Read a few bytes of a file without read-ahead; fewer if the file ends earlier.

    Parameters
    ----------
    path : path
    offset, count : int
        Position of the first byte, and number of bytes.
    reading : str
        If "uncached", the pages of these bytes are dropped from the page cache after the read.

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
