# SPDX-License-Identifier: BSD-3-Clause
"""Headers of safetensors files, completely validated before they are used.

The format: 8 bytes little-endian header length, a JSON header, then tensor data without gaps.
This reader is stricter than the reference reader in six cases, all of which are ambiguous: repeated
tensor names, repeated metadata keys, unknown keys in an entry, entries written as lists, blanks
before the first brace, and sizes above 2**63 - 1. Tensor data at offsets that are not a multiple of
their item size are accepted: writers produce them, and they are well defined.
"""

from __future__ import annotations

import io
import math
import os
from pathlib import Path

from sigmascope._host.formats import recognised
from sigmascope._host.limits import MAX_DIMENSIONS, MAX_JSON_BYTES
from sigmascope.checkpoint.remote.paths import Place, RemotePath
from sigmascope.errors import CheckpointError

from .entries import DTYPE_BITS, Header, TensorEntry, opened, start_of
from .file_stream import read_exactly
from .jsontext import brief, parse_json, unique
from .names import MAX_SIZE, check_count, check_extent, checked_name


def read_header(path: str | os.PathLike[str] | RemotePath) -> Header:
    """Read and validate the header of one safetensors file.

    Parameters
    ----------
    path : path-like or RemotePath
        A regular file, or a symbolic link to one.

    Returns
    -------
    Header
        The header; no tensor data is read. Memory is a small multiple of the header.

    Raises
    ------
    CheckpointError
        The file cannot be read or is not a consistent safetensors file; the message names file,
        tensor and the values that disagree.
    """
    if not isinstance(path, RemotePath):
        path = Path(path)
    with opened(path) as (file, stored):
        raw = _read_header_bytes(file, stored.size, path)
    entries, metadata = parse_header(raw, stored.size, path)
    return Header(path, entries, metadata, stored)


def begins_with_header(start: bytes) -> bool:
    """Return whether a file begins like a safetensors file: a length, then a JSON object."""
    length = int.from_bytes(start[:8], "little")
    return 2 <= length <= MAX_JSON_BYTES and start[8:9] == b"{" and start[9:10] in b'"} \t\r\n'


def _read_header_bytes(file: io.RawIOBase, size: int, path: Place) -> bytes:
    """Check the length of the JSON text, and read it."""
    if 0 < size < 8 and (what := recognised(start_of(file, size))):
        raise CheckpointError(f"{path}: not a safetensors file but {what}")
    if size < 8:
        raise CheckpointError(f"{path}: {size} bytes, fewer than the 8 of the header length")
    start = start_of(file)
    length = int.from_bytes(read_exactly(file, 8, path), "little")
    # Some formats begin with bytes that could be a length; they are recognised without a header.
    if start[8:9] != b"{" and (what := recognised(start)):
        raise CheckpointError(f"{path}: not a safetensors file but {what}")
    if length > MAX_JSON_BYTES:
        raise CheckpointError(
            f"{path}: not a safetensors file, or a damaged one: header length {length} above the "
            f"limit of {MAX_JSON_BYTES} bytes; it begins with {start[:8]!r}"
        )
    if length > size - 8:
        raise CheckpointError(
            f"{path}: header length {length}, but only {size - 8} bytes follow it"
        )
    return read_exactly(file, length, path)


def parse_header(
    raw: bytes, file_size: int, path: Place
) -> tuple[tuple[TensorEntry, ...], dict[str, str]]:
    """Validate header text against the size of its file.

    Parameters
    ----------
    raw : bytes
        The JSON text that follows the 8 bytes of header length.
    file_size : int
        Size of the file in bytes.
    path : Path or RemotePath
        The file, for messages.

    Returns
    -------
    tuple
        Entries in file order, and the `__metadata__` strings.

    Raises
    ------
    CheckpointError
        As for `read_header`.
    """
    if not raw.startswith(b"{"):
        raise CheckpointError(f"{path}: the header starts with {brief(raw[:1])}, not with '{{'")
    tensors = unique(parse_json(raw, f"{path}: the header"), f"{path}: the header")
    metadata: dict[str, str] = {}
    if "__metadata__" in tensors:
        metadata = _metadata(tensors.pop("__metadata__"), path)
    data_start = 8 + len(raw)
    data_size = file_size - data_start
    check_count(tensors, str(path))
    entries = [
        _entry(checked_name(name, str(path)), value, data_start, data_size, path)
        for name, value in tensors.items()
    ]
    entries.sort(key=lambda entry: (entry.offset, entry.nbytes))
    _check_cover(entries, data_start, data_size, path)
    return tuple(entries), metadata


