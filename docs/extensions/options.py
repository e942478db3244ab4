# SPDX-License-Identifier: BSD-3-Clause
"""Tables of the options of runs, from their declarations in the package."""

from __future__ import annotations

from collections.abc import Mapping

from sigmascope._tables.options import Option
from sigmascope._tables.scan_options import OPENING, SCAN
from sigmascope.comparing.extracting.options import EXTRACT

TABLES: dict[str, Mapping[str, Option]] = {"scan": SCAN, "opening": OPENING, "extract": EXTRACT}


def with_tables(text: str) -> str:
    """Return the text of a page with each table in its place, a line like ``<!-- scan -->``."""
    for name, options in TABLES.items():
        assert f"<!-- {name} -->" in text, name
        text = text.replace(f"<!-- {name} -->", table_of(options))
    return text


def table_of(options: Mapping[str, Option]) -> str:
    """Return options as a table in Markdown."""
    lines = ["| keyword, flag | default | what it does | resuming |", "|---|---|---|---|"]
    for option in options.values():
        flag = option.flag.split()[-1:]
        names = ", ".join(f"`{name}`" for name in [option.name, *flag])
        default = f"`{option.default!r}`"
        if flag and option.default_of_command != option.default:
            default += f"; of the command `{option.default_of_command!r}`"
        cells = (names, default, option.help, option.journal)
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join(lines)
