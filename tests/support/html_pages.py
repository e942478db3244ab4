# SPDX-License-Identifier: BSD-3-Clause
"""Pages to open in a browser, and to read the tags and the numbers of."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.support.made_rows import comparison_header, comparison_rows, scan_header, scan_rows

import sigmascope as ss
from sigmascope.results import Comparison, Scan

if TYPE_CHECKING:
    from playwright.sync_api import Page

EVIL = "</script><img src=x onerror='window.evil=1'>"
Open = Callable[..., "Page"]
"""Opens a page by its kind, in a window of its own."""
Read = Callable[[str], "Page"]
"""Returns an open page by its kind, which tests share that only read it."""


HEADS = ["What was examined", "What it means", "What it cannot tell"]
"""Heads of the three sentences of a page for a colleague."""


def sentences_of(html: str) -> list[str]:
    """Return the three sentences of a page, each checked to be one."""
    (block,) = re.findall(r"<dl class='explanation'>(.*?)</dl>", html)
    assert re.findall(r"<dt>(.*?)</dt>", block) == HEADS
    sentences = [unescape(text) for text in re.findall(r"<dd>(.*?)</dd>", block)]
    for sentence in sentences:
        assert re.fullmatch(r"[^.]*(\.(?! )[^.]*)*\.", sentence), "one sentence"
        assert not re.search(r"\b(None|nan)\b|  |\.\.|\b1 (tensors|matrices|pairs)\b", sentence)
    return sentences


def data_of(text: str) -> dict[str, Any]:
    """Return the numbers inside a page."""
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert match
    data: dict[str, Any] = json.loads(match[1])
    return data


def page_of(result: Any, **options: Any) -> str:
    """Save a result as a page, and return the text of the page."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page.html"
        result.save(path, **options)
        return path.read_text(encoding="utf-8")


def scan_of(rows: list[dict[str, Any]], **more: Any) -> Scan:
    return Scan.of_header(scan_header(rows, **more), rows)


def comparison_of(rows: list[dict[str, Any]], **more: Any) -> Comparison:
    return Comparison.of_header(comparison_header(rows, **more), rows)


def scan_page(rows: list[dict[str, Any]], **more: Any) -> str:
    return page_of(scan_of(rows, **more))


def comparison_page(rows: list[dict[str, Any]], **more: Any) -> str:
    return page_of(comparison_of(rows, **more))


class Finding(NamedTuple):
    """A finding as it stands on a page, with the names below it and their remarks."""

    title: str
    kind: str
    text: str
    items: tuple[tuple[str, str], ...]

    @property
    def whole(self) -> str:
        """The text and every name with its remark."""
        return " ".join([self.text, *(f"{name}: {remark}" for name, remark in self.items)])


_FINDING = re.compile(
    r"<li class='finding (\w+)'><h3>(.*?)</h3><p>(.*?)</p>(?:<ul class='items'>(.*?)</ul>)?</li>",
    re.DOTALL,
)
_ITEM = re.compile(r"<li>(.*?)(?: <span>(.*?)</span>)?</li>", re.DOTALL)


def findings_of(page: str) -> dict[str, Finding]:
    """Return the findings of a page by their titles, in their order."""
    findings = [
        Finding(
            plain_text(title),
            kind,
            plain_text(text),
            tuple((plain_text(name), plain_text(remark)) for name, remark in _ITEM.findall(items)),
        )
        for kind, title, text, items in _FINDING.findall(page)
    ]
    assert page.count("<li class='finding ") == len(findings)
    return {finding.title: finding for finding in findings}


def headline_of(page: str) -> tuple[str, str]:
    """Return the sentence at the head of a page, and the facts below it."""
    parts = r'<p class="headline">(.*?)</p>\s*<dl.*?</dl>\s*<p class="where">(.*?)</p>'
    match = re.search(parts, page, re.DOTALL)
    assert match is not None
    sentence, facts = map(plain_text, match.groups())
    return sentence, facts


def plain_text(markup: str) -> str:
    """Return the text of a piece of a page, without its tags."""
    return unescape(re.sub(r"<[^>]*>", "", markup))


def script_of(*names: str) -> str:
    """Return parts of the script of every page, wherever the package keeps them."""
    files = {path.stem: path for path in Path(ss.__file__).parent.rglob("*.js")}
    return "\n".join(files[name].read_text(encoding="utf-8") for name in names)


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


def wait_for_drawing(page: Page) -> None:
    """Wait until a page has drawn its charts for the width that it has now."""
    page.evaluate(
        """() => new Promise((done) => {
          const later = (count) => (count ? requestAnimationFrame(() => later(count - 1)) : done());
          later(4);
        })"""
    )
