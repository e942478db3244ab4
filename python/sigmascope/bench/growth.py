# SPDX-License-Identifier: BSD-3-Clause
"""Growth of the time and memory of svds with the matrix, at a fixed k."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from .backends import select
from .comparing import Bench, BenchmarkPlan, stage, time_once
from .machine import chosen_cores, describe
from .results import BackendResult, Growth, Line, Point, Timing
from .workloads import numpy_dtype, synthetic

FACTORS = (1, 2, 4, 8)
"""Factors by which m n grows."""


def grow(
    spectrum: str = "llm",
    shape: tuple[int, int] = (2048, 2048),
    dtype: str = "float32",
    *,
    tol: float = 1e-3,
    plan: BenchmarkPlan | None = None,
    factors: Sequence[int] = FACTORS,
) -> Growth:
    """Time svds, in memory and out of core, on matrices that grow in both sides, or in rows only.

    Out of core, the memory limit is the same at every size: the bytes of the smallest matrix.

    Parameters
    ----------
    spectrum, shape, dtype
        Spectrum, shape and dtype of the smallest matrix: see :func:`sigmascope.bench.synthetic`.
    tol : float
        Tolerance of svds.
    plan : BenchmarkPlan, optional
        k, turns, threads, timeout and seed.
    factors : sequence of int
        Factors by which m n grows.

    Returns
    -------
    Growth
        Times and memory, and the slopes of log time and of log peak memory over log m n.
    """
    plan = plan or BenchmarkPlan()
    cores = chosen_cores(plan.threads)
    machine = describe(len(cores))
    growth = Growth(spectrum, dtype, plan.k, tol, plan.turns, machine, seed=plan.seed)
    ours = select(["ours"])
    setting = {"tol": tol, "method": "krylov"}  # one method for all sizes
    # With this limit no matrix stays in memory, and no copy is made.
    limited = {"memory_limit": shape[0] * shape[1] * numpy_dtype(dtype).itemsize}
    settings = {"ours": setting, "ours-file": setting | limited}
    for series in ("both sides", "rows"):
        lines = [Line(series, backend.name, []) for backend in ours]
        for factor in factors:
            m, n = _grown(shape, factor, series)
            with tempfile.TemporaryDirectory(prefix="sigmascope-bench-") as folder:
                workload = synthetic(spectrum, m, n, dtype)
                job = stage(workload, plan, plan.seed, Path(folder) / "matrix.npy")
                stored = Path(job["matrix"]).stat().st_size
                for turn in range(plan.turns):
                    for backend, line in list(zip(ours, lines, strict=True))[:: 1 - 2 * (turn % 2)]:
                        plan.tell(f"{m} x {n}, {backend.title}, turn {turn + 1}")
                        if turn == 0:
                            line.points.append(
                                Point((m, n), stored, Timing([], settings[backend.name]))
                            )
                        entry = BackendResult(backend.name, backend.title, None, "")
                        entry.timings = [line.points[-1].timing]
                        time_once(backend, entry, {**job, "seed": turn}, Bench(plan, cores))
                        if entry.message:
                            entry.timings[0].messages.append(entry.message)
        for line in lines:
            line.fit()
        growth.lines += lines
    return growth


def _grown(shape: tuple[int, int], factor: int, series: str) -> tuple[int, int]:
    """Multiply both sides by the root of the factor, rounded to 64, or the rows by the factor."""
    if series == "rows":
        return shape[0] * factor, shape[1]
    m, n = (max(round(extent * factor**0.5 / 64), 1) * 64 for extent in shape)
    return (m, n) if factor > 1 else shape
