# SPDX-License-Identifier: BSD-3-Clause
"""Every source file: its name, its licence, its length."""

from __future__ import annotations

from pathlib import Path

from tests.support.sources import CPP, PACKAGE, ROOT, sources


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
    for folder, most in ((CPP, 300), (PACKAGE, 300), (ROOT / "tests", 400)):
        long = {
            str(path.relative_to(ROOT)): lines
            for path in sources(folder, ".cpp", ".hpp", ".py", ".pyi")
            if (lines := len(path.read_text(encoding="utf-8").splitlines())) > most
        }
        assert not long, f"more than {most} lines; look for the second idea in: {long}"
