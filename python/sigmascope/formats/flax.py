# SPDX-License-Identifier: BSD-3-Clause
"""The `.msgpack` files of flax.serialization, without the msgpack package.

A file is a map of maps by names of modules. An array is an extension of type 1: a list of its
shape, the name of its dtype, and its bytes, which stay in the file. Type 3 is one number in the
same form. An array above 1 GiB is a map with the key `__msgpack_chunked_array__`, a shape, and flat
chunks, which are joined when they are read. Names of tensors have slashes, as in the indexes that
Transformers writes. If the weights are under "params" or "target" next to other keys, that key is
not part of their names, and its neighbours (the state of an optimiser) are not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from sigmascope.checkpoint import Header, Reader, TensorEntry, opened
from sigmascope.errors import CheckpointError
from sigmascope.extension.readers import (
    DTYPE_BITS,
    DTYPE_NAMES,
    MAX_DIMENSIONS,
    MAX_NESTING,
    MAX_TENSORS,
    GatheredTensors,
    Piece,
    PiecedTensor,
    Place,
    Stored,
    StoredSource,
    brief,
    check_extent,
    checked_name,
    recognised,
    start_of,
)

from .msgpack_values import BYTES, EXTENSION, INTEGER, LIST, MAP, Value, ValueStream

_CHUNKED = "__msgpack_chunked_array__"
_ARRAY, _SCALAR = 1, 3
_WRAPPERS = ("params", "target")
_DTYPES = {name: dtype for name, dtype in DTYPE_NAMES.items() if dtype in DTYPE_BITS}


@dataclass(frozen=True, slots=True)
class _Array:
    """An array: the first byte of its numbers, and their bytes; `dtype` is NumPy's name."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A leaf of the tree: its path of keys, shape, and the arrays that hold it in order.

    `reason` says why it is not read as a tensor.
    """

    keys: tuple[str, ...]
    kind: str
    shape: tuple[int, ...] = ()
    arrays: tuple[_Array, ...] = ()
    reason: str = ""


def read_flax(path: Place) -> tuple[Header, ...]:
    """Read and validate the arrays of a file of flax, without their numbers.

    Returns
    -------
    tuple of Header
        One for the file, and one for arrays in chunks, if there are any. Memory is a small multiple
        of the names. The file is read in pieces of 4 KiB; numbers are skipped.

    Raises
    ------
    CheckpointError
        The file cannot be read or is not consistent. The message names the file, the tensor and the
        values that disagree.
    """
    with opened(path) as (file, stored):
        if what := recognised(start_of(file)):
            raise CheckpointError(f"{path}: not a flax msgpack file but {what}")
        tree = _Tree(ValueStream(file, stored.size, path))
        tree.read()
    return _headers(path, stored, tree.leaves)


class _Tree:
    """The leaves of a file."""

    def __init__(self, stream: ValueStream) -> None:
        self.stream = stream
        self.leaves: list[_Leaf] = []

    def read(self) -> None:
        """Collect the leaves of the map that is the whole file."""
        stream = self.stream
        self._read_map(stream.expect(MAP, "the tree").number, ())
        if stream.position != stream.size:
            raise CheckpointError(
                f"{stream.path}: the tree ends at byte {stream.position}, but the file at "
                f"{stream.size}"
            )

    def _read_map(self, count: int, keys: tuple[str, ...]) -> None:
        if len(keys) >= MAX_NESTING:
            raise CheckpointError(
                f"{self.stream.path}: maps within {MAX_NESTING} others, which is the limit"
            )
        for number in range(count):
            key = self.stream.text("a key")
            if key == _CHUNKED:
                if number:
                    raise self._wrong(keys, f"{_CHUNKED} after other keys")
                self._add(self._chunked(count, keys))
                return
            inner = (*keys, key)
            checked_name("/".join(inner), str(self.stream.path))
            self._read(inner)

    def _read(self, keys: tuple[str, ...]) -> None:
        stream, what = self.stream, _label(keys)
        value = stream.value(what)
        if value.kind == MAP:
            self._read_map(value.number, keys)
        elif value.kind == LIST:
            if len(keys) >= MAX_NESTING:
                raise CheckpointError(
                    f"{stream.path}: lists within {MAX_NESTING} others, which is the limit"
                )
            for index in range(value.number):
                self._read((*keys, str(index)))
        elif value.kind == EXTENSION and value.code in (_ARRAY, _SCALAR):
            array = self._array(value, keys)
            known = array.dtype in _DTYPES
            reason = "" if known else f"a tensor of {brief(array.dtype, 60)}, not read"
            self._add(_Leaf(keys, "tensor", array.shape, (array,), reason))
        else:
            stream.pass_over(value, what)
            kind = value.kind.split(" ")[-1]
            self._add(_Leaf(keys, kind, reason=f"{value.kind}, not a tensor"))

    def _add(self, leaf: _Leaf) -> None:
        self.leaves.append(leaf)
        if len(self.leaves) > MAX_TENSORS:
            raise CheckpointError(
                f"{self.stream.path}: more than {MAX_TENSORS} leaves, which is the limit"
            )

    def _array(self, value: Value, keys: tuple[str, ...]) -> _Array:
        """Read an extension that is an array, and skip its numbers."""
        stream, what = self.stream, _label(keys)
        stop = stream.position + value.number
        if stream.expect(LIST, what).number != 3:
            raise self._wrong(keys, "an array that is not a list of shape, dtype and bytes")
        shape = tuple(self._size(keys) for _ in range(self._dimensions(LIST, keys)))
        dtype = stream.text(what)
        nbytes = stream.expect(BYTES, what).number
        array = _Array(dtype, shape, stream.position, nbytes)
        stream.skip(nbytes, what)
        if stream.position != stop:
            raise self._wrong(keys, f"numbers end at byte {stream.position}, the array at {stop}")
        if dtype in _DTYPES:
            self._check_size(keys, dtype, shape, nbytes)
        return array

    def _dimensions(self, kind: str, keys: tuple[str, ...]) -> int:
        count = self.stream.expect(kind, f"the shape of {_label(keys)}").number
        if count > MAX_DIMENSIONS:
            raise self._wrong(keys, f"{count} dimensions, above the limit of {MAX_DIMENSIONS}")
        return count

    def _size(self, keys: tuple[str, ...]) -> int:
        size = self.stream.expect(INTEGER, f"the shape of {_label(keys)}").number
        if size < 0:
            raise self._wrong(keys, f"dimension {size} is negative")
        return size

    def _check_size(
        self, keys: tuple[str, ...], dtype: str, shape: tuple[int, ...], nbytes: int
    ) -> None:
        bits = DTYPE_BITS[_DTYPES[dtype]]
        check_extent(shape, bits, f"{self.stream.path}: {_label(keys)}")
        if prod(shape) * bits // 8 != nbytes:
            raise self._wrong(
                keys,
                f"{dtype} {brief(list(shape))} takes {prod(shape) * bits // 8} bytes, "
                f"{nbytes} are there",
            )

    def _chunked(self, count: int, keys: tuple[str, ...]) -> _Leaf:
        """Read the contents of an array in chunks, after its key."""
        stream = self.stream
        mark = stream.value(_label(keys))
        stream.pass_over(mark, _label(keys))
        shape: tuple[int, ...] | None = None
        chunks: list[_Array] | None = None
        for _ in range(count - 1):
            key = stream.text("a key")
            if key == "shape" and shape is None:
                shape = self._shape(keys)
            elif key == "chunks" and chunks is None:
                chunks = self._chunks(keys)
            else:
                raise self._wrong(keys, f"the key {brief(key, 60)} in an array of chunks")
        if shape is None or not chunks:
            raise self._wrong(keys, "an array of chunks without shape or chunks")
        kinds = {chunk.dtype for chunk in chunks}
        if len(kinds) > 1 or any(len(chunk.shape) != 1 for chunk in chunks):
            raise self._wrong(keys, "chunks that are not flat, or of several dtypes")
        dtype = kinds.pop()
        reason = "" if dtype in _DTYPES else f"a tensor of {brief(dtype, 60)}, not read"
        if not reason:
            self._check_size(keys, dtype, shape, sum(chunk.nbytes for chunk in chunks))
        return _Leaf(keys, "tensor", shape, tuple(chunks), reason)

    def _shape(self, keys: tuple[str, ...]) -> tuple[int, ...]:
        shape: list[int] = []
        for index in range(self._dimensions(MAP, keys)):
            self._numbered(index, keys)
            shape.append(self._size(keys))
        return tuple(shape)

    def _chunks(self, keys: tuple[str, ...]) -> list[_Array]:
        chunks: list[_Array] = []
        for index in range(self.stream.expect(MAP, f"the chunks of {_label(keys)}").number):
            self._numbered(index, keys)
            value = self.stream.expect(EXTENSION, f"a chunk of {_label(keys)}")
            if value.code != _ARRAY:
                raise self._wrong(keys, f"a chunk that is an extension of type {value.code}")
            chunks.append(self._array(value, keys))
        return chunks

    def _numbered(self, index: int, keys: tuple[str, ...]) -> None:
        """Read the next key, which must be a number, in order."""
        key = self.stream.text("a key")
        if key != str(index):
            raise self._wrong(keys, f"the key {brief(key, 60)}, where {str(index)!r} should be")

    def _wrong(self, keys: tuple[str, ...], why: str) -> CheckpointError:
        return CheckpointError(f"{self.stream.path}: {_label(keys)}: {why}")


def _label(keys: tuple[str, ...]) -> str:
    return f"tensor {brief('/'.join(keys), 200)}"


def _headers(path: Place, stored: Stored, leaves: Sequence[_Leaf]) -> tuple[Header, ...]:
    """Make the entries of all leaves."""
    firsts = {leaf.keys[0] for leaf in leaves}
    wrapper = next((key for key in _WRAPPERS if key in firsts and len(firsts) > 1), None)
    plain: dict[str, TensorEntry] = {}
    cut: dict[str, tuple[str, PiecedTensor, tuple[int, ...]]] = {}
    for leaf in leaves:
        inside = wrapper is None or (leaf.keys[0] == wrapper and len(leaf.keys) > 1)
        name = "/".join(leaf.keys[wrapper is not None and inside :])
        if name in plain or name in cut:
            raise CheckpointError(f"{path}: tensor {brief(name, 200)} is in the file twice")
        if reason := leaf.reason if inside else f"a leaf next to {wrapper!r}, not read":
            plain[name] = TensorEntry(name, leaf.kind, (), 0, 0, foreign=reason)
            continue
        first, dtype = leaf.arrays[0], _DTYPES[leaf.arrays[0].dtype]
        if len(leaf.arrays) == 1:
            plain[name] = TensorEntry(name, dtype, leaf.shape, first.start, first.nbytes)
        else:
            cut[name] = dtype, _pieced(name, stored, leaf), leaf.shape
    notes = (f"the tensors of {wrapper!r}, named without it",) if wrapper else ()
    entries = tuple(sorted(plain.values(), key=lambda entry: entry.offset))
    header = Header(path, entries, {}, stored, notes)
    if not cut:
        return (header,)
    source = GatheredTensors(str(path), [tensor for _, tensor, _ in cut.values()])
    joined = tuple(
        TensorEntry(name, dtype, shape, start, tensor.shape[0] * tensor.itemsize)
        for (name, (dtype, tensor, shape)), start in zip(cut.items(), source.starts, strict=True)
    )
    return header, Header(path, joined, {}, StoredSource(source, path.name))


def _pieced(name: str, stored: Stored, leaf: _Leaf) -> PiecedTensor:
    """Return the chunks as pieces of a flat tensor."""
    pieces, at = [], 0
    for array in leaf.arrays:
        pieces.append(Piece((at,), array.shape, stored, array.start))
        at += array.shape[0]
    size = DTYPE_BITS[_DTYPES[leaf.arrays[0].dtype]] // 8
    return PiecedTensor(name, (at,), size, tuple(pieces))


READER = Reader("flax", (".msgpack",), read_flax, ".msgpack.index.json", "flax_model.msgpack")
