# SPDX-License-Identifier: BSD-3-Clause
"""Checks of names, numbers and shapes of tensors, which files of every format need."""

from __future__ import annotations

from collections.abc import Iterable, Sized

from sigmascope._host.limits import MAX_NAME, MAX_TENSORS
from sigmascope.errors import CheckpointError

from .jsontext import brief


def checked_name(name: str, where: str) -> str:
    """Return the name; raise CheckpointError if it is longer than the limit."""
    if len(name) > MAX_NAME:
        raise CheckpointError(
            f"{where}: tensor {brief(name, 60)}: a name of {len(name)} letters, above the limit of "
            f"{MAX_NAME}"
        )
    return name


MAX_SIZE = 2**63 - 1


def check_extent(shape: Iterable[int], bits: int, where: str, dtype: str = "") -> None:
    """Raise CheckpointError if the bits of a shape, with so many per element, exceed `MAX_SIZE`.

    Sizes of 0 are left out, since the strides of [0, 2**40, 2**40] overflow, too.
    """
    for size in shape:
        bits *= size or 1
        if bits > MAX_SIZE:
            of_dtype = f" of {dtype}" if dtype else ""
            raise CheckpointError(
                f"{where}: shape {brief(list(shape))}{of_dtype} overflows 2**63 - 1 bits"
            )


def check_count(entries: Sized, where: str) -> None:
    """Raise CheckpointError if a file has more entries than the limit."""
    if len(entries) > MAX_TENSORS:
        raise CheckpointError(f"{where}: {len(entries)} entries, above the limit of {MAX_TENSORS}")


def joined(above: str, key: object) -> str:
    """Return the name of an entry of a dict; `above` is the name of the dict and a dot."""
    if isinstance(key, int):
        text = str(key) if key.bit_length() <= 64 else "a large number"
    elif isinstance(key, str):
        text = key
    else:
        text = "" if isinstance(key, bytes) and len(key) > MAX_NAME else brief(key, MAX_NAME)
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise CheckpointError(f"tensor {brief(above + text[:60], 60)}: a name that is not text")
    if len(above) + len(text) > MAX_NAME:
        raise CheckpointError(
            f"tensor {brief(above + text[:60], 60)}: a name of {len(above) + len(text)} letters, "
            f"above the limit of {MAX_NAME}"
        )
    return above + text
