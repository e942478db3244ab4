# SPDX-License-Identifier: BSD-3-Clause
"""Parts of HTML pages."""

from __future__ import annotations

from sigmascope._display.html import write as write_page
from sigmascope._display.html.explanation import Explanation
from sigmascope._display.html.templates import Section, fill_template, head, part

__all__ = [
    "Explanation",
    "Section",
    "fill_template",
    "head",
    "part",
    "write_page",
]
