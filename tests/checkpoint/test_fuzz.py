# SPDX-License-Identifier: BSD-3-Clause
"""A few hundred strange files for every reader; `python -m tests.fuzz` reads more of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.fuzz import read
from tests.support.fuzzing import READERS, make

SEEDS = [*range(60)]


COSTLY = {("rules", 27), ("rules", 39)}
"""Files that take more time than all others together."""


@pytest.mark.parametrize(
    "short",
    [
        pytest.param(True, id="every third"),
        pytest.param(False, id="the others", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("reader", READERS)
def test_strange_files_are_refused_or_read(reader: str, short: bool, tmp_path: Path) -> None:
    names = set()
    for seed in SEEDS:
        if (seed % 3 == 0 and (reader, seed) not in COSTLY) != short:
            continue
        folder = tmp_path / str(seed)
        folder.mkdir()
        names.add(read(reader, make(reader, seed, folder)))
    assert "read" in names


def test_one_seed_is_one_file(tmp_path: Path) -> None:
    for reader in READERS:
        for number in range(2):
            (tmp_path / f"{reader}{number}").mkdir()
        first, second = (make(reader, 7, tmp_path / f"{reader}{number}") for number in range(2))
        files = [sorted(p.rglob("*")) if p.is_dir() else [p] for p in (first, second)]
        if reader not in ("table", "pickle"):  # zip archives and scans hold times
            assert [f.read_bytes() for f in files[0]] == [f.read_bytes() for f in files[1]]


ROOT = Path(__file__).parents[2]

FAILURES = """
import os, signal
from tests import fuzz

def read(reader, path):
    seed = int(path.read_text())
    if seed == 11:
        raise AssertionError("another number")
    if seed == 12:
        bytearray(2 << 30)
    if seed == 14:
        os.kill(os.getpid(), signal.SIGSEGV)
    if seed == 17:
        print("half a line", end="", flush=True)
        os._exit(3)
    return "refused" if seed % 2 else "read"

def make(reader, seed, folder):
    (folder / "file").write_text(str(seed))
    return folder / "file"

fuzz.read, fuzz.make = read, make
first = 10
while first < 20:
    refused, accepted, first, failures = fuzz.batch("gguf", first, 20 - first)
    shown = [(seed, why.strip().splitlines()[-1]) for seed, why in failures]
    print(refused, accepted, first, shown)
"""


@pytest.mark.slow
@pytest.mark.unsanitized
def test_files_after_a_failure_are_read_too() -> None:
    """Exceptions, too much memory and the end of a process: each with its seed."""
    done = subprocess.run(
        [sys.executable, "-c", FAILURES], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.splitlines() == [
        "1 1 15 [(11, 'AssertionError: another number'), (12, 'MemoryError'), "
        "(14, 'ended with -11:')]",
        "1 1 18 [(17, 'ended with 3:')]",
        "1 1 20 []",
    ]
