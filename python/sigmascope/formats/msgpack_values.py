# SPDX-License-Identifier: BSD-3-Clause
"""Values of MessagePack for headers of files: one after another, without nesting.

A map or a list has a count of the values that follow it; this module does not enter them.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from sigmascope.errors import CheckpointError
from sigmascope.extension.readers import FileStream

from .limits import MAX_FIELDS

MAP, LIST, TEXT, BYTES, EXTENSION = "a map", "a list", "a text", "bytes", "an extension"
INTEGER, FLOAT, BOOL, NIL = "an integer", "a number", "a boolean", "nil"

_SIZES = {
    0xC4: (BYTES, 1), 0xC5: (BYTES, 2), 0xC6: (BYTES, 4),
    0xC7: (EXTENSION, 1), 0xC8: (EXTENSION, 2), 0xC9: (EXTENSION, 4),
    0xD9: (TEXT, 1), 0xDA: (TEXT, 2), 0xDB: (TEXT, 4),
    0xDC: (LIST, 2), 0xDD: (LIST, 4), 0xDE: (MAP, 2), 0xDF: (MAP, 4),
}  # fmt: skip
"""Kinds whose count follows, by the first byte, and the bytes of the count."""

_NUMBERS = {
    0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q",
    0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q",
}  # fmt: skip
_FLOATS = {0xCA: 4, 0xCB: 8}
_CONTENT = (TEXT, BYTES, EXTENSION)


class Value(NamedTuple):
    """A value: `number` is an integer, or the count of bytes or of values that follow.

    `code` is the type of an extension.
    """

    kind: str
    number: int = 0
    code: int = 0


class ValueStream(FileStream):
    """A position in a file of values; see :class:`FileStream`."""

    at_once = 1 << 12  # what is between arrays is short
    _values = 0

    def value(self, what: str) -> Value:
        """Return the next value; the content of texts, bytes and extensions then follows.

        Raises
        ------
        CheckpointError
            There is no value, its content ends after the file, or there are too many values.
        """
        self._values += 1
        if self._values > MAX_FIELDS:
            raise CheckpointError(f"{self.path}: more than {MAX_FIELDS} values, which is the limit")
        value = self._value(what)
        if value.kind in _CONTENT:
            self.check(value.number, what)
        return value

    def pass_over(self, value: Value, what: str) -> None:
        """Skip the content of a value."""
        if value.kind in _CONTENT:
            self.skip(value.number, what)

    def text(self, what: str) -> str:
        """Return the next value, which must be a text."""
        return self.take_text(self.expect(TEXT, what).number, what)

    def expect(self, kind: str, what: str) -> Value:
        """Return the next value; CheckpointError if it has another kind."""
        at = self.position
        value = self.value(what)
        if value.kind != kind:
            raise CheckpointError(f"{self.path}: {what} at byte {at} is {value.kind}, not {kind}")
        return value

    def _value(self, what: str) -> Value:
        at = self.position
        first = self.take(1, what)[0]
        if first < 0x80 or first >= 0xE0:
            return Value(INTEGER, first - 256 * (first >= 0xE0))
        if first < 0xC0:
            kind, most = ((MAP, 15), (LIST, 15), (TEXT, 31), (TEXT, 31))[(first - 0x80) >> 4]
            return Value(kind, first & most)
        if first in _SIZES:
            kind, size = _SIZES[first]
            count = int.from_bytes(self.take(size, what), "big")
            return Value(kind, count, self._code(what) if kind == EXTENSION else 0)
        if first in _NUMBERS:
            raw = self.take(struct.calcsize(_NUMBERS[first]), what)
            return Value(INTEGER, struct.unpack(_NUMBERS[first], raw)[0])
        if first in _FLOATS:
            self.skip(_FLOATS[first], what)
            return Value(FLOAT)
        if 0xD4 <= first <= 0xD8:
            return Value(EXTENSION, 1 << (first - 0xD4), self._code(what))
        if first == 0xC1:
            raise CheckpointError(
                f"{self.path}: {what} at byte {at} begins with 0xc1, which is not a value"
            )
        return Value(NIL if first == 0xC0 else BOOL)

    def _code(self, what: str) -> int:
        (code,) = struct.unpack("b", self.take(1, what))
        return int(code)
