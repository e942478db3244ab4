# SPDX-License-Identifier: BSD-3-Clause
"""Read the prose of a file: comments, strings, and the text of pages without their code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.support.sources import text_of

HASH = re.compile(
    r"""
      \#[^\n]*
    | \"\"\" [^"\\]* (?: (?: \\. | "(?!"") ) [^"\\]* )* \"\"\"
    | \'\'\' [^'\\]* (?: (?: \\. | '(?!'') ) [^'\\]* )* \'\'\'
    | " [^"\\\n]* (?: \\. [^"\\\n]* )* "
    | ' [^'\\\n]* (?: \\. [^'\\\n]* )* '
    """,
    re.VERBOSE | re.DOTALL,
)
"""Comments and strings of Python, TOML and CMake. Each alternative begins with one character."""

SLASH = re.compile(
    r"""
      // [^\n]*
    | /\* .*? \*/
    | R"\( .*? \)"
    | " [^"\\\n]* (?: \\. [^"\\\n]* )* "
    | ' (?<![0-9a-f]') [^'\\\n]* (?: \\. [^'\\\n]* )* '  # but not those of 1'000
    | ` [^`\\]* (?: \\. [^`\\]* )* `
    """,
    re.VERBOSE | re.DOTALL,
)
"""Comments and strings of C++, CUDA, JavaScript and CSS."""

LEXERS = {
    **dict.fromkeys((".py", ".pyi", ".toml", ".txt"), HASH),
    **dict.fromkeys((".cpp", ".hpp", ".cu", ".cuh", ".js", ".css"), SLASH),
}
"""Patterns that find comments and strings, by the suffix of the file."""

CODE_OF_PAGES = re.compile(r"^( *)(```+|~~~+).*?^\1\2 *$|`[^`\n]+`", re.DOTALL | re.MULTILINE)
BETWEEN = " \n\\bBfFrRuU"
"""Characters between two strings side by side, with the prefixes of Python's."""

BLANK_LINES = re.compile(r"(\n\s*\n|\\n\\n)")
END_OF_SENTENCE = re.compile(r"(?<=[\w)\]]) [\w'’-]+[.?!](?= |$)")
"""The second of two words, and a full stop."""


class Paragraph(NamedTuple):
    """Prose between blank lines or code, on one line, and where it begins in its file."""

    path: Path
    offset: int
    text: str


def paragraphs(path: Path) -> Iterator[Paragraph]:
    """Yield comments, strings and text; lines of a comment, and strings side by side, are one."""
    text = text_of(path)
    lexer = LEXERS.get(path.suffix)
    for start, piece in _pieces(text, lexer) if lexer else [(0, CODE_OF_PAGES.sub(_blank, text))]:
        offset = start
        for part in BLANK_LINES.split(piece):
            if part and not part.isspace():
                yield Paragraph(path, offset, " ".join(part.replace("\\n", " ").split()))
            offset += len(part)


def _blank(code: re.Match[str]) -> str:
    return re.sub(r"\S", " ", code[0])


def _pieces(text: str, lexer: re.Pattern[str]) -> Iterator[tuple[int, str]]:
    """Yield comments and strings, without the marks around them."""
    start = end = 0
    piece, was_comment = "", False
    for match in lexer.finditer(text):
        token, gap = match[0], text[end : match.start()]
        is_comment = token[0] in "#/"
        content = token.strip("#/*! <") if is_comment else token.lstrip("R").strip("\"'`()")
        if is_comment == was_comment and gap.count("\n") < 2 and not gap.strip(BETWEEN):
            piece += " " + content if is_comment else content
        else:
            yield start, piece
            start, piece = match.start(), content
        end, was_comment = match.end(), is_comment
    yield start, piece
