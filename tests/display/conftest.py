# SPDX-License-Identifier: BSD-3-Clause
"""A browser, and pages opened in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.html_pages import PAGES, Open, Read, wait_for_drawing

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Launch a Chromium: that of SIGMASCOPE_CHROMIUM, of PATH, or Playwright's own."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    result = os.environ.get("SIGMASCOPE_CHROMIUM") or next(
        filter(None, map(shutil.which, NAMES)), ""
    )
    with api.sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        path = result or (own if Path(own).is_file() else "")
        if not path:
            pytest.skip("no Chromium in SIGMASCOPE_CHROMIUM or PATH, nor one of Playwright's")
        one = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield one
        one.close()


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pages of every kind, each of which is written when it is first asked for."""
    folder = tmp_path_factory.mktemp("pages")

    class Written(dict[str, Path]):
        def __missing__(self, name: str) -> Path:
            self[name] = folder / f"{name}.html"
            self[name].write_text(PAGES[name](), encoding="utf-8")
            return self[name]

    return Written()


def open_page(
    browser: Browser, path: Path, wrong: list[str], width: int = 1280, **options: Any
) -> Page:
    """Open a page in a context of its own; errors and requests for anything else are noted."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, reduced_motion="reduce", **options
    )
    context.set_default_timeout(60_000)  # a busy machine is slow
    page, uri = context.new_page(), path.as_uri()
    page.on("console", lambda message: wrong.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on(
        "request",
        lambda request: None if request.url in (uri, "data:,") else wrong.append(request.url),
    )
    page.goto(uri)
    wait_for_drawing(page)  # which the first frame begins
    return page


@pytest.fixture
def opened(browser: Browser, files: dict[str, Path]) -> Iterator[Open]:
    """Open a page; at the end there must have been no error and no request but for the page."""
    pages: list[Page] = []
    wrong: list[str] = []

    def opener(kind: str, width: int = 1280, **options: Any) -> Page:
        pages.append(open_page(browser, files[kind], wrong, width, **options))
        return pages[-1]

    yield opener
    for page in pages:
        page.context.close()
    assert wrong == []


@pytest.fixture(scope="module")
def pages_to_read(browser: Browser) -> Iterator[dict[str, tuple[Page, list[str]]]]:
    """Keep the pages that are open, each with what went wrong on it."""
    pages: dict[str, tuple[Page, list[str]]] = {}
    yield pages
    for page, _ in pages.values():
        page.context.close()


@pytest.fixture
def read(
    browser: Browser,
    files: dict[str, Path],
    pages_to_read: dict[str, tuple[Page, list[str]]],
) -> Iterator[Read]:
    """Open a page once for all tests of a module, which change nothing on it; as `opened`."""

    def reader(kind: str) -> Page:
        if kind not in pages_to_read:
            wrong: list[str] = []
            pages_to_read[kind] = open_page(browser, files[kind], wrong), wrong
        return pages_to_read[kind][0]

    yield reader
    assert [wrong for _, wrong in pages_to_read.values() if wrong] == []
