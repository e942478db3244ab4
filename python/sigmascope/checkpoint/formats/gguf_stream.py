# SPDX-License-Identifier: BSD-3-Clause
"""The header of a GGUF file as a stream of numbers and texts, each checked against the file."""

from __future__ import annotations

import io
import struct

from sigmascope._host.limits import MAX_GGUF_HEADER, MAX_TEXT
from sigmascope.checkpoint.remote.paths import Place
from sigmascope.errors import CheckpointError

from .jsontext import brief

_AT_ONCE = 1 << 18
_LENGTH = struct.Struct("<Q")


class GgufStream:
    """A position in the header of a file, which is read in pieces of 256 KiB.

    Attributes
    ----------
    path : Path or RemotePath
        The file, for messages.
    size : int
        Its size in bytes.
    position : int
        The byte that is read next.
    """

    def __init__(self, file: io.RawIOBase, size: int, path: Place) -> None:
        self.path = path
        self.size = size
        self.position = 0
        self._file = file
        self._start = 0
        self._piece = b""

    def take(self, count: int, what: str) -> bytes:
        """Return the next bytes; CheckpointError if the file or the limit ends before."""
        self._check(count, what)
        at = self.position - self._start
        if at < 0 or at + count > len(self._piece):
            self._fill(count)
            at = 0
        self.position += count
        return self._piece[at : at + count]

    def skip(self, count: int, what: str) -> None:
        """Go on without the next bytes."""
        self._check(count, what)
        self.position += count

    def number(self, size: int, what: str) -> int:
        """Return the next unsigned integer of so many bytes."""
        return int.from_bytes(self.take(size, what), "little")

    def count(self, what: str, most: int) -> int:
        """Return the next number of 8 bytes as a count of things."""
        found = self.number(8, f"the number of {what}")
        if found > most:
            raise CheckpointError(f"{self.path}: {found} {what}, above the limit of {most}")
        return found

    def text(self, what: str) -> str:
        """Return the next text."""
        length = self.number(8, f"the length of {what}")
        if length > MAX_TEXT:
            raise CheckpointError(
                f"{self.path}: {what} at byte {self.position} has {length} bytes, above the limit "
                f"of {MAX_TEXT}"
            )
        raw = self.take(length, what)
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise CheckpointError(
                f"{self.path}: {what} {brief(raw, 60)} is not UTF-8: byte {error.start}"
            ) from None

    def skip_texts(self, count: int, what: str) -> None:
        """Go on without so many texts, as lists of tokens have them."""
        while count:
            self._check(_LENGTH.size, what)
            at = self.position - self._start
            if at < 0 or at + _LENGTH.size > len(self._piece):
                self._fill(_LENGTH.size)
                at = 0
            end = len(self._piece) - _LENGTH.size
            while count and at <= end:
                at += _LENGTH.size + _LENGTH.unpack_from(self._piece, at)[0]
                count -= 1
            self.skip(self._start + at - self.position, what)

    def _check(self, count: int, what: str) -> None:
        end = self.position + count
        if end > self.size:
            raise CheckpointError(
                f"{self.path}: {what} takes {count} bytes from byte {self.position} on, the file "
                f"ends at {self.size}"
            )
        if end > MAX_GGUF_HEADER:
            raise CheckpointError(
                f"{self.path}: {what} reaches byte {end}, above the limit of {MAX_GGUF_HEADER} "
                "bytes of a header"
            )

    def _fill(self, count: int) -> None:
        """Read a piece of the file that begins at the position."""
        self._file.seek(self.position)
        wanted = min(max(count, _AT_ONCE), self.size - self.position)
        parts: list[bytes] = []
        while wanted > 0:
            part = self._file.read(wanted)
            if not part:
                raise CheckpointError(
                    f"{self.path}: the file ended {wanted} bytes early while it was read"
                )
            parts.append(part)
            wanted -= len(part)
        self._piece, self._start = b"".join(parts), self.position
