# SPDX-License-Identifier: BSD-3-Clause
"""Write safetensors files, from arrays in memory or by joining other such files."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope._host.files import open_regular
from sigmascope._host.limits import MAX_JSON_BYTES
from sigmascope._host.replacing import replacing
from sigmascope.errors import CheckpointError

Tensors = Mapping[str, tuple[str, NDArray[Any]]]
"""Names of tensors, and the dtype and the numbers, or the codes, of each."""

_METADATA = {"format": "pt"}
"""The library whose tensors these are; transformers refuses a file without it."""

_NUMPY = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


def write_safetensors(path: Path, tensors: Tensors, seeds: Iterable[int] = ()) -> None:
    """Write tensors; the file is replaced in one operation.

    Parameters
    ----------
    path : Path
    tensors : mapping of name to (dtype, array)
    seeds : iterable of int
        Seeds of the searches that made the tensors; the metadata of the file name them `seed`.

    Raises
    ------
    OSError
        The file cannot be written; an existing file is unchanged.
    """
    header: dict[str, Any] = {}
    offset = 0
    for name, (dtype, x) in tensors.items():
        end = offset + x.nbytes
        header[name] = {"dtype": dtype, "shape": list(x.shape), "data_offsets": [offset, end]}
        offset = end
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(_framed(header, seeds))
        for _, x in tensors.values():
            file.write(np.ascontiguousarray(x).data)


def read_header(path: Path) -> dict[str, Any]:
    """Read the header of a file that :func:`write_safetensors` wrote, without its metadata.

    Raises
    ------
    CheckpointError
        The file lacks bytes that its header promises.
    OSError
        The file cannot be read.
    """
    with BufferedReader(open_regular(path)) as file:
        length = int.from_bytes(file.read(8), "little")
        if length > MAX_JSON_BYTES:
            raise CheckpointError(f"{path}: a header of {length} bytes")
        try:
            header: dict[str, Any] = json.loads(file.read(length))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name[0] != "_"]
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise CheckpointError(f"{path}: a broken header: {error}") from None
        size = os.fstat(file.fileno()).st_size
        if size != 8 + length + max(ends, default=0):
            raise CheckpointError(f"{path}: its {size} bytes do not match its header")
    header.pop("__metadata__", None)
    return header


def read_safetensors(path: Path) -> dict[str, tuple[str, NDArray[Any]]]:
    """Read the tensors of a file that :func:`write_safetensors` wrote, bf16 as codes.

    Raises
    ------
    CheckpointError, OSError
        As for :func:`read_header`.
    """
    header = read_header(path)
    with BufferedReader(open_regular(path)) as file:
        file.seek(int.from_bytes(file.read(8), "little"), os.SEEK_CUR)
        data = file.read()
    tensors = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        numbers = np.frombuffer(data[start:end], _NUMPY[entry["dtype"]])
        tensors[name] = entry["dtype"], numbers.reshape(entry["shape"])
    return tensors


def join_safetensors(path: Path, parts: Iterable[Path], seeds: Iterable[int] = ()) -> None:
    """Write the tensors of several files into one, a megabyte at a time.

    The metadata have the seeds, as in :func:`write_safetensors`. No other process may write to the
    folder.

    Raises
    ------
    CheckpointError, OSError
        As for :func:`read_header` and :func:`write_safetensors`.
    """
    parts = list(parts)
    header: dict[str, Any] = {}
    offset = 0
    for part in parts:
        size = 0
        for name, entry in read_header(part).items():
            start, end = entry["data_offsets"]
            header[name] = entry | {"data_offsets": [offset + start, offset + end]}
            size = max(size, end)
        offset += size
    with replacing(path, alone=True) as temporary, open(temporary, "wb") as file:
        file.write(_framed(header, seeds))
        for part in parts:
            with BufferedReader(open_regular(part)) as source:
                source.seek(int.from_bytes(source.read(8), "little"), os.SEEK_CUR)
                shutil.copyfileobj(source, file, 1 << 20)


def _framed(header: dict[str, Any], seeds: Iterable[int]) -> bytes:
    seed = ", ".join(map(str, sorted(set(seeds))))
    metadata = _METADATA | ({"seed": seed} if seed else {})
    text = json.dumps({"__metadata__": metadata} | header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
