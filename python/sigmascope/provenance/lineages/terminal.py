# SPDX-License-Identifier: BSD-3-Clause
"""Lineages on the terminal (extra ``cli``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from sigmascope.extension import printable
from sigmascope.provenance.terminal import show_sentence, show_wrapped

from .outcomes import groups_in_words


def show_lineage(out: Console, record: Mapping[str, Any]) -> None:
    """Print the verdict and the tests of a pair of checkpoints."""
    _show_verdict(out, record["verdict"])
    show_sentence(out, record["text"])
    out.print()
    lines = []
    for name, test in record["tests"].items():
        rho = "" if test["rho"] is None else f"{test['rho']:.3g}"
        lines.append([name, test["compares"], test["reason"] or f"p {test['p']}", rho])
    show_wrapped(out, "Tests", ["test", "compares", "result", "rho"], lines)
    for limit in record["limits"]:
        show_sentence(out, limit, "- ", "  ")


def show_lineages(out: Console, record: Mapping[str, Any]) -> None:
    """Print the pairs and groups of several checkpoints."""
    for pair in record["pairs"]:
        _show_verdict(out, f"{pair['names'][0]}, {pair['names'][1]}: {pair['verdict']}")
        show_sentence(out, pair["text"])
        out.print()
    show_sentence(out, groups_in_words(record["groups"]))


def _show_verdict(out: Console, verdict: str) -> None:
    out.print(printable(verdict), style="bold", markup=False, highlight=False)
