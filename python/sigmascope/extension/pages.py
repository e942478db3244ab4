# SPDX-License-Identifier: BSD-3-Clause
"""Parts of HTML pages."""

from __future__ import annotations

from sigmascope._display.html import write as write_page
from sigmascope._display.html.explanation import Explanation
from sigmascope._display.html.templates import Section, filled, head, part

__all__ = [
    "Explanation",
    "Section",
    "filled",
    "head",
    "part",
    "write_page",
]
