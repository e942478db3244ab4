# SPDX-License-Identifier: BSD-3-Clause
"""Bytes read so far by processes of this machine, in a small file that all of them map."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sigmascope._execution.byte_counts import ByteCounts

from .tasks import ByteListener


class SharedCounter(NamedTuple):
    """The place of one row's count: the file and the index of the row. It can be pickled."""

    path: str
    row: int

    def listener(self) -> ByteListener | None:
        """Return a listener that stores the bytes; None if this process cannot map the file.

        A count is shown as progress and changes no number.
        """
        try:
            counts = _mapped(self.path)
        except (OSError, ValueError):
            return None

        own = ByteCounts()
        count = own.listener(self.row)

        def listen(nbytes: int) -> None:
            count(nbytes)
            counts[self.row] = own.of(self.row)  # one aligned store of 8 bytes

        return listen


class SharedCounts:
    """The counts of all rows, written by processes and read by the one that waits for them."""

    def __init__(self, count: int) -> None:
        handle, self._path = tempfile.mkstemp(prefix="sigmascope-bytes-")
        with os.fdopen(handle, "wb") as file:
            file.write(bytes(8 * max(count, 1)))  # a hole could not be filled on a full disk
        self._counts: NDArray[np.int64] = np.memmap(self._path, np.int64, "r")

    def counter(self, index: int) -> SharedCounter:
        """Return the place of one row's count, for the process that computes the row."""
        return SharedCounter(self._path, index)

    def of(self, index: int) -> int:
        """Return the bytes that were read so far for a row."""
        return int(self._counts[index])

    def close(self) -> None:
        """Remove the file."""
        with suppress(FileNotFoundError):
            os.unlink(self._path)


@lru_cache(maxsize=1)
def _mapped(path: str) -> NDArray[np.int64]:
    return np.memmap(path, np.int64, "r+")
