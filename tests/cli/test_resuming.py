# SPDX-License-Identifier: BSD-3-Clause
"""The command that continues a run whose disk is full: complete, quoted, and right."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.support.checkpoints import of_array, write_file
from tests.support.command_line import COMMAND, invoke

MODEL = "my model.safetensors"
MODULE = "/nowhere/__main__.py"
"""The first word of a run that `python -m` started."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the run, with a model, and a journal on a full disk."""
    numbers = np.random.default_rng(0).standard_normal((6, 4)).astype("f4")
    write_file(tmp_path / MODEL, of_array("w", "F32", numbers))
    (tmp_path / "full.jsonl").symlink_to("/dev/full")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command_after(monkeypatch: pytest.MonkeyPatch, program: str, *arguments: str) -> list[str]:
    """Call a command that fails, and return the words of the one that it says to run."""
    monkeypatch.setattr(sys, "argv", [program, *arguments])
    status, out, err = invoke(*arguments)
    assert status == 2
    assert "full.jsonl: No space left on device" in err
    assert "Saved" not in out
    *_, words, line = out.splitlines()
    assert words == "To continue, run:"
    return shlex.split(line)


def test_a_full_disk_names_the_command_too(monkeypatch: pytest.MonkeyPatch) -> None:
    words = command_after(monkeypatch, MODULE, "scan", MODEL, "--out", "full.jsonl")
    assert words == [*COMMAND, "scan", MODEL, "--resume", "full.jsonl"]


def test_nothing_but_rows_as_json_is_on_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = "scan", MODEL, "--out", "full.jsonl", "--json"
    monkeypatch.setattr(sys, "argv", [MODULE, *arguments])
    status, out, err = invoke(*arguments)
    assert status == 2
    assert out == ""
    assert "To continue, run:" in err


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--out=full.jsonl", "--resume=full.jsonl"),
        ("-q --out x.csv --out full.jsonl -k 2", "-q --out x.csv --resume full.jsonl -k 2"),
    ],
    ids=["one word", "the second output"],
)
def test_the_journal_becomes_the_one_to_resume(
    options: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = command_after(monkeypatch, MODULE, "scan", MODEL, *options.split())
    assert words == [*COMMAND, "scan", MODEL, *expected.split()]


def test_the_program_is_named_as_it_can_be_called(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = folder / "sigmascope"
    script.write_text("#!/bin/sh\n", encoding="utf-8")
    script.chmod(0o755)
    for path, program in (("/nowhere", str(script)), (str(folder), "sigmascope")):
        monkeypatch.setenv("PATH", path)
        words = command_after(monkeypatch, str(script), "scan", MODEL, "--out", "full.jsonl")
        assert words[:2] == [program, "scan"]
