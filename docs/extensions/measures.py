# SPDX-License-Identifier: BSD-3-Clause
"""A section for every measure, from the glossary of the package and the table of measures.md."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from sigmascope._display.glossary import MEASURES, PAIR, Entry

PAGE = Path(__file__).parents[1] / "measures.md"
PLACE = "<!-- a section for every measure -->"
EFFORTS = ("top", "density", "exact")


@dataclass(frozen=True)
class Definition:
    """The cells of a measure in the table of measures.md, and what to beware of.

    Attributes
    ----------
    cells
        Column of the table to its text.
    note
        The paragraph of the measure below the table; empty if there is none.
    """

    cells: dict[str, str]
    note: str = ""

    @property
    def efforts(self) -> str:
        """Efforts that give the measure, with the condition where there is one."""
        found = []
        for effort in EFFORTS:
            cell = self.cells[effort]
            if cell:
                found.append(f"`{effort}`" if cell == "●" else f"`{effort}` ({cell})")
        return ", ".join(found)


def definitions(text: str | None = None) -> dict[str, Definition]:
    """Return the definition of each measure in the table of measures.md.

    Raises
    ------
    ValueError
        If a row of the table has another number of cells than its heading.
    """
    text = PAGE.read_text(encoding="utf-8") if text is None else text
    lines = text[text.index("| name | formula |") :].partition("\n\n")[0].splitlines()
    heading, _, *rows = (cells_of(line) for line in lines)
    notes = notes_of(text)
    found = {}
    for row in rows:
        cells = dict(zip(heading, row, strict=True))
        for name in names_of(cells["name"]):
            found[name] = Definition(cells, notes.get(name, ""))
    return found


def cells_of(line: str) -> list[str]:
    """Return the cells of a line of a table."""
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def names_of(cell: str) -> list[str]:
    """Return the measures of a cell: `energy_rank_50`, and `_90` with the same beginning."""
    found: list[str] = []
    for name in re.findall(r"`(\w+)`", cell):
        stem = found[0].rpartition("_")[0] if name.startswith("_") else ""
        found.append(stem + name)
    return found


def notes_of(text: str) -> dict[str, str]:
    """Return the paragraph on each measure: it begins with names in bold.

    A name that is the beginning of several measures, such as `shoulder`, is a note on all of them.
    """
    found = {}
    for bold, note in re.findall(r"^\*\*([\w, ]+)\.\*\* (.+?)(?=\n\n)", text, re.M | re.S):
        for beginning in bold.split(", "):
            stem = re.sub(r"_k$", "", beginning)
            for name in MEASURES:
                if name == beginning or re.fullmatch(rf"{stem}_(\d+|k)", name):
                    found[name] = links_from_reference(note)
    return found


def links_from_reference(text: str) -> str:
    """Return a text of measures.md with links that lead from a page of docs/reference."""
    text = re.sub(r"\]\((#[\w-]+)\)", r"](../measures.md\1)", text)
    return re.sub(r"\]\((\w[\w-]*\.md)", r"](../\1", text)


def sections() -> str:
    """Return the Markdown of all measures: of a matrix by group, then of a pair."""
    defined = definitions()
    groups: dict[str, list[str]] = {}
    for name, entry in MEASURES.items():
        groups.setdefault(entry.group, []).append(section(name, entry, defined.get(name)))
    if rest := [name for name in defined if name not in MEASURES]:
        groups["More"] = [section(n, Entry(n, "", "More"), defined[n]) for n in rest]
    groups["A pair of matrices"] = [section(name, entry) for name, entry in PAIR.items()]
    return "\n\n".join(
        f"## {group}\n\n" + "\n\n".join(entries) for group, entries in groups.items()
    )


def section(name: str, entry: Entry, defined: Definition | None = None) -> str:
    """Return the Markdown of one measure."""
    fields = {"label": entry.label if entry.label != name else ""}
    if defined is not None:
        cells = defined.cells
        fields |= {"formula": cells["formula"], "range": cells["range"]}
        fields |= {"unit": cells["unit"].replace("–", ""), "efforts": defined.efforts}
        fields |= {name: cells[name] for name in ("error at effort exact", "cost", "source")}
    else:
        fields["unit"] = entry.unit
    listed = "\n".join(f":{field}: {value}" for field, value in fields.items() if value)
    parts = [f"### `{name}`", entry.meaning, listed, defined.note if defined else ""]
    return "\n\n".join(part for part in parts if part)
