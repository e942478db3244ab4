# SPDX-License-Identifier: BSD-3-Clause
"""The table and the plot of the README: times of sigmascope and of the best other backend.

They stand between two markers in README.md.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- headline: made by benchmarks/run.py -->", "<!-- end of headline -->"

HEAD = ["matrix", "k", "error", "sigmascope, s", "best other backend, s", "ratio"]
OURS = "ours"


def reached(entry: dict[str, Any], accuracy: float) -> float | None:
    """Median seconds to an accuracy, if every repetition reached it."""
    for timing in entry["timings"]:
        if accuracy in timing["accuracies"] and timing["median"] is not None:
            kept = timing["error"] is not None and timing["error"] <= accuracy
            return float(timing["median"]) if kept else None
    return None


def lines(comparisons: list[dict[str, Any]]) -> list[str]:
    """Rows of the table: one for every comparison and accuracy."""
    rows = [HEAD, ["---"] * len(HEAD)]
    for result in comparisons:
        others = [entry for entry in result["entries"] if not entry["name"].startswith(OURS)]
        mine = next(entry for entry in result["entries"] if entry["name"] == OURS)
        for accuracy in result["accuracies"]:
            times = {entry["title"]: reached(entry, accuracy) for entry in others}
            known = {title: time for title, time in times.items() if time is not None}
            ours = reached(mine, accuracy)
            row = [result["workload"], str(result["k"]), f"{accuracy:g}"]
            row.append("not reached" if ours is None else f"{ours:.3f}")
            if known:
                best = min(known, key=lambda title: known[title])
                row.append(f"{known[best]:.2f} ({best})")
                row.append("" if ours is None else f"{known[best] / ours:.1f}×")
            else:
                row += ["none reaches it", ""]
            rows.append(row)
    return [f"| {' | '.join(row)} |" for row in rows]


def write_headline(results: dict[str, Any], page: Path, readme: Path = README) -> None:
    """Replace the text between the markers."""
    text = readme.read_text(encoding="utf-8")
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    if not pattern.search(text):
        sys.exit(f"{readme}: no markers for the table")
    machine, link = results["machine"], page.relative_to(readme.parent).as_posix()
    where = (
        f"{machine['processor']} with {machine['isa']}, {machine['threads']} threads, commit "
        f"{results['commit'][:10]}: [all tables]({link})."
    )
    result = results["findings"].items()
    compared = [part for name, part in result if part["kind"] == "comparison" and name != "all"]
    plot = f"![Time against accuracy, a curve for each library]({Path(link).with_suffix('.png')})"
    table = "\n".join([BEGIN, "", where, "", *lines(compared), "", plot, "", END])
    readme.write_text(pattern.sub(lambda _: table, text), encoding="utf-8")
