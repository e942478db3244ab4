# SPDX-License-Identifier: BSD-3-Clause
"""Commands whose reader leaves, and Ctrl-C before the command line is ready."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tests.support.checkpoints import of_array, write_file
from tests.support.command_line import COMMAND
from tests.support.coverings import grid

import sigmascope as ss

SIGPIPE_STATUS = 141


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two checkpoints, and the saved tables of a scan and a comparison."""
    path = tmp_path_factory.mktemp("saved")
    for seed in (0, 1):
        numbers = np.random.default_rng(seed).standard_normal((12, 8)).astype(np.float32)
        write_file(path / f"{seed}.safetensors", of_array("w", "F32", numbers))
    ss.scan(path / "0.safetensors", out=path / "scan.csv")
    ss.compare(path / "0.safetensors", path / "1.safetensors", out=path / "pair.csv")
    return path


COMMANDS = {
    "in the short tier": ["show scan.csv", "scan 0.safetensors --quiet --json", "manual"],
    "in the slow tier": [
        "show pair.csv",
        "info 0.safetensors",
        "info 0.safetensors --json",
        "scan 0.safetensors --quiet",
        "scan 0.safetensors --plan",
        "compare 0.safetensors 1.safetensors --quiet",
        "trajectory 0.safetensors 1.safetensors --step 0 --step 1 --quiet",
        "reference 0.safetensors --quiet",
        "--help",
        "scan --help",
        "--version",
    ],
}

FORKED = """
import json, os, sys, tempfile
import sigmascope.__main__, sigmascope.cli.app

sigmascope.open_checkpoint("0.safetensors").info()  # what is read and compiled once for all forks
ends = {}
for command in json.load(sys.stdin):
    reading, writing = os.pipe()
    os.close(reading)
    with tempfile.TemporaryFile() as messages:
        child = os.fork()
        if child == 0:
            os.dup2(writing, 1)
            os.dup2(messages.fileno(), 2)
            sys.argv = ["sigmascope", *command.split()]
            sys.exit(sigmascope.__main__.main())
        os.close(writing)
        _, status = os.waitpid(child, 0)
        messages.seek(0)
        ends[command] = os.waitstatus_to_exitcode(status), messages.read().decode()
json.dump(ends, sys.stdout)
"""
"""A program whose forks run a command each, into a pipe that nobody reads, to the end of Python."""


@pytest.fixture(scope="module")
def ends(request: pytest.FixtureRequest, folder: Path) -> dict[str, tuple[int, str]]:
    """The status of each command whose reader has left, and what it says on standard error."""
    done = subprocess.run(
        [COMMAND[0], "-c", FORKED],
        input=json.dumps(COMMANDS[request.param]),
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.stderr == ""
    outcomes = {command: tuple(end) for command, end in json.loads(done.stdout).items()}
    assert list(outcomes) == COMMANDS[request.param]
    return outcomes


@pytest.mark.parametrize(
    "ends",
    [
        "in the short tier",
        pytest.param("in the slow tier", marks=pytest.mark.slow),
    ],
    indirect=True,
)
def test_a_reader_that_leaves_ends_a_command_quietly(ends: dict[str, tuple[int, str]]) -> None:
    """As `| head -0` does; the status is that of a program that SIGPIPE ended."""
    assert ends == dict.fromkeys(ends, (SIGPIPE_STATUS, ""))


@pytest.mark.slow
@pytest.mark.parametrize("command", ["config", "manual"])
def test_a_reader_that_leaves_a_process_of_its_own_ends_it_quietly(command: str) -> None:
    process = subprocess.Popen(
        [*COMMAND, *command.split()], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process:
        assert process.stderr.read() == b""
    assert process.returncode == SIGPIPE_STATUS


@grid(name={"module": "-m", "script": "sigmascope"}, module=["numpy", "typer"])
def test_ctrl_c_during_the_imports_leaves_no_traceback(
    module: str, name: str, tmp_path: Path
) -> None:
    """A module of the same name, found first, stands for a slow import."""
    slow = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n"
    (tmp_path / f"{module}.py").write_text(slow)
    script = tmp_path / "sigmascope"  # as pip writes the command
    script.write_text("from sigmascope.__main__ import main\nmain()\n")
    command = COMMAND if name == "-m" else [COMMAND[0], str(script)]
    package = str(Path(ss.__file__).parents[1])
    paths = os.pathsep.join([str(tmp_path), package, os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [*command, "config"],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")  # 130 in a shell
