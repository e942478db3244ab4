# SPDX-License-Identifier: BSD-3-Clause
"""The `.metadata` of torch.distributed.checkpoint: a pickle, read without executing it.

It lists tensors by name, each cut into chunks (boxes by offsets and sizes), and the place of every
chunk: a file, and a range of its bytes. Its classes become inert records; see
:mod:`sigmascope.checkpoint.formats.inert`.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Mapping
from math import prod
from typing import Any, ClassVar, NamedTuple

from sigmascope._host.limits import MAX_DIMENSIONS, MAX_NESTING, MAX_TENSORS
from sigmascope.errors import CheckpointError

from .index import is_plain
from .inert import Handler, Inert, Name, counted, unpickled
from .jsontext import brief
from .names import MAX_SIZE, check_extent, checked_name

_METADATA = "torch.distributed.checkpoint.metadata."
_OLDER = "torch.distributed._shard.sharded_tensor.metadata."
_TENSOR, _BYTES = f"{_METADATA}TensorStorageMetadata", f"{_METADATA}BytesStorageMetadata"
_CHUNK, _INDEX = f"{_METADATA}ChunkStorageMetadata", f"{_METADATA}MetadataIndex"
_PLACE = "torch.distributed.checkpoint.filesystem._StorageInfo"
_CLASSES = {
    *(f"{_METADATA}Metadata", f"{_METADATA}StorageMeta", f"{_METADATA}TensorProperties"),
    *(_TENSOR, _BYTES, _CHUNK, _INDEX, _PLACE, f"{_OLDER}TensorProperties"),
}
_IGNORED = {
    "torch.serialization._get_layout",
    *(f"{_METADATA}_MEM_FORMAT_ENCODING", f"{_OLDER}MEM_FORMAT_ENCODING"),
    *("pathlib.PosixPath", "pathlib.WindowsPath"),
    *("pathlib._local.PosixPath", "pathlib._local.WindowsPath"),
}
"""Names that are called, with results that do not matter."""


class Chunk(NamedTuple):
    """A box of a tensor, and its place: bytes `start` to `start + nbytes` of a file.

    `transformed` is True if the bytes are compressed or otherwise transformed.
    """

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    file: str
    start: int
    nbytes: int
    transformed: bool


class ChunkedTensor(NamedTuple):
    """A tensor: its path of keys in the saved dict, its shape, and its chunks with elements.

    `dtype` is torch's name.
    """

    name: str
    keys: tuple[Any, ...]
    dtype: str
    shape: tuple[int, ...]
    chunks: tuple[Chunk, ...]


class Metadata(NamedTuple):
    """Tensors, and the names of all other entries."""

    tensors: tuple[ChunkedTensor, ...]
    others: tuple[str, ...]


class _Record:
    """An object of a class that is not imported; `kind` is the name of the class.

    Records are equal only if they are identical, so a record can be the key of a dict.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.state: object = None

    def get(self, key: str) -> Any:
        """Return an attribute, or None if it is absent."""
        return self.state.get(key) if isinstance(self.state, dict) else None


def _new(reader: Any) -> None:
    """Make a record instead of an object of a class."""
    arguments, cls = reader.stack.pop(), reader.stack.pop()
    if not isinstance(cls, Name) or cls.name not in _CLASSES or arguments != ():
        raise CheckpointError(f"it creates an object of {brief(cls)}")
    reader.append(_Record(cls.name))


def _ignored(*arguments: object) -> None:
    """Replace a function whose result does not matter."""


class _InertMetadata(Inert):
    dispatch: ClassVar[dict[int, Handler]] = Inert.dispatch | {pickle.NEWOBJ[0]: counted(_new)}

    def check_keys(self, keys: Iterable[object]) -> None:
        super().check_keys(key for key in keys if type(key) is not _Record)

    def set_attributes(self, owner: object, state: object) -> None:
        if type(owner) is not _Record:
            super().set_attributes(owner, state)
        else:
            owner.state = state

    def find_class(self, module: str, name: str, /) -> Any:
        path = f"{module}.{name}"
        if path in _IGNORED:
            return _ignored
        # A dtype is an attribute of torch. It is never called, which is an error.
        is_dtype = module == "torch" and name != "Size" and name.replace("_", "").isalnum()
        return Name(path) if path in _CLASSES or is_dtype else super().find_class(module, name)


def parsed_metadata(raw: bytes) -> Metadata:
    """Read the metadata from the bytes of the file, and check the types and numbers of its parts.

    Raises
    ------
    CheckpointError
        The pickle holds something else. The message does not have the path.
    """
    root = unpickled(raw, _InertMetadata)
    if not isinstance(root, _Record) or root.kind != f"{_METADATA}Metadata":
        kind = root.kind if isinstance(root, _Record) else type(root).__name__
        raise CheckpointError(f"not the metadata of a checkpoint but a {kind}")
    entries, keys = root.get("state_dict_metadata"), root.get("planner_data")
    if not isinstance(entries, dict):
        raise CheckpointError("state_dict_metadata is not a dict")
    _check_entries(entries)
    places = _places(root.get("storage_data"))
    tensors = {name: entry for name, entry in entries.items() if entry.kind == _TENSOR}
    return Metadata(
        tuple(_tensor(name, _keys(keys, name), entry, places) for name, entry in tensors.items()),
        tuple(name for name in entries if name not in tensors),
    )


