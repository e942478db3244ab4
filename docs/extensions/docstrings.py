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
    """Return text with signs escaped outside of literals, which may extend over lines."""
    parts = LITERAL.split(text)
    parts[::2] = [SIGN.sub(r"\\\g<0>", part) for part in parts[::2]]
    return "".join(parts)


def setup(app: Any) -> dict[str, bool]:
    """Register the extension with Sphinx, before napoleon reads the sections."""

    def escape(*arguments: Any) -> None:
        lines = arguments[-1]
        lines[:] = escaped(lines)

    app.connect("autodoc-process-docstring", escape, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
