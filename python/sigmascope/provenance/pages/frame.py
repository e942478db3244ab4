# SPDX-License-Identifier: BSD-3-Clause
"""The frame of a page: heading, verdict, sentences, links, and chapters with tables."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from sigmascope.extension import counted, printable, writable
from sigmascope.extension.pages import Explanation, fill_template, head, part

MOST_LINES = 5000
"""Largest number of lines in a table; the rest is counted."""


class Chapter(NamedTuple):
    """A part of a page with a heading.

    Attributes
    ----------
    anchor
        Name to which links point.
    title
        The heading.
    html
        The content.
    """

    anchor: str
    title: str
    html: str


class Page(NamedTuple):
    """The content of a page, from top to bottom.

    Attributes
    ----------
    kind
        What the page is about.
    heading
        Names of the files.
    verdict
        The verdict in words.
    tone
        "good", "bad" or "open": the colour of the verdict.
    sentences
        The result in sentences, the most important first.
    explanation
        Three sentences for a colleague.
    chapters
        Evidence.
    """

    kind: str
    heading: str
    verdict: str
    tone: str
    sentences: Sequence[str]
    explanation: Explanation
    chapters: Sequence[Chapter]

    def render(self, version: str) -> str:
        """Return the page as HTML."""
        chapters = [chapter for chapter in self.chapters if chapter.html]
        links = "".join(f"<a href='#{each.anchor}'>{each.title}</a>\n" for each in chapters)
        style = part("style.css") + _part("provenance.css")
        html = fill_template(
            _part("page.html"),
            head=head(f"{self.heading}: {self.verdict}", version, style),
            kind=self.kind,
            heading=text(self.heading),
            tone=self.tone,
            verdict=text(self.verdict[:1].upper() + self.verdict[1:]),
            sentences=listing(self.sentences),
            explanation=self.explanation.html(),
            links=links,
            chapters=_number_regions("\n".join(map(_chapter, chapters))),
        )
        return writable(html)


def _part(name: str) -> str:
    return resources.files(__package__).joinpath("parts", name).read_text(encoding="utf-8")


def _chapter(chapter: Chapter) -> str:
    return (
        f"<section id='{chapter.anchor}' aria-labelledby='{chapter.anchor}-title'>"
        f"<h2 id='{chapter.anchor}-title'>{chapter.title}</h2>\n{chapter.html}\n</section>"
    )


def _number_regions(html: str) -> str:
    """Number the regions that have the same name, so that each can be found by its name."""
    counts: Counter[str] = Counter()

    def numbered(match: re.Match[str]) -> str:
        counts[match[1]] += 1
        count = counts[match[1]]
        return match[0] if count == 1 else f"role='region' aria-label='{match[1]} {count}'"

    return re.sub(r"role='region' aria-label='([^']*)'", numbered, html)


def text(value: object) -> str:
    """Escape a text; names come from files and may have any character."""
    return escape(printable(str(value)))


def last_part(path: str) -> str:
    """Return the last part of a path."""
    return Path(path).name or path


def listing(sentences: Iterable[str]) -> str:
    """Return sentences as a list; nothing if there are no sentences."""
    items = "".join(f"<li>{text(each)}</li>" for each in sentences)
    return f"<ul class='sentences'>{items}</ul>" if items else ""


def note(sentence: str) -> str:
    """Return a remark in small print."""
    return f"<p class='note'>{text(sentence)}</p>"


class Table(NamedTuple):
    """A table, whose first column names the lines.

    Attributes
    ----------
    label
        Name of the table for readers of screens.
    headers
        Names of the columns; those that begin with ">" have numbers.
    lines
        Cells as HTML.
    """

    label: str
    headers: Sequence[str]
    lines: Sequence[Sequence[str]]

    def html(self) -> str:
        """Return the table in a region that can be scrolled; nothing without lines."""
        if not self.lines:
            return ""
        kinds = [" class='number'" if each.startswith(">") else "" for each in self.headers]
        heads = "".join(
            f"<th scope='col'{kind}>{name.removeprefix('>')}</th>"
            for kind, name in zip(kinds, self.headers, strict=True)
        )
        body = "".join(self._line(line, kinds) for line in self.lines[:MOST_LINES])
        rest = len(self.lines) - MOST_LINES
        more = note(f"{counted(rest, 'more line')}: see the .json file.") if rest > 0 else ""
        label = f"Table: {text(self.label)}"
        return (
            f"<div class='scroll' tabindex='0' role='region' aria-label='{label}'>"
            f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>{more}"
        )

    @staticmethod
    def _line(line: Sequence[str], kinds: Sequence[str]) -> str:
        first, *others = line
        cells = "".join(
            f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds[1:], others, strict=True)
        )
        return f"<tr><th scope='row'>{first}</th>{cells}</tr>"


def facts(values: Mapping[str, object]) -> str:
    """Return a list of names and values."""
    parts = "".join(f"<dt>{text(name)}</dt><dd>{text(x)}</dd>" for name, x in values.items())
    return f"<dl class='facts'>{parts}</dl>"


def code(name: object) -> str:
    """Return a name of a tensor or file; a line may be broken after its dots and slashes."""
    broken = text(name).replace(".", ".<wbr>").replace("/", "/<wbr>")
    kind = "wide" if len(str(name)) > 24 else "name"
    return f"<code class='{kind}'>{broken}</code>"


def unbroken(words: str) -> str:
    """Escape a bound such as "p <= 1e-80 (...)", and keep its start in one line."""
    bound, bracket, rest = words.partition(" (")
    return f"<span class='bound'>{text(bound)}</span>{text(bracket + rest)}"


def folded(summary: str, html: str) -> str:
    """Return content that a reader can open; nothing if it is empty."""
    return f"<details><summary>{text(summary)}</summary>{html}</details>" if html else ""


TONES = {"confirmed": "good", "refuted": "bad", "undetermined": "open"}
"""Tones of verdicts on claims."""


def claims(decisions: Sequence[Mapping[str, str]]) -> str:
    """Return the table of claims and verdicts."""
    lines = [
        [
            code(each["expectation"]),
            f"<span class='tone {TONES[each['verdict']]}'>{text(each['verdict'])}</span>",
            text(each["reason"]),
        ]
        for each in decisions
    ]
    return Table("Claims", ["claim", "verdict", "reason"], lines).html()


def meaning(decisions: Sequence[Mapping[str, str]]) -> str:
    """Return one sentence on the verdicts of claims."""
    for verdict, words in (
        ("refuted", "The files contradict the claim"),
        ("undetermined", "The files do not decide the claim"),
    ):
        for each in decisions:
            if each["verdict"] == verdict:
                reason = each["reason"].rstrip(".").replace(". ", "; ")
                return f"{words} {each['expectation']}: {reason}."
    names = " and ".join(each["expectation"] for each in decisions)
    return f"The files confirm the claim{'s' if len(decisions) > 1 else ''} {names}."