def _check_entries(entries: Mapping[Any, Any]) -> None:
    """Check names and types, and count the chunks: many tensors may share one list of them."""
    if len(entries) > MAX_TENSORS:
        raise CheckpointError(f"{len(entries)} entries, above the limit of {MAX_TENSORS}")
    count = 0
    for name, entry in entries.items():
        if type(name) is not str:
            raise CheckpointError(f"entry {brief(name, 200)} has a name that is not text")
        checked_name(name, "state_dict_metadata")
        if not isinstance(entry, _Record):
            raise CheckpointError(f"entry {brief(name, 200)} is a {type(entry).__name__}")
        if entry.kind == _TENSOR:
            chunks = entry.get("chunks")
            if not isinstance(chunks, list):
                raise CheckpointError(f"tensor {brief(name, 200)}: chunks are not a list")
            count += len(chunks)
    if count > MAX_TENSORS:
        raise CheckpointError(f"{count} chunks, above the limit of {MAX_TENSORS}")


_Places = Mapping[tuple[str, tuple[int, ...]], _Record]


def _places(storage_data: object) -> _Places:
    """Return the place of each chunk by name and offsets."""
    if not isinstance(storage_data, dict):
        raise CheckpointError("storage_data is not a dict")
    places: dict[tuple[str, tuple[int, ...]], _Record] = {}
    for index, place in storage_data.items():
        if not isinstance(index, _Record) or not isinstance(place, _Record):
            raise CheckpointError(f"storage_data has the key {brief(index, 200)}")
        name, offset = index.get("fqn"), index.get("offset")
        if type(name) is not str or place.kind != _PLACE:
            raise CheckpointError(f"the place of {brief(name, 200)} is not in a file")
        if offset is not None:
            places[name, _numbers(offset, f"tensor {brief(name, 200)}: offset")] = place
    return places


def _keys(planner_data: object, name: str) -> tuple[Any, ...]:
    """Return the path of keys of an entry from the planner's data, if the data is as usual."""
    keys = planner_data.get(name) if isinstance(planner_data, dict) else None
    if not isinstance(keys, tuple) or not 0 < len(keys) <= MAX_NESTING:
        return (name,)
    return keys if all(type(key) in (str, int) for key in keys) else (name,)


def _tensor(name: str, keys: tuple[Any, ...], entry: _Record, places: _Places) -> ChunkedTensor:
    where = f"tensor {brief(name, 200)}"
    shape = _numbers(entry.get("size"), f"{where}: size")
    check_extent(shape, 64, where)
    properties = entry.get("properties")
    state = properties.state if isinstance(properties, _Record) else None
    dtype = state.get("dtype") if isinstance(state, dict) else None
    if isinstance(state, tuple) and state:
        dtype = state[0]
    if not isinstance(dtype, Name):
        raise CheckpointError(f"{where}: dtype {brief(dtype)}")
    chunks = tuple(_chunks(name, entry.get("chunks"), places))
    return ChunkedTensor(name, keys, dtype.name.rpartition(".")[2], shape, chunks)


def _chunks(name: str, chunks: list[Any], places: _Places) -> Iterator[Chunk]:
    """List the chunks that have elements."""
    where = f"tensor {brief(name, 200)}"
    for chunk in chunks:
        if not isinstance(chunk, _Record) or chunk.kind != _CHUNK:
            kind = chunk.kind if isinstance(chunk, _Record) else type(chunk).__name__
            raise CheckpointError(f"{where}: a chunk is a {kind}")
        offsets = _numbers(chunk.get("offsets"), f"{where}: offsets of a chunk")
        sizes = _numbers(chunk.get("sizes"), f"{where}: sizes of a chunk")
        if not prod(sizes):
            continue
        place = places.get((name, offsets))
        if place is None:
            raise CheckpointError(f"{where}: no file has the chunk at {brief(list(offsets))}")
        file, start, nbytes = (place.get(key) for key in ("relative_path", "offset", "length"))
        if type(file) is not str or not is_plain(file):
            raise CheckpointError(f"{where}: file {brief(file, 200)} is not a plain file name")
        start, nbytes = _numbers((start, nbytes), f"{where}: place of a chunk")
        transformed = bool(place.get("transform_descriptors"))
        yield Chunk(offsets, sizes, file, start, nbytes, transformed)


def _numbers(sizes: object, what: str) -> tuple[int, ...]:
    """Check a tuple of sizes."""
    if not isinstance(sizes, tuple) or len(sizes) > MAX_DIMENSIONS:
        raise CheckpointError(f"{what}: not a tuple of at most {MAX_DIMENSIONS} numbers")
    if not all(type(number) is int and 0 <= number <= MAX_SIZE for number in sizes):
        raise CheckpointError(f"{what}: {brief(list(sizes))}")
    return sizes
