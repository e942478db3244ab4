# SPDX-License-Identifier: BSD-3-Clause
"""Checks on the terminal (extra ``cli``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from sigmascope.provenance.merges.terminal import show_notes
from sigmascope.provenance.terminal import show_decisions, show_sentence


def show_check(out: Console, record: Mapping[str, Any]) -> None:
    """Print each claim with its verdict and reason, then what is known of the merge."""
    show_decisions(out, record["decisions"])
    verification = record["verification"]
    if verification is not None:
        for sentence in verification["sentences"]:
            show_sentence(out, sentence)
        show_notes(out, verification)
