# SPDX-License-Identifier: BSD-3-Clause
"""The types of GGML, which a GGUF file names by number.

Some are dtypes of other formats. In the others, a row is a sequence of blocks with a fixed number
of elements and of bytes; the native module decodes them when they are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class GgmlType(NamedTuple):
    """A type: its name, and the elements and bytes of a block; 0 bytes if they are not known.

    `why_not` is the reason why it is not decoded; None if it is.
    """

    name: str
    elements: int
    nbytes: int
    why_not: str | None = None


_PLAIN = """
    0 F32 4, 1 F16 2, 28 F64 8, 30 BF16 2, 24 I8 1, 25 I16 2, 26 I32 4, 27 I64 8
"""
_BLOCKS = """
    2 Q4_0 32 18, 3 Q4_1 32 20, 6 Q5_0 32 22, 7 Q5_1 32 24, 8 Q8_0 32 34, 10 Q2_K 256 84,
    11 Q3_K 256 110, 12 Q4_K 256 144, 13 Q5_K 256 176, 14 Q6_K 256 210, 15 Q8_K 256 292,
    16 IQ2_XXS 256 66, 17 IQ2_XS 256 74, 18 IQ3_XXS 256 98, 19 IQ1_S 256 50, 20 IQ4_NL 32 18,
    21 IQ3_S 256 110, 22 IQ2_S 256 82, 23 IQ4_XS 256 136, 29 IQ1_M 256 56, 34 TQ1_0 256 54,
    35 TQ2_0 256 66, 39 MXFP4 32 17, 40 NVFP4 64 36
"""
_REMOVED = """
    4 Q4_2, 5 Q4_3, 31 Q4_0_4_4, 32 Q4_0_4_8, 33 Q4_0_8_8, 36 IQ4_NL_4_4, 37 IQ4_NL_4_8,
    38 IQ4_NL_8_8
"""
_UNKNOWN = "this version does not know the type"


def _rows(table: str) -> list[list[str]]:
    return [row.split() for row in table.split(",")]


_NOT_DECODED = {
    9: GgmlType("Q8_1", 32, 36, "llama.cpp uses it in products and does not store it"),
    41: GgmlType("Q1_0", 128, 18, "this version does not know the layout"),
    **{
        int(number): GgmlType(name, 1, 0, "llama.cpp no longer reads it; convert the model again")
        for number, name in _rows(_REMOVED)
    },
}

TYPES: Mapping[int, GgmlType] = {
    **{int(number): GgmlType(name, 1, int(size)) for number, name, size in _rows(_PLAIN)},
    **{
        int(number): GgmlType(name, int(elements), int(nbytes))
        for number, name, elements, nbytes in _rows(_BLOCKS)
    },
    **_NOT_DECODED,
}
"""Types by their numbers."""

BLOCK_DTYPES: Mapping[str, str] = {name: name.lower() for _, name, _, _ in _rows(_BLOCKS)}
"""Block layouts that are decoded: GGML's name of each, and its name in the native module."""


def type_of(number: int) -> GgmlType:
    """Return the type with this number; for an unknown number, a name and a reason."""
    return TYPES.get(number, GgmlType(f"GGML_{number}", 1, 0, _UNKNOWN))


def reason_of(dtype: str) -> str:
    """Return why numbers of a dtype, named as in the file, are not decoded."""
    why = next((kind.why_not for kind in _NOT_DECODED.values() if kind.name == dtype), None)
    unknown = _UNKNOWN if dtype.startswith("GGML_") else None
    return ": ".join(filter(None, (f"dtype {dtype} is not decoded", why or unknown)))
