# SPDX-License-Identifier: BSD-3-Clause
"""The sources and pages of the project, and their text."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
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


each_module = pytest.mark.parametrize("path", MODULES, ids=name_of)
each_page = pytest.mark.parametrize("path", PAGES, ids=name_of)


@cache
def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def line_of(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(text_of(path))):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            value = node.value.value
            if isinstance(value, str):
                yield node.lineno, value


def deferred_nodes(tree: ast.Module) -> set[ast.AST]:
    """The nodes that importing the module does not run."""
    found: set[ast.AST] = set()
    for node in ast.walk(tree):
        function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if function or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)):
            found.update(ast.walk(node))
    return found
