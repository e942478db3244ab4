# SPDX-License-Identifier: BSD-3-Clause
"""Regular expressions as files of rules and adapters have them, matched alone; steps of `re`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sigmascope.checkpoint.naming.patterns import SafePattern, compiled_pattern

_PLACES = {
    "AT_BEGINNING": r"\A",
    "AT_BEGINNING_STRING": r"\A",
    "AT_END": "$",
    "AT_END_STRING": r"\Z",
}


def matcher(pattern: str) -> SafePattern:
    """The matcher of a pattern of a file: `re`, or RE2 where that may take long."""
    return compiled_pattern(pattern, "here")


class LinearPattern(SafePattern):
    """A pattern of a file that never turns to `re`."""

    def _bound(self, length: int) -> float:
        return float("inf")


def linear_matcher(pattern: str) -> SafePattern:
    """The matcher of a pattern by RE2."""
    return LinearPattern(pattern, "here")


def parsed(pattern: str) -> Any:
    """The parts of a pattern as Python reads them."""
    from re import _parser  # type: ignore[attr-defined]

    return _parser.parse(pattern)


def count_steps(pattern: str, text: str) -> tuple[int, int]:
    """The ends and the tests of letters on all paths of a pattern from the start of a text."""
    tests = 0

    def walk(items: Any, at: int) -> Iterator[int]:
        if not items:
            yield at
            return
        for end in part(str(items[0][0]), items[0], at):
            yield from walk(items[1:], end)

    def part(kind: str, item: Any, at: int) -> Iterator[int]:
        nonlocal tests
        if kind == "BRANCH":
            for branch in item[1][1]:
                yield from walk(list(branch), at)
        elif kind == "SUBPATTERN":
            yield from walk(list(item[1][3]), at)
        elif kind in ("MAX_REPEAT", "MIN_REPEAT"):
            yield from repeat(*item[1], at)
        else:
            tests += 1
            yield from _ends(kind, item[1], text, at)

    def repeat(least: int, most: int, body: Any, at: int, before: int = -1) -> Iterator[int]:
        if most > 0 and (least > 0 or at != before):
            for end in walk(list(body), at):
                yield from repeat(least - 1, most - 1, body, end, at)
        if least <= 0:
            yield at

    ends = sum(1 for _ in walk(list(parsed(pattern)), 0))
    return ends, tests


def _ends(kind: str, argument: Any, text: str, at: int) -> Iterator[int]:
    """Where the test of a place or of a letter ends, if it holds."""
    if kind == "AT":
        if re.compile(_PLACES[str(argument)]).match(text, at):
            yield at
    elif at < len(text) and _is_in(kind, argument, text[at]):
        yield at + 1


def _is_in(kind: str, argument: Any, letter: str) -> bool:
    code = ord(letter)
    if kind == "LITERAL":
        return bool(argument == code)
    if kind in ("NOT_LITERAL", "ANY"):
        return argument != code if kind == "NOT_LITERAL" else letter != "\n"
    members = [(str(op), value) for op, value in argument if str(op) != "NEGATE"]
    holds = any(
        value == code if op == "LITERAL" else value[0] <= code <= value[1] for op, value in members
    )
    return holds == (len(members) == len(argument))
