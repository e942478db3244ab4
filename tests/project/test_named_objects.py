# SPDX-License-Identifier: BSD-3-Clause
"""Objects that docstrings, comments and pages name are there."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.public_names import MODULES
from tests.support.sources import (
    PACKAGE,
    docstrings,
    each_folder,
    each_page,
    line_of,
    name_of,
    text_of,
    tree_of,
)

import sigmascope as ss

# ------------------------------------------------------------------------------------- objects


class Nothing:
    """Stand-in for an object whose name leads nowhere."""


def member(owner: Any, name: str) -> Any:
    """An attribute, a submodule, or a field of a class that has no default."""
    result = inspect.getattr_static(owner, name, Nothing)
    if result is not Nothing:
        return getattr(owner, name, result)
    if inspect.ismodule(owner):
        try:
            return importlib.import_module(f"{owner.__name__}.{name}")
        except ModuleNotFoundError:
            return Nothing
    if inspect.isclass(owner):
        fields = {field for base in owner.__mro__ for field in inspect.get_annotations(base)}
        return None if name in fields else Nothing
    return Nothing


def resolved(name: str, *scopes: Any) -> Any:
    """Return the object of a dotted name, looked up in each scope, then among modules."""
    first, *rest = name.split(".")
    try:
        outside = [importlib.import_module(first)]
    except ModuleNotFoundError:
        outside = []
    starts = [member(scope, first) for scope in scopes] + outside
    for result in starts:
        for part in rest:
            result = Nothing if result is Nothing else member(result, part)
        if result is not Nothing:
            return result
    return Nothing


class Reference(NamedTuple):
    role: str
    name: str
    line: int


DOORS = [importlib.import_module(module) for module in MODULES]
"""Modules whose names docstrings give without their module."""

ROLE = re.compile(r":(func|class|mod|meth|attr|data|exc|obj|const):`([^`]*)`")


def references(path: Path) -> Iterator[Reference]:
    text = text_of(path)
    for result in ROLE.finditer(text):
        name = re.sub(r".*<(.*)>$", r"\1", result[2], flags=re.DOTALL).lstrip("~")
        yield Reference(result[1], " ".join(name.split()), line_of(text, result.start()))


def module_of(path: Path) -> Any:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return importlib.import_module(".".join(parts).removesuffix(".__init__"))


def classes_at(path: Path, line: int) -> Iterator[str]:
    """The classes whose body holds a line, the innermost last."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ClassDef) and node.lineno <= line <= (node.end_lineno or 0):
            yield node.name


def fits(role: str, result: Any) -> bool:
    if result is Nothing:
        return False
    if role == "mod":
        return inspect.ismodule(result)
    if role in ("class", "exc"):
        return inspect.isclass(result)
    if role in ("func", "meth"):
        return callable(result)
    return True


@each_folder
def test_docstrings_name_what_is_there(folder: Path) -> None:
    missing = []
    for path in sorted(folder.glob("*.py")):
        module = module_of(path)
        for role, name, line in references(path):
            inner = [getattr(module, cls, Nothing) for cls in classes_at(path, line)]
            package = importlib.import_module(module.__package__)
            result = resolved(name, *reversed(inner), module, package, *DOORS, builtins)
            if not fits(role, result):
                missing.append(f"{name_of(path)}:{line}: no {role} {name}")
    assert not missing, "\n".join(missing)


def test_a_reference_that_leads_nowhere_is_found() -> None:
    assert fits("func", resolved("svds", ss))
    assert fits("mod", resolved("sigmascope.scanning.rows"))
    assert fits(
        "attr",
        resolved(
            "CallOptions.panel_rows", importlib.import_module("sigmascope._execution.options")
        ),
    )
    assert not fits("mod", resolved("sigmascope.rows"))
    assert not fits("mod", resolved("sigmascope.scan"))  # which is a function
    assert not fits("func", resolved("svdss", ss))
    assert not fits("class", resolved("svds", ss))
    assert not fits(
        "attr",
        resolved("CallOptions.panels", importlib.import_module("sigmascope._execution.options")),
    )


GROUPS = {
    *("readers", "quantised_layouts", "backends"),
    *("commands", "records", "comparison_reports"),
}
OTHERS = {f"sigmascope.{group}" for group in GROUPS}
"""Dotted names of the package that are groups of entry points, and not objects."""

DOTTED = re.compile(r"(?<![\w./-])(?:sigmascope|ss)((?:\.[A-Za-z_]\w*)+)(?![\w/-])")


@each_folder
def test_dotted_names_in_docstrings_are_there(folder: Path) -> None:
    missing = [
        f"{name_of(path)}:{line}: no {name}"
        for path in sorted(folder.glob("*.py"))
        if DOTTED.search(text_of(path))  # most are not parsed
        for line, text in docstrings(path)
        for name in ("sigmascope" + result[1] for result in DOTTED.finditer(text))
        if name not in OTHERS and resolved(name) is Nothing
    ]
    assert not missing, "\n".join(missing)


@each_page
def test_dotted_names_on_pages_are_there(path: Path) -> None:
    text = text_of(path)
    for result in DOTTED.finditer(text):
        name = "sigmascope" + result[1]
        if name in OTHERS:
            continue
        where = f"{name_of(path)}:{line_of(text, result.start())}"
        assert resolved(name) is not Nothing, f"{where}: no {name}"
