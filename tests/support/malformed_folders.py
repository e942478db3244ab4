# SPDX-License-Identifier: BSD-3-Clause
"""Malformed indexes and folders, each with the words its error must contain."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from tests.support.checkpoints import (
    Stored,
    encoded,
    framed,
    write_file,
    write_index,
    write_sharded,
)
from tests.support.malformed import Case

A, B = Stored("a", "F32", (2, 3)), Stored("b", "F32", (3, 2))


def _index(name: str, index: object, message: str) -> Case:
    def build(folder: Path) -> Path:
        write_file(folder / "a.safetensors", A)
        write_file(folder / "b.safetensors", B)
        write_index(folder, index)
        return folder

    return Case(name, build, message)


def _shard(name: str, message: str) -> Case:
    return _index(f"index: shard {name!r}", {"weight_map": {"w": name}}, message)


INDEXES = [
    _index("index: not JSON", "{", "the text is not JSON"),
    _index("index: list", [], "the text is [], not an object"),
    _index("index: duplicate key", '{"weight_map":{},"weight_map":{}}', "duplicate key"),
    _index("index: no weight_map", {"metadata": {}}, "the index has no 'weight_map'"),
    _index("index: weight_map is a list", {"weight_map": []}, "weight_map is [], not an object"),
    _index("index: weight_map is empty", {"weight_map": {}}, "weight_map is empty"),
    _index(
        "index: shard is a number", {"weight_map": {"a": 1}}, "tensor 'a': shard 1 is not a string"
    ),
    _index(
        "index: duplicate tensor",
        '{"weight_map":{"a":"a.safetensors","a":"b.safetensors"}}',
        "weight_map has a duplicate key 'a'",
    ),
    _index(
        "index: metadata is a list",
        {"metadata": [1], "weight_map": {"a": "a.safetensors"}},
        "metadata is [1], not an object",
    ),
    _shard("../a.safetensors", "is not a plain file name"),
    _shard("/etc/a.safetensors", "is not a plain file name"),
    _shard("sub/a.safetensors", "is not a plain file name"),
    _shard("sub\\a.safetensors", "is not a plain file name"),
    _shard("C:a.safetensors", "is not a plain file name"),
    _shard("..", "is not a plain file name"),
    _shard("", "is not a plain file name"),
    _shard("a\0.safetensors", "is not a plain file name"),
    _shard("a.bin", "is not a .safetensors file"),
    _shard("c.safetensors", "shards missing from the folder: 'c.safetensors'"),
    _index(
        "index: tensor not in its shard",
        {"weight_map": {"a": "a.safetensors", "b": "a.safetensors"}},
        "tensors not in their shard a.safetensors: 'b'",
    ),
    _index(
        "index: tensor not in the index",
        {"weight_map": {"b": "a.safetensors", "a": "a.safetensors"}},
        "not in their shard",
    ),
]


def _folder(name: str, message: str) -> Callable[[Callable[[Path], object]], Case]:
    def make(build: Callable[[Path], object]) -> Case:
        def run(folder: Path) -> Path:
            made = build(folder)
            return made if isinstance(made, Path) else folder

        return Case(name, run, message)

    return make


@_folder("nothing there", "cannot be read: No such file or directory")
def _nothing(folder: Path) -> Path:
    return folder / "absent"


@_folder("empty folder", "no .safetensors file")
def _empty(folder: Path) -> None: ...


@_folder("folder of an old pickle", "pytorch_model.bin: not a PyTorch file but text")
def _pickles(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"PK")


@_folder("folder of GGUF", "q4.gguf: the version takes 4 bytes from byte 4 on")
def _gguf(folder: Path) -> None:
    (folder / "q4.gguf").write_bytes(b"GGUF")


@_folder("two GGUF models", "several GGUF models; open one of them: 'q4.gguf', 'q8.gguf'")
def _two_ggufs(folder: Path) -> None:
    (folder / "q4.gguf").write_bytes(b"GGUF")
    (folder / "q8.gguf").write_bytes(b"GGUF")


@_folder("weights in sub-folders", "these sub-folders have some: 'unet', 'vae'")
def _below(folder: Path) -> None:
    for name in ("vae", "unet"):
        (folder / name).mkdir()
        write_file(folder / name / "model.safetensors", A)


@_folder("several indexes", "several indexes; open one of them: 'p.safetensors.index.json', 'q.")
def _indexes(folder: Path) -> None:
    for name in "pq":
        (folder / f"{name}.safetensors.index.json").write_text("{}")


@_folder("numbered shard absent", "1 of the 2 shards model-*-of-00002 are here, without an index")
def _numbered(folder: Path) -> None:
    write_file(folder / "model-00001-of-00002.safetensors", A)
    write_file(folder / "other.safetensors", B)


@_folder("only shard of two", "1 of the 2 shards model-*-of-00002 are here, without an index")
def _alone(folder: Path) -> None:
    write_file(folder / "model-00002-of-00002.safetensors", A)


@_folder("tensor in two files", "b.safetensors: tensor 'a' is also in a.safetensors")
def _twice(folder: Path) -> None:
    write_file(folder / "a.safetensors", A)
    write_file(folder / "b.safetensors", A)


@_folder("tensor in two shards", "b.safetensors: tensor 'a' is also in a.safetensors")
def _twice_indexed(folder: Path) -> None:
    shards = {"a.safetensors": [A, Stored("c", "F32", ())], "b.safetensors": [B, A]}
    write_sharded(folder, shards)


@_folder("tensor of a shard not in the index", "tensors of a.safetensors not in the index: 'b'")
def _unlisted(folder: Path) -> None:
    shards = {"a.safetensors": [A, B]}
    write_sharded(folder, shards, weight_map={"a": "a.safetensors"})


@_folder("one bad shard of three", "b.safetensors: 1 bytes after the last tensor")
def _bad_shard(folder: Path) -> None:
    shards = {"a.safetensors": [A], "b.safetensors": [B], "c.safetensors": [Stored("c", "F32", ())]}
    write_sharded(folder, shards)
    (folder / "b.safetensors").write_bytes(encoded([B]) + b"\0")


@_folder("dangling link", "shards missing from the folder: 'a.safetensors'")
def _dangling(folder: Path) -> None:
    write_sharded(folder, {"a.safetensors": [A]})
    (folder / "a.safetensors").unlink()
    (folder / "a.safetensors").symlink_to(folder / "blob")


@_folder("shard is a folder", "a.safetensors: not a regular file")
def _shard_folder(folder: Path) -> None:
    (folder / "a.safetensors").mkdir()
    write_index(folder, {"weight_map": {"a": "a.safetensors"}})


@_folder("pipe", "not a regular file")
def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "x.safetensors")
    return folder / "x.safetensors"


@_folder("index above the limit", "above the limit of 100000000 bytes")
def _huge_index(folder: Path) -> None:
    os.truncate(write_index(folder, {}), 100_000_001)


@_folder("slice named like a tensor", "tensor 'a[1]' has the name of a slice of 'a'")
def _slice_name(folder: Path) -> None:
    tensors = (Stored("a", "F32", (2, 3, 4)), Stored("a[1]", "F32", (2, 2)))
    write_file(folder / "model.safetensors", *tensors)


@_folder("file of one tensor entry cut out", "leaves a hole of 24 bytes")
def _cut_entry(folder: Path) -> None:
    raw = encoded([A, B])
    header = json.loads(raw[8:-48])
    del header["a"]
    (folder / "model.safetensors").write_bytes(framed(header, raw[-48:]))


FOLDERS = [
    _nothing,
    _empty,
    _pickles,
    _gguf,
    _two_ggufs,
    _below,
    _indexes,
    _numbered,
    _alone,
    _twice,
    _twice_indexed,
    _unlisted,
    _bad_shard,
    _dangling,
    _shard_folder,
    _pipe,
    _huge_index,
    _slice_name,
    _cut_entry,
]
