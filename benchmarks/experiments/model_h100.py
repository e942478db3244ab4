# SPDX-License-Identifier: BSD-3-Clause
"""A model of the times on an H100: a sum of counted work over rates of data sheets.

    python -m benchmarks.experiments.model_h100            # a minute or two
    python -m benchmarks.experiments.model_h100 --steps 21

It needs no GPU, and nothing in it was measured on one. The simulator counts bytes, instructions,
launches and waits. A search on the CPU gives the error after each step; from these errors follows
when a device, whose steps cost less, checks for convergence. `--steps` takes a number of steps
instead, and the errors that were measured on 2026-12-03. On that day searches in bf16, fp16 and
fp32 took 20 steps each on the CPU, with rounded products and (fp32) with full ones, and checked 16
times, as `due_checks` computes them too with the CPU's factor of costs, 4.6.
"""

from __future__ import annotations

import argparse
import math
import time
import warnings
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from tests.support.device_steps import Step, count_step, load_simulated_module

import sigmascope as ss
from sigmascope._execution import costs
from sigmascope._host.native import _core
from sigmascope.bench.workloads import llm, numpy_dtype

from .gpu_parts import TOLERANCE, TOP, weights
from .gpu_scan import PROJECTIONS

SHAPE, BLOCK = (8192, 28672), 16
NUMBERS = SHAPE[0] * SHAPE[1]

MEMORY_RATE, SURVEY_RATE = 3.0e12, 1.0e12
"""Bytes per second of the device's memory: below the nominal 3.35e12; and of a survey, assumed."""

ISSUE_RATE = 0.5 * 4 * 132 * 1.75e9
"""Warp instructions per second: four per cycle and multiprocessor, at half of that, assumed."""

TENSOR_RATE, BASIS_RATE = 6.0e14, 2.0e12
"""Flops per second of tensor cores, at 60 % of their peak, and of orthogonalization: assumed."""

LAUNCH, WAIT = 5e-6, 10e-6
LINK_RATE, FILLERS, FILLER_RATE = 50e9, 4, 10e9
"""Bytes per second of the link, threads that fill pinned memory, and the rate of each."""

DISK_RATE, LAYERS, AT_ONCE = 7e9, 8, 8
"""Bytes per second of an NVMe disk; layers of a scan (13.7 GB); matrices that it analyses at once,
with a thread of the host for each."""

ERRORS = [
    *(16.53, 15.23, 11.31, 10.52, 9.48, 8.35, 7.13, 5.72, 4.27, 3.17),
    *(3.56, 2.58, 2.20, 1.91, 1.46, 0.747),
]
"""Largest residual over its tolerance, from the fifth step on: searches in bf16 on the CPU that
`max_passes` ended."""

ORDERS = [*range(80, 225, 16), *range(122, 203, 16)]
"""Columns of the basis at those steps; it was restarted after 224."""

TARGETS = {"bf16": 30.0, "fp32, rounded steps": 45.0}
FROM_NUMPY, SCAN_SHARE = 15.0, 0.8
"""Milliseconds that a search may take, and may take longer from an array of NumPy; and the least
rate of a scan over that of the slower of disk and link."""

SOURCES = {
    "survey": "bytes over an assumed rate",
    "conversion": "bytes over the rate of memory",
    "products of steps": "counted on the simulator: bytes, instructions or flops, over rates",
    "orthogonalization": "flops over an assumed rate",
    "product of the answer": "as for steps, 64 columns",
    "launches": "counted in a simulated search, 5 us each",
    "waits": "counted in a simulated search, 10 us each",
    "checks on the host": "timed on this machine, one thread",
}
"""The parts of a search, and the origin of their seconds."""

CASES = {
    "bf16": ("bf16", "mixed", "split", 2, 0),
    "fp16": ("f16", "mixed", "split", 2, 2 + 2 + 2 + 4),
    "fp32, rounded steps": ("f32", "mixed", "float32", 4, 4 + 2),
    "fp32, full steps": ("f32", "float32", "float32", 4, 0),
}
"""Kind of `device_steps`, precisions of steps and of the answer; bytes of a number, and those that
are read and written to convert it. fp16 is rounded for steps, and split in two for the answer."""


@dataclass(frozen=True, slots=True)
class Search:
    """The counted work of a search.

    `stored` and `converted` are bytes: of the matrix, and those read and written to convert it.
    `answer` is the last product, which has a column for each value. `checks` are seconds of the
    host. `launches` and `waits` are those of the whole search for each step.
    """

    stored: int
    converted: int
    step: Step
    answer: Step
    uses_tensor_cores: tuple[bool, bool]
    steps: int
    checks: list[float]
    launches: float
    waits: float


