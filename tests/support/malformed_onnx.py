# SPDX-License-Identifier: BSD-3-Clause
"""Malformed ONNX models, each with the words that its error must contain."""

from __future__ import annotations

from typing import NamedTuple

from tests.support.onnx_files import (
    CODES,
    DOUBLES,
    FLOATS,
    INT32S,
    INT64S,
    RAW,
    constant,
    content,
    elsewhere,
    graph,
    model,
    number,
    packed,
    pair,
    tensor,
    varint,
)

from sigmascope._host.limits import MAX_DIMENSIONS, MAX_TEXT


class Case(NamedTuple):
    """A model by its content."""

    name: str
    content: bytes
    message: str


MOST = 2**64 - 1
BELOW = "is not below that of the model"
DATA = content(RAW, bytes(24))
W = tensor("w", "F32", (2, 3), DATA)


def initialiser(raw: bytes) -> bytes:
    """A model whose only initialiser is as given."""
    return model(raw)


def dims(*fields: bytes) -> bytes:
    return model(b"".join(fields) + number(2, CODES["F32"]) + content(8, "w"))


def external(*pairs: bytes, shape: tuple[int, ...] = (2, 3)) -> bytes:
    return model(tensor("w", "F32", shape, b"".join(pairs) + number(14, 1)))


MODELS = [
    Case("empty", b"", "not an ONNX model: it has 0 graphs"),
    Case("no graph", number(1, 10), "not an ONNX model: it has 0 graphs"),
    Case("two graphs", model(W) + content(7, graph()), "not an ONNX model: it has 2 graphs"),
    Case("HTML", b"<!doctype html><html>", "not an ONNX model but an HTML page"),
    Case("LFS", b"version https://git-lfs.github.com/spec/v1\n", "but a Git LFS pointer"),
    Case("zip", b"PK\x03\x04" + bytes(40), "not a readable zip archive"),
    Case("GGUF", b"GGUF" + bytes(40), "GGUF version 0"),
    Case("pickle", b"\x80\x02}q\x00." + bytes(9), "not an ONNX model but a pickle"),
    Case("zeros", bytes(40), "the model has field 0 of type 0 at byte 0"),
    Case("type 3", b"\x0b", "the model has field 1 of type 3 at byte 0"),
    Case("type 4", b"\x14", "the model has field 2 of type 4 at byte 0"),
    Case("type 6", b"\x0e", "the model has field 1 of type 6 at byte 0"),
    Case("type 7", b"\x0f", "the model has field 1 of type 7 at byte 0"),
    Case("field 2**29", varint(2**32), "the model has field 536870912 of type 0 at byte 0"),
    Case("cut tag", b"\x80", "the model: the number at byte 0 is cut short"),
    Case("overlong tag", b"\x80" * 11, "the number at byte 0 has more than 64 bits"),
    Case("cut number", b"\x08\x80\x80", "the model: the number at byte 1 is cut short"),
    Case("number of 65 bits", b"\x08" + b"\xff" * 9 + b"\x02", "byte 1 has more than 64 bits"),
    Case("11 bytes", b"\x08" + b"\x80" * 10 + b"\0", "the number at byte 1 has more than 64 bits"),
    Case("cut 8 bytes", b"\x09" + bytes(7), "the model: field 1 takes 8 bytes from byte 1 on"),
    Case("cut 4 bytes", b"\x0d" + bytes(3), "the model: field 1 takes 4 bytes from byte 1 on"),
    Case("graph as a number", number(7, 1), "the graph at byte 1 is a number, not bytes"),
    Case("graph as 4 bytes", b"\x3d" + bytes(4), "the graph at byte 1 is a number of 4 bytes, not"),
    Case("graph beyond", content(7, b"abc", 4), "the model: field 7 takes 4 bytes from byte 2 on"),
    Case("graph of 2**63", content(7, b"abc", 2**63), "field 7 takes 9223372036854775808 bytes"),
    Case("graph of 2**64 - 1", content(7, b"abc", MOST), f"field 7 takes {MOST} bytes"),
]

