# SPDX-License-Identifier: BSD-3-Clause
"""Malformed folders of torch.distributed.checkpoint, each with the words of its error."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from tests.support.distributed_files import (
    Bytes,
    Call,
    Chunk,
    Folder,
    Global,
    Index,
    Metadata,
    Tensor,
    archived,
    cuts,
    named,
    pickled,
    saved,
    size,
)

from sigmascope._host.limits import MAX_DIMENSIONS

W = np.arange(12, dtype=np.float32).reshape(3, 4)
MOST = 2**63 - 1
FILE = "__0_0.distcp"


def whole() -> Folder:
    made = Folder()
    made.add("w", W)
    return made


def halves() -> Folder:
    made = Folder()
    made.add("w", W, cuts(3, 1), cuts(4))
    return made


class Case(NamedTuple):
    """A change of a folder, or what is pickled in place of its metadata."""

    name: str
    change: Callable[[Folder], Any]
    message: str
    made: Callable[[], Folder] = whole


def attribute(owner: Callable[[Folder], Any], name: str, value: Any) -> Callable[[Folder], Any]:
    """Set an attribute; no other metadata are returned."""
    return lambda folder: setattr(owner(folder), name, value)


def entry(folder: Folder) -> Any:
    return folder.entries["w"]


def chunk(folder: Folder) -> Any:
    return folder.entries["w"].chunks[0]


def place(folder: Folder) -> Any:
    return next(iter(folder.places.values()))


def index(folder: Folder) -> Any:
    return next(iter(folder.places))


def file_of(raw: bytes) -> Callable[[Folder], Any]:
    """Replace the file, and its length in the metadata."""

    def change(folder: Folder) -> None:
        folder.files[FILE] = raw
        place(folder).length = len(raw)

    return change


PICKLES = [
    Case("empty", lambda f: b"", "not a readable pickle: EOFError"),
    Case("no pickle", lambda f: b"abc", "not a readable pickle"),
    Case("cut", lambda f: pickled(f.metadata())[:-40], "not a readable pickle"),
    Case("a number", lambda f: pickled(3), "not the metadata of a checkpoint but a int"),
    Case("a dict", lambda f: pickled({}), "not the metadata of a checkpoint but a dict"),
    Case("a tensor", lambda f: pickled(f.entries["w"]), "not the metadata of a checkpoint"),
    Case("a call", lambda f: pickled(Call("os.system", "true")), "its pickle requests 'os.system'"),
    Case("a builtin", lambda f: pickled(Call("builtins.eval", "1")), "requests 'builtins.eval'"),
    Case("a class", lambda f: pickled(named("os.Path")()), "its pickle requests 'os.Path'"),
    Case("a call of torch", lambda f: pickled(Call("torch.load", "x")), "torch.load is called"),
    Case("a call of a dtype", lambda f: pickled(Call("torch.float32")), "torch.float32 is called"),
    Case(
        "a deep name", lambda f: pickled(Call("torch.hub.load", "x")), "requests 'torch.hub.load'"
    ),
    Case(
        "arguments of a class",
        lambda f: b"ctorch.distributed.checkpoint.metadata\nMetadata\n(K\1t\x81.",
        "it creates an object of",
    ),
    Case("an object of a dtype", lambda f: b"ctorch\nfloat32\n)\x81.", "it creates an object of"),
    Case(
        "a class as a function",
        lambda f: pickled(Call(f"{Metadata.__module__}.Metadata")),
        "is called",
    ),
    Case("attributes of a list", lambda f: b"]}b.", "a list is given attributes"),
    Case("a key", lambda f: pickled({(((),),): 1}), "a dict or set has a key of type tuple"),
    Case(
        "pickled by number",
        lambda f: b"\x80\x02\x82\x01.",
        "not a readable pickle",
    ),
    Case("running code", lambda f: pickle.dumps(print, 0), "its pickle requests"),
]

PARTS = [
    Case("no entries", lambda f: Metadata(), "state_dict_metadata is not a dict"),
    Case(
        "entries a list", lambda f: setattr(f, "entries", []), "state_dict_metadata is not a dict"
    ),
    Case("no places", lambda f: Metadata(state_dict_metadata={}), "storage_data is not a dict"),
    Case("places a list", lambda f: setattr(f, "places", [1]), "storage_data is not a dict"),
    Case("other places", lambda f: setattr(f, "places", {"w": 1}), "storage_data has the key 'w'"),
    Case("a number", lambda f: f.entries.update(v=3), "entry 'v' is a int"),
    Case("a name", lambda f: f.entries.update({3: Bytes()}), "entry 3 has a name that is not text"),
    Case("a long name", lambda f: f.entries.update({"v" * 1001: Bytes()}), "of 1001 letters"),
    Case("no chunks", attribute(entry, "chunks", None), "tensor 'w': chunks are not a list"),
    Case("other chunks", attribute(entry, "chunks", [3]), "tensor 'w': a chunk is a int"),
    Case("no size", attribute(entry, "size", None), "tensor 'w': size: not a tuple of at most"),
    Case("size of texts", attribute(entry, "size", ("a",)), "tensor 'w': size: ['a']"),
    Case("negative", attribute(entry, "size", size([-1, 4])), "tensor 'w': size: [-1, 4]"),
    Case("a boolean", attribute(entry, "size", size([True, 4])), "tensor 'w': size: [True, 4]"),
    Case("above", attribute(entry, "size", size([2**63, 4])), "tensor 'w': size: [9223372036854"),
    Case("overflow", attribute(entry, "size", size([MOST, 1])), "overflows 2**63 - 1 bits"),
    Case("product", attribute(entry, "size", size([2**31] * 3)), "overflows 2**63 - 1 bits"),
    Case("a zero", attribute(entry, "size", size([0, *[2**31] * 3])), "overflows 2**63 - 1 bits"),
    Case(
        "65 axes", attribute(entry, "size", size([1] * 65)), f"above the limit of {MAX_DIMENSIONS}"
    ),
    Case("no dtype", attribute(entry, "properties", None), "tensor 'w': dtype None"),
    Case(
        "a dtype of text",
        attribute(entry, "properties", Tensor(dtype="a")),
        "tensor 'w': dtype 'a'",
    ),
    Case(
        "another dtype",
        attribute(entry, "properties", Tensor(dtype=Global("torch.float64"))),
        "tensor 'w' is F64, but F32 in its file",
    ),
]

CHUNKS = [
    Case("no offsets", attribute(chunk, "offsets", None), "offsets of a chunk: not a tuple"),
    Case("no sizes", attribute(chunk, "sizes", 3), "sizes of a chunk: not a tuple"),
    Case("offsets", attribute(chunk, "offsets", size([-1, 0])), "offsets of a chunk: [-1, 0]"),
    Case("sizes", attribute(chunk, "sizes", size([1.0, 2])), "sizes of a chunk: [1.0, 2]"),
    Case("elsewhere", attribute(chunk, "offsets", size([1, 0])), "no file has the chunk at [1, 0]"),
    Case("of another tensor", attribute(index, "fqn", "v"), "no file has the chunk at [0, 0]"),
    Case("of no tensor", attribute(index, "fqn", 3), "the place of 3 is not in a file"),
    Case("bad offset", attribute(index, "offset", "a"), "tensor 'w': offset: not a tuple"),
    Case(
        "a place of another class",
        lambda f: f.places.update({Index(fqn="w", offset=size([0, 0])): Chunk()}),
        "the place of 'w' is not in a file",
    ),
    *(
        Case(f"file {name!r}", attribute(place, "relative_path", name), "is not a plain file name")
        for name in ("", ".", "..", "a/b", "/etc/passwd", "..\\x", "C:x", "x\0", 3, None)
    ),
    Case("missing", attribute(place, "relative_path", "none"), "none: cannot be read: No such"),
    Case("a folder", attribute(place, "relative_path", "folder"), "folder: not a regular file but"),
    Case("start", attribute(place, "offset", -1), "tensor 'w': place of a chunk: [-1, "),
    Case("a text as start", attribute(place, "offset", "0"), "'w': place of a chunk: ['0', "),
    Case("no length", attribute(place, "length", None), "tensor 'w': place of a chunk: [0, None]"),
    Case("beyond", attribute(place, "offset", 1), "extend beyond byte"),
    Case("largest", attribute(place, "length", MOST), f"{MOST} bytes from byte 0 on extend beyond"),
    Case("overlap", attribute(place, "length", 700), "where the file ends"),
    Case(
        "twice",
        lambda f: next(
            setattr(each, "relative_path", FILE) for each in list(f.places.values())[1:]
        ),
        "where another chunk begins",
        halves,
    ),
    Case("short", attribute(place, "length", 30), "not a readable zip archive"),
    Case("empty file", file_of(b""), "not a readable zip archive"),
    Case("no archive", file_of(bytes(600)), "not a readable zip archive"),
    Case("no tensor", file_of(archived(pickle.dumps({}, 2), b"")), "holds a dict, not a tensor"),
    Case(
        "a call in a chunk",
        file_of(archived(pickled(Call("os.system", "true")), b"")),
        "its pickle requests 'os.system'",
    ),
    Case("another shape", file_of(saved(W.T.copy())), "has shape [4, 3], but [3, 4] in .metadata"),
    Case("numbers missing", file_of(saved(W[:2], shape=(3, 4))), "48 bytes of storage '0', which"),
]

FOLDERS = [*PICKLES, *PARTS, *CHUNKS]