def step_seconds(step: Step, uses_tensor_cores: bool) -> float:
    """Return the longest of three: moving bytes, issuing instructions, multiplying."""
    flops = 2 * 16 * 8 * 16 * step.products if uses_tensor_cores else 0
    return max(step.moved / MEMORY_RATE, step.instructions / ISSUE_RATE, flops / TENSOR_RATE)


def search_parts(search: Search) -> dict[str, float]:
    """Return the seconds of a search whose matrix is on the device, part by part."""
    columns, held = search.steps * BLOCK, max(ORDERS)
    return {
        "survey": search.stored / SURVEY_RATE,
        "conversion": search.converted / MEMORY_RATE,
        "products of steps": search.steps * step_seconds(search.step, search.uses_tensor_cores[0]),
        "orthogonalization": 8 * min(SHAPE) * columns * held / BASIS_RATE,
        "product of the answer": step_seconds(search.answer, search.uses_tensor_cores[1]),
        "launches": search.steps * search.launches * LAUNCH,
        "waits": search.steps * search.waits * WAIT,
        "checks on the host": sum(search.checks),
    }


def upload_seconds(nbytes: int) -> float:
    """Return the seconds of a copy to the device: by the slower of link and fillers."""
    return nbytes / min(LINK_RATE, FILLERS * FILLER_RATE)


def transfer_seconds(stored: int) -> float:
    """Return the seconds that a search takes longer from an array of NumPy.

    Vectors in float32 come back and are copied once more, by one thread.
    """
    vectors = 4 * TOP * sum(SHAPE)
    return upload_seconds(stored) + vectors / LINK_RATE + vectors / FILLER_RATE


def due_checks(errors: list[float], orders: list[int], root: float) -> tuple[int, list[int]]:
    """Return the number of steps, and the order of T at each check, as CheckSchedule chooses them.

    After the measured errors, further ones are assumed to be the last one. `root`: the factor of
    costs, see check_schedule.hpp.
    """
    first, longest = (TOP + BLOCK) // BLOCK, 3 * TOP + 2 * BLOCK
    due, last_error, last_columns, checks = TOP + BLOCK, 0.0, 0, []
    for number in range(len(errors) + 10):
        error = errors[min(number, len(errors) - 1)]
        order = orders[min(number, len(orders) - 1)] + BLOCK * max(number + 1 - len(orders), 0)
        columns, restarts = (first + number) * BLOCK, order + BLOCK > longest
        if columns < due and not restarts:
            continue
        checks.append(order)
        if error < 1:
            return first + number, checks
        left = order / 4
        if last_error > error:
            left = math.log(error) * (columns - last_columns) / math.log(last_error / error)
        wait = min(1.25 * left, order / 2, root * order * math.sqrt(left * (order + 250) / NUMBERS))
        due = columns + BLOCK * max(round(wait / BLOCK), 1)
        last_error, last_columns = 0.0 if restarts else error, columns
    raise ValueError("the errors do not reach the tolerance")


def device_root() -> float:
    """Return the factor of costs on a device, as in cuda_backend.hpp."""
    column = (4 / 3e12 + 1e-4 / NUMBERS) / BLOCK
    return math.sqrt(2 * 1e-10 / column)


