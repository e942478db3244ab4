# SPDX-License-Identifier: BSD-3-Clause
"""Commands, saved records and reports of other packages, registered by entry points."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.support.checkpoints import of_array, write_file
from tests.support.command_line import invoke

MODULE = '''
from sigmascope.extension.commands import SavedRecord, console


def greet(name: str = "you") -> None:
    """Greet a user."""
    console().print(f"hello {name}")


def show(file, record, out, alpha):
    console().print(f"{file.name} of {record['toy']} at {alpha:g}; saved as {out}")


TOYS = SavedRecord(lambda record: "toy" in record, show)
NOTHING = SavedRecord(lambda record: False, show)


def report(reference, recipe):
    if reference is None:
        return None
    return lambda out, comparison, saved: out.print(
        f"{reference}, {recipe}, {len(comparison.rows)} rows, {[path.suffix for path in saved]}"
    )
'''


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages that this process searches."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "toy_package.py").write_text(MODULE)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "toy_package", raising=False)
    return folder


def register(site: Path, group: str, **points: str) -> None:
    """Install a distribution with entry points."""
    info = site / "a_toy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: a-toy\nVersion: 1.0\n")
    lines = [f"[sigmascope.{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


def run(site: Path, *words: str) -> tuple[str, str]:
    """Run the command line in a process that finds the packages of a folder."""
    code = f"import sys\nsys.path.insert(0, {str(site)!r})\nimport sigmascope.__main__ as command\n"
    code += "command.main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
    )
    return done.stdout, done.stderr


def test_a_command_of_another_package_is_one_of_all(site: Path) -> None:
    register(site, "commands", aaa="toy_package:no_such", greet="toy_package:greet")
    out, err = run(site, "greet", "--name", "Ada")
    assert out == "hello Ada\n"
    assert err.startswith(
        "sigmascope: command 'aaa' of the package a-toy (toy_package:no_such) cannot be imported: "
    )
    assert len(err.splitlines()) == 1  # and it stops no other command
    listed, _ = run(site, "--help")
    assert "Greet a user." in listed


def test_a_record_of_another_package_is_shown(site: Path) -> None:
    """Each kind is tried; a file of no kind is named."""
    register(site, "records", a="toy_package:NOTHING", b="toy_package:TOYS")
    file = site / "x.json"
    file.write_text(json.dumps({"toy": "Ada"}), encoding="utf-8")
    status, out, _ = invoke("show", file, "--alpha", 0.1, "--out", "y.json")
    assert (status, out.splitlines()[0]) == (0, "x.json of Ada at 0.1; saved as y.json")
    file.write_text("{}", encoding="utf-8")
    status, out, err = invoke("show", file)
    assert (status, out) == (2, "")
    assert err == f"sigmascope: {file}: not a result of sigmascope\n"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("toy_package:no_such", "cannot be imported: AttributeError"),
        ("toy_package:show", "is a function, not a SavedRecord"),
    ],
)
def test_a_record_that_cannot_be_used_is_named(site: Path, target: str, message: str) -> None:
    register(site, "records", a=target)
    (site / "x.json").write_text("{}", encoding="utf-8")
    status, _, err = invoke("show", site / "x.json")
    assert status == 2
    assert f"record 'a' of the package a-toy ({target}) {message}" in err


def test_a_report_of_another_package_is_printed(site: Path, tmp_path: Path) -> None:
    register(site, "comparison_reports", a="toy_package:report")
    a = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    path = str(write_file(tmp_path / "a.safetensors", of_array("w", "F32", a)))
    page = str(tmp_path / "page.html")
    options = ["--effort", "exact", "-q", "--out", page]
    words = ["compare", path, path, *options, "--recipe", "a=1"]
    out, err = run(site, *words, "--reference", "r.json")
    assert "r.json, ['a=1'], 1 rows, ['.html']" in out, err
    out, _ = run(site, *words)
    assert "rows, [" not in out


def test_without_such_a_package_the_options_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sigmascope.cli.registered.REPORTS", "sigmascope.no_such_group")
    status, _, err = invoke("compare", tmp_path, tmp_path, "--reference", "r.json")
    assert status == 2
    assert "--reference and --recipe need sigmascope.diagnosis, which is not installed" in err
