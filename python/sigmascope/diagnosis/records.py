# SPDX-License-Identifier: BSD-3-Clause
"""Results of diagnoses as files: JSON, or a page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sigmascope.extension import replacing
from sigmascope.extension.tables import engine
from sigmascope.results import Comparison


def save_record(
    record: Mapping[str, Any], path: Path, comparison: Comparison | None = None
) -> None:
    """Write a record; the file is replaced as a whole.

    If a comparison is given, a page shows the comparison, with the diagnosis as a section.

    Raises
    ------
    ValueError
        If the path ends neither with .json nor with .html.
    OSError
        If the file cannot be written.
    """
    if path.suffix not in (".json", ".html"):
        raise ValueError(f"{path}: a diagnosis is saved as .json or .html, not {path.suffix!r}")
    with replacing(path) as temporary:
        if path.suffix == ".html" and comparison is not None:
            from sigmascope.extension.pages import write_page

            from .page import section

            write_page(temporary, comparison.header(), comparison.rows, section(record))
        elif path.suffix == ".html":
            from .page import write

            write(temporary, {**record, "version": engine()["version"]})
        else:
            text = json.dumps(record, indent=1, allow_nan=False) + "\n"
            temporary.write_text(text, encoding="utf-8")
