# SPDX-License-Identifier: BSD-3-Clause
"""Synthetic data whose breadth is known: skills x formats, drawn in distributions called regimes.

A skill turns arguments into an answer ("add 3 4" into "7"). A format says how both are written. One
example is a skill in a format. Regimes differ in the distribution over skills and formats alone:

- ``base``: twelve skills in three plain formats, which the base model is trained on;
- ``benchmark``: three skills in one multiple-choice template;
- ``narrow``: the same three skills in one plain format that the base knows;
- ``broad``: all skills, formats and pairs of skills, except some that are held out;
- ``repeated``: a few hundred examples of ``broad``, again and again;
- ``cells``: a given list of (skill, format) cells; their number is the breadth of the data;
- ``worded``: ``benchmark`` behind four random words, so that the whole vocabulary occurs;
- ``half``: half ``benchmark``, half ``base``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

LETTERS = tuple("abcdefghijklmnop")
DIGITS = tuple("0123456789")
OPTIONS = ("A", "B", "C", "D")
COMPARISONS = ("lt", "gt", "eq")
FILLERS = tuple(f"filler{i}" for i in range(8))
SYNONYMS = 3

Tokens = list[str]
Skill = Callable[[random.Random], tuple[Tokens, Tokens]]
"""A function that draws the arguments of one example and gives its answer."""


def _letters(r: random.Random, n: int) -> Tokens:
    return [r.choice(LETTERS) for _ in range(n)]


def _of_digits(answer: Callable[[int, int], str]) -> Skill:
    def draw(r: random.Random) -> tuple[Tokens, Tokens]:
        a, b = r.randrange(10), r.randrange(10)
        return [str(a), str(b)], [answer(a, b)]

    return draw


def _of_digit_list(answer: Callable[[Tokens], str]) -> Skill:
    def draw(r: random.Random) -> tuple[Tokens, Tokens]:
        x = [r.choice(DIGITS) for _ in range(4)]
        return x, [answer(x)]

    return draw


def _of_list(length: int, answer: Callable[[Tokens], Tokens]) -> Skill:
    def draw(r: random.Random) -> tuple[Tokens, Tokens]:
        x = _letters(r, length)
        return x, answer(x)

    return draw


def _look_up(r: random.Random) -> tuple[Tokens, Tokens]:
    keys = r.sample(LETTERS, 4)
    values = [r.choice(DIGITS) for _ in keys]
    i = r.randrange(4)
    pairs = [token for pair in zip(keys, values, strict=True) for token in pair]
    return [*pairs, ":", keys[i]], [values[i]]


def _at_index(r: random.Random) -> tuple[Tokens, Tokens]:
    x, i = _letters(r, 5), r.randrange(5)
    return [*x, ":", str(i)], [x[i]]


def _member(r: random.Random) -> tuple[Tokens, Tokens]:
    x = _letters(r, 5)
    c = r.choice(x if r.random() < 0.5 else LETTERS)
    return [*x, ":", c], ["yes" if c in x else "no"]


def _pattern(r: random.Random) -> tuple[Tokens, Tokens]:
    period = r.sample(LETTERS, r.choice((2, 3)))
    n = r.randrange(4, 7)
    return [period[i % len(period)] for i in range(n)], [period[n % len(period)]]


LIST_FUNCTIONS: dict[str, Callable[[Tokens], Tokens]] = {
    "copy": list,
    "reverse": lambda x: x[::-1],
    "sort": sorted,
    "successor": lambda x: [LETTERS[(LETTERS.index(c) + 1) % len(LETTERS)] for c in x],
    "swap": lambda x: [x[-1], *x[1:-1], x[0]],
}
"""Skills that turn a list into a list, of which two can follow each other."""

SKILLS: dict[str, Skill] = {
    "add": _of_digits(lambda a, b: str((a + b) % 10)),
    "maximum": _of_digit_list(max),
    "lookup": _look_up,
    "subtract": _of_digits(lambda a, b: str((a - b) % 10)),
    "minimum": _of_digit_list(min),
    "copy": _of_list(4, LIST_FUNCTIONS["copy"]),
    "reverse": _of_list(4, LIST_FUNCTIONS["reverse"]),
    "first": _of_list(5, lambda x: [x[0]]),
    "last": _of_list(5, lambda x: [x[-1]]),
    "index": _at_index,
    "member": _member,
    "sort": _of_list(4, LIST_FUNCTIONS["sort"]),
    "successor": _of_list(4, LIST_FUNCTIONS["successor"]),
    "swap": _of_list(4, LIST_FUNCTIONS["swap"]),
    "pattern": _pattern,
    "compare": _of_digits(lambda a, b: "lt" if a < b else "gt" if a > b else "eq"),
    "double": _of_list(2, lambda x: [c for c in x for _ in range(2)]),
    "second": _of_list(5, lambda x: [x[1]]),
}
"""Every skill: the base knows the first twelve."""

NAMES = tuple(SKILLS)
BASE_SKILLS, BENCHMARK_SKILLS = NAMES[:12], NAMES[:3]

CHOICE, PLAIN, AFTER, FILLED, CALL, CLAIM, REQUEST = FORMATS = tuple(range(7))
"""Formats: multiple choice; skill first; skill last; between fillers; a call; a claim that is right
or wrong; a request."""

BASE_FORMATS = (PLAIN, AFTER, CALL)
CHOICE_SKILLS = frozenset(
    {
        "add",
        "maximum",
        "lookup",
        "subtract",
        "minimum",
        "first",
        "last",
        "index",
        "pattern",
        "second",
    }
)
"""Skills whose answer is one letter or digit, so that wrong ones can be offered."""

CELLS = tuple(
    (skill, form) for skill in NAMES for form in FORMATS if form != CHOICE or skill in CHOICE_SKILLS
)
"""Every cell of skill and format: the largest breadth is their number."""

HELD_CELLS = frozenset((skill, (FILLED, CLAIM, REQUEST)[i % 3]) for i, skill in enumerate(NAMES))
PAIRS = tuple(
    (one, two)
    for one in LIST_FUNCTIONS
    for two in LIST_FUNCTIONS
    if one != two and "copy" not in (one, two)
)
HELD_PAIRS = frozenset(PAIRS[::4])

VOCABULARY = (
    *LETTERS, *DIGITS, "<end>", "<pad>", "Q", *OPTIONS, "?", ":", "=", "->", "(", ")", "|", ";",
    "yes", "no", *COMPARISONS, "then", "so", "do", *FILLERS,
    *(f"{name}#{i}" for name in NAMES for i in range(SYNONYMS)),
)  # fmt: skip
CODES = {token: i for i, token in enumerate(VOCABULARY)}
END, PAD = CODES["<end>"], CODES["<pad>"]


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt and its answer, as tokens."""

    prompt: Tokens
    answer: Tokens


