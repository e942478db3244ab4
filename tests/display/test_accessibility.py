# SPDX-License-Identifier: BSD-3-Clause
"""The page against the rules of axe-core: contrast, names, order, roles; WCAG 2.1 among them."""

from __future__ import annotations

import pytest
from tests.support.html_pages import Open

pytestmark = pytest.mark.slow

KINDS = ["scan", "comparison", "evil", "empty"]


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (400, "dark")])
@pytest.mark.parametrize("kind", KINDS)
def test_no_rule_is_violated(kind: str, width: int, scheme: str, opened: Open) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = opened(kind, width, color_scheme=scheme)
    results = axe.Axe().run(page)
    violations = results.response["violations"]
    assert results.response["passes"]
    assert violations == [], results.generate_report()
