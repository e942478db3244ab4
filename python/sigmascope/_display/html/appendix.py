# SPDX-License-Identifier: BSD-3-Clause
"""The lists at the end of a page: tensors that were not analysed, and options, methods, files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from sigmascope._display.folding import fold_names
from sigmascope._words.rows import Row
from sigmascope._words.text import counted, duration, printable, seed_text, size
from sigmascope._words.verdicts import COMPARED

from .estimates import groups

_NAMES = 2000
"""Largest number of names that are listed for one group."""

_ORDER = ("failed", "not analysed", "unpaired", "excluded")


def shown(text: object) -> str:
    """Escape a text for a page; names come from files and may have any character."""
    return escape(printable(str(text)))


def not_analysed(rows: Sequence[Row]) -> str:
    """Return the table of tensors without numbers, grouped by reason."""
    left = [row for row in rows if row["status"] not in COMPARED]
    if not left:
        return "<p>There are none: every tensor was analysed, or read entry by entry.</p>"
    by_reason = sorted(
        groups(list(map(_reasoned, left)), "status", "kind", "reason").items(),
        key=lambda item: (_ORDER.index(item[0][0]) if item[0][0] in _ORDER else 9, -len(item[1])),
    )
    lines = "".join(
        f"<tr><td>{shown(status)}</td><td>{shown(reason or kind or 'no reason given')}</td>"
        f"<td class='number'>{len(group):,}</td><td>{_names(group)}</td></tr>"
        for (status, kind, reason), group in by_reason
    )
    return (
        f"<p>{counted(len(left), 'tensor')} of {len(rows):,}.</p>"
        "<div class='scroll' tabindex='0' role='region' aria-label='Not analysed'><table>"
        "<thead><tr><th scope='col'>Status</th><th scope='col'>Reason</th>"
        "<th scope='col' class='number'>Tensors</th><th scope='col'>Names</th></tr></thead>"
        f"<tbody>{lines}</tbody></table></div>"
    )


def _reasoned(row: Row) -> Row:
    """Return a row whose reason does not name the weight that its tensor is a part of.

    A model has several such tensors for each weight, which all have the same reason.
    """
    reason = row.get("reason") or ""
    for start, what in (("scale of ", "scales of quantised weights"), ("part of ", "other parts")):
        if row.get("kind") in ("scale", "part") and reason.startswith(start):
            return {**row, "reason": what if start[0] == "s" else f"{what} of quantised weights"}
    return row


def _names(group: Sequence[Row]) -> str:
    if len(group) == 1:
        return f"<code>{shown(group[0]['name'])}</code>"
    folds = fold_names(row["name"] for row in group)
    names = [f"<li><code>{shown(fold.text)}</code></li>" for fold in folds[:_NAMES]]
    if len(folds) > _NAMES:
        more = sum(len(fold.names) for fold in folds[_NAMES:])
        names.append(f"<li>and {more:,} more</li>")
    return _folded(f"{len(group):,} names", names)


def _folded(summary: str, lines: Sequence[str]) -> str:
    return f"<details><summary>{summary}</summary><ul class='names'>{''.join(lines)}</ul></details>"


def provenance(header: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """Return the list of versions, options, methods, files and remarks."""
    facts = "".join(
        f"<dt>{shown(name)}</dt><dd>{shown(value)}</dd>" for name, value in _facts(header, rows)
    )
    notes = "".join(f"<li>{shown(note)}</li>" for note in header.get("notes") or ())
    remarks = f"<h3>Remarks</h3><ul>{notes}</ul>" if notes else ""
    return f"<dl class='facts'>{facts}</dl>{_files(header)}{remarks}"


def _facts(header: Mapping[str, Any], rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    engine = header.get("engine") or {}
    yield "sigmascope", ", ".join(f"{name} {value}" for name, value in engine.items()) or "unknown"
    yield "table", f"{header.get('schema')}, version {header.get('version')}"
    options = header.get("options") or {}
    for name, value in options.items():
        if name == "seed_drawn":
            yield "random start", seed_text(options)
        elif value not in (None, [], ()):
            values = value if isinstance(value, (list, tuple)) else [value]
            memory = name in ("memory_limit", "device_memory")
            text = size(value) if memory else ", ".join(map(str, values))
            yield name.replace("_", " "), text
    analysed = [row for row in rows if row["status"] == "analysed"]
    for column in ("method", "precision", "effort", "seed", "num_threads", "device"):
        counts = Counter(row.get(column) for row in analysed if row.get(column) is not None)
        if counts:
            text = ", ".join(f"{value} ({count:,})" for value, count in counts.most_common())
            yield f"{column.replace('_', ' ')} of each matrix", text
    passes = [row["passes"] for row in analysed if row.get("passes") is not None]
    if passes:
        low, high = min(passes), max(passes)
        yield "passes over a matrix", f"{low} to {high}" if low < high else f"{low}"
    yield "total time", duration(sum(row.get("seconds") or 0.0 for row in rows))


def _files(header: Mapping[str, Any]) -> str:
    files = [file for file in header.get("files") or () if isinstance(file, Mapping)]
    lines = [
        f"<li><code>{shown(file.get('name'))}</code> {size(file.get('size') or 0)}, "
        f"digest <code>{shown(file.get('digest'))}</code></li>"
        for file in files
    ]
    return _folded(f"{counted(len(files), 'file')}, with size and digest", lines) if lines else ""
