# SPDX-License-Identifier: BSD-3-Clause
"""The page of an application: what was written, what survived, and its verification."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sigmascope.extension import counted
from sigmascope.extension.pages import Explanation

from .frame import TONES, Chapter, Page, Table, code, facts, folded, last_part, listing, note, text
from .numbers import FORMATS, Row, by_role, percent
from .panels import Axis, Mark, draw_panels, key
from .verifications import verification_chapters

Record = Mapping[str, Any]


def application_page(record: Record) -> Page:
    """Return the page of an application."""
    donors = " and ".join(map(last_part, record["donors"]))
    examined = (
        f"{last_part(record['base'])} with weighted changes of {donors} was written, with "
        "each number rounded once, and the written files were compared with it."
    )
    verdict = record["verdict"]
    meaning = {
        "confirmed": "The written files have the claimed weights in every stored number.",
        "refuted": "The written files do not have the claimed weights, so do not use them.",
        "undetermined": "The written files could not be verified in full.",
    }[verdict]
    limits = "It does not say whether the merged model answers well."
    return Page(
        kind="A written merge",
        heading=f"{last_part(record['path'])}: {last_part(record['base'])} + {donors}",
        verdict=verdict,
        tone=TONES[verdict],
        sentences=record["sentences"],
        explanation=Explanation(examined, meaning, limits),
        chapters=list(_chapters(record)),
    )


def _chapters(record: Record) -> Iterator[Chapter]:
    weights = [
        [code(last_part(donor)), f"{weight:g}"]
        for donor, weight in zip(record["donors"], record["weights"], strict=True)
    ]
    yield Chapter("given", "Weights", Table("Weights", ["donor", ">weight"], weights).html())
    yield Chapter("survived", "What rounding left of the change", _survival(record))
    yield Chapter("written", "Written tensors", _tensors(record["rows"]))
    values = {"base": record["base"], "written to": record["path"]}
    values |= {f"donor {i + 1}": donor for i, donor in enumerate(record["donors"])}
    values |= {"files": ", ".join(record["files"]), "sigmascope": record["version"]}
    yield Chapter("folder", "Files", facts(values) + listing(record["notes"]))
    for chapter in verification_chapters(record["verification"], "verified-"):
        if chapter.anchor != "verified-survival":
            title = f"{chapter.title[:1].lower()}{chapter.title[1:]}"
            yield chapter._replace(title=f"Verification: {title}")


def _survival(record: Record) -> str:
    if record["survived"] is None:
        return "<p>The donors change nothing: every change is zero.</p>"
    lines = [["stored", percent(record["survived"])]]
    lines += [
        [f"expected in {FORMATS.get(name, text(name))}", percent(part)]
        for name, part in record["expected"].items()
    ]
    roles: dict[str, list[Mark]] = {}
    places = {row["name"]: row for row in record["verification"]["rows"]}
    changed = [row for row in record["rows"] if row["status"] == "changed"]
    located = [{**places[row["name"]], **row} for row in changed if row["name"] in places]
    for role, rows in by_role(located).items():
        roles[role] = [mark for row in rows for mark in _marks(row)]
    axis = Axis("part of the change that survived, by layer", least=0.0, most=1.0)
    plot = draw_panels((roles, axis))
    signs = [("dot", "survived"), ("ring", "expected in bfloat16")]
    return (
        note("The part of the change before rounding that the stored numbers have.")
        + Table("Survival", ["numbers", ">survived"], lines).html()
        + (f"{key(signs)}{plot}" if plot else "")
    )


def _marks(row: Row) -> Iterator[Mark]:
    parts = {"ring": row["expected"].get("bf16", {}).get("survived"), "dot": row["survived"]}
    words = f"{row['name']}: survived {percent(row['survived'])}"
    for kind, part in parts.items():
        if part is not None:
            yield Mark(row["layer"], part, part, part, kind, words)


def _tensors(rows: list[Row]) -> str:
    lines = []
    for row in rows:
        changed = row["status"] == "changed"
        lines.append(
            [
                code(row["name"]),
                text(row["status"]),
                text(row["dtype"]),
                f"{row['changed']:,} of {row['numbers']:,}" if changed else "",
                percent(row["survived"]) if changed else "",
                f"{row['overflowed']:,}" if changed else "",
            ]
        )
    headers = ["tensor", "status", "format", ">moved", ">survived", ">overflowed"]
    table = Table("Written tensors", headers, lines).html()
    return folded(counted(len(lines), "tensor"), table) if len(lines) > 40 else table
