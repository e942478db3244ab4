# SPDX-License-Identifier: BSD-3-Clause
"""Share of a file that is in the page cache."""

from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_int64]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]


def resident(path: Path) -> int:
    """Bytes of a file that are in the page cache now."""
    size = path.stat().st_size
    descriptor = os.open(path, os.O_RDONLY)
    try:
        start = _libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
        assert start != ctypes.c_void_p(-1).value, os.strerror(ctypes.get_errno())
        pages = ctypes.create_string_buffer(-(-size // mmap.PAGESIZE))
        failed = _libc.mincore(start, size, pages)
        _libc.munmap(start, size)
    finally:
        os.close(descriptor)
    assert failed == 0, os.strerror(ctypes.get_errno())
    return mmap.PAGESIZE * sum(page & 1 for page in pages.raw)


def drop(path: Path) -> None:
    """Write a file out, and take its pages out of the cache where the file system lets go."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