def _metadata(value: object, path: Place) -> dict[str, str]:
    metadata = unique(value, f"{path}: __metadata__")
    for key, text in metadata.items():
        if not isinstance(text, str):
            raise CheckpointError(
                f"{path}: __metadata__ {brief(key)} is {brief(text)}, not a string"
            )
    return metadata


def _entry(name: str, value: object, data_start: int, data_size: int, path: Place) -> TensorEntry:
    where = f"{path}: tensor {brief(name, 200)}"
    fields = unique(value, f"{where}: the entry")
    for key in ("dtype", "shape", "data_offsets"):
        if key not in fields:
            raise CheckpointError(f"{where}: its entry has no {key!r}")
    if len(fields) != 3:
        unknown = next(key for key in fields if key not in ("dtype", "shape", "data_offsets"))
        raise CheckpointError(f"{where}: its entry has an unknown key {brief(unknown)}")
    dtype = fields["dtype"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise CheckpointError(f"{where}: unknown dtype {brief(dtype)}")
    shape = _shape(fields["shape"], where)
    nbytes = _nbytes(shape, dtype, where)
    if len(shape) > MAX_DIMENSIONS:
        raise CheckpointError(
            f"{where}: {len(shape)} dimensions, above the limit of {MAX_DIMENSIONS}"
        )
    begin, end = _offsets(fields["data_offsets"], data_start, data_size, where)
    if end - begin != nbytes:
        raise CheckpointError(
            f"{where}: data_offsets [{begin}, {end}] hold {end - begin} bytes, "
            f"but {dtype} {brief(list(shape))} takes {nbytes}"
        )
    return TensorEntry(name, dtype, shape, data_start + begin, nbytes)


def _shape(value: object, where: str) -> tuple[int, ...]:
    if type(value) is not list:
        raise CheckpointError(f"{where}: shape {brief(value)} is not a list")
    for size in value:
        # bool is a subclass of int, hence type() and not isinstance().
        if type(size) is not int:
            raise CheckpointError(f"{where}: shape {brief(value)} holds a non-integer")
        if not 0 <= size <= MAX_SIZE:
            raise CheckpointError(
                f"{where}: shape {brief(value)} holds {size}, not in 0 .. 2**63-1"
            )
    return tuple(value)


def _nbytes(shape: tuple[int, ...], dtype: str, where: str) -> int:
    check_extent(shape, DTYPE_BITS[dtype], where, dtype)
    bits = DTYPE_BITS[dtype] * math.prod(shape)
    if bits % 8:
        raise CheckpointError(
            f"{where}: {dtype} {brief(list(shape))} takes {bits} bits, not whole bytes"
        )
    return bits // 8


def _offsets(value: object, data_start: int, data_size: int, where: str) -> tuple[int, int]:
    if type(value) is not list or len(value) != 2:
        raise CheckpointError(f"{where}: data_offsets {brief(value)} is not a pair")
    if any(type(offset) is not int for offset in value):
        raise CheckpointError(f"{where}: data_offsets {brief(value)} hold a non-integer")
    if min(value) < 0:
        raise CheckpointError(f"{where}: data_offsets {brief(value)} hold a negative offset")
    begin, end = value
    if begin > end:
        raise CheckpointError(f"{where}: data_offsets [{begin}, {end}] are reversed")
    if end > data_size:
        raise CheckpointError(
            f"{where}: data_offsets [{begin}, {end}] reach byte {data_start + end} of the file, "
            f"which ends at {data_start + data_size}"
        )
    return begin, end


def _check_cover(entries: list[TensorEntry], data_start: int, data_size: int, path: Place) -> None:
    """Raise CheckpointError unless the tensors cover the data without overlap or hole."""
    position, previous = data_start, ""
    for entry in entries:
        where = f"{path}: tensor {brief(entry.name, 200)} at byte {entry.offset}"
        if entry.offset < position:
            raise CheckpointError(
                f"{where} overlaps tensor {brief(previous, 200)}, which ends at {position}"
            )
        if entry.offset > position:
            raise CheckpointError(
                f"{where} leaves a hole of {entry.offset - position} bytes before it"
            )
        position, previous = entry.offset + entry.nbytes, entry.name
    if trailing := data_start + data_size - position:
        raise CheckpointError(
            f"{path}: {trailing} bytes after the last tensor, from byte {position} on"
        )
