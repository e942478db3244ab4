# SPDX-License-Identifier: BSD-3-Clause
"""Pages to open in a browser, and to read the tags and the numbers of."""

from __future__ import annotations

import json
import re
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


def data_of(text: str) -> dict[str, Any]:
    """Return the numbers inside a page."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


def scan_page(rows: list[dict[str, Any]], **more: Any) -> str:
    return make_page(scan_header(rows, **more), rows)


def comparison_page(rows: list[dict[str, Any]], **more: Any) -> str:
    return make_page(comparison_header(rows, **more), rows)


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
    "scan": lambda: scan_page(scan_rows(12, 1e-3)),
    "comparison": lambda: comparison_page(comparison_rows(12)),
    "evil": lambda: scan_page(evil_rows()),
    "empty": lambda: scan_page([]),
}


def drawn(page: Page, place: str) -> int:
    return page.locator(f"#{place} svg").count()
