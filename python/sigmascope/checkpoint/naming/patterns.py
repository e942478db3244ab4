# SPDX-License-Identifier: BSD-3-Clause
"""Regular expressions from files that cannot stall the program.

Python's `re` matches by backtracking: `(a|aa)+$` takes exponential time in the length of a name.
The parts of a pattern bound its steps, and `re` runs the pattern only if they are few for the text.
Otherwise the package RE2 runs it in linear time, after a translation that keeps the meaning. If RE2
is not installed, or does not know a construct, the pattern is refused.

RE2 can differ in two ways: which of several matches it takes if a loop repeats a part that may be
empty, and whether it knows a letter that only one of the two Unicode tables has.
"""

from __future__ import annotations

import math
import re
from itertools import takewhile
from typing import Any

from sigmascope._host.limits import MAX_PATTERN_LETTERS
from sigmascope.checkpoint.formats.jsontext import brief
from sigmascope.errors import CheckpointError

_STEPS = 20_000_000
"""Largest number of steps of `re` for one text: tenths of a second."""
_CALL, _RE2_CALL, _RE2_STEPS = 200, 1500, 6
"""Steps of `re` in the time of a call, of a call of RE2, and of a letter in one instruction of it.

Measured: 0.5 and 3.5 us for a call, up to 2.4 ns for a step of `re` as `_bound` counts them, and up
to 14 ns for a letter in an instruction of RE2.
"""
_USUAL = 64
"""Length of a usual name: what `re` cannot match there is refused when it is read."""
_AT_PARTS = r"(?:^|\.)"
"""Start of the patterns that match at the start of a name, or after a dot."""
_SINGLE = ("LITERAL", "NOT_LITERAL", "ANY", "IN")
_CLASSES = {
    "CATEGORY_DIGIT": r"\p{Nd}",
    "CATEGORY_SPACE": r"\p{Z}\t-\r\x1c-\x1f\x{85}",
    "CATEGORY_WORD": r"\p{L}\p{N}_",
}
_PLACES = {
    "AT_BEGINNING": r"\A",
    "AT_BEGINNING_STRING": r"\A",
    "AT_END": r"\z",
    "AT_END_STRING": r"\z",
}


