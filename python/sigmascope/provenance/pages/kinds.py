# SPDX-License-Identifier: BSD-3-Clause
"""The page of a record, by its kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sigmascope.extension.tables import engine

from .applications import application_page
from .checks import check_page
from .frame import Page
from .groups import lineages_page
from .pairs import lineage_page
from .verifications import verification_page

_KINDS: dict[str, Callable[[Mapping[str, Any]], Page]] = {
    "sigmascope verification": verification_page,
    "sigmascope check": check_page,
    "sigmascope application": application_page,
    "lineage": lineage_page,
    "lineages": lineages_page,
}


def render_page(record: Mapping[str, Any]) -> str:
    """Return the page of a result, from its record as plain JSON."""
    version = record.get("version") or engine()["version"]
    return _KINDS[record["kind"]](record).render(str(version))
