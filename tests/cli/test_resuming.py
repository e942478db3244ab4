# SPDX-License-Identifier: BSD-3-Clause
"""The command that continues an interrupted run: complete, quoted, and right."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.support.checkpoints import of_array, write_file
from tests.support.command_line import COMMAND
from tests.support.slow_scans import SLOW, slow_model, stopped

import sigmascope as ss
from sigmascope.cli.resuming import command_again, program


@pytest.mark.parametrize(
    ("arguments", "resume", "out", "words"),
    [
        (["scan", "a b", "--resume", "x.jsonl"], "x.jsonl", [], None),
        (["scan", "m", "--out", "x.jsonl"], None, ["x.jsonl"], "scan m --resume x.jsonl"),
        (["scan", "m", "--out=x.jsonl"], None, ["x.jsonl"], "scan m --resume=x.jsonl"),
        (
            ["scan", "m", "--out", "x.csv", "--out", "x.jsonl", "-q"],
            None,
            ["x.csv", "x.jsonl"],
            "scan m --out x.csv --resume x.jsonl -q",
        ),
    ],
)
def test_the_journal_becomes_the_one_to_resume(
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    resume: str | None,
    out: list[str],
    words: str | None,
) -> None:
    monkeypatch.setattr(sys, "argv", ["/nowhere/__main__.py"])
    found = command_again(arguments, None if resume is None else Path(resume), list(map(Path, out)))
    assert found is not None
    expected = arguments if words is None else words.split()
    assert shlex.split(found) == [sys.executable, "-m", "sigmascope", *expected]


def test_without_a_journal_there_is_no_command() -> None:
    assert command_again(["scan", "m", "--out", "x.csv"], None, [Path("x.csv")]) is None


def test_the_program_is_named_as_it_can_be_called(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = tmp_path / "sigmascope"
    script.write_text("#!/bin/sh\n", encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(script)])
    monkeypatch.setenv("PATH", "/nowhere")
    assert program() == [str(script)]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program() == ["sigmascope"]


def test_ctrl_c_names_the_command(tmp_path: Path) -> None:
    slow = slow_model(tmp_path)
    found = stopped(slow, tmp_path, signal.SIGINT)
    assert found.returncode == 130
    line = found.stdout.splitlines()[-1]
    assert found.stdout.splitlines()[-2] == "To continue, run:"
    words = shlex.split(line)
    assert words[: len(COMMAND) + 2] == [*COMMAND, "scan", str(slow)]
    assert words[-2:] == ["--resume", str(tmp_path / "x.jsonl")]
    assert 2 <= len(ss.Scan.load(tmp_path / "x.jsonl")) < 5


def test_a_full_disk_names_the_command_too(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).standard_normal((6, 4)).astype("f4")
    path = write_file(tmp_path / "my model.safetensors", of_array("w", "F32", numbers))
    (tmp_path / "full.jsonl").symlink_to("/dev/full")
    found = subprocess.run(
        [*COMMAND, "scan", str(path), "--out", str(tmp_path / "full.jsonl")],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ),
    )
    assert found.returncode == 2
    assert found.stdout.splitlines()[-2] == "To continue, run:"
    words = shlex.split(found.stdout.splitlines()[-1])
    assert words == [*COMMAND, "scan", str(path), "--resume", str(tmp_path / "full.jsonl")]
    assert "Saved" not in found.stdout


def test_a_run_without_a_journal_says_what_would_help(tmp_path: Path) -> None:
    command = [*COMMAND, "scan", str(slow_model(tmp_path)), *SLOW]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            process.stderr.readline()  # the first matrix is done
            process.send_signal(signal.SIGINT)
            stdout, _ = process.communicate()
        finally:
            process.kill()
    assert process.returncode == 130
    assert stdout.splitlines()[-1] == (
        "No row is in a journal: a run with --resume FILE can be continued."
    )
