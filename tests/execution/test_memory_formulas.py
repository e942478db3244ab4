# SPDX-License-Identifier: BSD-3-Clause
"""Formulas of memory, in bytes, and memory of inner functions; test_memory.py measures calls."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tests.support.peak_memory import peak

import sigmascope as ss
from sigmascope._execution import memory
from sigmascope._execution.memory import MINIMUM, OVERHEAD, Need, SearchSizes
from sigmascope._execution.passes import MIB, PassLayout
from sigmascope._host.native import _core


def test_a_need_says_its_limit() -> None:
    assert Need(MIB, MIB).limit == MIB  # all else is below the minimum
    large = Need(10 * MIB, 90 * MIB)
    assert large.limit == large.peak == 100 * MIB + OVERHEAD
    assert large.plus(MIB) == Need(11 * MIB, 90 * MIB)
    assert large.nbytes == Need(10 * MIB, 90 * MIB, columns=16).nbytes == 100 * MIB
    assert large.plus_working(MIB) == Need(10 * MIB, 91 * MIB)
    assert Need(MINIMUM - OVERHEAD, 0).limit == MINIMUM - OVERHEAD
    assert Need(MINIMUM - OVERHEAD + 1, 0).limit == MINIMUM + 1


def test_formulas_in_exact_bytes() -> None:
    held = PassLayout((16384, 16384), 2, files=False, threads=2)
    values = memory.values_need(held)
    assert values.arrays == 8 * 16384**2 + 512 * 16384  # "2 GiB": the Gram matrix in float64
    again = PassLayout((16384, 16384), 2, files=True, threads=2)
    # panels of 512 rows, decoded to float64, and three of them as stored, are less than the band
    assert (
        memory.values_need(again).working
        == values.working
        == 8 * 16384 * (137 + 17 * 64) + (16 * 192**2 * 6)
    )
    # the sums of a group of panels have a square of their own, if there are several groups
    one, more = (
        _core.gram_pass_bytes(PassLayout((m, 4096), 2, files=False, threads=2), fast=False)
        for m in (32_768, 32_769)
    )
    assert more - one == 8 * 4096**2
    for width in (4, 8):  # sums of parts of 1024 rows are in float64, whatever the blocks are
        assert _core.inner_bytes(10**6, 32, 32, width) == 8 * 977 * 32 * 32
    sizes = memory.SearchSizes(64, 32, 4)
    search = memory.krylov_need(held, sizes, 774)
    assert search.arrays == 25 * 16384 * 32 * 4 + 16384 * 32 * 4  # 25 blocks, and the next
    with_vectors = memory.krylov_need(held, sizes._replace(vectors=True), 774)
    assert with_vectors.arrays == search.arrays + 2 * 16384 * 64 * 4  # U and V
    density = memory.density_need(held, 32, 500, 4)
    assert density.working == 48 * 16000**2  # of its quadrature: six squares in float64
    eight = memory.krylov_need(held, sizes._replace(block=8), 774)
    width = 16 if ss.show_config()["tiles"] else 8  # of a block of 8 floats: tiles take a line
    assert eight.arrays == 98 * 16384 * width * 4
    everything = memory.elementwise_need(again)
    assert everything.arrays == 32 * 2 * 16384
    rows = 128  # 8 MiB: 256 rows and what is found in them are a little more
    assert everything.working == (
        3 * rows * 16384 * 2 + rows * 4 * 104 + 4 * 16384 * 8 + 3 * 2**19 + 2 * 3 * MIB // 2
    )
    panels = partial(_core.stored_panel_bytes, again)
    assert panels(10, 7, 100) == 3 * 10 * 7 * 2
    assert panels(50, 7, 100) == 2 * 3 * 50 * 7 * 2  # gaps between lines may be read too
    assert _core.stored_panel_bytes(held, 10, 7, 100) == 0


@pytest.mark.parametrize("files", [False, True])
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("threads", [1, 2, 16])
@pytest.mark.parametrize("shape", [(3000, 700), (700, 3000), (100_000, 64), (40, 40)])
def test_passes_of_every_kind_hold_their_blocks_and_sums(
    shape: tuple[int, int], threads: int, wide: bool, files: bool
) -> None:
    """On any machine, whichever kind its own instruction set uses."""
    layout = PassLayout(shape, 2, files, threads, wide=wide)
    kinds = {
        "float32": partial(_core.number_pass_bytes, layout, width=4, both=True),
        "float64": partial(_core.number_pass_bytes, layout, width=8, both=True),
        "bfloat16": partial(_core.bf16_pass_bytes, layout),
        "tiles": partial(_core.tile_pass_bytes, layout, both=True),
    }
    results = {
        kind: [nbytes(columns=columns) for columns in (1, 16, 48, 200)]
        for kind, nbytes in kinds.items()
    }
    sums = 4 * 200 * min(shape)
    for nbytes in results.values():
        assert nbytes == sorted(nbytes)
        assert nbytes[-1] > sums
    one = _core.tile_pass_bytes(layout, 200, both=False)
    assert one <= results["tiles"][-1] - sums


@pytest.mark.parametrize("files", [False, True])
def test_needs_grow_with_the_matrix_and_shrink_with_panels(files: bool) -> None:
    def needs(m: int, n: int, panel_rows: int = 0) -> list[Need]:
        r = PassLayout((m, n), 4, files, 2, panel_rows)
        return [
            memory.elementwise_need(r),
            memory.krylov_need(r, SearchSizes(64, 32, 4, steered=True, density=True), 774),
            memory.graded_need(r, SearchSizes(64, 32, 4), 774),
            memory.values_need(r, fast=True),
            memory.gram_need(r, 64),
            memory.low_rank_need(r, 64, 74, 2, 4),
            memory.density_need(r, 32, 12, 4),
        ]

    for small, large in zip(needs(3000, 2000), needs(30_000, 20_000), strict=True):
        assert small.arrays < large.arrays
        assert small.peak < large.peak
    for low, high in zip(needs(30_000, 20_000, 16), needs(30_000, 20_000), strict=True):
        assert low.arrays == high.arrays
        assert low.working <= high.working


_CHANGE = """
import sigmascope as ss
from sigmascope.solvers.change import change
a, b = (ss.matrix({path!r}) for _ in range(2))
change(a[:1], b[:1])
"""


@pytest.mark.unsanitized
def test_a_pass_over_two_matrices_takes_no_more_panels_than_over_one(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.ones((10_000, 1024), np.float32))
    ready = _CHANGE.format(path=str(path))
    used = peak(f"{ready}change(a, b, num_threads=2)\n") - peak(ready)
    of_one = PassLayout((10_000, 1024), 4, files=True, threads=2)
    assert used <= memory.elementwise_need(of_one).nbytes + 4 * MIB, f"{used / MIB:.0f} MiB"


_KEPT = """
import numpy as np, sigmascope as ss
from sigmascope._execution.memory import keeping

def resident():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * 4096 / 2**20

def load(rows):
    held = ss.matrix({path!r})[:rows].load()
    return resident() if held.in_memory else None

before = resident()
with keeping():
    seen = [load(40 * 1024)]  # rows of 1 KiB
    seen += [resident(), load(40 * 1024), load(64 * 1024), resident()]
print(*(round(x - before) for x in [*seen, resident()]))
"""


@pytest.mark.slow
@pytest.mark.unsanitized
def test_what_is_freed_is_kept_up_to_what_was_held_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((64 * 1024, 256), np.float32))
    command = [sys.executable, "-c", _KEPT.format(path=str(path))]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    first, freed, again, larger, kept, after = map(int, printed.split())
    slack = 4
    assert 40 <= first <= 40 + slack
    assert freed >= 40  # its pages are still there,
    assert again <= first + slack  # and are those of the next
    assert 64 <= larger <= 64 + slack  # they make room where another size is held
    assert kept >= 64
    assert after <= 32 + slack
