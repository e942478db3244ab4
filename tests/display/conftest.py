# SPDX-License-Identifier: BSD-3-Clause
"""A browser, and pages opened in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.html_pages import PAGES, Open

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Launch a Chromium: that of SIGMASCOPE_CHROMIUM, of PATH, or Playwright's own."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = os.environ.get("SIGMASCOPE_CHROMIUM") or next(
        filter(None, map(shutil.which, NAMES)), ""
    )
    with api.sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        path = found or (own if Path(own).is_file() else "")
        if not path:
            pytest.skip("no Chromium in SIGMASCOPE_CHROMIUM or PATH, nor one of Playwright's")
        one = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield one
        one.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    made = {name: folder / f"{name}.html" for name in PAGES}
    for name, path in made.items():
        path.write_text(PAGES[name](), encoding="utf-8")
    return made


@pytest.fixture
def opened(browser: Browser, files: dict[str, Path]) -> Iterator[Open]:
    """Open a page; at the end there must have been no error and no request but for the page."""
    contexts, wrong = [], []

    def open_page(kind: str, width: int = 1280, **options: Any) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, reduced_motion="reduce", **options
        )
        contexts.append(context)
        context.set_default_timeout(60_000)  # a busy machine is slow
        one = context.new_page()
        uri = files[kind].as_uri()
        one.on("console", lambda said: wrong.append(f"console: {said.text}"))
        one.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        one.on(
            "request",
            lambda asked: None if asked.url in (uri, "data:,") else wrong.append(asked.url),
        )
        one.goto(uri)
        return one

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []
