# SPDX-License-Identifier: BSD-3-Clause
"""Files of results: JSON, pages, and what else a result can be written as."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sigmascope.extension import replacing

from .pages import render_page


def write_result(
    path: str | os.PathLike[str],
    record: Mapping[str, Any],
    others: Mapping[str, Callable[[], str]] | None = None,
) -> None:
    """Write a result as .json, .html, or in another form; a file is replaced as a whole.

    Parameters
    ----------
    path
        Its suffix decides the form.
    record
        The result as plain JSON, from which the page is made.
    others
        For other suffixes, functions that return the text of the file.

    Raises
    ------
    ValueError
        If the path has another suffix.
    OSError
        If the file cannot be written.
    """
    place = Path(path)
    forms = {
        ".json": lambda: json.dumps(record, indent=1, allow_nan=False) + "\n",
        ".html": lambda: render_page(record),
        **(others or {}),
    }
    if place.suffix not in forms:
        *first, last = forms
        raise ValueError(f"{place}: saved as {', '.join(first)} or {last}, not {place.suffix!r}")
    text = forms[place.suffix]()
    with replacing(place) as temporary:
        temporary.write_text(text, encoding="utf-8")
