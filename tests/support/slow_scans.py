# SPDX-License-Identifier: BSD-3-Clause
"""Scans that take far longer than any test waits, and their ends by signals."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import numpy as np
from tests.support.checkpoints import of_array, write_file
from tests.support.command_line import COMMAND

SLOW = ["--effort", "top", "-k", "300", "--tol", "1e-15"]


def slow_model(folder: Path) -> Path:
    """Write a checkpoint of a small matrix, one that fails, and three that take long, in turn."""
    rng = np.random.default_rng(0)
    shapes = {"first": (8, 8)} | {f"w.{i}": (1600, 1500) for i in range(3)}
    tensors = [
        of_array(name, "F32", rng.standard_normal(shape).astype(np.float32))
        for name, shape in shapes.items()
    ]
    tensors.insert(1, of_array("bad", "F32", np.full((4, 4), np.nan, np.float32)))
    return write_file(folder / "slow model.safetensors", *tensors)


def stopped(slow: Path, out: Path, number: int, *more: Path) -> subprocess.CompletedProcess[str]:
    """Send a signal to a scan that has its first two rows and is busy with the next."""
    journal = out / "x.jsonl"
    options = [option for path in (journal, *more) for option in ("--out", str(path))]
    command = [*COMMAND, "scan", str(slow), *SLOW]
    with subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            while not (journal.exists() and journal.read_bytes().count(b"\n") >= 3):
                assert process.poll() is None
                time.sleep(0.02)
            process.send_signal(number)
            stdout, stderr = process.communicate()
        finally:
            process.kill()
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)
