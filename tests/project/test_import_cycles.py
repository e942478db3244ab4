# SPDX-License-Identifier: BSD-3-Clause
"""No module of the package imports itself through others."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.support.sources import PACKAGE, imports_of, sources


def test_python_modules_have_no_cycle() -> None:
    """Below the package itself, every module can be read before those that use it.

    Imports inside functions and for type checkers count, too.
    """
    files = {path: name_of(path) for path in sources(PACKAGE, ".py")}
    known = set(files.values())
    uses: dict[str, set[str]] = {}
    for path, name in files.items():
        if "." in name:
            uses[name] = {
                result for result in modules_of(path) if result in known and result != name
            }
    while uses:
        ready = {module for module, targets in uses.items() if not targets & uses.keys()}
        assert ready, f"a cycle among {sorted(uses)}"
        uses = {module: targets for module, targets in uses.items() if module not in ready}


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules_of(path: Path) -> Iterator[str]:
    """Give the modules that a module imports anywhere, submodules of packages too."""
    package = ["sigmascope", *path.relative_to(PACKAGE).parts[:-1]]
    for node, _ in imports_of(path):
        if isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            named = [f"{module}.{alias.name}" for alias in node.names]
            submodules = [name for name in named if is_module(name)]
            yield from submodules
            if len(submodules) < len(named):
                yield module


@cache
def is_module(name: str) -> bool:
    place = PACKAGE.parent.joinpath(*name.split("."))
    return place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()
