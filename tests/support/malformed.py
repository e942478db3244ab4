# SPDX-License-Identifier: BSD-3-Clause
"""Malformed files, each with the words its error must contain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support.checkpoints import Stored, encoded, entry, framed

DATA = bytes(24)


@dataclass(frozen=True)
class Case:
    """`build` makes the malformed thing below a folder and returns what to open."""

    name: str
    build: Callable[[Path], Path]
    message: str


def _file(name: str, content: bytes, message: str) -> Case:
    def build(folder: Path) -> Path:
        path = folder / "x.safetensors"
        path.write_bytes(content)
        return path

    return Case(name, build, message)


def _tensor(name: str, fields: object, message: str, data: bytes = DATA) -> Case:
    return _file(name, framed({"w": fields}, data), message)


def _text(name: str, fields: str, message: str) -> Case:
    """An entry that no JSON writer would produce."""
    return _file(name, framed('{"w":{' + fields + "}}", DATA), message)


A = Stored("a", "F32", (2, 3))
GOOD = '"dtype":"F32","shape":[2,3],"data_offsets":[0,24]'

HEADERS = [
    _file("empty file", b"", "0 bytes, fewer than the 8 of the header length"),
    _file("seven bytes", b"\x02\0\0\0\0\0\0", "7 bytes, fewer than the 8"),
    _file(
        "length above the file", (50).to_bytes(8, "little") + b"{}", "header length 50, but only"
    ),
    _file(
        "length above the limit",
        (100_000_001).to_bytes(8, "little") + b"{}",
        "header length 100000001 above the limit of 100000000 bytes",
    ),
    _file("length of 2**64 - 1", b"\xff" * 8 + b"{}", "header length 18446744073709551615 above"),
    _file("Git LFS pointer", b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    _file("zip archive", b"PK\x03\x04\x14\0\x08\x08" + bytes(40), "not a readable zip archive"),
    _file("GGUF", b"GGUF\x03\0\0\0" + bytes(10), "the number of metadata takes 8 bytes"),
    _file("no header", framed(b""), "the header starts with b''"),
    _file("list", framed([]), "the header starts with b'['"),
    _file("leading blank", framed(" {}"), "the header starts with b' '"),
    _file("byte order mark", framed(b"\xef\xbb\xbf{}"), "the header starts with b'\\xef'"),
    _file("not UTF-8", framed(b'{"\xff":1}'), "the header is not UTF-8: byte 0xff at 2"),
    _file("half a JSON", framed(b'{"w":'), "the header is not JSON: Expecting value"),
    _file("two JSONs", framed(b"{}{}"), "the header is not JSON: Extra data at character 2"),
    _file("padded with NUL", framed(b"{}\0"), "the header is not JSON: Extra data"),
    _file("control character in a name", framed(b'{"\n":1}'), "not JSON: Invalid control"),
    _file("lone surrogate", framed(b'{"\\ud800":1}'), "not JSON: lone surrogate"),
    _file("NaN", framed(b'{"w":NaN}'), "not JSON: NaN is not a JSON value"),
    _file("1e999", framed(b'{"w":1e999}'), "not JSON: a number out of range"),
    _file("number of 5000 digits", framed(b'{"w":' + b"9" * 5000 + b"}"), "5000 characters"),
    _file("100000 nested lists", framed(b'{"w":' + b"[" * 100_000), "not JSON: nested too deeply"),
    _file(
        "duplicate tensor",
        framed('{"w":{' + GOOD + '},"w":{' + GOOD + "}}", DATA),
        "the header has a duplicate key 'w'",
    ),
    _text("duplicate dtype", '"dtype":"F32",' + GOOD, "the entry has a duplicate key 'dtype'"),
    _file("entry is a number", framed({"w": 1}), "tensor 'w': the entry is 1, not an object"),
    _file("entry is a list", framed({"w": ["F32", [], []]}), "the entry is ['F32', [...], [...]]"),
    _file("entry is null", framed({"w": None}), "the entry is None, not an object"),
    _text("no shape", '"dtype":"F32","data_offsets":[0,24]', "its entry has no 'shape'"),
    _text("no dtype", '"shape":[2,3],"data_offsets":[0,24]', "its entry has no 'dtype'"),
    _text("no offsets", '"dtype":"F32","shape":[2,3]', "its entry has no 'data_offsets'"),
    _text("unknown key", GOOD + ',"strides":[3,1]', "its entry has an unknown key 'strides'"),
    _file("metadata is a list", framed({"__metadata__": []}), "__metadata__ is [], not an object"),
    _file("metadata is null", framed({"__metadata__": None}), "__metadata__ is None, not"),
    _file(
        "metadata of numbers",
        framed({"__metadata__": {"step": 3}}),
        "__metadata__ 'step' is 3, not a string",
    ),
    _file(
        "duplicate metadata",
        framed('{"__metadata__":{"a":"1","a":"2"}}'),
        "__metadata__ has a duplicate key 'a'",
    ),
]

ENTRIES = [
    _tensor("unknown dtype", entry("F7"), "tensor 'w': unknown dtype 'F7'"),
    _tensor("dtype in small letters", entry("f32"), "unknown dtype 'f32'"),
    _tensor("dtype is a list", entry(["F32"]), "unknown dtype ['F32']"),
    _tensor("shape is a number", entry(shape=6), "shape 6 is not a list"),
    _tensor("negative size", entry(shape=[-2, -3]), "holds -2, not in 0 .. 2**63-1"),
    _tensor("fractional size", entry(shape=[2.5, 3]), "shape [2.5, 3] holds a non-integer"),
    _tensor("whole float size", entry(shape=[2.0, 3]), "shape [2.0, 3] holds a non-integer"),
    _tensor("size of true", entry(shape=[6, True]), "shape [6, True] holds a non-integer"),
    _tensor("size as text", entry(shape=["6"]), "shape ['6'] holds a non-integer"),
    _tensor("nested shape", entry(shape=[[2, 3]]), "shape [[...]] holds a non-integer"),
    _text("minus zero", '"dtype":"F32","shape":[-0],"data_offsets":[0,0]', "holds a non-integer"),
    _tensor("size of 2**63", entry(shape=[2**63]), "holds 9223372036854775808, not in"),
    _tensor("size of 10**19", entry(shape=[10**19, 0]), "holds 10000000000000000000, not in"),
    _tensor("product overflow", entry(shape=[2**32, 2**31]), "overflows 2**63 - 1 bits"),
    _tensor("product wraps to 6", entry("U8", [2**63 - 1, 2]), "overflows 2**63 - 1 bits"),
    _tensor("overflow beside a zero", entry(shape=[2**40, 2**40, 0]), "overflows 2**63 - 1 bits"),
    _tensor("million dimensions", entry(shape=[2] * 1_000_000), "overflows 2**63 - 1 bits"),
    _tensor("offsets are a number", entry(offsets=24), "data_offsets 24 is not a pair"),
    _tensor("three offsets", entry(offsets=[0, 12, 24]), "[0, 12, 24] is not a pair"),
    _tensor("float offset", entry(offsets=[0, 24.0]), "[0, 24.0] hold a non-integer"),
    _tensor("offset of true", entry(offsets=[False, 24]), "[False, 24] hold a non-integer"),
    _tensor("negative offset", entry(offsets=[-24, 0]), "[-24, 0] hold a negative offset"),
    _tensor("reversed offsets", entry(offsets=[24, 0]), "data_offsets [24, 0] are reversed"),
    _tensor("offset of 2**64", entry(offsets=[0, 2**64]), "of the file, which ends at 115"),
    _tensor("wrong length", entry(offsets=[0, 20]), "hold 20 bytes, but F32 [2, 3] takes 24"),
    _tensor("scalar without data", entry(shape=[], offsets=[0, 0]), "F32 [] takes 4"),
    _tensor("zero-sized with data", entry(shape=[0, 3]), "hold 24 bytes, but F32 [0, 3] takes 0"),
    _tensor("half a byte", entry("F4", [3], [0, 2]), "F4 [3] takes 12 bits, not whole bytes"),
    _tensor("six bits", entry("F6_E2M3", [1, 3], [0, 3]), "takes 18 bits, not whole bytes"),
    _tensor("F6 counted as bytes", entry("F6_E3M2", [4], [0, 4]), "F6_E3M2 [4] takes 3"),
]


def _two(first: tuple[int, int], second: tuple[int, int]) -> dict[str, object]:
    v, w = first[1] - first[0], second[1] - second[0]
    return {"v": entry("U8", [v], first), "w": entry("U8", [w], second)}


COVER = [
    _file("truncated data", encoded([A])[:-1], "reach byte 97 of the file, which ends at 96"),
    _file("no data at all", encoded([A])[:-24], "reach byte 97 of the file, which ends at 73"),
    _file("trailing byte", encoded([A]) + b"\0", "1 bytes after the last tensor, from byte 97 on"),
    _file("data without tensors", framed({}, b"\0\0"), "2 bytes after the last tensor"),
    _file("overlap", framed(_two((0, 8), (6, 14)), bytes(14)), "overlaps tensor 'v'"),
    _file("same bytes twice", framed(_two((0, 8), (0, 8)), bytes(8)), "overlaps tensor 'v'"),
    _file("hole", framed(_two((0, 8), (9, 14)), bytes(14)), "leaves a hole of 1 bytes before it"),
    _file("hole at the start", framed(_two((2, 8), (8, 9)), bytes(9)), "a hole of 2 bytes"),
    _file("empty inside another", framed(_two((0, 8), (4, 4)), bytes(8)), "overlaps tensor 'v'"),
]

FILES = [*HEADERS, *ENTRIES, *COVER]
