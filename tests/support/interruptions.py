# SPDX-License-Identifier: BSD-3-Clause
"""Ctrl-C in the middle of a call, at a place that a test chooses."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from types import FrameType


def interrupted_at(place: int | None, act: Callable[[], object]) -> int:
    """Raise KeyboardInterrupt as that function of Python is entered; return how many are.

    No garbage is collected meanwhile: what a callback of the collector raises is lost.
    """
    entered = 0

    def look(_: FrameType, event: str, __: object) -> None:
        nonlocal entered
        entered += event == "call"
        if event == "call" and entered == place:
            raise KeyboardInterrupt

    gc.disable()
    sys.setprofile(look)
    try:
        act()
    finally:
        sys.setprofile(None)
        gc.enable()
    return entered