def measure_errors() -> tuple[list[float], list[int]]:
    """Return the errors after each step of a search on the CPU, and the columns of its basis."""
    A, errors, orders = weights(*SHAPE), [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for steps in range((TOP + BLOCK) // BLOCK, 100):
            svd = ss.svds(A, TOP, tol=TOLERANCE, block=BLOCK, max_passes=steps)
            errors.append(float(svd.residuals.max() / svd.s[0]) / TOLERANCE)
            orders.append(svd.columns)
            if errors[-1] < 1:
                break
    return errors, orders


def check_seconds(order: int) -> float:
    """Time eigenvalues, and vectors as a check wants them, of a matrix of T's order, here."""
    x = np.random.default_rng(0).standard_normal((order, 2 * order))
    packed = (x @ x.T)[np.triu_indices(order)]
    seconds = []
    for _ in range(15):  # other programs only add to the least
        started = time.perf_counter()
        _core.packed_spectrum(packed, order, top=min(order, TOP + 2 * BLOCK + 8), threads=1)
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def count_calls(module: ModuleType) -> tuple[float, float]:
    """Count launches and waits for each step of a whole search of a smaller matrix."""
    A = np.asarray(llm(512, 1792, 0), dtype=numpy_dtype("bfloat16"))
    module.simulator.restart(timing="eager", order="forward")
    before = module.simulator.counts()
    svd = ss.svds(A, TOP, tol=TOLERANCE, block=BLOCK, method="krylov", device="cuda")
    after = module.simulator.counts()
    launches, waits = (after[name] - before[name] for name in ("launches", "waits"))
    return launches / svd.steps, waits / svd.steps


def count_searches(module: ModuleType, steps: int, checks: list[float]) -> dict[str, Search]:
    """Count the work of a search in each case."""
    calls = count_calls(module)
    searches = {}
    for name, (kind, precision, last, stored, converted) in CASES.items():
        step = count_step(module, kind, SHAPE, "C", BLOCK, precision)
        answer = count_step(module, kind, SHAPE, "C", TOP, last)
        on_tensor_cores = precision != "float32", last != "float32"
        sizes = NUMBERS * stored, NUMBERS * converted
        searches[name] = Search(*sizes, step, answer, on_tensor_cores, steps, checks, *calls)
    return searches


def scan_share(search: Search) -> float:
    """Return the rate of a scan of layers in bf16 over that of the slower of disk and link.

    Products of a matrix scale with its numbers. Launches, waits and checks do not, and those of
    several matrices run at once. The last matrix is analysed when all have been read.
    """
    parts = search_parts(search)
    of_host = sum(parts[name] for name in ("launches", "waits", "checks on the host"))
    of_host += costs.SPECTRUM["top"]
    on_device = sum(parts.values()) + costs.SPECTRUM["top"] - of_host
    layer = sum(rows * cols for rows, cols in PROJECTIONS.values()) * min(SHAPE) ** 2 / NUMBERS
    matrices = LAYERS * len(PROJECTIONS)
    reading = LAYERS * layer * search.stored / min(DISK_RATE, LINK_RATE)
    computing = max(LAYERS * layer * on_device, matrices * of_host / AT_ONCE)
    return reading / (max(reading, computing) + on_device + of_host)


def format_targets(searches: dict[str, Search]) -> list[str]:
    """Return a table with the modelled time of each case, and whether it meets its target."""
    lines = ["| top 64 of 8192 x 28672, or a scan | model | target | met |"]
    lines.append("| --- | ---: | ---: | --- |")

    def add(name: str, value: float, most: float, sign: str = "") -> None:
        met = "yes" if value <= most else "**no**"
        lines.append(f"| {name} | {sign}{value:.1f} ms | {sign}{most:.0f} ms | {met} |")

    for name, search in searches.items():
        milliseconds = 1e3 * sum(search_parts(search).values())
        if name in TARGETS:
            add(f"{name}, on the device", milliseconds, TARGETS[name])
        else:
            lines.append(f"| {name}, on the device | {milliseconds:.1f} ms | - | - |")
    for stored in dict.fromkeys(search.stored for search in searches.values()):
        name = f"from NumPy, {stored // NUMBERS} bytes a number"
        add(name, 1e3 * transfer_seconds(stored), FROM_NUMPY, "+ ")
    share = scan_share(searches["bf16"])
    met = "yes" if share >= SCAN_SHARE else "**no**"
    lines.append(
        f"| scan of 13.7 GB in bf16, of the disk's rate | {share:.0%} | {SCAN_SHARE:.0%} | {met} |"
    )
    return lines


def format_parts(searches: dict[str, Search]) -> list[str]:
    """Return a table of the milliseconds of each part, with a column for each case."""
    parts = {name: search_parts(search) for name, search in searches.items()}
    lines = [f"| ms | {' | '.join(parts)} | from |", f"| --- |{' ---: |' * len(parts)} --- |"]
    for part, source in SOURCES.items():
        values = " | ".join(f"{1e3 * seconds[part]:.1f}" for seconds in parts.values())
        lines.append(f"| {part} | {values} | {source} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description="Model times on an H100. Unrun on any card.")
    parser.add_argument("--steps", type=int, help="instead of a search on the CPU")
    given = parser.parse_args()
    errors, orders = (ERRORS, ORDERS) if given.steps else measure_errors()
    steps, checked = due_checks(errors, orders, device_root())
    checks = [check_seconds(order) for order in checked]
    searches = count_searches(load_simulated_module(), given.steps or steps, checks)
    search = searches["bf16"]
    print("A model of an H100. It has never been compared with a card.\n")
    print("\n".join(format_targets(searches)), "\n")
    print("\n".join(format_parts(searches)), "\n")
    print(f"{search.steps} steps, checks at orders {', '.join(map(str, checked))};")
    print(f"{search.launches:.1f} launches and {search.waits:.1f} waits for each step.")


if __name__ == "__main__":
    main()