GRAPHS = [
    Case("graph ends", content(7, b"\x2a"), "the graph: the number at byte 3 is cut short"),
    Case("type 3 inside", content(7, b"\x2b"), "the graph has field 5 of type 3 at byte 2"),
    Case(
        "beyond the graph",
        content(7, content(5, b"ab", 3)) + bytes(40),
        "the graph: field 5 takes 3 bytes from byte 4 on, and the graph ends at 6",
    ),
    Case(
        "of 2**64 - 1 bytes",
        content(7, content(5, b"ab", MOST)),
        f"the graph: field 5 takes {MOST} bytes",
    ),
    Case("as a number", content(7, number(5, 3)), "an initialiser at byte 3 is a number, not"),
    Case("as 8 bytes", content(7, b"\x29" + bytes(8)), "byte 3 is a number of 8 bytes, not bytes"),
    Case("node as a number", content(7, number(1, 3)), "a node at byte 3 is a number, not bytes"),
    Case(
        "operator as a number",
        content(7, content(1, number(4, 3))),
        "the operator of a node at byte 5 is a number",
    ),
    Case(
        "output not UTF-8",
        content(7, content(1, content(2, b"\xff"))),
        "an output of a node b'\\xff' is not UTF-8",
    ),
    Case(
        "attribute as a number",
        content(7, content(1, content(4, "Constant") + number(5, 1))),
        "an attribute at byte",
    ),
    Case("constant too short", content(7, constant("w", tensor("", "F32", (2,)))), "0 are there"),
    Case("constant without a name", content(7, constant("", tensor("", "F32", ()))), "has no name"),
    Case("name twice", model(W, W), "tensor 'w' is in the file twice"),
]

FIELDS = [
    Case("no name", initialiser(number(2, 1) + DATA), "has no name"),
    Case("empty name", initialiser(tensor("", "F32", (2, 3), DATA)), "has no name"),
    Case("name as a number", initialiser(number(8, 3)), "the name of an initialiser at byte"),
    Case("name not UTF-8", initialiser(tensor(b"\xff", "F32", (), b"")), "is not UTF-8: byte 0"),
    Case("long name", initialiser(tensor("w" * 1001, "F32", (), b"")), "a name of 1001 letters"),
    Case("name above", initialiser(content(8, "w" * (MAX_TEXT + 1))), f"limit of {MAX_TEXT}"),
    Case("name beyond", initialiser(content(8, "w", 9)), "an initialiser: field 8 takes 9 bytes"),
    Case("type as bytes", initialiser(content(2, "a")), "the type of an initialiser at byte"),
    Case("place as bytes", initialiser(content(14, "a")), "the place of an initialiser at byte"),
    Case("dimension as 4 bytes", dims(b"\x0d" + bytes(4)), "dimensions of an initialiser at byte"),
    Case("cut dimensions", dims(content(1, b"\2\x80")), "dimensions of an initialiser: the number"),
    Case("long dimension", dims(content(1, b"\xff" * 10 + b"\1")), "has more than 64 bits"),
    Case("negative", dims(number(1, -1)), "tensor 'w': dimension -1 is negative"),
    Case("least", dims(number(1, 2**63)), "dimension -9223372036854775808 is negative"),
    Case("overflow", dims(number(1, 2**62)), "shape [4611686018427387904] overflows 2**63 - 1"),
    Case("product", dims(*[number(1, 2**31)] * 2), "[2147483648, 2147483648] overflows 2**63 - 1"),
    Case("next to a zero", dims(number(1, 0), *[number(1, 2**31)] * 3), "overflows 2**63 - 1 bits"),
    Case("65 dimensions", dims(*[number(1, 1)] * 65), f"of more than {MAX_DIMENSIONS} dimensions"),
    Case("65 in a list", dims(content(1, b"\1" * 65)), f"more than {MAX_DIMENSIONS}, which is"),
    Case("2**20 in a list", dims(content(1, b"\1" * 2**20)), f"more than {MAX_DIMENSIONS}, which"),
]

