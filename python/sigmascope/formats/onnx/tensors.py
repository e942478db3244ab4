# SPDX-License-Identifier: BSD-3-Clause
"""One initialiser of an ONNX model (a TensorProto): dtype, shape, and the place of its numbers."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from math import prod
from typing import NamedTuple

from sigmascope.checkpoint import TensorEntry
from sigmascope.errors import CheckpointError
from sigmascope.extension.readers import (
    DTYPE_BITS,
    MAX_DIMENSIONS,
    brief,
    check_extent,
    checked_name,
    is_integer,
)
from sigmascope.formats.limits import MAX_VARINT_BYTES

from .nodes import signed
from .protobuf import BYTES, FIXED32, FIXED64, VARINT, Field, WireStream
from .usage import usage_of
from .uses import Use
from .varints import PackedNumbers

_DIMS, _DATA_TYPE, _SEGMENT, _NAME = 1, 2, 3, 8
_FLOATS, _INT32S, _INT64S, _DOUBLES, _UINT64S = 4, 5, 7, 10, 11
_RAW, _EXTERNAL, _DATA_LOCATION = 9, 13, 14
_KEY, _VALUE = 1, 2

_LISTS = {
    _FLOATS: ("float_data", FIXED32),
    _INT32S: ("int32_data", VARINT),
    _INT64S: ("int64_data", VARINT),
    _DOUBLES: ("double_data", FIXED64),
    _UINT64S: ("uint64_data", VARINT),
    _RAW: ("raw_data", BYTES),
}
"""Fields that hold numbers: name, and type of a single number."""


class _Type(NamedTuple):
    """An ONNX type: its name in the safetensors format, its bits, and the list that may hold it."""

    dtype: str
    bits: int
    numbers: int


def _types(numbers: int, **codes: int) -> dict[int, _Type]:
    return {
        code: _Type(name, DTYPE_BITS.get(name, _OTHER_BITS.get(name, 0)), numbers)
        for name, code in codes.items()
    }


_OTHER_BITS = {"C128": 128, "U4": 4, "I4": 4, "U2": 2, "I2": 2}
_TYPES = (
    _types(_FLOATS, F32=1, C64=14)
    | _types(_DOUBLES, F64=11, C128=15)
    | _types(_INT32S, U8=2, I8=3, U16=4, I16=5, I32=6, BOOL=9, F16=10, BF16=16)
    | _types(_INT32S, F8_E4M3=17, F8_E4M3FNUZ=18, F8_E5M2=19, F8_E5M2FNUZ=20, F8_E8M0=24)
    | _types(_INT32S, U4=21, I4=22, F4=23, U2=25, I2=26)
    | _types(_INT64S, I64=7)
    | _types(_UINT64S, U32=12, U64=13)
)
_FORMS = {"F16": "<e", "F32": "<f", "F64": "<d"}
_AS_IT_IS = (_FLOATS, _DOUBLES, _RAW)
"""Fields whose bytes are the bytes of the numbers."""

_STRING = 8


@dataclass
class Initializer:
    """A tensor of the graph; `start` and `stored` are the place and the bytes of its numbers."""

    name: str = ""
    code: int = 0
    shape: tuple[int, ...] = ()
    start: int = 0
    stored: int = 0
    numbers: int = 0
    """Field that holds the numbers: raw_data or one of the lists; 0 without such a field."""

    reason: str | None = None
    """Reason why a tensor is not read."""

    external: dict[str, str] = field(default_factory=dict)
    elsewhere: bool = False
    kernel: bool = False
    """True if it is the kernel of a convolution."""

    use: Use | None = None

    @property
    def label(self) -> str:
        """The tensor in messages."""
        return f"tensor {brief(self.name, 200)}"

    @property
    def dtype(self) -> str:
        """Name of the dtype in the safetensors format."""
        return _TYPES[self.code].dtype

    @property
    def nbytes(self) -> int:
        """Number of bytes of all numbers."""
        return -(-prod(self.shape) * _TYPES[self.code].bits // 8)

    @property
    def kind(self) -> str:
        """Name of the dtype; "" for a tensor that is not read."""
        return "" if self.reason is not None or self.code not in _TYPES else self.dtype

    @property
    def is_weight(self) -> bool:
        """True for two or more floating point numbers."""
        return prod(self.shape) > 1 and self.code in _TYPES and not is_integer(self.dtype)

    @property
    def is_external(self) -> bool:
        """True if the numbers are in a separate file."""
        return self.elsewhere and self.reason is None

    @property
    def is_varints(self) -> bool:
        """True if the numbers must be decoded when they are used."""
        return self.numbers in (_INT32S, _INT64S, _UINT64S) and self.reason is None

    @property
    def is_inline(self) -> bool:
        """True if the numbers are bytes of the model, and for tensors that are not read."""
        return not self.is_external and not self.is_varints

    def entry(self, offset: int) -> TensorEntry:
        """Make the entry of the tensor, whose first byte in its file is given."""
        if self.reason is not None:
            return TensorEntry(self.name, "tensor", (), 0, 0, foreign=self.reason)
        usage = usage_of(self.use, self.kernel, self.dtype, self.shape)
        return TensorEntry(self.name, self.dtype, self.shape, offset, self.nbytes, usage=usage)

    def packed(self) -> PackedNumbers:
        """Return the place of numbers that must be decoded."""
        place = self.start, self.stored
        return PackedNumbers(self.name, self.dtype, self.shape, self.nbytes, *place)


def read_initializer(stream: WireStream, part: Field, name: str = "") -> Initializer:
    """Read one tensor without its numbers, and check that their count fits its shape.

    `name` is the name of a constant, whose tensor may have another name.

    Raises
    ------
    CheckpointError
        The count does not fit, or a field is malformed.
    """
    tensor, dims, places = Initializer(), list[int](), dict[int, Field]()
    for each in stream.enter(part, "an initialiser"):
        if each.number == _NAME:
            tensor.name = checked_name(
                stream.text(each, "the name of an initialiser"), str(stream.path)
            )
        elif each.number == _DATA_TYPE:
            tensor.code = stream.number(each, "the type of an initialiser")
        elif each.number == _DIMS:
            dims += stream.numbers(each, "dimensions of an initialiser", MAX_DIMENSIONS)
        elif each.number in _LISTS:
            _add_numbers(tensor, stream, each, places)
        elif each.number == _EXTERNAL:
            _add_external(tensor, stream, each)
        elif each.number == _DATA_LOCATION:
            tensor.elsewhere = stream.number(each, "the place of an initialiser") == 1
        elif each.number == _SEGMENT:
            tensor.reason = "a segment of a tensor, not read"
        if len(dims) > MAX_DIMENSIONS:
            raise CheckpointError(
                f"{stream.path}: an initialiser of more than {MAX_DIMENSIONS} dimensions, which is "
                "the limit"
            )
    if name:
        tensor.name = checked_name(name, str(stream.path))
    where = f"{stream.path}: {tensor.label}"
    if not tensor.name:
        raise CheckpointError(f"{stream.path}: the initialiser at byte {part.start} has no name")
    tensor.shape = tuple(dims)
    _check_shape(tensor, where)
    if tensor.reason is None:
        _place(tensor, places, where)
        _name_infinity(stream, tensor)
    return tensor


def _name_infinity(stream: WireStream, tensor: Initializer) -> None:
    """Give a single infinite number a reason: graphs use it as a limit, never as a weight."""
    form = _FORMS.get(tensor.dtype)
    if (
        form is None
        or prod(tensor.shape) != 1
        or tensor.elsewhere
        or tensor.numbers not in _AS_IT_IS
    ):
        return
    stream.position = tensor.start
    (value,) = struct.unpack(form, stream.take(tensor.stored, "a number"))
    if math.isinf(value):
        tensor.reason = f"the constant {value} of the graph, not a weight"


def _add_external(tensor: Initializer, stream: WireStream, part: Field) -> None:
    key = value = ""
    for each in stream.enter(part, "a place of external data"):
        if each.number == _KEY:
            key = stream.text(each, "a key of external data")
        elif each.number == _VALUE:
            value = stream.text(each, "a value of external data")
    if key in tensor.external:
        raise CheckpointError(f"{stream.path}: external data has the key {brief(key)} twice")
    tensor.external[key] = value
    if len(tensor.external) > MAX_DIMENSIONS:
        raise CheckpointError(
            f"{stream.path}: external data of more than {MAX_DIMENSIONS} keys, which is the limit"
        )


def _check_shape(tensor: Initializer, where: str) -> None:
    """Check type and shape; a type without numbers gets a reason."""
    bits = max(_TYPES[tensor.code].bits, 8) if tensor.code in _TYPES else 8
    for size in tensor.shape:
        if size >= 2**63:
            raise CheckpointError(f"{where}: dimension {size - 2**64} is negative")
    check_extent(tensor.shape, bits, where)
    if tensor.code not in _TYPES and tensor.reason is None:
        kind = "texts" if tensor.code == _STRING else f"elements of type {tensor.code}"
        tensor.reason = f"{kind}, which are not supported"


def _add_numbers(
    tensor: Initializer, stream: WireStream, part: Field, places: dict[int, Field]
) -> None:
    """Record the place of the numbers; a tensor with several places is not read."""
    name, alone = _LISTS[part.number]
    if part.kind != BYTES:
        stream.expect(part, alone, f"{name} of an initialiser")
    if part.kind == BYTES and not part.nbytes:
        return
    if part.number in places or part.kind != BYTES:
        tensor.reason = f"numbers in several places of the file ({name}), not read"
    places.setdefault(part.number, part)


def _place(tensor: Initializer, places: dict[int, Field], where: str) -> None:
    """Set the place of the numbers, and check that its bytes fit the shape."""
    if tensor.elsewhere:
        if places:
            raise CheckpointError(f"{where}: its numbers are both in the model and in another file")
        return
    if len(places) > 1:
        raise CheckpointError(f"{where}: its numbers are in several fields")
    if places:
        tensor.numbers, part = next(iter(places.items()))
        tensor.start, tensor.stored = part.start, part.nbytes
    if tensor.numbers not in (0, _RAW, _TYPES[tensor.code].numbers):
        name = _LISTS[tensor.numbers][0]
        raise CheckpointError(f"{where}: {tensor.dtype} in {name}, which cannot hold such numbers")
    if not tensor.is_varints and tensor.stored != tensor.nbytes:
        raise CheckpointError(
            f"{where}: {tensor.dtype} {brief(list(tensor.shape))} takes {tensor.nbytes} bytes, "
            f"{tensor.stored} are there"
        )
    if tensor.is_varints and tensor.stored > MAX_VARINT_BYTES:
        tensor.reason = f"varints of {tensor.stored} bytes, above the limit of {MAX_VARINT_BYTES}"


def read_integers(stream: WireStream, tensor: Initializer) -> tuple[int, ...] | None:
    """Read a tensor of a few integers of 64 bits, such as a shape; None for any other tensor."""
    few = len(tensor.shape) < 2 and prod(tensor.shape) <= MAX_DIMENSIONS
    if tensor.kind != "I64" or tensor.is_external or not few:
        return None
    stream.position = tensor.start
    if tensor.numbers == _RAW:
        raw = stream.take(tensor.stored, "a shape")
        return struct.unpack(f"<{len(raw) // 8}q", raw)
    place = Field(tensor.numbers, BYTES, tensor.start, tensor.start + tensor.stored, 0)
    return tuple(map(signed, stream.numbers(place, "a shape", MAX_DIMENSIONS)))
