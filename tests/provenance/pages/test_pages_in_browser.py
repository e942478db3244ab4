# SPDX-License-Identifier: BSD-3-Clause
"""Pages in a browser: without errors, requests or scroll bars, and by the rules of axe-core."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.display.conftest import open_page
from tests.support.provenance_results import RESULTS, result_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser

BRIEF = {"resultTypes": ["violations"]}


def opened(browser: Browser, kind: str, folder: Path) -> tuple[Any, list[str]]:
    path, wrong = folder / "page.html", list[str]()
    result_of(kind).save(path)
    return open_page(browser, path, wrong), wrong


@pytest.mark.parametrize("kind", ["witness", "group", "check"])
def test_a_page_fits_each_width(kind: str, browser: Browser, tmp_path: Path) -> None:
    page, wrong = opened(browser, kind, tmp_path)
    for width in (400, 800, 1400):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    for summary in page.locator("summary").all():
        summary.press("Enter")
    assert page.locator("details[open]").count() == page.locator("details").count()
    page.context.close()
    assert wrong == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(RESULTS))
def test_no_rule_of_accessibility_is_violated(kind: str, browser: Browser, tmp_path: Path) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page, wrong = opened(browser, kind, tmp_path)
    for summary in page.locator("summary").all():
        summary.click()
    for width, scheme in ((1400, "light"), (400, "dark")):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        results = axe.Axe().run(page, options=BRIEF)
        assert results.response["passes"]
        assert results.response["violations"] == [], results.generate_report()
    page.context.close()
    assert wrong == []
