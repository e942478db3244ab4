# SPDX-License-Identifier: BSD-3-Clause
"""Tests of single characters, and of positions between two, with the meaning of `re`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class UnknownPatternError(ValueError):
    """A pattern that cannot be matched in linear time, or is above the limit of size."""


_PLACES: dict[str, Callable[[str, int], bool]] = {
    "AT_BEGINNING": lambda text, at: at == 0,
    "AT_BEGINNING_STRING": lambda text, at: at == 0,
    "AT_END": lambda text, at: at == len(text) or (at == len(text) - 1 and text[at] == "\n"),
    "AT_END_STRING": lambda text, at: at == len(text),
    "AT_BOUNDARY": lambda text, at: _boundary(text, at),
    "AT_NON_BOUNDARY": lambda text, at: bool(text) and not _boundary(text, at),
}


def _boundary(text: str, at: int) -> bool:
    before = at > 0 and _is_word(text[at - 1])
    return before != (at < len(text) and _is_word(text[at]))


def place_test(name: str) -> Callable[[str, int], bool]:
    """Return the test whether a position in a text is of a kind, such as a word boundary."""
    if name not in _PLACES:
        raise UnknownPatternError(f"holds {name}, which is not known here")
    return _PLACES[name]


def _is_word(letter: str) -> bool:
    return letter.isalnum() or letter == "_"


_CATEGORIES: dict[str, Callable[[str], bool]] = {
    "CATEGORY_DIGIT": str.isdecimal,
    "CATEGORY_NOT_DIGIT": lambda letter: not letter.isdecimal(),
    "CATEGORY_SPACE": str.isspace,
    "CATEGORY_NOT_SPACE": lambda letter: not letter.isspace(),
    "CATEGORY_WORD": _is_word,
    "CATEGORY_NOT_WORD": lambda letter: not _is_word(letter),
}


def letter_test(kind: str, argument: Any) -> Callable[[str], bool]:
    """Return the test whether a part of a pattern matches a character."""
    if kind == "LITERAL":
        return chr(argument).__eq__
    if kind == "NOT_LITERAL":
        return chr(argument).__ne__
    if kind == "ANY":
        return "\n".__ne__
    negated = bool(argument) and str(argument[0][0]) == "NEGATE"
    tests = [_member(str(op), value) for op, value in argument[negated:]]
    return lambda letter: any(test(letter) for test in tests) is not negated


def _member(kind: str, value: Any) -> Callable[[str], bool]:
    if kind == "CATEGORY":
        return _CATEGORIES[str(value)]
    low, high = (value, value) if kind == "LITERAL" else value
    return lambda letter: low <= ord(letter) <= high
