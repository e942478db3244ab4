# SPDX-License-Identifier: BSD-3-Clause
"""Files made to cost far more than their own size: each a few megabytes at most."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from tests.support.checkpoints import entry, framed
from tests.support.distributed_files import Folder

LONG = 4_000_000


def archive(path: Path, program: bytes, **records: bytes) -> Path:
    """A file as PyTorch saves it, of any pickle."""
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("x/data.pkl", program)
        made.writestr("x/byteorder", b"little")
        for key, data in records.items():
            made.writestr(f"x/data/{key}", data)
    return path


def _nested_names() -> bytes:
    """One name of millions of letters, a hundred dicts deep."""
    name, value = "a" * LONG, {}
    value["x"] = 1
    for _ in range(99):
        value = {name: value}
    return pickle.dumps(value, 2)


def _hashed_tuples() -> bytes:
    """A key whose hash takes 2**60 steps: tuples of one tuple twice."""
    return b"\x80\x02}(" + b")" + b"2\x86" * 60 + b"K\x01u."


def _set_of_tuples() -> bytes:
    return b"\x80\x04\x8f(" + b")" + b"2\x86" * 60 + b"\x90."


def _room_for_bytes() -> bytes:
    return b"\x80\x05}\x8c\x01a\x96" + struct.pack("<Q", 2**37) + b"abc" + b"s."


def _long_shapes() -> bytes:
    """A long text, taken apart into a shape again and again."""
    text = b"X" + struct.pack("<I", LONG) + b"a" * LONG
    again = b"ctorch\nSize\nq\x02" + b"0" + text + b"q\x010]" + b"(" + b"h\x02h\x01\x85R" * 50_000
    return b"\x80\x02" + again + b"e."


def _lists_looked_through() -> bytes:
    """A list of thousands of numbers, thousands of times."""
    held = list(range(20_000))
    return pickle.dumps({str(i): held for i in range(20_000)}, 2)


def _strange_attributes() -> bytes:
    """An OrderedDict whose method `items` is a number."""
    return b"\x80\x02ccollections\nOrderedDict\n)R}X\x05\x00\x00\x00itemsK\x03sb."


PICKLES: list[Callable[[], bytes]] = [
    _nested_names,
    _hashed_tuples,
    _set_of_tuples,
    _room_for_bytes,
    _long_shapes,
    _lists_looked_through,
    _strange_attributes,
]


def _pickled(make: Callable[[], bytes]) -> Callable[[Path], Path]:
    return lambda folder: archive(folder / "x.pt", make(), **{"0": bytes(64)})


def _packed_byte_order(folder: Path) -> Path:
    """A byte order of two gigabytes, packed."""
    how = {"compression": zipfile.ZIP_DEFLATED, "compresslevel": 1}
    with zipfile.ZipFile(folder / "x.pt", "w", **how) as made:
        made.writestr(zipfile.ZipInfo("x/data.pkl"), pickle.dumps({}, 2))
        made.writestr("x/byteorder", bytes(200_000_000))
    return folder / "x.pt"


def _sparse_directory(folder: Path) -> Path:
    """An archive whose directory is a hole of four gigabytes."""
    path = archive(folder / "x.pt", pickle.dumps({}, 2))
    size, hole = path.stat().st_size, 2**32 - 2**20
    end = path.read_bytes()[-22:]
    with open(path, "r+b") as file:
        file.seek(size + hole)
        file.write(end[:12] + struct.pack("<II", hole, size) + end[20:])
    return path


def _sparse_npy_header(folder: Path) -> Path:
    path = folder / "x.npy"
    path.write_bytes(b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 2))
    os.truncate(path, 2**32 + 100)
    return path


def _nested_npy_header(folder: Path) -> Path:
    text = ("(" * 9000).encode().ljust(9600) + b"\n"
    (folder / "x.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text)
    return folder / "x.npy"


def _short_tokens(folder: Path) -> Path:
    """A list of half a million texts, of which none has a letter, and that claims more."""
    head = [struct.pack("<I", 3), struct.pack("<QQQ", 0, 1, 1), b"k"]
    head += [struct.pack("<IIQ", 9, 8, 2**63)]
    (folder / "x.gguf").write_bytes(b"".join([b"GGUF", *head]) + bytes(LONG))
    return folder / "x.gguf"


def _safetensors(header: bytes) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        (folder / "x.safetensors").write_bytes(framed(header))
        return folder / "x.safetensors"

    return build


def _config(name: str, text: bytes) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        (folder / "x.safetensors").write_bytes(framed({"w": entry()}, bytes(24)))
        (folder / name).write_bytes(text)
        return folder

    return build


def _headings(folder: Path) -> Path:
    """TOML in which every line is in a table a hundred thousand tables deep."""
    _config("config.json", b"{}")(folder)
    lines = "\n".join(f"x{i}=1" for i in range(40_000))
    (folder / "rules.toml").write_text("[" + "a." * 100_000 + "a]\n" + lines)
    return folder


def _shared_chunks(folder: Path) -> Path:
    """Thousands of tensors, each with one list of thousands of chunks, and keys of thousands."""
    made = Folder()
    made.add("w", np.zeros((1, 1), np.float32))
    tensor = made.entries["w"]
    tensor.chunks = [tensor.chunks[0]] * 3000
    keys = ("a",) * 20_000
    made.entries |= {str(number): tensor for number in range(3000)}
    made.keys |= {str(number): keys for number in range(3000)}
    return made.write(folder)


FILES: list[tuple[str, Callable[[Path], Path]]] = [
    *((make.__name__, _pickled(make)) for make in PICKLES),
    ("shared chunks", _shared_chunks),
    ("packed byte order", _packed_byte_order),
    ("sparse directory", _sparse_directory),
    ("sparse npy header", _sparse_npy_header),
    ("nested npy header", _nested_npy_header),
    ("short tokens", _short_tokens),
    ("long name", _safetensors(b'{"' + b"a" * LONG + b'":{}}')),
    ("many dimensions", _safetensors(json.dumps({"a": entry("U8", [1] * 10**6, [0, 0])}).encode())),
    ("many lists", _safetensors(b'{"a":[' + b"[]," * 17_000_000 + b"[]]}")),
    ("nested lists", _safetensors(b'{"a":' + b"[" * LONG)),
    ("many digits", _safetensors(b'{"a":' + b"9" * LONG + b"}")),
    (
        "index of long names",
        _config(
            "model.safetensors.index.json",
            b'{"weight_map":{"' + b"a" * LONG + b'":"x.safetensors"}}',
        ),
    ),
    ("config of lists", _config("config.json", b'{"a":[' + b"[]," * 4_000_000 + b"[]]}")),
    ("config of dicts", _config("config.json", b'{"a":' * LONG)),
    ("headings", _headings),
]


def journals() -> Iterator[tuple[str, bytes]]:
    """Lines that do not form a saved scan, each sealed as one of ours would be."""
    from sigmascope._tables.journal import _seal

    def sealed(text: bytes) -> bytes:
        return text[:-1] + _seal(text) + b"\n"

    head = b'{"schema": "sigmascope.scan", "version": 1}'
    yield "nested", b'{"a":' * 1_000_000 + b"\n"
    yield "header alone", sealed(head)
    yield "row without a name", sealed(head) + sealed(b'{"x": 1}')
    yield "row of a list", sealed(head) + sealed(b"[1]")
    yield "many digits", b'{"schema": ' + b"9" * 1_000_000 + b"}\n"
    yield "binary", io.BytesIO(np.arange(1000, dtype=">f8").tobytes()).read() + b"\n"


READ = {"_strange_attributes": 0, "_lists_looked_through": 20_000} | dict.fromkeys(
    ("config of lists", "config of dicts"), 1
)
"""Harmless files: the number of tensors of each."""
