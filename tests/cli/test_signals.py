# SPDX-License-Identifier: BSD-3-Clause
"""Scans that a signal ends: what is printed and kept, and the command that goes on."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from tests.support.checkpoints import of_array, write_file
from tests.support.command_line import COMMAND
from tests.support.slow_scans import SLOW, slow_model, stopped

from sigmascope.results import Scan


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that takes long, whose path a shell needs in quotes."""
    return slow_model(tmp_path_factory.mktemp("slow"))


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143)],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_ctrl_c_and_a_polite_kill_save_what_was_done(
    slow: Path, tmp_path: Path, number: int, status: int
) -> None:
    """The status is that of the signal, although a tensor failed before."""
    table = tmp_path / "x.csv"
    ended = stopped(slow, tmp_path, number, table)
    assert ended.returncode == status
    assert "Traceback" not in ended.stderr
    assert "interrupted after" in ended.stdout
    journal = Scan.load(tmp_path / "x.jsonl")
    assert [row["name"] for row in journal.failed] == ["bad"]
    assert "first" in [row["name"] for row in journal.analysed]
    assert 2 <= len(journal) < 5
    assert not journal.complete
    assert Scan.load(table).rows == journal.rows
    *_, words, line = ended.stdout.splitlines()
    assert words == "To continue, run:"
    paths = ["--resume", str(tmp_path / "x.jsonl"), "--out", str(table)]
    assert shlex.split(line) == [*COMMAND, "scan", str(slow), *SLOW, *paths]


@pytest.mark.parametrize(
    ("number", "status"),
    [
        pytest.param(signal.SIGINT, 130, id="Ctrl-C"),
        pytest.param(signal.SIGTERM, 143, id="SIGTERM", marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_ends_the_processes_too(
    slow: Path, tmp_path: Path, number: int, status: int
) -> None:
    """Without a word of theirs, and what they did is there to go on with, by the same command."""
    path = tmp_path / "x.jsonl"
    command = [*COMMAND, "scan", str(slow), "--workers", "2", "--quiet", "--resume", str(path)]
    command += SLOW
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            while not (path.exists() and path.read_bytes().count(b"\n") >= 3):
                assert process.poll() is None
                time.sleep(0.02)
            if number == signal.SIGINT:
                os.killpg(process.pid, number)  # as a terminal does
            else:
                process.send_signal(number)
            stdout, stderr = process.communicate()
        finally:
            process.kill()
    assert (process.returncode, stderr) == (status, "")
    assert "interrupted after" in stdout
    assert shlex.split(stdout.splitlines()[-1]) == command
    assert Scan.load(path).rows[0]["name"] == "first"


@pytest.mark.parametrize(
    "workers",
    [
        pytest.param([], id="in one process"),
        pytest.param(["--workers", "2"], id="with workers", marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_is_ignored_where_the_parent_ignores_it(tmp_path: Path, workers: list[str]) -> None:
    """As in a shell's background: the scan goes on to its end, and so do its processes."""
    rng = np.random.default_rng(0)
    tensors = [of_array("first", "F32", rng.standard_normal((8, 8)).astype("f4"))]
    numbers = rng.standard_normal((500, 400)).astype("f4")
    tensors += [of_array(f"w.{i}", "F32", numbers) for i in range(4)]
    path, journal = write_file(tmp_path / "m.safetensors", *tensors), tmp_path / "x.jsonl"
    options = ["--quiet", "--effort", "exact", "--out", str(journal), *workers]
    with subprocess.Popen(
        ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", *COMMAND, "scan", str(path), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            while process.poll() is None:
                if journal.exists() and b"\n" in journal.read_bytes():
                    os.killpg(process.pid, signal.SIGINT)
                time.sleep(0.02)
            _, stderr = process.communicate()
        finally:
            process.kill()
    assert (process.returncode, stderr) == (0, "")
    assert len(Scan.load(journal).analysed) == 5


def test_a_hard_kill_leaves_a_journal(slow: Path, tmp_path: Path) -> None:
    ended = stopped(slow, tmp_path, signal.SIGKILL)
    assert ended.returncode == -signal.SIGKILL
    journal = Scan.load(tmp_path / "x.jsonl")
    assert "first" in [row["name"] for row in journal.analysed]
    assert journal.expected == 5


def test_a_run_without_a_journal_says_what_would_help(slow: Path, tmp_path: Path) -> None:
    """Rows are in a table only once all of them are there."""
    command = [*COMMAND, "scan", str(slow), *SLOW, "--out", str(tmp_path / "x.csv")]
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
        "No row was saved in a journal. A run with --resume FILE can be continued."
    )
