# SPDX-License-Identifier: BSD-3-Clause
"""Encodings give the same bits with every instruction set that this machine runs."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

# Run in processes of their own: the choice is made once, at import.
GROUPS = """
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


BLOCKS = """
import os
import sys
from pathlib import Path
import numpy as np
from tests.matrices.test_encoded_matrices import LAYOUTS, assert_same_bits, dequantised, stored
from tests.support.gguf_files import blocks
import sigmascope as ss

folder, isa = Path(sys.argv[1]), ss.show_config()["isa"]
print(isa)
if isa != os.environ["SIGMASCOPE_ISA"]:
    sys.exit()
for layout in LAYOUTS:
    found = blocks(layout, 600, seed=7)
    a = stored(folder, layout, found, 3)
    wanted = dequantised(layout, found).reshape(a.shape)
    assert_same_bits(np.asarray(a), wanted)
    assert_same_bits(np.asarray(a[1:, 5:-3]), wanted[1:, 5:-3])
"""

EVERY_ISA = pytest.mark.parametrize("isa", ["scalar", "avx2", "avx512", "avx512bf16", "amx"])


@EVERY_ISA
def test_all_packings_offsets_and_groups(isa: str, tmp_path: Path) -> None:
    """Whole matrices, and parts whose rows do not fill vectors, against NumPy."""
    run(GROUPS, isa, tmp_path)


@EVERY_ISA
def test_all_block_layouts(isa: str, tmp_path: Path) -> None:
    """Whole matrices, and parts that cut blocks, against the `gguf` package."""
    run(BLOCKS, isa, tmp_path)


def run(script: str, isa: str, folder: Path) -> None:
    """Run a script with an instruction set; skip the test if the machine has none of it."""
    if isa != "scalar" and platform.machine() != "x86_64":
        pytest.skip(f"{isa} is x86-64's")
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)],
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
