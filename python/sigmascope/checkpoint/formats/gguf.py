# SPDX-License-Identifier: BSD-3-Clause
"""Headers of GGUF files, completely validated before they are used.

The format (versions 2 and 3, little endian): magic, version, the numbers of tensors and of
metadata; metadata as key, type and value; for each tensor its name, dimensions (the fastest first),
type and offset; then tensor data, each tensor at a multiple of the alignment. As in llama.cpp, a
tensor begins where the previous one ends, except for alignment.
"""

from __future__ import annotations

import math

from sigmascope._host.formats import LOOK, recognised
from sigmascope._host.limits import MAX_GGUF_DIMENSIONS, MAX_METADATA_ITEMS, MAX_TENSORS
from sigmascope.checkpoint.remote.paths import Place
from sigmascope.errors import CheckpointError

from .entries import Header, TensorEntry, opened
from .ggml import GgmlType, type_of
from .gguf_metadata import Metadata, read_metadata, settings_of
from .gguf_stream import GgufStream
from .jsontext import brief
from .names import check_extent, checked_name

_MAGIC = b"GGUF"
_DEFAULT_ALIGNMENT = 32


def read_gguf(path: Place) -> Header:
    """Read and validate the header of one GGUF file, without its numbers.

    Parameters
    ----------
    path : Path or RemotePath
        A regular file, or a symbolic link to one; it may be one of several shards.

    Returns
    -------
    Header
        Entries with their dtype named as in GGML ("Q4_K"); `settings` of the model from the
        metadata. Memory is a small multiple of the names of all tensors: arrays of tokens are
        skipped.

    Raises
    ------
    CheckpointError
        The file cannot be read or is not a consistent GGUF file; the message names file, tensor
        and the values that disagree.
    """
    with opened(path) as (file, stored):
        stream = GgufStream(file, stored.size, path)
        tensors = _start(stream)
        metadata = read_metadata(stream, stream.count("metadata", MAX_METADATA_ITEMS))
        infos = [_info(stream) for _ in range(tensors)]
        alignment = _alignment(metadata, path)
        entries = _placed(infos, _padded(stream.position, alignment), alignment, stream)
    return Header(path, entries, {}, stored, settings=settings_of(metadata))


def _start(stream: GgufStream) -> int:
    """Read magic and version; return the number of tensors."""
    start = stream.take(min(stream.size, LOOK), "the start")
    if not start.startswith(_MAGIC):
        what = recognised(start)
        reason = f" but {what}" if what else f": it begins with {brief(start[:4])}"
        raise CheckpointError(f"{stream.path}: not a GGUF file{reason}")
    stream.position = len(_MAGIC)
    version = stream.number(4, "the version")
    if version & 0xFFFF == 0 and version:
        raise CheckpointError(
            f"{stream.path}: a big-endian GGUF file, which is not supported; llama.cpp's "
            "gguf_convert_endian.py converts it"
        )
    if version not in (2, 3):
        supported = "only versions 2 and 3 are supported"
        raise CheckpointError(f"{stream.path}: GGUF version {version}; {supported}")
    return stream.count("tensors", MAX_TENSORS)


def _alignment(metadata: Metadata, path: Place) -> int:
    alignment = metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
    if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
        raise CheckpointError(f"{path}: general.alignment {brief(alignment)} is not a power of two")
    return alignment


def _padded(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment


Info = tuple[str, GgmlType, tuple[int, ...], int]
"""Name, type, shape and offset of a tensor as its record states them."""


def _info(stream: GgufStream) -> Info:
    """Read the record of one tensor, with its shape in C order."""
    name = checked_name(stream.text("the name of a tensor"), str(stream.path))
    where = f"tensor {brief(name, 200)}"
    count = stream.number(4, f"{where}: the number of dimensions")
    if count > MAX_GGUF_DIMENSIONS:
        raise CheckpointError(
            f"{stream.path}: {where}: {count} dimensions, above the limit of {MAX_GGUF_DIMENSIONS}"
        )
    shape = tuple(stream.number(8, f"{where}: a dimension") for _ in range(count))[::-1]
    dtype = type_of(stream.number(4, f"{where}: the type"))
    return name, dtype, shape, stream.number(8, f"{where}: the offset")


def _placed(
    infos: list[Info], start: int, alignment: int, stream: GgufStream
) -> tuple[TensorEntry, ...]:
    """Check names, sizes and offsets; `start` is the first byte of tensor data."""
    seen: set[str] = set()
    entries: list[TensorEntry] = []
    position: int | None = start
    for name, dtype, shape, offset in sorted(infos, key=lambda info: info[3]):
        where = f"{stream.path}: tensor {brief(name, 200)}"
        if name in seen:
            raise CheckpointError(f"{where} is in the file twice")
        seen.add(name)
        nbytes = _nbytes(shape, dtype, where)
        if offset % alignment:
            raise CheckpointError(f"{where}: offset {offset} is not a multiple of {alignment}")
        begin = start + offset
        if begin + nbytes > stream.size:
            raise CheckpointError(
                f"{where}: {dtype.name} {list(shape)} takes {nbytes} bytes from byte {begin} on, "
                f"but the file ends at {stream.size}"
            )
        if position is not None and begin != position:
            raise CheckpointError(
                f"{where} begins at byte {begin}, but the data before it ends at {position}"
            )
        position = _padded(begin + nbytes, alignment) if dtype.nbytes else None
        entries.append(TensorEntry(name, dtype.name, shape, begin, nbytes))
    return tuple(entries)


def _nbytes(shape: tuple[int, ...], dtype: GgmlType, where: str) -> int:
    check_extent(shape, 8 * max(dtype.nbytes, 1), where, dtype.name)
    row = shape[-1] if shape else 1
    if row % dtype.elements:
        raise CheckpointError(
            f"{where}: rows have {row} elements, not a multiple of {dtype.elements}, the block "
            f"size of {dtype.name}"
        )
    return math.prod(shape) // dtype.elements * dtype.nbytes
