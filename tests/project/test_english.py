# SPDX-License-Identifier: BSD-3-Clause
"""Sentences negate the verb ("x is not a matrix") instead of the noun, and use common phrases."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.prose import END_OF_SENTENCE, LEXERS, Paragraph, paragraphs
from tests.support.sources import FOLDERS, MODULES, PAGES, ROOT, line_of, name_of, sources, text_of

READ = sorted(
    {
        *(path for name in FOLDERS for path in sources(ROOT / name, *LEXERS)),
        *sources(ROOT / "docs", ".md", ".rst"),
        *PAGES,
        ROOT / "pyproject.toml",
        ROOT / "CMakeLists.txt",
    }
)

COMPARATIVES = (
    *("more", "less", "fewer", "larger", "smaller", "greater", "better", "worse", "higher"),
    *("lower", "wider", "narrower", "longer", "shorter", "sooner", "later", "further", "nearer"),
    *("faster", "slower", "cheaper", "finer", "coarser", "stronger", "weaker"),
)
NEGATED_NOUN = re.compile(
    rf"\b(?:[Ii]s|[Aa]re|was|were|be) (?:none\b|no\b(?! (?:{'|'.join(COMPARATIVES)})\b))"
)
"""A form of "to be" before "no" or "none". "There is no x" and "x is no larger" are English."""

BEFORE_THERE = re.compile(r"\b[Tt]here (?:\w+ )?$")
"""The start of a good sentence: "there is no x", "there may be no x"."""

SAID_TWICE = re.compile(r"\bNone\b[^.!?\"'`]*\bnone\b|\bnone\b[^.!?\"'`]*\bNone\b")
"""The constant and the word, which sound alike, in one sentence."""

PRIVATE = {
    r"\b(?:takes?|took|taken) (?:its|their|the) place\b": "replaces",
    r"\bholds? no \w+ but\b": "holds x, not y",
    r"\bnot known here\b": "not supported",
    r"\bno readable\b": "not a readable",
    r"\bno [\w.]+ (?:archive|file|model|object) but\b": "not a x but",
    r", no (?:integer|list|number|tensor|value|weight)$": "not a",
    r"'cpu' alone\b": "only on",
    r"\btoo much work\b": "too expensive",
    r"\b[Aa] look at\b": "a pass over",
    r"\bin (?:big|little) endian\b": "big-endian",
    r"\b(?:has|have) seen no\b": "has no",
}
"""Phrases that no colleague would say, as patterns, and what to say instead."""

NAME_OF_TEST = re.compile(r"^ *def (test_\w+)", re.MULTILINE)


def faults(text: str) -> Iterator[str]:
    """Yield the phrases of a sentence, or of several, that should be rewritten."""
    for match in NEGATED_NOUN.finditer(text):
        if not BEFORE_THERE.search(text, 0, match.start()):
            yield text[max(0, match.start() - 20) : match.end() + 20]
    for match in SAID_TWICE.finditer(text):
        yield match[0]
    for pattern, instead in PRIVATE.items():
        for match in re.finditer(pattern, text):
            yield f"{match[0]} (say: {instead})"


def names_of_tests(path: Path) -> Iterator[Paragraph]:
    """Yield the names as sentences."""
    text = text_of(path)
    for match in NAME_OF_TEST.finditer(text):
        yield Paragraph(path, match.start(), match[1].replace("_", " "))


def places(sentences: list[Paragraph]) -> list[str]:
    return [
        f"{name_of(sentence.path)}:{line_of(text_of(sentence.path), sentence.offset)}: {fault}"
        for sentence in sentences
        for fault in faults(sentence.text)
    ]


def test_sentences_negate_the_verb() -> None:
    prose = [paragraph for path in READ for paragraph in paragraphs(path)]
    assert sum(len(END_OF_SENTENCE.findall(paragraph.text)) for paragraph in prose) > 10_000
    faults = places(prose)
    assert not faults, 'say "is not a", "has no" or "does not", or as stated: ' + "\n".join(faults)


def test_names_of_tests_negate_the_verb() -> None:
    names = [name for path in sources(ROOT / "tests", ".py") for name in names_of_tests(path)]
    assert len(names) > 2_000
    faults = places(names)
    assert not faults, 'say "is not a", "has no" or "does not": ' + "\n".join(faults)


# ---------------------------------------------------------------------------- what is noticed


@pytest.mark.parametrize("verb", ["is", "Are", "was", "were", "may be"])
def test_negated_nouns_are_noticed(verb: str) -> None:
    for noun in ("no matrix", "none", "none of these", "no number", "no morel"):
        assert list(faults(f"If it {verb} {noun}, it is refused."))
        assert not list(faults(f"There {verb.lower()} {noun}."))
    assert not list(faults(f"It {verb} no larger than that, and {verb} not a matrix."))


def test_a_word_that_is_said_twice_is_noticed() -> None:
    for one, other in (("None", "none"), ("none", "None")):
        assert list(faults(f"Return {one} where {other} has it."))
        assert not list(faults(f"Return {one}. Otherwise {other} has it."))
    assert not list(faults("Return None for 'none'."))


def test_private_phrases_are_noticed() -> None:
    nouns = ("file", "tensor")
    for text in (
        *(f"The bound {verb} the place of the value." for verb in ("took", "takes")),
        f"It computes on 'cpu' {'alone'}.",
        f"x.gguf: no GGUF {nouns[0]} but a picture",
        f"an array of text, no {nouns[1]}",
    ):
        assert list(faults(text)), text
    assert not list(faults("It took a place, and there is no tensor in the file but one."))


EXAMPLES = {
    "x.py": (
        'x = f"a{y}" "b" r"c\\""  # one\n# two\nf(\'"\', \'#\')  # three\n"""Four.\n\nFive."""\n',
        ["a{y}bc\\", "one two", "#", "three", "Four.", "Five."],
    ),
    "x.cpp": (
        'int n = 1\'000\'000;  // one\n// two\nf("three", \'\\\'\', "fo" "ur"); /* five */',
        ["one two", "three", "\\", "four", "five"],
    ),
    "x.md": (
        "One `code`\ntwo.\n\n```python\nif x: pass\n```\n\nThree.",
        ["One two.", "Three."],
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_prose_is_read_and_code_is_not(name: str, tmp_path: Path) -> None:
    text, expected = EXAMPLES[name]
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert [each.text for each in paragraphs(tmp_path / name)] == expected


def test_comments_are_those_of_python() -> None:
    """A string that is not closed where Python closes it would hide or invent comments."""
    for path in MODULES[::25]:
        text = text_of(path)
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        expected = [token.string for token in tokens if token.type == tokenize.COMMENT]
        lexed = [match[0] for match in LEXERS[".py"].finditer(text)]
        assert [token for token in lexed if token.startswith("#")] == expected, path
