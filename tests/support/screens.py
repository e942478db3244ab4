# SPDX-License-Identifier: BSD-3-Clause
"""Terminals to print on, and what was printed."""

from __future__ import annotations

import io

from rich.console import Console


def screen(width: int = 80, *, terminal: bool = False) -> Console:
    return Console(
        file=io.StringIO(),
        width=width,
        markup=False,
        highlight=False,
        emoji=False,
        force_terminal=terminal,
    )


def shown(out: Console) -> str:
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()
