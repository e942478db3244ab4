# SPDX-License-Identifier: BSD-3-Clause
"""docs/measures.md has a line for every measure, and for nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from sigmascope.scanning.rows import MEASURES, REQUESTED

ROOT = next(folder for folder in Path(__file__).parents if (folder / "docs").is_dir())
PAGE = ROOT / "docs" / "measures.md"


def names_of(cell: str) -> list[str]:
    """Return the measures of a cell: `energy_rank_50`, and `_90` with the same beginning."""
    found: list[str] = []
    for name in re.findall(r"`(\w+)`", cell):
        stem = found[0].rpartition("_")[0] if name.startswith("_") else ""
        found.append(stem + name)
    return found


def test_the_page_has_every_measure() -> None:
    text = PAGE.read_text(encoding="utf-8")
    table = text[text.index("| name | formula |") :].partition("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines()[2:]]
    assert {name for cell in cells for name in names_of(cell)} == {
        *MEASURES,
        *REQUESTED,
        "quantiles",
    }
