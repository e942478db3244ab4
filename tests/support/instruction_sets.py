# SPDX-License-Identifier: BSD-3-Clause
"""Scripts in a process whose kernels are those of one instruction set."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

import sigmascope as ss

VECTOR_BITS = {"scalar": 128, "avx2": 256, "avx512": 512, "avx512bf16": 512, "amx": 512}
"""From the set that every machine has to that which the fewest have."""

_ROOT = str(Path(__file__).parents[2])
_HEAD = f"""
import sys
sys.path.insert(0, {_ROOT!r})
import sigmascope as ss
config = ss.show_config()
print(config["isa"], config["vector_bits"])
if config["isa"] != sys.argv[1]:
    sys.exit()  # this machine has another one, which runs this as well
"""


def run_with(isa: str, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script, which may import `tests`, where this set is asked for, and is there."""
    return subprocess.run(
        [sys.executable, "-c", _HEAD + script, isa],
        env={**os.environ, "SIGMASCOPE_ISA": isa},
        capture_output=True,
        text=True,
        check=False,
    )


def assert_runs_with(isa: str, script: str) -> None:
    """Run a script with this set; skip the test where the machine does not have it."""
    if isa != "scalar" and platform.machine() != "x86_64":
        pytest.skip(f"{isa} is x86-64's")
    own, known = ss.show_config()["isa"], list(VECTOR_BITS)
    if "SIGMASCOPE_ISA" not in os.environ and known.index(isa) > known.index(own):
        pytest.skip(f"this machine runs {own}, not {isa}")
    done = run_with(isa, script)
    assert done.returncode == 0, done.stderr
    chosen, bits = done.stdout.split()[:2]
    if chosen != isa:
        pytest.skip(f"this machine runs {chosen}, not {isa}")
    assert int(bits) == VECTOR_BITS[isa]