class SafePattern:
    """A pattern from a file, matched by `re` or RE2; see the module.

    Matches have the interface of `re.Match`, with groups only by number.

    Attributes
    ----------
    pattern : str
        The regular expression as written.
    groups : int
        Number of its groups.
    title : str
        The file, the place and the pattern, for messages.
    """

    def __init__(self, pattern: str, title: str) -> None:
        from re import _parser  # type: ignore[attr-defined]

        self._quick = re.compile(pattern)
        self._parsed = _parser.parse(pattern)
        self.title = title
        self._steps: dict[int, float] = {}
        self._linear: Any = None
        self.pattern, self.groups = pattern, self._quick.groups
        if self._parsed.state.flags & ~re.UNICODE.value:
            raise ValueError("sets flags, which are not supported")
        self._engine(_USUAL)

    def search(self, text: str) -> re.Match[str] | None:
        """Find the first place that matches."""
        dots = self.pattern.startswith(_AT_PARTS)
        starts = text.count(".") + 1 if dots else len(text) + 1
        return self._engine(len(text), text, starts).search(text)

    def match(self, text: str) -> re.Match[str] | None:
        """Match from the start of the text."""
        return self._engine(len(text), text).match(text)

    def fullmatch(self, text: str) -> re.Match[str] | None:
        """Match the whole text."""
        return self._engine(len(text), text).fullmatch(text)

    def work(self, length: int) -> int:
        """Bound the steps, at most 2.4 ns each, of matching a text of this length."""
        engine: Any = self._engine(length)
        if engine is self._quick:
            return _CALL + int(self._bound(length))
        return _RE2_CALL + _RE2_STEPS * length * int(engine.programsize)

    def _bound(self, length: int) -> float:
        """Bound the steps of `re` from one place, for the length rounded up."""
        rounded = -(-length // 32) * 32
        if rounded not in self._steps:
            self._steps[rounded] = _bound(self._parsed, rounded)[1]
        return self._steps[rounded]

    def _engine(self, length: int, text: str = "", starts: int = 1) -> re.Pattern[str]:
        """Return an engine that matches a text in little time; CheckpointError without one."""
        try:
            steps = self._bound(length) * starts
            if steps <= _STEPS:
                return self._quick
            count = f"{steps:.0e} steps" if steps < math.inf else "exponential time"
            slow = f"{self.title} could take {count} in a name of {length} letters"
            if text.endswith("\n"):  # before which `$` matches in `re` alone
                raise CheckpointError(
                    f"{slow}, and RE2 does not accept names that end with a newline"
                )
            if self._linear is None:
                self._linear = _linear(self._parsed, slow)
        except RecursionError:
            raise CheckpointError(f"{self.title} is nested too deeply") from None
        engine: re.Pattern[str] = self._linear
        return engine


def compiled_pattern(
    pattern: str, where: str, *, shown: str | None = None, most: int = MAX_PATTERN_LETTERS
) -> SafePattern:
    """Compile a pattern from a file.

    Parameters
    ----------
    shown : str, optional
        Text for messages, if the file contains only a part of the pattern.
    most : int
        Largest number of characters.

    Raises
    ------
    CheckpointError
        The pattern is not a regular expression, exceeds the limit of size, or could take
        exponential time without help from RE2. The message begins with `where` and shows it.
    """
    title = f"{where}: {brief(pattern if shown is None else shown, 200)}"
    if len(pattern) > most:
        raise CheckpointError(f"{title} has {len(pattern)} letters, above the limit of {most}")
    try:
        return SafePattern(pattern, title)
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(f"{title} {error}") from None
    except (re.error, OverflowError) as error:
        raise CheckpointError(f"{title} is not a regular expression: {error}") from error
    except RecursionError:
        raise CheckpointError(f"{title} is not a regular expression: nested too deeply") from None


def _bound(parsed: Any, length: int) -> tuple[float, float]:
    """Bound the ways and steps in which a backtracking matcher passes a pattern from one place."""
    ways, steps = 1.0, 0.0
    for index, (op, argument) in enumerate(parsed):
        kind = str(op)
        if kind == "BRANCH":
            once = _bound_branches(argument[1], _literal(parsed[index + 1 :]), length)
        elif kind == "SUBPATTERN":
            if argument[1] or argument[2]:
                raise ValueError("sets flags, which are not supported")
            once = _bound(argument[3], length)
        elif kind in ("ASSERT", "ASSERT_NOT"):
            once = 1.0, _bound(argument[1], length)[1]
        elif kind in ("MAX_REPEAT", "MIN_REPEAT"):
            once = _bound_repeat(argument, length)
        elif kind in (*_SINGLE, "AT"):
            once = 1.0, 0.0
        else:
            raise ValueError(f"contains {kind}, which is not supported")
        steps += ways * (1 + once[1])
        ways *= once[0]
    return ways, steps


def _literal(parsed: Any) -> str:
    """Return the text with which every match of a pattern begins."""
    letters = (chr(argument) if str(op) == "LITERAL" else "" for op, argument in parsed)
    return "".join(takewhile(bool, letters))


def _bound_branches(branches: Any, following: str, length: int) -> tuple[float, float]:
    """Bound branches before a text; branches with the same beginning may match at one place."""
    steps, most, starts = 0.0, 1.0, []
    for branch in branches:
        text, (ways, taken) = _literal(branch), _bound(branch, length)
        starts.append((text + following if len(text) == len(branch) else text, ways))
        steps += 1 + taken + ways * len(following)
    nested: list[tuple[str, float]] = []
    for text, ways in sorted(starts):
        while nested and not text.startswith(nested[-1][0]):
            nested.pop()
        nested.append((text, ways + (nested[-1][1] if nested else 0.0)))
        most = max(most, nested[-1][1])
    return most, steps


def _bound_repeat(repeat: Any, length: int) -> tuple[float, float]:
    """Bound a repeat: the ways are as many as its ends, or the product over its repetitions."""
    least, most, body = int(repeat[0]), int(repeat[1]), repeat[2]
    if len(body) == 1 and str(body[0][0]) in _SINGLE:
        times = min(most, length)
        return max(1.0, times - least + 1.0), times + 1.0
    ways, steps = _bound(body, length)
    times = min(most, max(least, length // max(1, body.getwidth()[0]) + 1))
    if ways <= 1:
        return times - least + 1.0, times * (1 + steps)
    if times > 24 or ways > _STEPS:
        return math.inf, math.inf
    powers = [ways**count for count in range(times + 1)]
    return sum(powers[least:]), sum(powers[:-1]) * (1 + steps)


def _linear(parsed: Any, slow: str) -> Any:
    """Compile a pattern for RE2; CheckpointError if RE2 is not installed or cannot run it."""
    try:
        from re2 import Options, error
        from re2 import compile as compiled
    except ImportError:
        raise CheckpointError(
            f"{slow}: a simpler pattern helps, or RE2, which takes linear time: "
            "pip install 'sigmascope[re2]'"
        ) from None
    options = Options()
    options.log_errors = False
    try:
        return compiled(_translated(parsed), options)
    except (error, ValueError) as problem:
        reason = problem.args[0].decode() if isinstance(problem, error) else problem
        raise CheckpointError(
            f"{slow}, and RE2, which takes linear time, cannot match it: {reason}"
        ) from None


def _translated(parsed: Any) -> str:
    """Translate a parsed pattern for RE2; ValueError names what RE2 reads differently or not."""
    return "".join(_part(str(op), argument) for op, argument in parsed)


def _part(kind: str, argument: Any) -> str:
    if kind == "AT" and str(argument) in _PLACES:
        return _PLACES[str(argument)]
    if kind == "BRANCH":
        return f"(?:{'|'.join(map(_translated, argument[1]))})"
    if kind == "SUBPATTERN":
        return f"({'?:' * (argument[0] is None)}{_translated(argument[3])})"
    if kind in ("MAX_REPEAT", "MIN_REPEAT"):
        least, most, body = argument
        most = None if str(most) == "MAXREPEAT" else most
        if (times := most or least) > 1000:  # beyond which RE2 may read the braces as letters
            raise ValueError(f"it holds {times} repeats")
        lazy = "?" * (kind == "MIN_REPEAT")
        return f"(?:{_translated(body)}){{{least},{'' if most is None else most}}}{lazy}"
    if kind not in _SINGLE:
        raise ValueError(f"it holds {argument if kind == 'AT' else kind}")
    if kind == "ANY":
        return r"[^\n]"
    if kind != "IN":
        return f"[{'^' * (kind == 'NOT_LITERAL')}{_member('LITERAL', argument)}]"
    negated = str(argument[0][0]) == "NEGATE"
    members = [(str(op), value) for op, value in argument[negated:]]
    if len(members) == 1 and "_NOT_" in (name := str(members[0][1])):
        members, negated = [("CATEGORY", name.replace("NOT_", ""))], not negated
    return f"[{'^' * negated}{''.join(_member(op, value) for op, value in members)}]"


def _member(kind: str, value: Any) -> str:
    if kind == "CATEGORY":
        if str(value) not in _CLASSES:
            raise ValueError(f"it holds {value} in a set")
        return _CLASSES[str(value)]
    low, high = (value, value) if kind == "LITERAL" else value
    return rf"\x{{{low:x}}}-\x{{{high:x}}}"
