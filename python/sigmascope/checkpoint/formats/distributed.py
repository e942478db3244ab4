# SPDX-License-Identifier: BSD-3-Clause
"""Folders of torch.distributed.checkpoint: `.metadata`, and files `__0_0.distcp` and so on.

A `.distcp` file is a sequence of zip archives as `torch.save` writes them, one for each chunk of a
tensor. A tensor in one chunk is a range of bytes in its file. A tensor that is cut, along any axes,
is gathered when it is read, and belongs to a virtual file with the name `.metadata`. Pickles are
never run.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import prod
from typing import NamedTuple

from sigmascope._host.limits import MAX_PICKLE_BYTES
from sigmascope.checkpoint.remote.paths import FilePart, Place
from sigmascope.errors import CheckpointError

from .distributed_metadata import Chunk, ChunkedTensor, Metadata, parsed_metadata
from .entries import Header, TensorEntry, of_each, opened
from .gathered import GatheredTensors, Piece, PiecedTensor, is_grid
from .jsontext import brief
from .memory import DTYPE_NAMES
from .pickled_tree import WRAPPERS
from .pickles import tensor_in
from .stored import Stored, StoredSource

SUFFIX = ".distcp"

_METADATA = ".metadata"


class _File(NamedTuple):
    """A file: the place of its bytes, and the tensor of each chunk by its first byte."""

    stored: Stored
    tensors: Mapping[int, TensorEntry]


class _Entries:
    """The entries of a checkpoint: of each file, and of the virtual file of tensors that are cut.

    Attributes
    ----------
    whole : dict of str to list of TensorEntry
        Tensors of one chunk, by the names of their files.
    cut : list of (str, PiecedTensor)
        Tensors of several chunks, with their dtypes.
    others : list of TensorEntry
        Tensors without elements, and entries that are not read.
    """

    def __init__(self, place: Place, files: Mapping[str, _File]) -> None:
        self.place, self.files = place, files
        self.whole: dict[str, list[TensorEntry]] = {name: [] for name in files}
        self.cut: list[tuple[str, PiecedTensor]] = []
        self.others: list[TensorEntry] = []

    def add(self, tensor: ChunkedTensor, name: str) -> None:
        """Add a tensor whose chunks were compared with the metadata."""
        dtype = DTYPE_NAMES[tensor.dtype]
        entries = [self.files[chunk.file].tensors[chunk.start] for chunk in tensor.chunks]
        if other := {each.dtype for each in entries} - {dtype}:
            raise CheckpointError(
                f"{self.place}: tensor {brief(name, 200)} is {dtype}, but {other.pop()} in its file"
            )
        if not entries:
            self.others.append(TensorEntry(name, dtype, tensor.shape, 0, 0))
        elif len(entries) == 1:
            self.whole[tensor.chunks[0].file].append(replace(entries[0], name=name))
        elif any(each.strides for each in entries):
            self.leave([name], "a tensor whose chunks are transposed, not read")
        else:
            itemsize = entries[0].nbytes // prod(entries[0].shape)
            pieces = tuple(
                Piece(*chunk[:2], self.files[chunk.file].stored, each.offset)
                for chunk, each in zip(tensor.chunks, entries, strict=True)
            )
            self.cut.append((dtype, PiecedTensor(name, tensor.shape, itemsize, pieces)))

    def leave(self, names: Iterable[str], why: str, kind: str = "tensor") -> None:
        """Add entries that are not read."""
        self.others += [TensorEntry(name, kind, (), 0, 0, foreign=why) for name in names]

    def headers(self, stored: Stored, notes: tuple[str, ...]) -> tuple[Header, ...]:
        """Make the headers; `stored` is the place of the metadata."""
        headers: list[Header] = []
        for name, entries in self.whole.items():
            entries.sort(key=lambda entry: entry.offset)
            path = self.place.parent / name
            headers.append(Header(path, tuple(entries), {}, self.files[name].stored))
        entries = []
        if self.cut:
            source = GatheredTensors(str(self.place.parent), [tensor for _, tensor in self.cut])
            stored = StoredSource(source, self.place.name)
            for (dtype, tensor), start in zip(self.cut, source.starts, strict=True):
                nbytes = prod(tensor.shape) * tensor.itemsize
                entries.append(TensorEntry(tensor.name, dtype, tensor.shape, start, nbytes))
        return (*headers, Header(self.place, (*entries, *self.others), {}, stored, notes))


def read_distributed(path: Place) -> tuple[Header, ...]:
    """Read the places of the tensors in a checkpoint that torch.distributed.checkpoint saved.

    Parameters
    ----------
    path : Path or RemotePath
        Any file of the folder.

    Returns
    -------
    tuple of Header
        One for each file with a chunk, and one for the cut tensors. If the state dict has its
        weights under "model" or a similar key, that key is not part of their names, and the entries
        next to it are not read. Memory is a small multiple of the metadata. Opening reads some
        kilobytes of each chunk.

    Raises
    ------
    CheckpointError
        The metadata are missing or name anything except tensors and plain containers, a file is
        missing, or a chunk contradicts the metadata.
    """
    place = path.parent / _METADATA
    with opened(place) as (file, stored):
        if stored.size > MAX_PICKLE_BYTES:
            raise CheckpointError(
                f"{place}: {stored.size} bytes, above the limit of {MAX_PICKLE_BYTES}"
            )
        raw = file.read(stored.size) or b""
    try:
        metadata = parsed_metadata(raw)
    except CheckpointError as error:
        raise CheckpointError(f"{place}: {error}") from None
    wrapper = _wrapper(metadata)
    weights = [each for each in metadata.tensors if wrapper is None or each.keys[0] == wrapper]
    reasons = {each.name: _reason(each) for each in weights}
    entries = _Entries(place, _files(place, [each for each in weights if not reasons[each.name]]))
    for each in weights:
        name = each.name if wrapper is None else each.name.removeprefix(f"{wrapper}.")
        if reason := reasons[each.name]:
            entries.leave([name], reason)
        else:
            entries.add(each, name)
    others = (each.name for each in metadata.tensors if each.name not in reasons)
    entries.leave(others, f"a tensor next to {wrapper!r}, not read")
    next_to = f" next to {wrapper!r}" if wrapper else ""
    entries.leave(metadata.others, f"bytes{next_to}, not read", "bytes")
    notes = (f"the tensors of {wrapper!r}, named without it",) if wrapper else ()
    return entries.headers(stored, notes)


def _wrapper(metadata: Metadata) -> str | None:
    """Return the key of the dict of weights, if the state dict has one."""
    parents = {each.keys[0] for each in metadata.tensors if len(each.keys) > 1}
    return next((key for key in WRAPPERS if key in parents), None)


def _reason(tensor: ChunkedTensor) -> str | None:
    """Return the reason in the metadata why a consistent tensor is not read, if there is one."""
    if tensor.dtype not in DTYPE_NAMES:
        return f"a tensor of {tensor.dtype}, not read"
    if any(chunk.transformed for chunk in tensor.chunks):
        return "a tensor whose chunks are compressed, not read"
    ranks = {len(numbers) for chunk in tensor.chunks for numbers in chunk[:2]}
    if ranks - {len(tensor.shape)}:
        return "a tensor whose chunks have other dimensions, not read"
    if prod(tensor.shape) and not is_grid(tensor.shape, [chunk[:2] for chunk in tensor.chunks]):
        return "a tensor whose chunks do not cover it as a grid, not read"
    return None


def _files(place: Place, tensors: Iterable[ChunkedTensor]) -> dict[str, _File]:
    """Find the tensor of every chunk, file by file."""
    chunks: dict[str, list[tuple[Chunk, str]]] = {}
    for tensor in tensors:
        for chunk in tensor.chunks:
            chunks.setdefault(chunk.file, []).append((chunk, tensor.name))
    names = sorted(chunks)
    files = of_each(place.parent, names, lambda path: _read_file(path, chunks[path.name]))
    return dict(zip(names, files, strict=True))


def _read_file(path: Place, chunks: list[tuple[Chunk, str]]) -> _File:
    """Read the places of the tensors in one file."""
    chunks.sort(key=lambda each: each[0].start)
    with opened(path) as (file, stored):
        last = chunks[-1][0]
        stops = [*(chunk.start for chunk, _ in chunks[1:]), stored.size]
        for (chunk, name), stop in zip(chunks, stops, strict=True):
            if chunk.start + chunk.nbytes > stop:
                raise CheckpointError(
                    f"{path}: tensor {brief(name, 200)}: {chunk.nbytes} bytes from byte "
                    f"{chunk.start} on extend beyond byte {stop}, where "
                    f"{'the file ends' if chunk is last else 'another chunk begins'}"
                )
        tensors = {chunk.start: _tensor(file, path, chunk, name) for chunk, name in chunks}
        return _File(stored, tensors)


def _tensor(file: io.RawIOBase, path: Place, chunk: Chunk, name: str) -> TensorEntry:
    try:
        part = FilePart(file, chunk.start, chunk.nbytes)
        entry = tensor_in(part, chunk.nbytes, name)
    except CheckpointError as error:
        text = f"{path}: tensor {brief(name, 200)} at byte {chunk.start}: {error}"
        raise CheckpointError(text) from None
    if entry.shape != chunk.sizes:
        raise CheckpointError(
            f"{path}: tensor {brief(name, 200)} at byte {chunk.start} has shape "
            f"{brief(list(entry.shape))}, but {brief(list(chunk.sizes))} in {_METADATA}"
        )
    return replace(entry, offset=chunk.start + entry.offset)
