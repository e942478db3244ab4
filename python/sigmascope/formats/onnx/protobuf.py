# SPDX-License-Identifier: BSD-3-Clause
"""The wire format of protocol buffers for headers of files.

A message is a sequence of fields: a number with the type of the content, and the content. This
module never enters a message by itself, so it does not follow the nesting of a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sigmascope.errors import CheckpointError
from sigmascope.extension.readers import FileStream
from sigmascope.formats.limits import MAX_FIELDS

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Types of the content of a field."""

_LONGEST = 10
_KINDS = {
    VARINT: "a number",
    FIXED64: "a number of 8 bytes",
    BYTES: "bytes",
    FIXED32: "a number of 4 bytes",
}
_SIZES = {FIXED64: 8, FIXED32: 4}


class Field(NamedTuple):
    """A field of a message, whose content is the bytes `start` to `stop` of the file.

    `value` is the number of a field of type `VARINT`, and 0 for all other types.
    """

    number: int
    kind: int
    start: int
    stop: int
    value: int

    @property
    def nbytes(self) -> int:
        """Number of bytes of the content."""
        return self.stop - self.start


class WireStream(FileStream):
    """A position in a file of messages; see :class:`FileStream`."""

    at_once = 1 << 12  # what is between long contents is short
    _fields = 0

    def fields(self, stop: int, what: str) -> Iterator[Field]:
        """List the fields of a message that begins here and ends at byte `stop`.

        Contents are skipped. A caller that enters a field may leave the position anywhere.

        Raises
        ------
        CheckpointError
            A field is malformed, or ends after the message.
        """
        while self.position < stop:
            self._fields += 1
            if self._fields > MAX_FIELDS:
                raise CheckpointError(
                    f"{self.path}: more than {MAX_FIELDS} fields of messages, which is the limit"
                )
            field = self._field(stop, what)
            yield field
            self.position = field.stop

    def enter(self, field: Field, what: str) -> Iterator[Field]:
        """List the fields of the message that is the content of a field."""
        self.expect(field, BYTES, what)
        self.position = field.start
        return self.fields(field.stop, what)

    def text(self, field: Field, what: str) -> str:
        """Return the content of a field as text."""
        self.expect(field, BYTES, what)
        self.position = field.start
        return self.take_text(field.nbytes, what)

    def number(self, field: Field, what: str) -> int:
        """Return the content of a field as a number."""
        self.expect(field, VARINT, what)
        return field.value

    def numbers(self, field: Field, what: str, most: int) -> list[int]:
        """Return the content of a field: one number, or several without tags."""
        if field.kind == VARINT:
            return [field.value]
        self.expect(field, BYTES, what)
        self.position = field.start
        numbers: list[int] = []
        while self.position < field.stop:
            if len(numbers) == most:
                raise CheckpointError(f"{self.path}: {what}: more than {most}, which is the limit")
            numbers.append(self._varint(field.stop, what))
        return numbers

    def expect(self, field: Field, kind: int, what: str) -> None:
        """Raise CheckpointError if the content of a field has another type."""
        if field.kind != kind:
            raise CheckpointError(
                f"{self.path}: {what} at byte {field.start} is {_KINDS[field.kind]}, not "
                f"{_KINDS[kind]}"
            )

    def _field(self, stop: int, what: str) -> Field:
        begin = self.position
        tag = self._varint(stop, what)
        number, kind = tag >> 3, tag & 7
        if not 0 < number < 2**29 or kind not in _KINDS:
            raise CheckpointError(
                f"{self.path}: {what} has field {number} of type {kind} at byte {begin}, which no "
                "message of ONNX has"
            )
        value, count = 0, _SIZES.get(kind, 0)
        start = self.position
        if kind == VARINT:
            value = self._varint(stop, what)
            return Field(number, kind, start, self.position, value)
        if kind == BYTES:
            count = self._varint(stop, what)
            start = self.position
        if start + count > stop:
            raise CheckpointError(
                f"{self.path}: {what}: field {number} takes {count} bytes from byte {start} on, "
                f"and {what} ends at {stop}"
            )
        return Field(number, kind, start, start + count, value)

    def _varint(self, stop: int, what: str) -> int:
        """Return the next number; each byte has 7 of its bits, the lowest first."""
        begin = self.position
        count = min(_LONGEST, stop - begin)
        at = self.within_piece(count, what)
        value = 0
        for place in range(count):
            byte = self._piece[at + place]
            value |= (byte & 127) << (7 * place)
            if byte < 128:
                if value >= 2**64:
                    break
                self.position = begin + place + 1
                return value
        why = "is cut short" if count < _LONGEST else "has more than 64 bits"
        raise CheckpointError(f"{self.path}: {what}: the number at byte {begin} {why}")
