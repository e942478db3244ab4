# SPDX-License-Identifier: BSD-3-Clause
"""Folders of torch.distributed.checkpoint, written by hand without torch."""

from __future__ import annotations

import io
import itertools
import pickle
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

STORAGES = {"F32": "FloatStorage", "F64": "DoubleStorage", "BF16": "BFloat16Storage"}
STORAGES |= {"I64": "LongStorage", "F16": "HalfStorage", "U8": "ByteStorage"}
DTYPES = {"F32": "float32", "F64": "float64", "BF16": "bfloat16", "I64": "int64", "U8": "uint8"}
DTYPES |= {"F16": "float16"}


class Named:
    """An object of a class that a pickle names, with attributes or any other state."""

    def __init__(self, *state: Any, **attributes: Any) -> None:
        self.state = state
        self.__dict__.update(attributes)

    def __getstate__(self) -> Any:
        return self.state or {k: v for k, v in self.__dict__.items() if k != "state"}


def named(name: str) -> type[Named]:
    """A class of another package, by its dotted name."""
    module, _, last = name.rpartition(".")
    return type(last, (Named,), {"__module__": module})


METADATA = "torch.distributed.checkpoint.metadata"
Metadata, Tensor, Bytes, Chunk, Index, Properties, StorageMeta = (
    named(f"{METADATA}.{name}")
    for name in (
        *("Metadata", "TensorStorageMetadata", "BytesStorageMetadata", "ChunkStorageMetadata"),
        *("MetadataIndex", "TensorProperties", "StorageMeta"),
    )
)
Place = named("torch.distributed.checkpoint.filesystem._StorageInfo")


class Call:
    """A call of a function of another package with some arguments."""

    def __init__(self, name: str, *arguments: Any) -> None:
        self.function, self.arguments = named(name), arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments


class Global:
    """An object of another package by its name."""

    def __init__(self, name: str) -> None:
        self.name = name


class Pickler(pickle._Pickler):
    """A pickler that writes names without looking them up."""

    def save_global(self, obj: Any, name: str | None = None) -> None:
        module = getattr(obj, "__module__", "")
        self.write(f"c{module}\n{name or obj.__qualname__}\n".encode())

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if isinstance(obj, Global):
            module, _, last = obj.name.rpartition(".")
            self.write(f"c{module}\n{last}\n".encode())
        elif isinstance(obj, type):
            self.save_global(obj)
        else:
            super().save(obj, save_persistent_id)


def pickled(value: Any) -> bytes:
    out = io.BytesIO()
    Pickler(out, 2).dump(value)
    return out.getvalue()


def size(numbers: Sequence[int]) -> Call:
    return Call("torch.Size", tuple(numbers))


def _text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def _numbers(values: Sequence[int]) -> bytes:
    return pickle.dumps(tuple(values), 2)[2:-1]


def saved(array: Array, dtype: str = "F32", shape: Sequence[int] | None = None) -> bytes:
    """Return the bytes that torch.save writes of a tensor, perhaps with another shape."""
    steps = [step // array.itemsize for step in array.strides]
    program = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((" + _text("storage")
    program += f"ctorch\n{STORAGES[dtype]}\n".encode() + _text("0") + _text("cpu")
    program += pickle.dumps(array.size, 2)[2:-1] + b"tQK\0" + _numbers(shape or array.shape)
    program += _numbers(steps) + b"\x89ccollections\nOrderedDict\n)RtR."
    return archived(program, array.tobytes("A"))


def archived(program: bytes, data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        records = {"data.pkl": program, "byteorder": b"little", "data/0": data, "version": b"3\n"}
        for name, content in records.items():
            archive.writestr(zipfile.ZipInfo(f"archive/{name}"), content)
    return out.getvalue()


def cuts(extent: int, *inner: int) -> list[tuple[int, int]]:
    """Start and size of the parts of an axis that is cut at some places."""
    places = [0, *inner, extent]
    return [(start, stop - start) for start, stop in itertools.pairwise(places)]


class Folder:
    """A checkpoint that is being made; the attributes may be changed before it is written."""

    def __init__(self) -> None:
        self.entries: dict[str, Any] = {}
        self.places: dict[Any, Any] = {}
        self.keys: dict[str, Any] = {}
        self.files: dict[str, bytes] = {}

    def add(
        self,
        name: str,
        array: Array,
        *axes: Sequence[tuple[int, int]],
        dtype: str = "F32",
        transposed: bool = False,
    ) -> None:
        """Add a tensor that is cut as each of `axes` says, with chunks in three files by turns."""
        cells = list(itertools.product(*(axes or [cuts(extent) for extent in array.shape])))
        chunks = []
        for number, cell in enumerate(cells):
            offsets, sizes = [start for start, _ in cell], [count for _, count in cell]
            box = tuple(slice(start, start + count) for start, count in cell)
            chunks.append(Chunk(offsets=size(offsets), sizes=size(sizes)))
            part = np.asarray(array[box], order="F" if transposed else "C")
            self.place(name, offsets, saved(part, dtype), number)
        layout = Call("torch.serialization._get_layout", "torch.strided")
        memory = Call(f"{METADATA}._MEM_FORMAT_ENCODING", 0)
        kind = Global(f"torch.{DTYPES[dtype]}")
        properties = Properties(kind, layout, False, memory, False)
        self.entries[name] = Tensor(properties=properties, size=size(array.shape), chunks=chunks)
        self.keys[name] = (name,)

    def place(self, name: str, offsets: Sequence[int], raw: bytes, number: int) -> None:
        file = f"__{number % 3}_0.distcp"
        before = self.files.setdefault(file, b"")
        index = Index(fqn=name, offset=size(offsets), index=number)
        self.places[index] = Place(relative_path=file, offset=len(before), length=len(raw))
        self.files[file] = before + raw

    def metadata(self) -> Any:
        return Metadata(
            state_dict_metadata=self.entries,
            planner_data=self.keys,
            storage_data=self.places,
            storage_meta=StorageMeta(checkpoint_id=Call("pathlib.PosixPath", "/", "tmp")),
            version="1.0.0",
        )

    def write(self, folder: Path, metadata: Any = None) -> Path:
        """Write the files; `metadata` replaces what is pickled, or its bytes."""
        folder.mkdir(exist_ok=True)
        for name, raw in self.files.items():
            (folder / name).write_bytes(raw)
        value = self.metadata() if metadata is None else metadata
        raw = value if isinstance(value, bytes) else pickled(value)
        (folder / ".metadata").write_bytes(raw)
        return folder
