# SPDX-License-Identifier: BSD-3-Clause
"""The sources and pages of the project, and their text."""

from __future__ import annotations

import ast
import gc
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CPP = ROOT / "cpp"
CUDA = ROOT / "cuda"
PACKAGE = ROOT / "python" / "sigmascope"
FOLDERS = ("python", "cpp", "cuda", "tests", "benchmarks")
SUFFIXES = [".py", ".pyi", ".cpp", ".hpp", ".cu", ".cuh", ".js", ".css", ".toml", ".txt"]
SOURCES = sorted(
    path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in SUFFIXES
)
DOCS = ("docs", "docs/notebooks", "docs/notes", "docs/reference")
MODULES = sorted(PACKAGE.rglob("*.py"))
PAGES = sorted(
    path
    for place in (".", *DOCS, "benchmarks/results", "LICENSES")
    for path in (ROOT / place).glob("*.md")
)


def sources(folder: Path, *suffixes: str) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix in suffixes)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


MODULE_FOLDERS = sorted({path.parent for path in MODULES})
each_folder = pytest.mark.parametrize("folder", MODULE_FOLDERS, ids=name_of)
each_page = pytest.mark.parametrize("path", PAGES, ids=name_of)


@cache
def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def tree_of(path: Path) -> ast.Module:
    """The syntax tree of a file; nothing looks for cycles while its many nodes are made."""
    collects = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(text_of(path))
    finally:
        if collects:
            gc.enable()


def line_of(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            value = node.value.value
            if isinstance(value, str):
                yield node.lineno, value


@cache
def imports_of(path: Path) -> tuple[tuple[ast.Import | ast.ImportFrom, bool], ...]:
    """The import statements of a module; True with those that reading the module does not run."""
    return tuple(_imports(tree_of(path).body, deferred=False))


def _imports(
    body: list[ast.stmt], *, deferred: bool
) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node, deferred
            continue
        function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in _bodies(node):
            yield from _imports(inner, deferred=deferred or function or for_types)


def _bodies(node: ast.stmt) -> Iterator[list[ast.stmt]]:
    """The lists of statements within a statement."""
    for field in ("body", "orelse", "finalbody"):
        yield getattr(node, field, [])
    for branch in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
        yield branch.body
