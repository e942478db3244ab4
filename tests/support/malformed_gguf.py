# SPDX-License-Identifier: BSD-3-Clause
"""Malformed GGUF files, each with the words that its error must contain."""

from __future__ import annotations

from typing import NamedTuple

from tests.support.gguf_files import framed, info, pair, text, u32, u64

from sigmascope._host.limits import MAX_GGUF_HEADER, MAX_METADATA_ITEMS, MAX_TENSORS, MAX_TEXT


class Case(NamedTuple):
    """A file by its content."""

    name: str
    content: bytes
    message: str


DATA = bytes(128)
A = info("a", (2, 4), "F32", 0)
START = b"GGUF" + u32(3)
MOST = 2**64 - 1


def counts(tensors: int, items: int) -> bytes:
    return START + u64(tensors) + u64(items)


def metadata(raw: bytes) -> bytes:
    """A file whose only pair is as given, and ends with it."""
    return counts(0, 1) + raw


def value(kind: int, raw: bytes) -> bytes:
    return metadata(text("key") + u32(kind) + raw)


def tensor(raw: bytes) -> bytes:
    """A file that ends with the record of its only tensor."""
    return counts(1, 0) + raw


def placed(*infos: bytes, data: bytes = DATA) -> bytes:
    return framed([], infos, data)


STARTS = [
    Case("empty", b"", "not a GGUF file: it begins with b''"),
    Case("three bytes", b"GGU", "not a GGUF file but text, which holds no tensors"),
    Case("GGML", b"ggml" + bytes(40), "not a GGUF file: it begins with b'ggml'"),
    Case("GGJT", b"tjgg" + bytes(40), "not a GGUF file but a GGML file from before GGUF"),
    Case("JSON", b'{"a": 1}', "not a GGUF file but JSON text, which holds no tensors"),
    Case(
        "LFS",
        b"version https://git-lfs.github.com/spec/v1",
        "not a GGUF file but a Git LFS pointer",
    ),
    Case("no version", b"GGUF\x03\0", "the version takes 4 bytes from byte 4 on"),
    Case("version 0", framed(version=0), "GGUF version 0; only versions 2 and 3 are supported"),
    Case("version 1", framed(version=1), "GGUF version 1; only versions 2 and 3 are supported"),
    Case("version 4", framed(version=4), "GGUF version 4; only versions 2 and 3 are supported"),
    Case("largest version", framed(version=2**32 - 1), "GGUF version 4294967295"),
    Case("big endian", framed(version=3 << 24), "a big-endian GGUF file, which is not supported"),
    Case("no counts", START, "the number of tensors takes 8 bytes from byte 8 on"),
    Case("half a count", START + u32(1), "the number of tensors takes 8 bytes from byte 8 on"),
    Case("one count", START + u64(0), "the number of metadata takes 8 bytes from byte 16 on"),
    Case("2**64 - 1 tensors", counts(MOST, 0), f"{MOST} tensors, above the limit of {MAX_TENSORS}"),
    Case("a tensor above", counts(MAX_TENSORS + 1, 0), "1000001 tensors, above the limit"),
    Case("2**63 metadata", counts(0, 2**63), "9223372036854775808 metadata, above the limit"),
    Case("a pair above", counts(0, MAX_METADATA_ITEMS + 1), "100001 metadata, above the limit"),
    Case("a missing tensor", counts(1, 0), "the length of the name of a tensor takes 8 bytes"),
    Case("a missing pair", counts(0, 1), "the length of a key of the metadata takes 8 bytes"),
]

KEYS = [
    Case("key beyond the file", metadata(text("key", 4)), "a key of the metadata takes 4 bytes"),
    Case("key of 2**64 - 1", metadata(text("key", MOST)), f"has {MOST} bytes, above the limit"),
    Case(
        "key above the format",
        metadata(text("k" * 65536)),
        f"65536 bytes, above the limit of {MAX_TEXT}",
    ),
    Case(
        "key above the limit",
        value(0, b"\1").replace(text("key"), text("k" * 1001)),
        "has 1001 letters, above",
    ),
    Case(
        "key not UTF-8",
        metadata(text(b"k\xff")),
        r"a key of the metadata b'k\xff' is not UTF-8: byte 1",
    ),
    Case("half a length", metadata(u32(3)), "the length of a key of the metadata takes 8 bytes"),
    Case("key twice", framed([pair("k", 1), pair("k", 2)]), "metadata key 'k' occurs twice"),
    Case("no type", metadata(text("key")), "metadata 'key': its type takes 4 bytes"),
    Case("half a type", metadata(text("key") + b"\4\0"), "metadata 'key': its type takes 4 bytes"),
    Case("type 13", value(13, bytes(8)), "metadata 'key' has type 13, which GGUF does not have"),
    Case(
        "largest type", value(2**32 - 1, bytes(8)), "has type 4294967295, which GGUF does not have"
    ),
]

