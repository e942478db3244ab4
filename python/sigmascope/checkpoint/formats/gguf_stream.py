# SPDX-License-Identifier: BSD-3-Clause
"""The header of a GGUF file as a stream of numbers and texts, each checked against the file."""

from __future__ import annotations

import struct

from sigmascope._host.limits import MAX_GGUF_HEADER
from sigmascope.errors import CheckpointError

from .file_stream import FileStream

_LENGTH = struct.Struct("<Q")


class GgufStream(FileStream):
    """A position in the header of a GGUF file; see :class:`FileStream`."""

    most = MAX_GGUF_HEADER

    def number(self, size: int, what: str) -> int:
        """Return the next unsigned integer with the given number of bytes."""
        return int.from_bytes(self.take(size, what), "little")

    def count(self, what: str, most: int) -> int:
        """Return the next number of 8 bytes as a count."""
        count = self.number(8, f"the number of {what}")
        if count > most:
            raise CheckpointError(f"{self.path}: {count} {what}, above the limit of {most}")
        return count

    def text(self, what: str) -> str:
        """Return the next text."""
        length = self.number(8, f"the length of {what}")
        return self.take_text(length, what)

    def skip_texts(self, count: int, what: str) -> None:
        """Skip `count` texts, such as a list of tokens."""
        while count:
            at = self.within_piece(_LENGTH.size, what)
            end = len(self._piece) - _LENGTH.size
            while count and at <= end:
                at += _LENGTH.size + _LENGTH.unpack_from(self._piece, at)[0]
                count -= 1
            self.skip(self._start + at - self.position, what)
