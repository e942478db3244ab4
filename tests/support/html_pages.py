# SPDX-License-Identifier: BSD-3-Clause
"""Pages to open in a browser."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser
from itertools import chain
from typing import TYPE_CHECKING, Any

from tests.support.made_rows import comparison_header, comparison_rows, scan_header, scan_rows

from sigmascope._display.html import page as make_page

if TYPE_CHECKING:
    from playwright.sync_api import Page

EVIL = "</script><img src=x onerror='window.evil=1'>"
Open = Callable[..., "Page"]


class Tags(HTMLParser):
    """Every tag with its attributes, and all text outside scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def dangling(self) -> set[str]:
        """Names of elements that links and labels point to, and that are not there."""
        every = [attributes for _, attributes in self.tags]
        links = [(attributes.get("href") or "").partition("#")[2] for attributes in every]
        labels = [(attributes.get("aria-labelledby") or "").split() for attributes in every]
        return {*filter(None, links), *chain(*labels)} - {a.get("id") for a in every}


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
