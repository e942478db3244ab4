# SPDX-License-Identifier: BSD-3-Clause
"""Codes in groups give the same bits with every instruction set that this machine runs."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

# Run in a process of its own: the choice is made once, at import.
SCRIPT = """
import os
import sys
from pathlib import Path
import numpy as np
from tests.matrices.test_codes_in_groups import ORDERS, made
import sigmascope as ss
from sigmascope.matrices.groups import Packing

folder, isa = Path(sys.argv[1]), ss.show_config()["isa"]
print(isa)
if isa != os.environ["SIGMASCOPE_ISA"]:
    sys.exit()
for number, (name, (bits, order, word)) in enumerate(ORDERS.items()):
    rng = np.random.default_rng(number)
    for down in (False, True):
        packing = Packing((5, 157) if not down else (33, 83), bits, order, word, down)
        for offsets in ("none", "zeros", "biases"):
            for kind in ("own", "runs", "any"):
                a, _, wanted = made(folder / "codes", rng, packing, offsets, kind)
                case = (name, down, offsets, kind)
                assert np.asarray(a).tobytes() == wanted.tobytes(), case
                part = np.asarray(a[1:, 3:80])
                assert part.tobytes() == wanted[1:, 3:80].tobytes(), case
"""


@pytest.mark.parametrize("isa", ["scalar", "avx2", "avx512", "avx512bf16", "amx"])
def test_all_packings_offsets_and_groups(isa: str, tmp_path: Path) -> None:
    """Whole matrices, and parts whose rows do not fill vectors, against NumPy."""
    if isa != "scalar" and platform.machine() != "x86_64":
        pytest.skip(f"{isa} is x86-64's")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        env={**os.environ, "SIGMASCOPE_ISA": isa},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    chosen = done.stdout.strip()
    if chosen != isa:
        pytest.skip(f"this machine runs {chosen}, not {isa}")
