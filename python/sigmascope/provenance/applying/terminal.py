# SPDX-License-Identifier: BSD-3-Clause
"""Applications on the terminal (extra ``cli``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from sigmascope.provenance.terminal import show_sentence


def show_application(out: Console, record: Mapping[str, Any]) -> None:
    """Print what was written and what survived, then the notes."""
    for sentence in (*record["sentences"], *map("Note: {}".format, record["notes"])):
        show_sentence(out, sentence)