VALUES = [
    *(
        Case(f"cut value of type {kind}", value(kind, bytes(size - 1)), f"'key' takes {size} bytes")
        for kind, size in ((0, 1), (1, 1), (2, 2), (3, 2), (4, 4), (5, 4), (6, 4), (7, 1))
    ),
    *(
        Case(f"cut value of type {kind}", value(kind, bytes(7)), "metadata 'key' takes 8 bytes")
        for kind in (10, 11, 12)
    ),
    Case("boolean 2", value(7, b"\2"), "metadata 'key' is the boolean 2, not 0 or 1"),
    Case("boolean 255", value(7, b"\xff"), "metadata 'key' is the boolean 255, not 0 or 1"),
    Case("text without length", value(8, bytes(4)), "metadata 'key': its length takes 8 bytes"),
    Case("text beyond the file", value(8, text("abc", 4)), "metadata 'key' takes 4 bytes"),
    Case("long text beyond", value(8, text("abc", 2**40)), "takes 1099511627776 bytes from byte"),
    Case("text of 2**64 - 1", value(8, text("abc", MOST)), f"metadata 'key' takes {MOST} bytes"),
    Case("list without a type", value(9, b"\4"), "the type of its elements takes 4 bytes"),
    Case("list without a number", value(9, u32(4)), "its number of elements takes 8 bytes"),
    Case("list of lists", value(9, u32(9) + u64(1)), "is an array of arrays, which is not read"),
    Case("list of type 13", value(9, u32(13) + u64(1)), "has elements of type 13, which GGUF"),
    Case("list beyond the file", value(9, u32(4) + u64(3) + bytes(8)), "'key' takes 12 bytes"),
    Case("long list beyond", value(9, u32(4) + u64(5000)), "metadata 'key' takes 20000 bytes"),
    Case("list of 2**64 - 1", value(9, u32(0) + u64(MOST)), f"'key' takes {MOST} bytes"),
    Case("overflowing list", value(9, u32(12) + u64(2**62)), f"'key' takes {2**65} bytes"),
    Case("list of booleans", value(9, u32(7) + u64(9)), "metadata 'key' takes 9 bytes"),
    Case("missing texts", value(9, u32(8) + u64(3) + text("a")), "metadata 'key' takes 8 bytes"),
    Case("no texts", value(9, u32(8) + u64(MOST)), "metadata 'key' takes 8 bytes"),
    Case("a text beyond", value(9, u32(8) + u64(2) + text("a", 9)), "the file ends at"),
    Case("a text of 2**64 - 1", value(9, u32(8) + u64(2) + text("a", MOST)), "the file ends at"),
]

ALIGNMENTS = [
    Case(name, framed([pair("general.alignment", *given)], [A], DATA), message)
    for name, given, message in (
        ("alignment 0", (0,), "general.alignment 0 is not a power of two"),
        ("alignment 24", (24,), "general.alignment 24 is not a power of two"),
        ("alignment -32", (-32, 5), "general.alignment -32 is not a power of two"),
        ("alignment 32.0", (32.0, 6), "general.alignment 32.0 is not a power of two"),
        ("alignment true", (True, 7), "general.alignment True is not a power of two"),
        ("alignment in words", ("32",), "general.alignment '32' is not a power of two"),
        ("alignment as a list", ([32],), "general.alignment [32] is not a power of two"),
        ("alignment beyond", (2**31,), "from byte 2147483648 on, but the file ends at"),
        (
            "alignment of 2**63",
            (2**63, 10),
            "from byte 9223372036854775808 on, but the file ends at",
        ),
    )
]

