# SPDX-License-Identifier: BSD-3-Clause
"""A Pike machine: it follows all paths through a regular expression at once; see `patterns`.

The threads of a position are in the order in which `re` would try them, and no two are at the same
instruction: the first one there has priority. So a position takes at most as many steps as the
program has instructions, and the match is that of `re`, except that groups inside a loop over an
expression that may be empty can differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sigmascope._host.limits import MAX_LOOK, MAX_PATTERN_STEPS

from .letters import UnknownPatternError, letter_test, place_test


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction: a character, a fork, a position to store, a condition, or the end.

    Attributes
    ----------
    letter : callable, optional
        Test of a character; if it matches, the thread moves to the next instruction.
    targets : tuple of int
        Next instructions of a fork, in order of priority.
    slot : int
        Slot in which the position is stored; -1 if it is not.
    holds : callable, optional
        Condition on text and position; the thread ends where it is false.
    """

    letter: Callable[[str], bool] | None = None
    targets: tuple[int, ...] = ()
    slot: int = -1
    holds: Callable[[str, int], bool] | None = None


@dataclass(slots=True)
class Program:
    """The instructions of a pattern.

    Attributes
    ----------
    steps : list of Step
        Instructions; the index after the last one means the end.
    groups : dict of int to int
        Groups of the pattern whose places are stored, and their numbers here, from 1.
    most, written : int
        Largest and current number of steps, including those of lookaheads and lookbehinds.
    work : int
        Largest number of steps per character of a text.
    """

    groups: dict[int, int]
    steps: list[Step] = field(default_factory=list)
    most: int = MAX_PATTERN_STEPS
    written: int = 0
    work: int = 0

    def put(self, step: Step) -> int:
        """Append a step; return its index."""
        if self.written == self.most:
            raise UnknownPatternError(f"is above the limit of {self.most} steps")
        self.written += 1
        self.work += 1
        self.steps.append(step)
        return len(self.steps) - 1


class PikeMatch:
    """A match with the interface of `re.Match`, as far as it is used."""

    def __init__(self, string: str, places: tuple[int, ...], names: Mapping[str, int]) -> None:
        self.string = string
        self._places = places
        self._names = names

    def __getitem__(self, group: str | int, /) -> str | Any:
        """Return the text of a group; None if it did not match."""
        start = self.start(group)
        return None if start < 0 else self.string[start : self.end(group)]

    def start(self, group: str | int = 0, /) -> int:
        """Return the start of a group; -1 if it did not match."""
        return self._places[2 * self._number(group)]

    def end(self, group: str | int = 0, /) -> int:
        """Return the end of a group; -1 if it did not match."""
        return self._places[2 * self._number(group) + 1]

    def _number(self, group: str | int) -> int:
        return group if isinstance(group, int) else self._names[group]


def run(
    program: Program, text: str, start: int = 0, *, anywhere: bool = False, to_end: bool = False
) -> tuple[int, ...] | None:
    """Run a program; return starts and ends of the groups, or None if nothing matches.

    Parameters
    ----------
    start : int
        Position at which the match begins; with `anywhere`, at which it begins at the earliest.
    to_end : bool
        If True, the match must reach the end of the text.
    """
    steps, end, slots = program.steps, len(program.steps), 2 * len(program.groups) + 2
    threads: dict[int, tuple[int, ...]] = {}
    best: tuple[int, ...] | None = None
    for position in range(start, len(text) + 1):
        if best is None and (anywhere or position == start):
            _follow(steps, threads, 0, (-1,) * slots, text, position)
        if not threads:
            if best is not None or not anywhere:
                break
            continue
        following: dict[int, tuple[int, ...]] = {}
        for at, places in threads.items():
            if at == end:
                if not to_end or position == len(text):
                    best = places
                    break
                continue
            letter = steps[at].letter
            if letter is not None and position < len(text) and letter(text[position]):
                _follow(steps, following, at + 1, places, text, position + 1)
        threads = following
    return best


