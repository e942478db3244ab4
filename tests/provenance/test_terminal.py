# SPDX-License-Identifier: BSD-3-Clause
"""Results on terminals of any width: no word is broken, and nothing is cut off."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console
from tests.support.provenance_results import result_of

from sigmascope.provenance.applying.terminal import show_application
from sigmascope.provenance.checking.terminal import show_check
from sigmascope.provenance.lineages.terminal import show_lineage, show_lineages
from sigmascope.provenance.merges.terminal import show_verification
from sigmascope.provenance.terminal import show_sentence

SHOW = {
    "witness": show_verification,
    "other weights": show_verification,
    "reordered": show_lineage,
    "group": show_lineages,
    "check": show_check,
    "application": show_application,
}


def screen(width: int) -> Console:
    return Console(file=StringIO(), width=width, markup=False, highlight=False)


def printed(kind: str, width: int) -> str:
    out = screen(width)
    SHOW[kind](out, result_of(kind).to_dict())
    assert isinstance(out.file, StringIO)
    return out.file.getvalue()


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize("kind", SHOW)
def test_lines_are_no_wider_than_the_terminal(kind: str, width: int) -> None:
    text = printed(kind, width)
    assert max(map(len, text.splitlines())) <= width
    assert "\N{HORIZONTAL ELLIPSIS}" not in text


@pytest.mark.parametrize("kind", SHOW)
def test_a_narrow_terminal_has_every_word_of_a_wide_one(kind: str) -> None:
    """Notices words that are broken at the end of a line, and cells that are cut off."""
    narrow, wide = (set(printed(kind, width).split()) for width in (80, 100_000))
    rules = {word for word in narrow | wide if not word.strip("\N{BOX DRAWINGS LIGHT HORIZONTAL}")}
    assert wide - rules == narrow - rules


def test_a_name_that_is_wider_than_the_terminal_stays_whole() -> None:
    out, name = screen(20), "model.layers.0.self_attn.q_proj.weight"
    show_sentence(out, f"[bold]No donor changes {name}, and \x1b[2J it differs.", "- ", "  ")
    assert isinstance(out.file, StringIO)
    lines = out.file.getvalue().splitlines()
    assert f"  {name}," in lines
    assert lines[0].startswith("- [bold]No donor")
    assert "\x1b" not in out.file.getvalue()
    assert not any(line.endswith(" ") for line in lines)