RECORDS = [
    Case("name beyond the file", tensor(text("a", 2)), "the name of a tensor takes 2 bytes"),
    Case("name of 2**64 - 1", tensor(text("a", MOST)), f"has {MOST} bytes, above the limit"),
    Case("name above the limit", tensor(text("a" * 1001)), "a name of 1001 letters, above"),
    Case("name not UTF-8", tensor(text(b"\xc3(")), "the name of a tensor b'\\xc3(' is not UTF-8"),
    Case("no dimensions", tensor(text("a")), "tensor 'a': the number of dimensions takes 4 bytes"),
    Case(
        "five dimensions",
        tensor(text("a") + u32(5) + bytes(60)),
        "5 dimensions, above the limit of 4",
    ),
    Case(
        "2**32 - 1 dimensions", tensor(text("a") + u32(2**32 - 1)), "4294967295 dimensions, above"
    ),
    Case(
        "a missing dimension",
        tensor(text("a") + u32(2) + u64(4)),
        "tensor 'a': a dimension takes 8",
    ),
    Case("no type", tensor(text("a") + u32(1) + u64(4)), "tensor 'a': the type takes 4 bytes"),
    Case(
        "no offset", tensor(text("a") + u32(1) + u64(4) + u32(0)), "tensor 'a': the offset takes 8"
    ),
    Case("name twice", placed(A, info("a", (2, 4), "F32", 32)), "tensor 'a' is in the file twice"),
    Case(
        "dimension of 2**64 - 1",
        placed(info("a", (MOST,), "F32", 0)),
        "F32 overflows 2**63 - 1 bits",
    ),
    Case(
        "product of 2**64", placed(info("a", (2**32, 2**32), "Q8_0", 0)), "Q8_0 overflows 2**63 - 1"
    ),
    Case(
        "overflow next to a zero", placed(info("a", (0, 2**40, 2**40), "F32", 0)), "overflows 2**63"
    ),
    Case("overflow of an unknown type", placed(info("a", (2**62, 4), 99, 0)), "GGML_99 overflows"),
    Case(
        "half a block",
        placed(info("a", (2, 255), "Q4_K", 0)),
        "rows have 255 elements, not a multiple of 256",
    ),
    Case(
        "a scalar of blocks",
        placed(info("a", (), "Q8_0", 0)),
        "rows have 1 elements, not a multiple of 32",
    ),
    Case(
        "rows across blocks",
        placed(info("a", (4, 8), "Q8_0", 0)),
        "rows have 8 elements, not a multiple",
    ),
]

PLACES = [
    Case("offset of 4", placed(info("a", (2, 4), "F32", 4)), "offset 4 is not a multiple of 32"),
    Case(
        "largest offset", placed(info("a", (2, 4), "F32", 2**64 - 32)), "takes 32 bytes from byte"
    ),
    Case("offset at the end", placed(info("a", (2, 4), "F32", 128)), "the file ends at"),
    Case(
        "beyond the end",
        placed(info("a", (40, 4), "F32", 0)),
        "F32 [40, 4] takes 640 bytes from byte",
    ),
    Case(
        "no data",
        placed(A, data=b""),
        "F32 [2, 4] takes 32 bytes from byte 96 on, but the file ends at 96",
    ),
    Case(
        "a byte missing",
        placed(A, data=bytes(31)),
        "takes 32 bytes from byte 96 on, but the file ends at 127",
    ),
    Case("hole at the start", placed(info("a", (2, 4), "F32", 32)), "the data before it ends at"),
    Case("same place", placed(A, info("b", (2, 4), "F32", 0)), "tensor 'b' begins at byte"),
    Case(
        "overlap",
        placed(info("a", (5, 4), "F32", 0), info("b", (2, 4), "F32", 64)),
        "tensor 'b' begins",
    ),
    Case("hole", placed(A, info("b", (2, 4), "F32", 64)), "tensor 'b' begins at byte"),
]

FILES = [*STARTS, *KEYS, *VALUES, *ALIGNMENTS, *RECORDS, *PLACES]

TOO_LONG = value(9, u32(0) + u64(MAX_GGUF_HEADER))
"""A list that reaches beyond the limit of a header, in a file that is long enough."""
