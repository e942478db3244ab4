# SPDX-License-Identifier: BSD-3-Clause
"""The header of a file as a stream of bytes, each range checked against the file."""

from __future__ import annotations

import io

from sigmascope._host.limits import MAX_TEXT
from sigmascope.checkpoint.remote.paths import Place
from sigmascope.errors import CheckpointError

from .jsontext import brief


class FileStream:
    """A position in the header of a file; the file is read in pieces.

    Attributes
    ----------
    path : Path or RemotePath
        The file, for messages.
    size : int
        Its size in bytes.
    position : int
        The byte that is read next.
    """

    at_once = 1 << 18
    """Bytes of a piece."""

    most: int | None = None
    """Largest position in a header, if the format has one."""

    def __init__(self, file: io.RawIOBase, size: int, path: Place) -> None:
        self.path = path
        self.size = size
        self.position = 0
        self._file = file
        self._start = 0
        self._piece = b""

    def take(self, count: int, what: str) -> bytes:
        """Return the next bytes; CheckpointError if the file or the limit ends before."""
        at = self.within_piece(count, what)
        self.position += count
        return self._piece[at : at + count]

    def take_text(self, count: int, what: str) -> str:
        """Return the next bytes as text; CheckpointError if it is too long, or not UTF-8."""
        if count > MAX_TEXT:
            raise CheckpointError(
                f"{self.path}: {what} at byte {self.position} has {count} bytes, above the limit "
                f"of {MAX_TEXT}"
            )
        raw = self.take(count, what)
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise CheckpointError(
                f"{self.path}: {what} {brief(raw, 60)} is not UTF-8: byte {error.start}"
            ) from None

    def skip(self, count: int, what: str) -> None:
        """Skip the next bytes."""
        self.check(count, what)
        self.position += count

    def within_piece(self, count: int, what: str) -> int:
        """Return the position of the next bytes in the piece of the file in memory."""
        self.check(count, what)
        at = self.position - self._start
        if at < 0 or at + count > len(self._piece):
            self._fill(count)
            at = 0
        return at

    def check(self, count: int, what: str) -> None:
        """Raise CheckpointError if the next bytes exceed the file or the limit of a header."""
        end = self.position + count
        if end > self.size:
            raise CheckpointError(
                f"{self.path}: {what} takes {count} bytes from byte {self.position} on, but the "
                f"file ends at {self.size}"
            )
        if self.most is not None and end > self.most:
            raise CheckpointError(
                f"{self.path}: {what} reaches byte {end}, above the limit of {self.most} "
                "bytes of a header"
            )

    def _fill(self, count: int) -> None:
        """Read a piece of the file that begins at the position."""
        self._file.seek(self.position)
        wanted = min(max(count, self.at_once), self.size - self.position)
        self._piece = read_exactly(self._file, wanted, self.path)
        self._start = self.position


def read_exactly(file: io.RawIOBase, count: int, path: Place) -> bytes:
    """Read so many bytes of a file; CheckpointError if it ends before."""
    parts: list[bytes] = []
    while count > 0:
        part = file.read(count)
        if not part:
            raise CheckpointError(f"{path}: the file ended {count} bytes early while it was read")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