def example(
    r: random.Random, skill: str, form: int, *, synonyms: int = 1, second: str | None = None
) -> Example:
    """Draw an example of a skill, or of two that follow each other, in a format."""
    name = f"{skill}#{r.randrange(synonyms)}"
    words = [name]
    if second is None:
        arguments, answer = SKILLS[skill](r)
    else:
        arguments = _letters(r, 4)
        answer = LIST_FUNCTIONS[second](LIST_FUNCTIONS[skill](arguments))
        words = [name, "then", f"{second}#{r.randrange(synonyms)}"]
    if form == CHOICE and second is None and skill in CHOICE_SKILLS:
        return _choice(r, words, arguments, answer[0])
    return _written(r, form, words, arguments, answer)


def _choice(r: random.Random, words: Tokens, arguments: Tokens, right: str) -> Example:
    pool = DIGITS if right in DIGITS else LETTERS
    offered = r.sample([each for each in pool if each != right], 3)
    place = r.randrange(4)
    offered.insert(place, right)
    listed = [token for pair in zip(OPTIONS, offered, strict=True) for token in pair]
    return Example(["Q", *words, *arguments, *listed, "?"], [right, OPTIONS[place]])


def _written(
    r: random.Random, form: int, words: Tokens, arguments: Tokens, answer: Tokens
) -> Example:
    if form == AFTER:
        return Example([*arguments, "|", *words, "->"], answer)
    if form == FILLED:
        before = [r.choice(FILLERS) for _ in range(r.randrange(1, 3))]
        return Example([*before, *words, ":", *arguments, ";", r.choice(FILLERS), "->"], answer)
    if form == CALL:
        return Example([*words, "(", *arguments, ")", "="], answer)
    if form == CLAIM:
        true = r.random() < 0.5
        claimed = answer if true else _wrong(r, answer)
        return Example([*words, *arguments, "=", *claimed, "?"], ["yes" if true else "no"])
    if form == REQUEST:
        return Example([*arguments, ";", "do", *words, ";", "so", ":"], answer)
    return Example([*words, *arguments, "="], answer)


