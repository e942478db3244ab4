# SPDX-License-Identifier: BSD-3-Clause
"""A matrix ten times the memory limit is scanned within the limit and a stated constant."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from checkpoints import entry

from sigmascope import plan

ROWS, COLUMNS = 82_000, 2048
NBYTES = ROWS * COLUMNS * 4
LIMIT = 64 * 2**20

# Not ru_maxrss: a child begins with what its parent held when it was forked, and a test run that
# has imported a large library would hide all that the child uses. VmHWM belongs to the program.
_PEAK = """
{work}
with open("/proc/self/status") as status:
    print(next(line.split()[1] for line in status if line.startswith("VmHWM:")))
"""
_IMPORT = "import sigmascope"
_SCAN = """
import sigmascope as ss
options = {{"memory_limit": {limit}, "num_threads": {threads}, "reading": {reading!r}}}
found = ss.scan({path!r}, effort="density", k=16, **options)
row = found["w"]
assert row["status"] == "analysed", row["reason"]
assert row["converged"] and row["effort"] == "density"
assert row["effective_rank"] > 16
"""


def peak(work: str) -> int:
    """Return the peak resident bytes of a fresh interpreter that does some work."""
    found = subprocess.run(
        [sys.executable, "-c", _PEAK.format(work=work)], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    return int(found.stdout) * 1024


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise, and a few directions above it: written piece by piece."""
    path = tmp_path_factory.mktemp("large") / "large.safetensors"
    header = json.dumps({"w": entry("F32", (ROWS, COLUMNS), (0, NBYTES))}).encode()
    rng = np.random.default_rng(0)
    piece = rng.standard_normal((1000, COLUMNS), dtype=np.float32)
    spikes = rng.standard_normal((24, COLUMNS), dtype=np.float32)
    with open(path, "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for _ in range(ROWS // 1000):
            # rows turned against each other, so that the pieces are not copies
            weights = rng.standard_normal((1000, 24), dtype=np.float32) * np.geomspace(1, 0.2, 24)
            rows = np.roll(piece, rng.integers(1000), 0) + weights @ spikes
            file.write(rows.astype("<f4").tobytes())
    return path


def test_the_measurement_sees_what_is_allocated() -> None:
    held = np.ones(2**24)  # of this process: it must not count
    more = peak("import numpy as np; a = np.ones(2**23)") - peak("import numpy as np")
    assert 0.9 * 2**26 <= more <= 1.2 * 2**26
    assert held.sum() == 2**24


@pytest.mark.unsanitized
@pytest.mark.parametrize(
    ("threads", "reading"), [(1, "buffered"), (2, "buffered"), (5, "buffered"), (2, "uncached")]
)
def test_peak_memory_of_a_scan(large: Path, threads: int, reading: str) -> None:
    assert large.stat().st_size >= 10 * LIMIT
    scan = _SCAN.format(path=str(large), limit=LIMIT, threads=threads, reading=reading)
    used = peak(scan) - peak(_IMPORT)
    assert used <= LIMIT + plan._WORKING_BYTES, f"{used / 2**20:.0f} MiB"
