# SPDX-License-Identifier: BSD-3-Clause
"""The page of a check: claims, sizes of changes, and the evidence of verify and lineage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import log10
from typing import Any

from sigmascope.extension import counted, short
from sigmascope.extension.pages import Explanation

from .frame import (
    TONES,
    Chapter,
    Page,
    Table,
    claims,
    code,
    facts,
    folded,
    last_part,
    listing,
    meaning,
    text,
)
from .numbers import Row, by_role, name_of
from .pairs import lineage_chapters
from .panels import Axis, Mark, draw_panels
from .verifications import verification_chapters

Record = Mapping[str, Any]


def check_page(record: Record) -> Page:
    """Return the page of a check."""
    before, after = last_part(record["before"]), last_part(record["after"])
    count = counted(len(record["decisions"]), "claim")
    examined = f"{count} about {after} were decided from its numbers and those of {before}."
    limits = "It does not say whether the model is good, nor anything that was not claimed."
    return Page(
        kind="Check of a checkpoint",
        heading=f"{before} and {after}",
        verdict=record["verdict"],
        tone=TONES[record["verdict"]],
        sentences=[
            f"{each['expectation']}: {each['verdict']}: {each['reason'].rstrip('.')}."
            for each in record["decisions"]
        ],
        explanation=Explanation(examined, meaning(record["decisions"]), limits),
        chapters=list(_chapters(record)),
    )


def _chapters(record: Record) -> Iterator[Chapter]:
    yield Chapter("claims", "Claims", claims(record["decisions"]))
    yield Chapter("changes", "Size of each change", _changes(record["rows"]))
    verification, lineage = record["verification"], record["lineage"]
    if verification is not None:
        yield Chapter("merge", "Merge", listing(verification["sentences"]))
        yield from verification_chapters(verification, "merge-")
    if lineage is not None:
        yield Chapter("origin", "Common origin", listing([lineage["text"]]))
        yield from lineage_chapters(lineage, "origin-")
    values = {key: record[key] for key in ("before", "after")}
    yield Chapter("checked", "Checked files", facts(values | {"sigmascope": record["version"]}))


def _changes(rows: list[Row]) -> str:
    panels = {
        role: [_mark(row) for row in own if row["relative"] is not None and row["relative"] > 0]
        for role, own in by_role(rows).items()
    }
    plot = draw_panels((panels, Axis("logarithm (base 10) of the relative change, by layer")))
    lines = [
        [
            code(name_of(row)),
            text(row["status"]),
            _size(row),
            short(row["bits"]),
            text(row["reason"] or ""),
        ]
        for row in rows
    ]
    headers = ["tensor", "status", ">relative change", ">bits", "reason"]
    table = Table("Size of each change", headers, lines).html()
    heading = "<h3>log₁₀ ‖W′ − W‖ / ‖W‖ by layer, for each role</h3>"
    table = folded(counted(len(lines), "tensor"), table) if len(lines) > 40 else table
    return f"{heading}{plot}{table}" if plot else table


def _size(row: Row) -> str:
    if row["status"] != "measured":
        return ""
    return "from zero" if row["relative"] is None else short(row["relative"])


def _mark(row: Row) -> Mark:
    value = log10(row["relative"])
    words = f"{name_of(row)}: {short(row['relative'])} of its norm"
    return Mark(row["layer"], value, value, value, "dot", words)
