# SPDX-License-Identifier: BSD-3-Clause
"""The page against the rules of axe-core: contrast, names, order, roles; WCAG 2.1 among them."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.html_pages import Open, wait_for_drawing

pytestmark = pytest.mark.slow

SCREENS: tuple[tuple[int, Any], ...] = ((1400, "light"), (400, "dark"))
BRIEF = {"resultTypes": ["violations"]}
"""Elements that obey a rule are not listed, which takes longer than the rules."""


@pytest.mark.parametrize("kind", ["scan", "comparison", "evil", "empty"])
def test_no_rule_is_violated(kind: str, opened: Open) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = opened(kind)
    for width, scheme in SCREENS:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        wait_for_drawing(page)
        results = axe.Axe().run(page, options=BRIEF)
        assert results.response["passes"]
        assert results.response["violations"] == [], results.generate_report()
