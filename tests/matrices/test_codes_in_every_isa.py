# SPDX-License-Identifier: BSD-3-Clause
"""Encodings give the same bits with every instruction set that this machine runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.cuda_builds import processor_runs
from tests.support.tiers import short

# Run in a process of its own: the choice is made once, at import.
SCRIPT = """
import os
import sys
import sigmascope as ss

isa = ss.show_config()["isa"]
print(isa)
if isa != os.environ["SIGMASCOPE_ISA"]:
    sys.exit()

from pathlib import Path
import numpy as np
from tests.support.encoded_blocks import LAYOUTS, assert_same_bits, dequantised, stored
from tests.support.gguf_files import blocks
from tests.support.grouped_codes import PACKINGS, Layout, random_codes

folder = Path(sys.argv[1])
for number, (name, (bits, order, word)) in enumerate(PACKINGS.items()):
    rng = np.random.default_rng(number)
    for down in (False, True):
        layout = Layout((5, 157) if not down else (33, 83), bits, order, word, down)
        for offsets in ("none", "zeros", "biases"):
            for kind in ("own", "runs", "any"):
                a, wanted = random_codes(folder / "codes", rng, layout, offsets, kind)
                case = (name, down, offsets, kind)
                assert np.asarray(a).tobytes() == wanted.tobytes(), case
                part = np.asarray(a[1:, 3:80])
                assert part.tobytes() == wanted[1:, 3:80].tobytes(), case

for layout in LAYOUTS:
    rows = blocks(layout, 600, seed=7)
    a = stored(folder, layout, rows, 3)
    wanted = dequantised(layout, rows).reshape(a.shape)
    assert_same_bits(np.asarray(a), wanted)
    assert_same_bits(np.asarray(a[1:, 5:-3]), wanted[1:, 5:-3])
"""


@pytest.mark.parametrize(
    "isa", short(["scalar", "amx"], ["scalar", "avx2", "avx512", "avx512bf16", "amx"])
)
def test_all_packings_and_block_layouts(isa: str, tmp_path: Path) -> None:
    """Whole matrices, and parts whose rows fill no vectors or cut blocks.

    They are compared with the numbers of NumPy and of the `gguf` package; the test is skipped where
    the machine has none of the instruction set.
    """
    if isa != "scalar" and not processor_runs(isa):
        pytest.skip(f"the processor has no {isa}")
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