def _follow(
    steps: list[Step],
    threads: dict[int, tuple[int, ...]],
    at: int,
    places: tuple[int, ...],
    text: str,
    position: int,
) -> None:
    """Add all instructions that are reached without a character, in order of priority."""
    pending = [(at, places)]
    while pending:
        at, places = pending.pop()
        if at in threads:
            continue
        threads[at] = places
        if at == len(steps):
            continue
        step = steps[at]
        if step.letter is not None:
            continue
        if step.targets:
            pending += [(target, places) for target in reversed(step.targets)]
        elif step.holds is not None:
            if step.holds(text, position):
                pending.append((at + 1, places))
        else:
            stored = (*places[: step.slot], position, *places[step.slot + 1 :])
            pending.append((at + 1, stored))


def program_of(parsed: Any, groups: Sequence[int] = (), most: int = MAX_PATTERN_STEPS) -> Program:
    """Translate a pattern that Python's parser of regular expressions has read.

    Parameters
    ----------
    groups : sequence of int
        Groups whose places are stored; each of them makes every step slower.
    most : int
        Largest number of steps.

    Raises
    ------
    UnknownPatternError
        It cannot be matched in linear time, or is too long.
    """
    program = Program({group: number for number, group in enumerate(groups, 1)}, most=most)
    program.put(Step(slot=0))
    _emit(parsed, program)
    program.put(Step(slot=1))
    return program


def _emit(parsed: Any, program: Program) -> None:
    for op, argument in parsed:
        kind = str(op)
        if kind in ("LITERAL", "NOT_LITERAL", "ANY", "IN"):
            program.put(Step(letter=letter_test(kind, argument)))
        elif kind == "SUBPATTERN":
            _emit_group(argument, program)
        elif kind == "BRANCH":
            _emit_branches(argument[1], program)
        elif kind in ("MAX_REPEAT", "MIN_REPEAT"):
            least, most, body = argument
            _emit_repeat(int(least), int(most), body, kind == "MAX_REPEAT", program)
        elif kind == "AT":
            program.put(Step(holds=place_test(str(argument))))
        elif kind in ("ASSERT", "ASSERT_NOT"):
            program.put(Step(holds=_look(argument, kind == "ASSERT", program)))
        else:
            raise UnknownPatternError(f"holds {kind}, which takes more than linear time to match")


def _emit_group(argument: Any, program: Program) -> None:
    number, added, removed, body = argument
    if added or removed:
        raise UnknownPatternError("sets flags, which are not known here")
    kept = program.groups.get(number)
    if kept is not None:
        program.put(Step(slot=2 * kept))
    _emit(body, program)
    if kept is not None:
        program.put(Step(slot=2 * kept + 1))


def _emit_branches(branches: Any, program: Program) -> None:
    fork = program.put(Step(targets=(0,)))
    starts, ends = [], []
    for branch in branches:
        starts.append(len(program.steps))
        _emit(branch, program)
        ends.append(program.put(Step(targets=(0,))))
    program.steps[fork] = Step(targets=tuple(starts))
    for end in ends:
        program.steps[end] = Step(targets=(len(program.steps),))


def _emit_repeat(least: int, most: int, body: Any, greedy: bool, program: Program) -> None:
    endless = most >= 2**31
    # One step for each copy, so that copies of an empty body count towards the limit too.
    for _ in range(least):
        program.put(Step(targets=(len(program.steps) + 1,)))
        _emit(body, program)
    if endless:
        fork = program.put(Step(targets=(0,)))
        _emit(body, program)
        program.put(Step(targets=(fork,)))
        ways = (fork + 1, len(program.steps))
        program.steps[fork] = Step(targets=ways if greedy else ways[::-1])
        return
    forks = []
    for _ in range(most - least):
        forks.append(program.put(Step(targets=(0,))))
        _emit(body, program)
    for fork in forks:
        ways = (fork + 1, len(program.steps))
        program.steps[fork] = Step(targets=ways if greedy else ways[::-1])


def _look(argument: Any, wanted: bool, outer: Program) -> Callable[[str, int], bool]:
    direction, body = argument
    width = body.getwidth()[1]
    if width > MAX_LOOK:
        raise UnknownPatternError(
            f"looks {'ahead' if direction > 0 else 'behind'} by more than {MAX_LOOK} letters"
        )
    program = Program({}, most=outer.most, written=outer.written)
    _emit(body, program)
    outer.written = program.written
    outer.work += (MAX_LOOK + 1) * program.work
    back = width if direction < 0 else 0  # lookbehind has a fixed width in Python

    def holds(text: str, at: int) -> bool:
        return (at >= back and run(program, text, at - back) is not None) is wanted

    return holds
