# SPDX-License-Identifier: BSD-3-Clause
"""Formats in which the tensors of a checkpoint are stored, and numbers without a spectrum."""

from __future__ import annotations

from sigmascope import Checkpoint
from sigmascope.extension.pairs import Elements, Member

from .number_formats import FORMATS, NumberFormat

PLAIN = {
    "F32": "f32",
    "BF16": "bf16",
    "F16": "f16",
    "F8_E4M3": "f8_e4m3",
    "F8_E5M2": "f8_e5m2",
}
"""Names of formats in headers, by which numbers are stored without scales or codes."""


class NotVerifiedError(ValueError):
    """A tensor whose numbers cannot be compared; the message is the reason."""


def elements_of(checkpoint: Checkpoint, member: Member) -> Elements:
    """Return the numbers of a tensor without a spectrum."""
    elements = checkpoint.elements(member.key)
    if elements is None:
        raise NotVerifiedError(member.record["reason"] or "its numbers are not decoded")
    return elements


def number_format(checkpoint: Checkpoint, member: Member, where: str) -> NumberFormat:
    """Return the format in which a tensor is stored.

    Raises
    ------
    NotVerifiedError
        If it is stored in codes, or in a format whose rounding cells are not known.
    """
    dtype = member.record["dtype"]
    name = PLAIN.get(dtype)
    scaled = dtype in PLAIN and is_coded(checkpoint, member)
    if name is None or scaled:
        stored = f"{dtype} with scales" if scaled else dtype
        raise NotVerifiedError(
            f"{where} stores it as {stored}, whose rounding is not supported: "
            "compare() estimates the change"
        )
    return FORMATS[name]


def is_coded(checkpoint: Checkpoint, member: Member) -> bool:
    """Return True if a tensor is stored as codes with scales."""
    dtype = member.record["dtype"]
    scaled = dtype.startswith("F8") and checkpoint.elements(member.record["name"]) is None
    return scaled or dtype not in (*PLAIN, "F64")
