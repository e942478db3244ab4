# SPDX-License-Identifier: BSD-3-Clause
"""Pages to open in a browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.support.made_rows import comparison_header, comparison_rows, scan_header, scan_rows

from sigmascope._display.html import page as make_page

if TYPE_CHECKING:
    from playwright.sync_api import Page

EVIL = "</script><img src=x onerror='window.evil=1'>"
Open = Callable[..., "Page"]


def evil_rows() -> list[dict[str, Any]]:
    rows = scan_rows(4)
    rows[1]["name"] = EVIL
    rows[1]["role"] = EVIL
    rows[1]["stable_rank"] *= 1e4
    return rows


PAGES: dict[str, Callable[[], str]] = {
    "scan": lambda: make_page(scan_header(rows := scan_rows(12, 1e-3)), rows),
    "comparison": lambda: make_page(comparison_header(rows := comparison_rows(12)), rows),
    "evil": lambda: make_page(scan_header(rows := evil_rows()), rows),
    "empty": lambda: make_page(scan_header([]), []),
}


def drawn(page: Page, place: str) -> int:
    return page.locator(f"#{place} svg").count()
