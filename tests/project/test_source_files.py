# SPDX-License-Identifier: BSD-3-Clause
"""Every source file: its name, its licence, its length."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.support.sources import CPP, CUDA, PACKAGE, ROOT, sources, tree_of


def written_files() -> list[Path]:
    """Every source file of the project."""
    folders = [CPP, PACKAGE, ROOT / "tests", ROOT / "benchmarks"]
    return [p for folder in folders for p in sources(folder, ".cpp", ".hpp", ".py", ".pyi")]


def test_names_say_what_is_inside() -> None:
    vague = {"utils", "util", "common", "misc", "detail", "helpers"}
    for path in written_files():
        parts = [part.removeprefix("test_").split(".")[0] for part in path.relative_to(ROOT).parts]
        assert not vague & set(parts), path


def test_every_source_file_names_its_licence_first() -> None:
    for path in [*written_files(), ROOT / "CMakeLists.txt"]:
        first = path.read_text(encoding="utf-8").split("\n", 1)[0]
        assert first in {
            "// SPDX-License-Identifier: BSD-3-Clause",
            "# SPDX-License-Identifier: BSD-3-Clause",
        }, path


def test_files_stay_readable_at_one_sitting() -> None:
    for folder, most in ((CPP, 300), (CUDA, 300), (PACKAGE, 300), (ROOT / "tests", 400)):
        long = {
            str(path.relative_to(ROOT)): lines
            for path in sources(folder, ".cpp", ".hpp", ".cu", ".cuh", ".py", ".pyi")
            if (lines := len(path.read_text(encoding="utf-8").splitlines())) > most
        }
        assert not long, f"more than {most} lines; look for the second idea in: {long}"


MANY_PARAMETERS = {
    "scan": "options of a public call, which are keywords",
    "compare": "options of a public call, which are keywords",
    "spectrum": "options of a public call, which are keywords",
    "low_rank": "options of a public call, which are keywords",
    "approximated": "those of low_rank",
    "extract": "options of a public call, which are keywords",
    "svds": "options of a public call, which are keywords",
    "triplets": "those of svds",
    "of": "options that every call shares, which are keywords",
    "from_quadrature": "two rules with the facts of their run, which are keywords",
    "demo": "options of the command line",
    "diagnose": "options of the command line",
    "lineage": "options of the command line",
    "reference": "options of the command line",
    "bench": "options of the command line",
    "resize": "options of the command line",
    "verify": "options of the command line",
    "check": "options of the command line",
    "apply": "options of a public call, which are keywords",
}
"""Functions with more than eight parameters, and why."""


def test_functions_have_few_parameters() -> None:
    """At most eight; more only by keyword, and for a reason."""
    for path in sources(PACKAGE, ".py"):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef):
                arguments = node.args
                named = [arg.arg for arg in (*arguments.posonlyargs, *arguments.args)]
                named = named[1:] if named[:1] in (["self"], ["cls"]) else named
                is_command = "cli" in path.parts or path.name == "commands.py"
                assert is_command or len(named) <= 8, (path, node.name)
                many = len(named) + len(arguments.kwonlyargs) > 8
                assert not many or node.name in MANY_PARAMETERS, (path, node.name)
