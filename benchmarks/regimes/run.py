# SPDX-License-Identifier: BSD-3-Clause
"""Train the runs of a plan and compare each with its base: a resumable queue of two workers.

    pip install '.[regimes]'
    python -m benchmarks.regimes.run                # main plan: about a quarter of an hour, 2 cores
    python -m benchmarks.regimes.run --widths       # wider, deeper, other activations
    python -m benchmarks.regimes.report

Rows are kept in build/regimes/rows, as saved comparisons; weights are deleted once all runs of
their base are compared. A run whose rows are there is not trained again.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

# Before NumPy and torch are read: runs are small, and workers share the cores.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

from .corpus import evaluations  # noqa: E402
from .plan import (  # noqa: E402
    behaviour_plan,
    dose_plan,
    main_plan,
    novelty_plan,
    smoke_plan,
    text_plan,
    vision_plan,
    width_plan,
)
from .runs import Run  # noqa: E402
from .train import accuracies, trained  # noqa: E402

FOLDER = Path(__file__).parents[2] / "build" / "regimes"


def rows_path(folder: Path, name: str) -> Path:
    return folder / "rows" / f"{name}.jsonl"


def record_path(folder: Path, name: str) -> Path:
    return folder / "rows" / f"{name}.json"


def measure(run: Run, folder: Path) -> None:
    """Compare a run with its base, and its snapshots with the base and the end with them."""
    import sigmascope as ss

    weights = folder / "weights"
    end = weights / (run.name if run.low_rank else f"{run.name}.safetensors")
    pairs = {run.name: (weights / f"{run.base}.safetensors", end)}
    for step in run.snapshots:
        part = weights / f"{run.name}-{step}.safetensors"
        pairs[f"{run.name}-{step}"] = (weights / f"{run.base}.safetensors", part)
        pairs[f"{run.name}-after-{step}"] = (part, end)
    for name, (before, after) in pairs.items():
        out = rows_path(folder, name)
        out.unlink(missing_ok=True)
        ss.compare(before, after, effort="exact", k=16, num_threads=1, out=out)


def train_and_measure(run: Run, folder: Path) -> str:
    """Train a run and compare it with its base; write its record last."""
    import torch

    torch.set_num_threads(1)
    began = time.perf_counter()
    result = trained(run, folder / "weights")
    seconds = time.perf_counter() - began
    if run.base:
        measure(run, folder)
    if run.group == "behaviour":
        path = folder / "weights" / f"{run.name}.safetensors"
        result["accuracies"] = accuracies(path, run, evaluations())
    record = asdict(run) | result | {"seconds": seconds}
    record_path(folder, run.name).write_text(json.dumps(record) + "\n", encoding="utf-8")
    return f"{run.name}: loss {result['first_loss']:.2f} to {result['loss']:.2f}, {seconds:.0f} s"


def is_done(run: Run, folder: Path) -> bool:
    if not record_path(folder, run.name).exists():
        return False
    return bool(run.base) or (folder / "weights" / f"{run.name}.safetensors").exists()


def execute(plan: Sequence[Run], folder: Path, workers: int) -> None:
    """Run what is missing: bases first, then what continues them."""
    for part in ("rows", "weights"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    missing = [run for run in plan if run.base and not is_done(run, folder)]
    needed = {run.base for run in missing}
    bases = {
        run.name: run
        for run in plan
        if not run.base and run.name in needed and not is_done(run, folder)
    }
    total = len(bases) + len(missing)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        ready: dict[str, Future[str]] = {
            run.name: pool.submit(train_and_measure, run, folder) for run in bases.values()
        }
        for future in as_completed(ready.values()):
            print(future.result(), file=sys.stderr, flush=True)
        jobs = [pool.submit(train_and_measure, run, folder) for run in missing]
        for number, future in enumerate(as_completed(jobs), len(bases) + 1):
            print(f"{number} of {total}: {future.result()}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train runs of known data, and measure them.")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--bases", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--widths", action="store_true", help="other widths, depths, activations")
    parser.add_argument("--dose", action="store_true", help="repetition, mixtures, adapters of 32")
    parser.add_argument(
        "--novelty", action="store_true", help="breadth at a fixed loss of the base"
    )
    parser.add_argument("--text", action="store_true", help="text that every CPython carries")
    parser.add_argument("--vision", action="store_true", help="a vision-language miniature")
    parser.add_argument("--behaviour", action="store_true", help="longer runs, and their answers")
    parser.add_argument("--smoke", action="store_true", help="one small base and nine runs")
    given = parser.parse_args()
    plans = {
        "smoke": smoke_plan,
        "widths": width_plan,
        "dose": dose_plan,
        "novelty": novelty_plan,
        "text": text_plan,
        "vision": vision_plan,
        "behaviour": behaviour_plan,
    }
    chosen = [plan for name, plan in plans.items() if getattr(given, name)]
    plan = [run for each in chosen for run in each()] or main_plan(given.bases)
    execute(plan, given.folder, given.workers)
    shutil.rmtree(given.folder / "weights")


if __name__ == "__main__":
    main()
