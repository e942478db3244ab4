# SPDX-License-Identifier: BSD-3-Clause
"""Small safetensors files, written by hand so that the tests do not lean on any library."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sigmascope.checkpoint import Checkpoint, Header, open_checkpoint
from sigmascope.checkpoint.formats.safetensors import read_header

BITS = {
    **dict.fromkeys(["F4"], 4),
    **dict.fromkeys(["F6_E2M3", "F6_E3M2"], 6),
    **dict.fromkeys(["BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"], 8),
    **dict.fromkeys(["F8_E4M3FNUZ", "F8_E5M2FNUZ"], 8),
    **dict.fromkeys(["U16", "I16", "F16", "BF16"], 16),
    **dict.fromkeys(["U32", "I32", "F32"], 32),
    **dict.fromkeys(["U64", "I64", "F64", "C64"], 64),
}


@dataclass(frozen=True)
class Stored:
    """A tensor to be written; data of None stands for counting bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: bytes | None = None

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * BITS[self.dtype] // 8

    @property
    def bytes(self) -> bytes:
        if self.data is None:
            return bytes(i % 251 for i in range(self.nbytes))
        assert len(self.data) == self.nbytes
        return self.data


def framed(header: object, data: bytes = b"") -> bytes:
    """A file of any header (bytes and str as they are, else as JSON) and any data."""
    if not isinstance(header, bytes):
        header = (header if isinstance(header, str) else json.dumps(header)).encode()
    return len(header).to_bytes(8, "little") + header + data


def entry(
    dtype: object = "F32", shape: object = (2, 3), offsets: object = (0, 24)
) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def encoded(
    tensors: Sequence[Stored], metadata: Mapping[str, str] | None = None, pad: int = 0
) -> bytes:
    """A valid file that holds the tensors in the order given."""
    header: dict[str, object] = {} if metadata is None else {"__metadata__": dict(metadata)}
    position = 0
    for tensor in tensors:
        end = position + tensor.nbytes
        header[tensor.name] = entry(tensor.dtype, tensor.shape, (position, end))
        position = end
    return framed(json.dumps(header) + " " * pad, b"".join(t.bytes for t in tensors))


def write_file(path: Path, *tensors: Stored) -> Path:
    path.write_bytes(encoded(tensors))
    return path


def write_sharded(folder: Path, shards: Mapping[str, Sequence[Stored]], **changes: object) -> Path:
    """A folder of shards with their index; `changes` replaces members of the index."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, tensors in shards.items():
        write_file(folder / name, *tensors)
    index: dict[str, object] = {
        "metadata": {"total_size": sum(t.nbytes for ts in shards.values() for t in ts)},
        "weight_map": {t.name: name for name, ts in shards.items() for t in ts},
    }
    write_index(folder, {**index, **changes})
    return folder


def write_index(folder: Path, index: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.safetensors.index.json"
    path.write_text(index if isinstance(index, str) else json.dumps(index))
    return path


def opened(folder: Path, *tensors: Stored, config: object = None) -> Checkpoint:
    """A checkpoint of one file, with a config.json if one is given."""
    write_file(folder / "model.safetensors", *tensors)
    if config is not None:
        text = config if isinstance(config, str) else json.dumps(config)
        (folder / "config.json").write_text(text)
    return open_checkpoint(folder)


def header_of(path: Path) -> Header:
    """All that the reader finds in a header, the metadata too, which no checkpoint shows."""
    return read_header(path)


def of_array(name: str, dtype: str, array: np.ndarray[Any, Any]) -> Stored:
    return Stored(name, dtype, array.shape, array.tobytes())


def record(checkpoint: Checkpoint, name: str) -> dict[str, Any]:
    return next(dict(r) for r in checkpoint.info() if r["name"] == name)


def looked_up(checkpoint: Checkpoint, name: str) -> Any:
    """Whatever stands for the matrix of that name while calls are recorded."""
    return checkpoint[name]


def numbers(checkpoint: Checkpoint, name: str) -> np.ndarray[Any, Any]:
    """Return all elements of a tensor, one after another."""
    elements = checkpoint.elements(name)
    assert elements is not None
    return np.concatenate(list(elements))


def recorded_calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Put a recorder in place of the engine: what checkpoint code asks of it, call by call."""
    made: list[dict[str, Any]] = []

    def tensor(
        path: Path, offset: int, shape: tuple[int, int], dtype: str, **options: Any
    ) -> object:
        made.append({"path": path, "offset": offset, "shape": shape, "dtype": dtype, **options})
        return made[-1]

    monkeypatch.setitem(sys.modules, "sigmascope.matrices.sources", SimpleNamespace(tensor=tensor))
    return made
