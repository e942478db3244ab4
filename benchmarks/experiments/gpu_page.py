# SPDX-License-Identifier: BSD-3-Clause
"""The page of a run on a GPU: a table for each part, for a reader who has not seen the code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .gpu_parts import PARTS

SECONDS, FAILED, SKIPPED = "seconds_of_part", "failed", "skipped"
"""Names of results that the page states above the table of their part."""

CUT = 1500
"""Most characters of a text of several lines, of which the page has the end."""

SIMULATED = "**The devices were simulated, at small sizes.** The seconds are not those of a GPU."

EMPTY: tuple[Any, ...] = ("", [], {}, None)
"""Values that the page leaves out."""


def page(results: dict[str, dict[str, Any]]) -> str:
    """Return the results of all parts as a page."""
    lines = ["# A run on a GPU", ""]
    if results.get("machine", {}).get("module", {}).get("simulated"):
        lines += [SIMULATED, ""]
    for part, result in results.items():
        rows = {k: v for k, v in result.items() if k not in (SECONDS, FAILED, SKIPPED)}
        lines += [f"## {part}", "", str(PARTS[part][0].__doc__).strip(), ""]
        for sentence in statements(result):
            lines += [sentence, ""]
        if table := format_columns(rows) or format_rows(rows):
            lines += [*table, ""]
        for name, text in iter_long_texts("", result):
            lines += [f"{name}:", "", *(f"    {line}".rstrip() for line in text.splitlines()), ""]
    return "\n".join(lines)


def statements(result: dict[str, Any]) -> Iterator[str]:
    """Yield the sentences on a part as a whole."""
    if SKIPPED in result:
        yield f"This part was skipped: {result[SKIPPED]}."
    elif SECONDS in result:
        yield f"This part took {result[SECONDS]:g} s."
    if FAILED in result:
        reason = result[FAILED].strip().splitlines() or ["no message"]
        yield f"**It failed:** {escape(reason[-1])}"


def format_columns(rows: dict[str, Any]) -> list[str]:
    """Return a table with a column for each name, if all results have the same few names."""
    records = list(rows.values())
    if len(records) < 2 or not all(isinstance(record, dict) for record in records):
        return []
    names = list(records[0])
    for record in records:
        values = record.values()
        if list(record) != names or any(isinstance(v, dict | list) or has_lines(v) for v in values):
            return []
    lines = [f"| | {' | '.join(map(title, names))} |", f"| --- |{' ---: |' * len(names)}"]
    for name, record in rows.items():
        lines.append(f"| {escape(name)} | {' | '.join(map(format_value, record.values()))} |")
    return lines


def format_rows(rows: dict[str, Any]) -> list[str]:
    """Return a table with a row for each value, however deep it lies."""
    values = list(iter_values("", rows))
    if not values:
        return []
    head = ["| result | value |", "| --- | --- |"]
    return head + [f"| {escape(name)} | {text} |" for name, text in values]


def iter_values(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield the path to each value, joined by colons, and its text; without those that are empty.

    A record in a list takes one row.
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from iter_values(f"{name}: {title(key)}" if name else title(key), inner)
    elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        for number, inner in enumerate(value, start=1):
            yield (f"{name} {number}" if len(value) > 1 else name), format_record(inner)
    elif not has_lines(value) and value not in EMPTY:
        yield name, format_value(value)


def iter_long_texts(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield the texts of several lines, which stand below the table."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from iter_long_texts(f"{name}: {title(key)}" if name else title(key), inner)
    elif has_lines(value):
        yield name, value.strip()[-CUT:]


def has_lines(value: Any) -> bool:
    return isinstance(value, str) and "\n" in value.strip()


def format_record(record: dict[str, Any]) -> str:
    """Return a record as a list of its names and values, in one line."""
    texts = []
    for name, value in record.items():
        if isinstance(value, dict):
            texts.append(f"{title(name)} ({format_record(value) or 'default'})")
        elif value not in EMPTY:
            texts.append(f"{title(name)} {format_value(value)}")
    return "; ".join(texts)


def format_value(value: Any) -> str:
    """Return a number, a text or a list of them as it stands in a cell."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(format_value, value))
    return "" if value is None else escape(str(value).strip())


def title(name: str) -> str:
    return name.replace("_", " ")


def escape(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")
