# SPDX-License-Identifier: BSD-3-Clause
"""The walk of a matrix through the package: which file calls which, as one call is traced.

``python -m tests.walks`` prints, for `svds` and `spectrum`, how often each file of the rooms that a
matrix goes through is entered from another one, and the climbs: calls from a file into one that
lies above it, because it imports it.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

import sigmascope as ss

PACKAGE = Path(ss.__file__).parent
ROOMS = ("matrices", "_execution", "solvers", "analysis")
"""Rooms that a matrix goes through; what comes after is of its values alone."""
CALLS: dict[str, Callable[[Any], Any]] = {
    "svds": lambda a: ss.svds(a, 8, method="krylov"),
    "spectrum": lambda a: ss.spectrum(a, k=8),
}


@cache
def imports(file: str) -> frozenset[str]:
    """Return the files that a file imports at its top."""
    result: set[str] = set()
    for node in ast.parse((PACKAGE / file).read_text()).body:
        if isinstance(node, ast.ImportFrom):
            base = _module(file, node.level, node.module)
            names = [base, *(f"{base}.{alias.name}".lstrip(".") for alias in node.names)]
            result |= {path for name in names if (path := _file(name)) is not None}
    return frozenset(result - {file})


@cache
def below(file: str) -> frozenset[str]:
    """Return the files that a file imports, and those that these import."""
    names: set[str] = set()
    todo = [file]
    while todo:
        new = imports(todo.pop()) - names
        names |= new
        todo += new
    return frozenset(names)


def _module(file: str, level: int, module: str | None) -> str:
    """Return the absolute name, below the package, of what an import statement names."""
    if level == 0:
        ours = module is not None and module.split(".")[0] == PACKAGE.name
        return module.removeprefix(PACKAGE.name).lstrip(".") if module and ours else "?"
    folder = Path(file).parent.parts
    parts = folder[: len(folder) - level + 1]
    return ".".join([*parts, *([module] if module else [])])


def _file(name: str) -> str | None:
    path = name.replace(".", "/")
    for each in (f"{path}.py", f"{path}/__init__.py"):
        if name and (PACKAGE / each).is_file():
            return each
    return None


def walk(call: Callable[[], Any]) -> tuple[Counter[str], Counter[tuple[str, str]]]:
    """Trace a call; count how often each file is entered, and the climbs by (from, to)."""
    entered: Counter[str] = Counter()
    climbs: Counter[tuple[str, str]] = Counter()

    def look(frame: FrameType, event: str, _: Any) -> None:
        if event != "call":
            return
        to, back = _inside(frame), frame.f_back
        while back is not None and (come := _inside(back)) is None:
            back = back.f_back
        if to is None or back is None or come is None or come == to:
            return
        if to.split("/")[0] not in ROOMS or come.split("/")[0] not in ROOMS:
            return
        entered[to] += 1
        if come in below(to):
            climbs[come, to] += 1

    sys.setprofile(look)
    try:
        call()
    finally:
        sys.setprofile(None)
    return entered, climbs


def _inside(frame: FrameType) -> str | None:
    try:
        return Path(frame.f_code.co_filename).relative_to(PACKAGE).as_posix()
    except ValueError:
        return None


def walk_of(name: str) -> tuple[Counter[str], Counter[tuple[str, str]]]:
    """Trace one of the calls, the second of its kind: a first one also sets up what lasts."""
    a = ss.matrix(np.random.default_rng(0).standard_normal((1500, 1200)).astype(np.float32))
    CALLS[name](a)
    return walk(lambda: CALLS[name](a))


def main() -> None:
    """Print the walks."""
    for name in CALLS:
        entered, climbs = walk_of(name)
        print(
            f"{name}: {sum(entered.values())} calls into other files, {sum(climbs.values())} climbs"
        )
        for file, count in entered.most_common():
            print(f"  {count:4d}  {file}")
        for (come, to), count in climbs.most_common():
            print(f"  climb {count:4d}  {come} -> {to}")


if __name__ == "__main__":
    main()
