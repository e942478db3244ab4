# SPDX-License-Identifier: BSD-3-Clause
"""Memory of matrices with few rows or columns: what a call asks for, and what it takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.peak_memory import peak, written

import sigmascope as ss

MIB = 2**20
MINIMUM, OVERHEAD = 64 * MIB, 27 * MIB
"""Bytes that are never counted one by one, and those that any call may take besides its arrays."""

_SLACK = 8 if ss.show_config()["tiles"] else 3
"""Largest ratio of what is asked for to what is used: for a line of a few numbers the formula of
tiles counts 32 of them, and the sums of every thread; 7.7 times is the most that was measured."""

_CALLS = {
    "svds": "svds(A, k, memory_limit=limit)",
    "svds by Krylov": "svds(A, k, method='krylov', memory_limit=limit)",
    "svds in float32": "svds(A, k, method='krylov', precision='float32', memory_limit=limit)",
    "svds by Gram": "svds(A, k, method='gram', memory_limit=limit)",
    "randomized_svd": "randomized_svd(A, k, memory_limit=limit)",
    "moments": "moments(A, memory_limit=limit)",
}
_WORK = """
import json, re, warnings
import numpy as np, sigmascope as ss
from sigmascope.errors import MemoryLimitError
warnings.simplefilter("ignore")
UNITS = {{"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}}
A, k = np.full({shape}, 1 / 3, {dtype!r}), {k}
A[-1, -1] *= 1 + ({k} == 1)
for small in (np.ones((20, 10)), np.ones((10, 20), "f4")):  # what is allocated once
    ss.svds(small, 2), ss.randomized_svd(small, 2), ss.moments(small)

def status(name):
    with open("/proc/self/status") as lines:
        return int(next(line.split()[1] for line in lines if line.startswith(name))) * 1024

seen, before = {{}}, status("VmRSS:")  # not later: the next call finds pages that one has kept
for name, text in {calls}.items():
    call = eval("lambda limit: ss." + text)
    try:
        call(1000)
    except MemoryLimitError as error:
        number, unit = re.search(r"needs ([0-9.]+) ([A-Za-z]+)", str(error)).groups()
    needed = float(number) * UNITS[unit]
    with open("/proc/self/clear_refs", "w") as peak:
        peak.write("5")
    call(int(1.01 * needed) + 1)
    seen[name] = needed, status("VmHWM:") - before
print(json.dumps(seen))
"""


@pytest.mark.slow
@pytest.mark.unsanitized
@pytest.mark.parametrize(
    ("shape", "dtype", "k"),
    [
        ((1, 1_000_000), "f8", 1),
        ((3, 600_000), "f8", 3),
        ((600_000, 3), "f4", 3),
    ],
    ids=["one row", "three rows", "three columns of float32"],
)
def test_calls_ask_for_little_more_than_they_take(
    shape: tuple[int, int], dtype: str, k: int
) -> None:
    """Equal rows: U is completed by random columns, and that takes the most.

    1 x 2,000,000 was refused below 684 MiB, and takes 183; blocks of one column are as wide as four
    numbers of float64, not as eight, and no panel is higher than the matrix.
    """
    work = _WORK.format(shape=shape, dtype=dtype, k=k, calls=_CALLS)
    process = subprocess.run(
        [sys.executable, "-c", work], capture_output=True, text=True, check=True
    )
    for name, (needed, used) in json.loads(process.stdout).items():
        assert used <= max(needed, MINIMUM), f"{name}: {used} of {needed}"
        assert needed <= _SLACK * max(used, 2 * OVERHEAD), f"{name}: {used} of {needed}"


_COMPARE = """
import sigmascope as ss
result = ss.compare({before!r}, {after!r}, memory_limit="1GiB", **{options})
assert result["w"]["status"] == "analysed", result["w"]["reason"]
"""


@pytest.mark.unsanitized
def test_the_vectors_of_a_pair_are_planned(tmp_path: Path) -> None:
    """Left vectors of three spectra, each as large as a matrix in float64."""
    before, after = written(tmp_path, 60_000, 64, "BF16"), tmp_path / "after.safetensors"
    content = bytearray(before.read_bytes())
    content[-2 * 64 * 40_000 :: 64] = bytes(80_000)
    after.write_bytes(content)
    options: dict[str, Any] = {"effort": "top", "k": 64, "num_threads": 1}
    planned = ss.compare(before, after, memory_limit="1GiB", **options, plan=True)["w"].peak_bytes
    work = _COMPARE.format(before=str(before), after=str(after), options=options)
    used = peak(work) - peak("from sigmascope import *")
    assert used <= planned, f"{used / MIB:.0f} of {planned / MIB:.0f} MiB"
