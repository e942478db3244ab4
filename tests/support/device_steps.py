# SPDX-License-Identifier: BSD-3-Clause
"""The work of one step of a search on a device of 132 multiprocessors, as the simulator counts it.

``python -m tests.support.device_steps`` prints a table. A step multiplies a block by A and by its
transpose. Blocks of threads, launches, waits, and what the blocks do are counted, of one block of
each grid, which is the largest; bytes are those of the device's memory: a matrix is read as often
as blocks of threads load it, and what a cache of 50 MB holds is read once.
"""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np

import sigmascope as ss
from sigmascope._execution.memory_plan import CallMemory
from sigmascope._execution.options import CallOptions
from sigmascope.solvers.krylov import KrylovSettings

MULTIPROCESSORS = 132
CACHE = 50_000_000
MEMORY = 80 << 30
COLUMNS = 16
GROUP = 1024  # terms that a block of threads adds up

SHAPES = [(4096, 4096), (8192, 28672), (576, 1536), (64, 1_000_000)]
LAYOUTS = {"by rows": "C", "by columns": "F"}
KINDS = {
    "bf16": (ml_dtypes.bfloat16, "split"),
    "f16": (np.float16, "split"),
    "f8": (ml_dtypes.float8_e4m3fn, "split"),
    "f32": (np.float32, "float32"),
    "f32, steered": (np.float32, "mixed"),
    "f64": (np.float64, "float64"),
}
"""Dtypes of the matrix, and the precision in which a search multiplies it."""

_TILES = {  # rows and columns that a block of threads of a product has, by its template arguments
    r"multiply_group<(\d+), \w+, \d>": lambda width: (128, width),
    r"multiply_group<\w+, (\d+), \w+>": lambda width: (2048 // width, width),
}


@dataclass(frozen=True, slots=True)
class Step:
    """The work of one step after the first two.

    Attributes
    ----------
    blocks : int
        Blocks of threads of the smallest grid of a product.
    launches, waits : int
        Kernels that are launched, and waits of the host.
    moved, least : int
        Bytes of the device's memory: those that are read and written, and those that must be: the
        numbers twice, and the block, its image and the result once.
    instructions : int
        Instructions of warps in products: of tensor cores and fused multiply-adds, loads of
        fragments, and copies to shared memory.
    products : int
        Those of them that multiply.
    kernels : tuple of str
        The kernels, in their order.
    """

    blocks: int
    launches: int
    waits: int
    moved: int
    least: int
    instructions: int
    products: int
    kernels: tuple[str, ...]

    @property
    def idle(self) -> float:
        """The share of multiprocessors that the smallest product leaves idle."""
        return 1 - min(self.blocks / MULTIPROCESSORS, 1)

    @property
    def excess(self) -> float:
        """The bytes that are moved over those that must be."""
        return self.moved / self.least


def count_step(
    module: ModuleType,
    kind: str,
    shape: tuple[int, int],
    order: str,
    columns: int = COLUMNS,
    precision: str = "",
) -> Step:
    """Count the third step on a matrix of zeros.

    `module`: the simulated device. `precision`: default, that of `KINDS`.
    """
    dtype, usual = KINDS[kind]
    precision = precision or usual
    module.simulator.restart(counted_blocks=1, timing="eager", memory=MEMORY, order="forward")
    a = ss.matrix(np.zeros(shape, dtype, order=order))
    in_f64 = precision == "float64"
    call = CallOptions.of(a, device="cuda", precision="float64" if in_f64 else "float32")
    call = dataclasses.replace(call, precision=precision)
    settings = KrylovSettings(shape, 64, 1e-3, columns, precision, vectors=True, density=False)
    plan = CallMemory(a, call).device_plan(settings.need(), "a search")
    seen: list[tuple[int, dict[str, int]]] = []
    module.simulator.steps(
        a.native,
        columns,
        3,
        f64=in_f64,
        transposed=False,
        rounded=precision == "mixed",
        before=lambda _: seen.append((len(module.simulator.launches()), module.simulator.counts())),
        panel_rows=0,
        threads=1,
        load_bytes=0,
        progress=None,
        device=0,
        **plan.native(),
    )
    assert module.simulator.violation() == ""
    (first, before), (end, after) = seen[2:]
    assert after["bytes_to_device"] == before["bytes_to_device"]
    number = 8 if in_f64 else 4
    bf16 = 4 if (kind, precision) == ("f16", "split") else 2  # two numbers, or one
    stored = number if precision in ("float32", "float64") else bf16
    block = sum(shape) * columns * number  # with its image
    parts = {"split": 3, "mixed": 1}.get(precision, 0)
    split = sum(shape) * columns * (number + 2 * parts) if parts else 0
    step = _summed(module.simulator.launches()[first:end], number)
    return dataclasses.replace(
        step,
        waits=after["waits"] - before["waits"],
        moved=step.moved + block + split,
        least=2 * shape[0] * shape[1] * stored + 2 * block,
    )


def _summed(launches: list[dict[str, Any]], number: int) -> Step:
    """Add up the products of a step; `number`: bytes of one of a block."""
    step = Step(0, len(launches), 0, 0, 0, 0, 0, ())
    sums = 0  # bytes of the last product
    grids = []
    for launch in launches:
        named = re.search(r"::(\w+(?:<[^>]*>)?)\]?$", launch["kernel"])
        name = named.group(1) if named else launch["kernel"]
        times = launch["blocks"] // launch["blocks_run"]
        moved = 2 * sums if name.startswith("add_groups") else 0
        of_warps = {key: launch[key] // 32 * times for key in ("tiles", "fragments", "copies")}
        fused = 0
        for pattern, tile in _TILES.items():
            if match := re.fullmatch(pattern, name):
                rows, width = tile(int(match.group(1)))
                grids.append(launch["blocks"])
                sums = launch["blocks"] * rows * width * number
                if not of_warps["tiles"]:
                    fused = launch["blocks"] * rows * width * GROUP // 32
        for size, copied in launch["bytes_copied"].items():
            moved += copied * times if size > CACHE else min(copied * times, size)
        step = dataclasses.replace(
            step,
            moved=step.moved + moved,
            instructions=step.instructions + sum(of_warps.values()) + fused,
            products=step.products + of_warps["tiles"] + fused,
            kernels=(*step.kernels, name),
        )
    return dataclasses.replace(step, blocks=min(grids))


def load_simulated_module() -> ModuleType:
    """Build the module for simulated devices, and put it where the package looks for its own."""
    from tests.support.cuda_module import load

    module = load()
    sys.modules["sigmascope._cuda"] = ss._cuda = module  # type: ignore[attr-defined]
    os.environ["SIGMASCOPE_SIMULATED"] = "1"
    return module


def _rows() -> list[str]:
    module = load_simulated_module()
    rows = [
        "| matrix | blocks | idle | launches | bytes | least | times | instructions | multiply |"
    ]
    rows.append("| --- |" + " ---: |" * 8)
    for shape in SHAPES:
        for kind in KINDS:
            for name, order in LAYOUTS.items():
                step = count_step(module, kind, shape, order)
                multiply = step.products / step.instructions
                rows.append(
                    f"| {shape[0]:,} x {shape[1]:,} {kind}, {name} | {step.blocks:,} "
                    f"| {step.idle:.0%} | {step.launches} | {step.moved / 1e6:,.0f} MB "
                    f"| {step.least / 1e6:,.0f} MB | {step.excess:.2f} "
                    f"| {step.instructions / 1e6:,.1f} M | {multiply:.0%} |"
                )
    return rows


if __name__ == "__main__":
    print("\n".join(_rows()))
