# SPDX-License-Identifier: BSD-3-Clause
"""The page of the lineages of several checkpoints: a matrix of pairs, groups, and each pair."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sigmascope.extension import counted
from sigmascope.extension.pages import Explanation
from sigmascope.provenance.p_values import p_in_words

from .frame import Chapter, Page, facts, last_part, listing, note, text, unbroken
from .pairs import LIMITS, TONES, lineage_chapters

Record = Mapping[str, Any]

PARTLY = ("shared basis only", "calibrated only")


def lineages_page(record: Record) -> Page:
    """Return the page of the lineages of several checkpoints."""
    names = [last_part(name) for name in record["names"]]
    count = len(record["groups"])
    sentences = [_group(group) for group in record["groups"]]
    examined = (
        f"The weights of {counted(len(names), 'checkpoint')} were compared pair by pair, with "
        "p-values that are adjusted for all tests of all pairs."
    )
    joined = [group for group in record["groups"] if len(group) > 1]
    meaning = (
        f"{counted(len(joined), 'group')} of checkpoints {'has' if len(joined) == 1 else 'have'} "
        "a common origin each, and a group has no direction and no parent."
        if joined
        else "No pair of checkpoints has layers or heads with a common origin that is seen."
    )
    return Page(
        kind="Lineages of several checkpoints",
        heading=", ".join(names) if len(names) < 4 else counted(len(names), "checkpoint"),
        verdict=counted(count, "group"),
        tone="good" if joined else "open",
        sentences=sentences,
        explanation=Explanation(examined, meaning, LIMITS),
        chapters=[
            Chapter("matrix", "Pairs", _matrix(record)),
            Chapter("pairs", "Evidence of each pair", "".join(map(_pair, record["pairs"]))),
        ],
    )


def _group(group: list[str]) -> str:
    names = [last_part(name) for name in group]
    if len(names) == 1:
        return f"{names[0]} is joined to no other checkpoint."
    return f"{', '.join(names[:-1])} and {names[-1]} have a common origin."


def _matrix(record: Record) -> str:
    names = record["names"]
    pairs = {tuple(pair["places"]): pair for pair in record["pairs"]}
    heads = "".join(f"<th scope='col'>{j + 1}</th>" for j in range(len(names)))
    lines = []
    for i, name in enumerate(names):
        cells = "".join(
            "<td class='same'>same file</td>"
            if i == j
            else _cell(pairs[min(i, j), max(i, j)], min(i, j), max(i, j))
            for j in range(len(names))
        )
        lines.append(f"<tr><th scope='row'>{i + 1} {text(last_part(name))}</th>{cells}</tr>")
    return (
        "<div class='scroll' tabindex='0' role='region' aria-label='Matrix of pairs'>"
        f"<table class='matrix'><thead><tr><th scope='col'>checkpoint</th>{heads}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></div>"
        + note("p is a certified upper bound. Choose a verdict to see its evidence.")
        + facts({str(i + 1): name for i, name in enumerate(names)})
    )


def _cell(pair: Record, i: int, j: int) -> str:
    kind = "linked" if pair["verdict"] in TONES else ""
    kind = "partly" if pair["verdict"] in PARTLY else kind
    p = "" if pair["log10_p"] is None else unbroken(f"p {p_in_words(pair['log10_p'])}")
    link = f"<a href='#pair-{i}-{j}'>{text(pair['verdict'])}</a>"
    return f"<td class='{kind}'>{link}{p}</td>"


def _pair(pair: Record) -> str:
    i, j = pair["places"]
    names = " and ".join(last_part(name) for name in pair["names"])
    chapters = "".join(
        f"<h4>{chapter.title}</h4>{chapter.html.replace('h3>', 'h5>')}"
        for chapter in lineage_chapters(pair)
        if chapter.html
    )
    return (
        f"<h3 id='pair-{i}-{j}'>{text(names)}: {text(pair['verdict'])}</h3>"
        f"{listing([pair['text']])}"
        f"<details><summary>Tests and layers of {text(names)}</summary>{chapters}</details>"
    )