NUMBERS = [
    Case("no numbers", model(tensor("w", "F32", (2, 3))), "takes 24 bytes, 0 are there"),
    Case("of a scalar", model(tensor("w", "F64", ())), "F64 [] takes 8 bytes, 0 are there"),
    Case("too few", model(tensor("w", "F32", (2, 4), DATA)), "takes 32 bytes, 24 are there"),
    Case("too many", model(tensor("w", "F32", (2, 2), DATA)), "takes 16 bytes, 24 are there"),
    Case("of none", model(tensor("w", "F32", (0, 2), DATA)), "takes 0 bytes, 24 are there"),
    Case("a huge shape", model(tensor("w", "F32", (2**40, 3), DATA)), "bytes, 24 are there"),
    Case(
        "codes of 4 bits",
        model(tensor("w", "U4", (3,), content(RAW, b"a"))),
        "U4 [3] takes 2 bytes, 1 are there",
    ),
    Case("raw as a number", initialiser(number(RAW, 1)), "raw_data of an initialiser at byte"),
    Case("floats as a number", initialiser(number(FLOATS, 1)), "float_data of an initialiser at"),
    Case("integers as floats", initialiser(b"\x2d" + bytes(4)), "int32_data of an initialiser at"),
    Case(
        "in two fields",
        model(tensor("w", "F32", (2, 3), DATA + packed(FLOATS, [1.0] * 6))),
        "tensor 'w': its numbers are in several fields",
    ),
    Case(
        "floats as integers",
        model(tensor("w", "F32", (2,), packed(INT32S, [1, 2]))),
        "F32 in int32_data, which cannot hold such numbers",
    ),
    Case(
        "integers in a list of others",
        model(tensor("w", "I32", (2,), packed(INT64S, [1, 2]))),
        "I32 in int64_data, which cannot hold",
    ),
    Case(
        "five floats",
        model(tensor("w", "F32", (2, 3), packed(FLOATS, [1.0] * 5))),
        "takes 24 bytes, 20 are there",
    ),
    Case(
        "half a double",
        model(tensor("w", "F64", (1,), content(DOUBLES, bytes(4)))),
        "takes 8 bytes, 4 are there",
    ),
    Case("raw beyond", model(tensor("w", "F32", (2, 3), content(RAW, bytes(24), 25))), "field 9"),
]

PLACES = [
    Case("no place", external(), "tensor 'w': its numbers are in a file without a name"),
    Case("no location", external(pair("offset", "0")), "in a file without a name"),
    *(
        Case(f"location {name!r}", external(pair("location", name)), BELOW)
        for name in ("", ".", "..", "/x", "../x", "a/../x", "/etc/passwd", "a/../../x", "//x")
    ),
    *(
        Case(f"location {name!r}", external(pair("location", name)), BELOW)
        for name in ("C:x", "C:\\x", "a\\x", "..\\x", "\\\\host\\x", "x\0", "a/\0", "~/\0x")
    ),
    Case("missing", external(pair("location", "none")), "tensor 'w': its file 'none' is missing"),
    Case("a folder", external(pair("location", "folder")), "folder: not a regular file but a"),
    Case("below a file", external(pair("location", "data/x")), "is missing"),
    *(
        Case(
            f"{key} {text!r}",
            external(pair("location", "data"), pair(key, text)),
            "is not a number of bytes",
        )
        for key in ("offset", "length")
        for text in ("", "-1", "1.0", "0x1", "1e3", "+1", " 1", "1_0", "²", "9" * 21)
    ),
    Case("length", external(pair("location", "data"), pair("length", "23")), "length 23, but the"),
    Case("offset", external(pair("location", "data"), pair("offset", "1")), "which ends at 24"),
    Case(
        "offset of 2**64 - 1",
        external(pair("location", "data"), pair("offset", str(MOST))),
        f"takes 24 bytes from byte {MOST} of data on",
    ),
    Case("more", external(pair("location", "data"), shape=(7,)), "takes 28 bytes from byte 0 of"),
    Case("key twice", external(*[pair("location", "data")] * 2), "has the key 'location' twice"),
    Case(
        "many keys",
        external(*(pair(str(each), "") for each in range(65))),
        "external data of more than 64 keys",
    ),
    Case("key not UTF-8", external(pair(b"\xff", "")), "a key of external data b'\\xff' is not"),
    Case("key as a number", external(content(13, number(1, 1))), "a key of external data at byte"),
    Case("pair as a number", external(number(13, 1)), "a place of external data at byte"),
    Case(
        "numbers in both",
        model(tensor("w", "F32", (2, 3), DATA + elsewhere(location="data"))),
        "its numbers are both in the model and in another file",
    ),
]

FILES = [*MODELS, *GRAPHS, *FIELDS, *NUMBERS, *PLACES]
