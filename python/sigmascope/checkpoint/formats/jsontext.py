# SPDX-License-Identifier: BSD-3-Clause
"""Strict JSON: the parser keeps repeated keys, so that they can be refused."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from sigmascope._host.limits import MAX_JSON_VALUES
from sigmascope.errors import CheckpointError

# 2**64 - 1 has 20 digits; a longer number is not a size or offset, and int() takes quadratic time
# for very long text.
_MAX_DIGITS = 20


class Members(list[tuple[str, Any]]):
    """The members of one JSON object, in order, repeated keys included."""


def brief(value: object, limit: int = 80) -> str:
    """Format a parsed value for an error message, cut after `limit` characters."""
    if isinstance(value, Members):
        return "an object"
    if isinstance(value, list):
        # Nested lists are abbreviated: they may be too deep for repr().
        head = ["[...]" if isinstance(item, list) else brief(item, limit) for item in value[:limit]]
        text = "[" + ", ".join(head) + ("]" if len(value) <= limit else ", ")
    else:
        text = repr(value[: limit + 1]) if isinstance(value, str) else repr(value)
    return text if len(text) <= limit + 2 else text[:limit] + "..."


def parse_json(raw: bytes, where: str) -> Any:
    """Parse UTF-8 JSON text; objects come back as `Members`.

    Parameters
    ----------
    raw : bytes
        The text. NaN, Infinity, lone surrogates, numbers of more than 20 digits and numbers
        beyond float64 are refused: they are not JSON, or readers disagree on their meaning.
    where : str
        Name of the text, with which error messages begin.

    Raises
    ------
    CheckpointError
        The bytes are not UTF-8, or the text is not JSON.
    """
    values = raw.count(b",") + raw.count(b"[") + raw.count(b"{")
    if values > MAX_JSON_VALUES:
        raise CheckpointError(f"{where} has {values} values, above the limit of {MAX_JSON_VALUES}")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(
            f"{where} is not UTF-8: byte 0x{raw[error.start]:02x} at {error.start}"
        ) from None
    try:
        value = json.loads(
            text,
            object_pairs_hook=_members,
            parse_int=_integer,
            parse_float=_real,
            parse_constant=_constant,
        )
    except json.JSONDecodeError as error:
        raise CheckpointError(
            f"{where} is not JSON: {error.msg} at character {error.pos}"
        ) from None
    except ValueError as error:
        raise CheckpointError(f"{where} is not JSON: {error}") from None
    except RecursionError:
        raise CheckpointError(f"{where} is not JSON: nested too deeply") from None
    return value


def unique(value: object, where: str) -> dict[str, Any]:
    """Return the members of a JSON object as a dict, if `value` is one and no key repeats.

    Raises
    ------
    CheckpointError
        `value` is not an object, or a key occurs twice.
    """
    if not isinstance(value, Members):
        raise CheckpointError(f"{where} is {brief(value)}, not an object")
    members = dict(value)
    if len(members) != len(value):
        seen: set[str] = set()
        for key, _ in value:
            if key in seen:
                raise CheckpointError(f"{where} has a duplicate key {brief(key)}")
            seen.add(key)
    return members


def _members(pairs: list[tuple[str, Any]]) -> Members:
    for key, value in pairs:
        for text in (key, value):
            # A lone surrogate cannot be written as UTF-8, not even in an error message.
            if isinstance(text, str) and not _encodable(text):
                raise ValueError(f"lone surrogate in the string {text!a:.80}")
    return Members(pairs)


def _encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _integer(text: str) -> int | float:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"a number of {len(text)} characters")
    # The reference reader takes "-0" as a floating point zero, which is not a size.
    return -0.0 if text == "-0" else int(text)


def _real(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"a number out of range, {text:.40}")
    return value


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON value")
