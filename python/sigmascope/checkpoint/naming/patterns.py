# SPDX-License-Identifier: BSD-3-Clause
"""Regular expressions from files, matched in time linear in the length of the text.

Python's `re` matches by backtracking: `(a|aa)+$` takes exponential time in the length of a name, so
a pattern in a file could stop the program. Here a pattern has the same meaning, but `re` runs it
only if the number of backtracking paths, bounded from its parts, is small for the text; else all
paths are followed at once, character by character (K. Thompson 1968; with groups as in R. Pike's
`sam`), in time at most the length of the text times the size of the pattern.

Constructs that need more are refused: references to groups, atomic groups, flags, lookahead of
unlimited width.
"""

from __future__ import annotations

import re
from typing import Any, Protocol

from sigmascope._host.limits import MAX_PATTERN_LETTERS, MAX_PATTERN_STEPS
from sigmascope.checkpoint.formats.jsontext import brief
from sigmascope.errors import CheckpointError

from .letters import UnknownPatternError
from .pike import PikeMatch, Program, program_of, run

_WAYS = 100_000
"""Largest number of backtracking paths for `re`: a few hundredths of a second."""
_AT_PARTS = r"(?:^|\.)"
"""Start of the patterns that match at the start of a name, or after a dot."""
_SINGLE = ("LITERAL", "NOT_LITERAL", "ANY", "IN")


class Match(Protocol):
    """Protocol of a match, by `re` or by this package."""

    @property
    def string(self) -> str:
        """Text that was searched."""

    def __getitem__(self, group: str | int, /) -> str | Any:
        """Return the text of a group."""

    def start(self, group: str | int = ..., /) -> int:
        """Return the start of a group."""

    def end(self, group: str | int = ..., /) -> int:
        """Return the end of a group."""


class Pattern(Protocol):
    """Protocol of a compiled pattern, of `re` or of this package."""

    def search(self, string: str) -> Match | None:
        """Find the first place that matches."""

    def match(self, string: str) -> Match | None:
        """Match from the start of the text."""

    def fullmatch(self, string: str) -> Match | None:
        """Match the whole text."""


class LinearPattern:
    """A pattern from a file, matched in linear time; see the module.

    Attributes
    ----------
    pattern : str
        The regular expression as written.
    groups : int
        Number of its groups.
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
        return self._as_match(string, run(self._program, string, anywhere=True))

    def match(self, string: str) -> Match | None:
        """Match from the start of the text."""
        if self._is_quick(len(string), starts=1):
            return self._quick.match(string)
        return self._as_match(string, run(self._program, string))

    def fullmatch(self, string: str) -> Match | None:
        """Match the whole text."""
        if self._is_quick(len(string), starts=1):
            return self._quick.fullmatch(string)
        return self._as_match(string, run(self._program, string, to_end=True))

    def work(self, length: int) -> int:
        """Return the largest number of steps to match a text of a length; 1 where `re` is used."""
        return 1 if self._is_quick(length, starts=1) else length * self._program.work

    def _starts(self, string: str) -> int:
        """Return the number of places of a text at which a match may begin."""
        return string.count(".") + 1 if self.pattern.startswith(_AT_PARTS) else len(string) + 1

    def _is_quick(self, length: int, starts: int) -> bool:
        """Return whether `re` has few paths to try in a text of this length, rounded up."""
        rounded = 1 << length.bit_length()
        if rounded not in self._ways:
            self._ways[rounded] = _ways(self._parsed, rounded)
        return self._ways[rounded] * starts <= _WAYS

    def _as_match(self, string: str, places: tuple[int, ...] | None) -> PikeMatch | None:
        return None if places is None else PikeMatch(string, places, self._names)


def compiled_pattern(
    pattern: str,
    where: str,
    groups: tuple[str, ...] = (),
    *,
    shown: str | None = None,
    most: int = MAX_PATTERN_STEPS,
) -> LinearPattern:
    """Compile a pattern from a file.

    Parameters
    ----------
    groups : tuple of str
        Names of the groups whose text is needed.
    shown : str, optional
        Text for messages, if only a part of the pattern stands in the file.
    most : int
        Largest number of steps; also of characters, if that is more than their limit.

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
    """Bound the number of paths of a backtracking matcher through a pattern."""
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
