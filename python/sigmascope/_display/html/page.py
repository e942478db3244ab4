# SPDX-License-Identifier: BSD-3-Clause
"""The HTML page, made from its parts, the findings and the numbers, with all text escaped.

Names of tensors come from files and may have any character. Text is escaped by :func:`html.escape`;
numbers and names for the charts are JSON without "<". The content security policy of the page
allows its own scripts by their hashes, and forbids loading anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from html import escape
from pathlib import Path
from typing import Any

from sigmascope._display.coverage import describe_unread_bytes
from sigmascope._words.rows import Row
from sigmascope._words.text import counted, printable, writable

from . import compared, explanation, headline, scanned
from .appendix import not_analysed, provenance, shown
from .findings import Finding
from .payload import Payload, payload
from .remarkable import without_spectrum
from .templates import Section, fill_template, head, part
from .tooltips import explained

_SCRIPTS = (
    *("dom", "numbers", "axes", "model"),
    *("depth", "heatmap", "spectrum", "angles", "tables", "main"),
)


def write(
    path: Path,
    header: Mapping[str, Any],
    rows: Sequence[Row],
    section: Section | None = None,
) -> None:
    """Write the page of a scan or of a comparison.

    Parameters
    ----------
    path : Path
    header, rows
        As given by :meth:`Scan.header` and `Scan.rows`, or by a comparison.
    section : Section, optional
        A section of an annex on the comparison.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    path.write_text(writable(page(header, rows, section, date.today())), encoding="utf-8")


def page(
    header: Mapping[str, Any],
    rows: Sequence[Row],
    section: Section | None = None,
    day: date | None = None,
) -> str:
    """Return the page of a scan or of a comparison, with its day; see :func:`write`."""
    comparison = header.get("schema") == "sigmascope.comparison"
    kind = "comparison" if comparison else "scan"
    rows = list(rows)
    analysed = [row for row in rows if row["status"] == "analysed"]
    findings = (compared if comparison else scanned).findings(dict(header), rows)
    findings = sorted(findings, key=lambda finding: finding.kind != "problem")
    named = [name for finding in findings for name, _ in finding.items]
    numbers = payload(kind, analysed, named)
    style = part("style.css") + (section.style if section else "")
    script = "(() => {\n'use strict';\n" + "\n".join(part(f"{n}.js") for n in _SCRIPTS) + "})();\n"
    title, heading, where = _titles(kind, header)
    sentence = headline.compared(rows) if comparison else headline.scanned(rows, findings)
    unread = describe_unread_bytes(rows, "compared" if comparison else "analysed")
    sentence = headline.unfinished(header, rows) + (f"{unread} " if unread else "") + sentence
    return fill_template(
        part("page.html"),
        head=head(title, str((header.get("engine") or {}).get("version", "")), style, script),
        kind="Comparison of two checkpoints" if comparison else "Scan of a checkpoint",
        heading=heading,
        where=where,
        facts=shown(" · ".join(headline.facts(header, rows, day))),
        headline=explained(shown(sentence)),
        explanation=(
            explanation.of_comparison(header, rows)
            if comparison
            else explanation.of_scan(header, rows, findings)
        ).html(),
        findings=_findings(findings, {row["name"]: i for i, row in enumerate(analysed)}),
        section=section.html if section else "",
        left_out=_left_out(numbers),
        without_spectrum=without_spectrum(rows, comparison),
        not_analysed=not_analysed(rows),
        provenance=provenance(header, rows),
        data=numbers.text,
        script=script,
    )


def _titles(kind: str, header: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return the title of the window, the heading, and the paths below it."""
    names = ("before", "after") if kind == "comparison" else ("checkpoint",)
    paths = [printable(str(header.get(name) or "")) for name in names]
    short = [Path(path).name or path or "unknown" for path in paths]
    title = f"{' → '.join(short)}: spectra"
    heading = " <span class='arrow'>→</span> ".join(escape(name) for name in short)
    where = "<br>".join(f"<span class='path'>{escape(path)}</span>" for path in paths if path)
    return title, heading, where


def _findings(findings: Sequence[Finding], places: Mapping[str, int]) -> str:
    return "\n".join(
        f"<li class='finding {finding.kind}'><h3>{shown(finding.title)}</h3>"
        f"<p>{explained(shown(finding.text))}</p>{_items(finding, places)}</li>"
        for finding in findings
    )


def _items(finding: Finding, places: Mapping[str, int]) -> str:
    lines = []
    for name, text in finding.items:
        place = places.get(name)
        label = (
            f"<code>{shown(name)}</code>"
            if place is None
            else f"<button type='button' class='go' data-row='{place}'>{shown(name)}</button>"
        )
        remark = f" <span>{shown(text)}</span>" if text else ""
        lines.append(f"<li>{label}{remark}</li>")
    return f"<ul class='items'>{''.join(lines)}</ul>" if lines else ""


def _left_out(numbers: Payload) -> str:
    parts = []
    if numbers.spectra:
        parts.append(f"the spectra of {counted(numbers.spectra, 'matrix', 'matrices')}")
    if numbers.measures:
        parts.append(counted(numbers.measures, "measure"))
    if not parts:
        return ""
    return (
        f"<p class='note'>To keep this file small, {' and '.join(parts)} are not in it; a table "
        "(--out scan.parquet) has everything.</p>"
    )
