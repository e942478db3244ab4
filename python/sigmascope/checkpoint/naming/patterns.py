# SPDX-License-Identifier: BSD-3-Clause
"""Regular expressions of files, matched in time that is linear in the text.

A pattern that comes with a file is a program for Python's `re`, which tries one way after another:
`(a|aa)+$` takes for ever on a name of fifty letters. Here a pattern means what it means there, and
is run by `re` only where the number of ways, counted from its parts, is small for the text at hand;
else all ways are followed at once, letter by letter (K. Thompson 1968; with groups as in R. Pike's
`sam`): time at most the length of the text times the size of the pattern.

What no such machine can do is refused: references to groups, atomic groups, flags, looking ahead
of unlimited width.
"""

from __future__ import annotations

import re
from typing import Any, Protocol

from sigmascope.checkpoint.formats.jsontext import brief
from sigmascope.errors import CheckpointError
from sigmascope.limits import MAX_PATTERN_LETTERS, MAX_PATTERN_STEPS

from .letters import UnknownPatternError
from .pike import Found, Program, program_of, run

_WAYS = 100_000
"""So many ways `re` may try: a few hundredths of a second at most."""
_AT_PARTS = r"(?:^|\.)"
"""How patterns begin that match at the start of a name, or after a dot."""
_SINGLE = ("LITERAL", "NOT_LITERAL", "ANY", "IN")


class Match(Protocol):
    """What is used of a match, of `re` or of ours."""

    @property
    def string(self) -> str:
        """The text."""

    def __getitem__(self, group: str | int, /) -> str | Any:
        """The text of a group."""

    def start(self, group: str | int = ..., /) -> int:
        """Where a group begins."""

    def end(self, group: str | int = ..., /) -> int:
        """Where a group ends."""


class Pattern(Protocol):
    """What is used of a compiled pattern, of `re` or of ours."""

    def search(self, string: str) -> Match | None:
        """Find the first place that matches."""

    def match(self, string: str) -> Match | None:
        """Match from the start of the text."""

    def fullmatch(self, string: str) -> Match | None:
        """Match the whole text."""


class LinearPattern:
    """A pattern of a file; see the module.

    Attributes
    ----------
    pattern : str
        As it was written.
    groups : int
        How many groups it has.
    """

    def __init__(self, pattern: str, parsed: Any, groups: tuple[str, ...], most: int) -> None:
        named = dict(parsed.state.groupdict)
        self.pattern = pattern
        self.groups: int = parsed.state.groups - 1
        self._program: Program = program_of(parsed, [named[group] for group in groups], most)
        self._names = {group: number for number, group in enumerate(groups, 1)}
        self._quick = re.compile(pattern)
        self._parsed = parsed
        self._ways: dict[int, float] = {}

    def search(self, string: str) -> Match | None:
        """Find the first place that matches."""
        if self._is_quick(len(string), starts=self._starts(string)):
            return self._quick.search(string)
        return self._found(string, run(self._program, string, anywhere=True))

    def match(self, string: str) -> Match | None:
        """Match from the start of the text."""
        if self._is_quick(len(string), starts=1):
            return self._quick.match(string)
        return self._found(string, run(self._program, string))

    def fullmatch(self, string: str) -> Match | None:
        """Match the whole text."""
        if self._is_quick(len(string), starts=1):
            return self._quick.fullmatch(string)
        return self._found(string, run(self._program, string, whole=True))

    def work(self, length: int) -> int:
        """Return how many steps a match of a text may take; 1 where `re` does it."""
        return 1 if self._is_quick(length, starts=1) else length * self._program.work

    def _starts(self, string: str) -> int:
        """Return how many places of a text a search may begin at."""
        return string.count(".") + 1 if self.pattern.startswith(_AT_PARTS) else len(string) + 1

    def _is_quick(self, length: int, starts: int) -> bool:
        """Whether `re` has few ways to try in a text of this length, rounded up."""
        rounded = 1 << length.bit_length()
        if rounded not in self._ways:
            self._ways[rounded] = _ways(self._parsed, rounded)
        return self._ways[rounded] * starts <= _WAYS

    def _found(self, string: str, places: tuple[int, ...] | None) -> Found | None:
        return None if places is None else Found(string, places, self._names)


def compiled_pattern(
    pattern: str,
    where: str,
    groups: tuple[str, ...] = (),
    *,
    shown: str | None = None,
    most: int = MAX_PATTERN_STEPS,
) -> LinearPattern:
    """Make a pattern of a file ready for use.

    Parameters
    ----------
    groups : tuple of str
        The groups of which a match is asked.
    shown : str, optional
        What stands in the file, where that is a part of it.
    most : int
        Steps that it may have, and as many letters where that is more than the limit.

    Raises
    ------
    CheckpointError
        It is no regular expression, is above the limit of size, or cannot be matched in linear
        time; the message begins with `where` and shows the pattern.
    """
    text = brief(pattern if shown is None else shown, 200)
    if len(pattern) > max(MAX_PATTERN_LETTERS, most):
        raise CheckpointError(
            f"{where}: {text} has {len(pattern)} letters, above the limit of {MAX_PATTERN_LETTERS}"
        )
    try:
        from re import _parser  # type: ignore[attr-defined]

        re.compile(pattern)
        parsed = _parser.parse(pattern)
        if parsed.state.flags & ~re.UNICODE.value:
            raise UnknownPatternError("sets flags, which are not known here")
        return LinearPattern(pattern, parsed, groups, most)
    except UnknownPatternError as error:
        raise CheckpointError(
            f"{where}: {text} {error}; what can be used are names, '.', '[...]', "
            "'|', '*', '+', '?', '{m,n}', '^', '$' and short looks ahead"
        ) from None
    except (re.error, OverflowError) as error:
        raise CheckpointError(f"{where}: {text} is no regular expression: {error}") from error
    except RecursionError:
        raise CheckpointError(
            f"{where}: {text} is no regular expression: nested too deeply"
        ) from None


def _ways(parsed: Any, length: int) -> float:
    """An upper bound of the ways in which a backtracking matcher may go through a pattern."""
    ways = 1.0
    for op, argument in parsed:
        kind = str(op)
        if kind == "BRANCH":
            ways *= sum(_ways(branch, length) for branch in argument[1])
        elif kind == "SUBPATTERN":
            ways *= _ways(argument[3], length)
        elif kind in ("ASSERT", "ASSERT_NOT"):
            ways *= _ways(argument[1], length)
        elif kind in ("MAX_REPEAT", "MIN_REPEAT"):
            ways *= _ways_repeated(argument, length)
        if ways > _WAYS:
            break
    return ways


def _ways_repeated(repeat: Any, length: int) -> float:
    least, most, body = repeat
    if len(body) == 1 and str(body[0][0]) in _SINGLE:
        return max(1.0, min(int(most), length) - int(least) + 1)
    once = _ways(body, length)
    if int(most) > 8:
        return float("inf")
    return sum(once**times for times in range(int(least), int(most) + 1))
