# SPDX-License-Identifier: BSD-3-Clause
"""Changes to pages before they are parsed: outputs of notebooks, measures, options, links."""

from __future__ import annotations

import re
from typing import Any

from . import measures, notebooks, options

OUTSIDE = re.compile(
    r"\[([^\]]+)\]\((?:\.\./)+((?:CONTRIBUTING|CHANGELOG|benchmarks|python)[^)]*)\)"
)
"""Links to files of the repository that are not part of the site."""


def prepared(page: str, text: str) -> str:
    """Return the text of a page as Sphinx shall parse it.

    Raises
    ------
    RuntimeError
        If a cell of a notebook raises an exception.
    """
    if page.startswith("notebooks/"):
        text = notebooks.executed(page, text)
    if page == "reference/measures":
        text = text.replace(measures.PLACE, measures.sections())
    if page == "reference/run-options":
        text = options.with_tables(text)
    return OUTSIDE.sub(r"\1 (`\2` in the repository)", text)


def setup(app: Any) -> dict[str, bool]:
    """Register the extension with Sphinx."""

    def replace(_: Any, page: str, source: list[str]) -> None:
        source[0] = prepared(page, source[0])

    app.connect("source-read", replace)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
