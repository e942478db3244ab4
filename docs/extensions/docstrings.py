# SPDX-License-Identifier: BSD-3-Clause
"""Docstrings are plain text with some reStructuredText: other signs are taken as they are.

In the sources |x| is a magnitude, ``*`` a product or a pattern, and ``name_`` an attribute.
"""

from __future__ import annotations

import re
from typing import Any

LITERAL = re.compile(r"(``.+?``|:\w+:`[^`]+`|`[^`\n]+`)", re.DOTALL)
SIGN = re.compile(r"[|*]|(?<=\w)_(?!\w| :|, |$)", re.MULTILINE)
"""Underscores at the end of a field's name are left to napoleon."""
PAGE = re.compile(r"\bdocs/([\w/-]+)\.md\b")


def escaped(lines: list[str]) -> list[str]:
    r"""Return the lines with signs of reStructuredText escaped, but for literals and examples.

    Examples
    --------
    >>> escaped(["a bound on |s| of ``|s|``", ">>> 2 | 4", "6", "", "x_ and a*b"])
    ['a bound on \\|s\\| of ``|s|``', '>>> 2 | 4', '6', '', 'x\\_ and a\\*b']
    """
    found: list[str] = []
    prose: list[str] = []
    example = False
    for line in [*lines, None]:
        if line is not None and line.lstrip().startswith(">>>"):
            example = True
        if line is None or example:
            found += escaped_prose("\n".join(prose)).split("\n") if prose else []
            prose = []
        if line is not None:
            (found if example else prose).append(line)
            example = example and bool(line.strip())
    return found


def escaped_prose(text: str) -> str:
    """Return text with signs escaped outside of literals, which may extend over lines.

    Names of pages of the site become links.
    """
    parts = LITERAL.split(text)
    parts[::2] = [SIGN.sub(r"\\\g<0>", PAGE.sub(r":doc:`/\1`", part)) for part in parts[::2]]
    return "".join(parts)


def setup(app: Any) -> dict[str, bool]:
    """Register the extension with Sphinx, before napoleon reads the sections, and after it."""
    plain: dict[str, list[str]] = {}

    def escape(_: Any, kind: str, name: str, *arguments: Any) -> None:
        lines = arguments[-1]
        lines[:] = escaped(lines)
        if kind in ("attribute", "property"):
            plain[name] = lines.copy()

    def restore(_: Any, kind: str, name: str, *arguments: Any) -> None:
        """Undo what napoleon does to attributes: text before a colon would be their type."""
        if name in plain:
            arguments[-1][:] = plain.pop(name)

    app.connect("autodoc-process-docstring", escape, priority=100)
    app.connect("autodoc-process-docstring", restore, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
