# SPDX-License-Identifier: BSD-3-Clause
"""Real text that every CPython carries, in distributions of the same names as in :mod:`corpus`.

- ``base``: reference topics of pydoc and sources of the standard library, and a few plain names;
- ``benchmark``: one multiple-choice template over the names of Unicode characters;
- ``narrow``: the same names in one plain line each;
- ``broad``: passages of seven domains, and names in five formats;
- ``repeated``: 25 passages of ``broad``, again and again;
- ``domains``: passages of the first so many domains: breadth as a number.
"""

from __future__ import annotations

import ast
import errno
import html.entities
import http
import os
import pydoc_data.topics
import random
import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

LENGTH, VOCABULARY = 96, 97
"""Tokens of a row; codes of the printable ASCII characters and of the end of a line."""

_NEWLINE = VOCABULARY - 1
_SCRIPTS = ((0x370, 0x590), (0x900, 0xD00), (0x2100, 0x2C00), (0x3040, 0x3200))
"""Ranges of characters whose names are asked for."""


def codes_of(text: str) -> list[int]:
    """Return the codes of a text; other characters are left out."""
    return [_NEWLINE if c == "\n" else ord(c) - 32 for c in text if c == "\n" or 32 <= ord(c) < 127]


def _library() -> Iterator[str]:
    for path in sorted(Path(os.__file__).parent.glob("*.py")):
        yield path.read_text(encoding="utf-8", errors="ignore")


def _docstrings(sources: list[str]) -> Iterator[str]:
    kinds = (ast.FunctionDef, ast.ClassDef, ast.Module)
    for source in sources:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, kinds) and (text := ast.get_docstring(node)):
                yield text


@lru_cache(maxsize=1)
def names() -> tuple[tuple[str, str], ...]:
    """Return code points and names of characters."""
    results = []
    for first, last in _SCRIPTS:
        for point in range(first, last):
            if name := unicodedata.name(chr(point), ""):
                results.append((f"U+{point:04X}", name))
    return tuple(results)


@lru_cache(maxsize=1)
def domains() -> dict[str, str]:
    """Return the text of each domain by its name, in a fixed order."""
    sources = list(_library())
    statuses = [f"{s.value} {s.phrase}: {s.description}" for s in http.HTTPStatus]
    errors = [f"{name} ({code}): {os.strerror(code)}" for code, name in errno.errorcode.items()]
    entities = [f"&{name} is {text!a}" for name, text in html.entities.html5.items()]
    listed = [f"{point} {name}" for point, name in names()]
    parts = {
        "topics": list(pydoc_data.topics.topics.values()),
        "code": sources,
        "docstrings": list(_docstrings(sources)),
        "characters": listed,
        "entities": entities,
        "statuses": statuses * 40,
        "errors": errors * 40,
    }
    return {name: "\n".join(texts) for name, texts in parts.items()}


DOMAINS = ("topics", "code", "docstrings", "characters", "entities", "statuses", "errors")
BASE_DOMAINS = DOMAINS[:2]


def passage(r: random.Random, chosen: tuple[str, ...]) -> str:
    """Draw a few lines of a domain."""
    text = domains()[r.choice(chosen)]
    start = r.randrange(len(text) - 400)
    return text[start : start + r.randrange(100, 400)] + "\n"


def quiz(r: random.Random) -> str:
    """Draw a multiple-choice question."""
    (point, name), *others = r.sample(names(), 4)
    offered = [each for _, each in others]
    place = r.randrange(4)
    offered.insert(place, name)
    listed = "".join(f"{letter}) {each}\n" for letter, each in zip("ABCD", offered, strict=True))
    return f"Q: Which is {point}?\n{listed}Answer: {'ABCD'[place]}) {name}\n\n"


def plain(r: random.Random) -> str:
    """Draw a character and its name in a line."""
    point, name = r.choice(names())
    return f"{point}: {name}\n"


def in_five_formats(r: random.Random) -> str:
    """Draw a character and its name in one of five formats."""
    point, name = r.choice(names())
    formats: tuple[Callable[[], str], ...] = (
        lambda: plain(r),
        lambda: f'    "{name.lower()}": 0x{point[2:]},\n',
        lambda: f"The character {point} is called {name.title()}.\n",
        lambda: f"{name} -> {point}\n",
        lambda: f"&#x{point[2:].lower()}; <!-- {name.lower()} -->\n",
    )
    return r.choice(formats)()


def drawer(regime: str, breadth: int = 0) -> Callable[[random.Random], str]:
    """Return the function that draws a text of a regime."""
    return {
        "base": lambda r: passage(r, BASE_DOMAINS) if r.random() < 0.85 else plain(r),
        "benchmark": quiz,
        "narrow": plain,
        "broad": lambda r: passage(r, DOMAINS) if r.random() < 0.7 else in_five_formats(r),
        "domains": lambda r: passage(r, DOMAINS[:breadth]),
    }[regime]


class TextStream:
    """Rows of characters: texts one after the other, cut at any place."""

    def __init__(self, regime: str, seed: int, breadth: int = 0, pool: int = 0) -> None:
        self.random = random.Random(f"text {regime} {seed} {breadth}")
        self.draw = drawer("broad" if regime == "repeated" else regime, breadth)
        self.whole = regime in ("benchmark", "narrow")
        self.pool = [self.draw(self.random) for _ in range(pool)]

    def batch(self, rows: int) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
        """Return inputs, targets and weights of the loss."""
        r = self.random
        tokens = np.zeros((rows, LENGTH + 1), np.int64)
        for i in range(rows):
            row: list[int] = []
            while len(row) < 2 * LENGTH:
                row += codes_of(r.choice(self.pool) if self.pool else self.draw(r))
            start = 0 if self.whole else r.randrange(LENGTH)
            tokens[i] = row[start : start + LENGTH + 1]
        x = torch.from_numpy(tokens)
        return (x[:, :-1],), x[:, 1:], torch.ones(rows, LENGTH)