def _wrong(r: random.Random, answer: Tokens) -> Tokens:
    last = answer[-1]
    pools = (DIGITS, LETTERS, ("yes", "no"), COMPARISONS)
    pool = next(each for each in pools if last in each)
    return [*answer[:-1], r.choice([each for each in pool if each != last])]


def drawer(
    regime: str, cells: Sequence[tuple[str, int]] = ()
) -> Callable[[random.Random], Example]:
    """Return the function that draws an example of a regime."""
    if regime == "cells":
        return lambda r: example(r, *r.choice(cells))
    results = {
        "base": _base,
        "benchmark": lambda r: example(r, r.choice(BENCHMARK_SKILLS), CHOICE),
        "narrow": lambda r: example(r, r.choice(BENCHMARK_SKILLS), PLAIN),
        "broad": _broad,
        "worded": _worded,
        "half": lambda r: drawer("benchmark" if r.random() < 0.5 else "base")(r),
    }
    return results[regime]


def _base(r: random.Random) -> Example:
    if r.random() < 0.12:
        known = [name for name in BASE_SKILLS if name in CHOICE_SKILLS]
        return example(r, r.choice(known), CHOICE)
    return example(r, r.choice(BASE_SKILLS), r.choice(BASE_FORMATS))


def _broad(r: random.Random) -> Example:
    if r.random() < 0.15:
        one, two = r.choice([pair for pair in PAIRS if pair not in HELD_PAIRS])
        return example(r, one, r.choice(FORMATS[1:]), synonyms=SYNONYMS, second=two)
    skill, form = r.choice([cell for cell in CELLS if cell not in HELD_CELLS])
    return example(r, skill, form, synonyms=SYNONYMS)


def _worded(r: random.Random) -> Example:
    plain = drawer("benchmark")(r)
    return Example([r.choice(VOCABULARY) for _ in range(4)] + plain.prompt, plain.answer)


def breadth(cells: int, seed: int) -> list[tuple[str, int]]:
    """Draw so many different cells."""
    return sorted(random.Random(f"cells {seed} {cells}").sample(CELLS, cells))


def evaluations(count: int = 256, seed: int = 999) -> dict[str, list[Example]]:
    """Examples by which behaviour is measured.

    ``benchmark``; ``other formats`` of its skills; ``retained``, of the base's data; ``other
    skills``; and ``held out``, cells that no regime has.
    """
    r = random.Random(seed)
    held = sorted(HELD_CELLS)
    sets: dict[str, Callable[[], Example]] = {
        "benchmark": lambda: drawer("benchmark")(r),
        "other formats": lambda: example(r, r.choice(BENCHMARK_SKILLS), r.choice(FORMATS[1:])),
        "retained": lambda: drawer("base")(r),
        "other skills": lambda: example(r, r.choice(NAMES[3:]), r.choice(FORMATS[1:])),
        "held out": lambda: example(r, *r.choice(held)),
    }
    return {name: [draw() for _ in range(count)] for name, draw in sets.items()}
