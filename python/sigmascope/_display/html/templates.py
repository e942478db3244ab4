# SPDX-License-Identifier: BSD-3-Clause
"""Parts of pages in files, and how they are put together."""

from __future__ import annotations

import base64
import hashlib
import re
from html import escape
from importlib import resources
from typing import NamedTuple


class Section(NamedTuple):
    """A section that an annex adds to the page of a comparison: its HTML and its style."""

    html: str
    style: str


def part(name: str) -> str:
    """Return a part of a page: a template, a style or a script."""
    return resources.files(__package__).joinpath("parts", name).read_text(encoding="utf-8")


def head(title: str, version: str, style: str, script: str = "") -> str:
    """Return the head of a page, with a policy that allows only its own style and script."""
    return fill_template(
        part("head.html"),
        script_hash=hash_of(script) if script else "'none'",
        style_hash=hash_of(style),
        version=escape(version),
        title=escape(title),
        style=style,
    )


def hash_of(text: str) -> str:
    """Return the source expression of a text for a content security policy."""
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def fill_template(template: str, **values: str) -> str:
    """Replace every {{name}} of a template; such texts inside values stay unchanged."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], template)
