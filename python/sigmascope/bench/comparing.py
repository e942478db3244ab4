# SPDX-License-Identifier: BSD-3-Clause
"""The comparison: a search for each backend's setting per accuracy, then timing in turns."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .accuracy import reference
from .backend import Backend
from .backends import select
from .machine import chosen_cores, describe
from .processes import Outcome, RunWorker, run_worker
from .results import BackendComparison, BackendResult, Rung, Timing
from .workloads import TIMED, TUNED, Workload

Tell = Callable[[str], None]


@dataclass(frozen=True)
class BenchmarkPlan:
    """Options of a comparison of backends.

    Attributes
    ----------
    k : int
        Number of triplets.
    accuracies : sequence of float
        Worst relative errors of the values that are to be reached.
    turns : int
        Number of times that each backend is timed; every other turn has the reverse order.
    threads : int, optional
        Threads of every library; at most, and by default, the number of cores.
    timeout : float
        Seconds after which a process is ended.
    seed : int
        Seed of synthetic matrices.
    repeats : int
        Most rounds of further turns for backends whose times vary (:attr:`Timing.is_steady`).
    tell : callable (text)
        Function that is called with a description of the next step.
    run : callable (backend, job, *, cores, timeout)
        Function that runs a job in a process. `ProcessJournal.run` also saves what it reports.
    """

    k: int = 32
    accuracies: Sequence[float] = (1e-2, 1e-3, 1e-6)
    turns: int = 3
    threads: int | None = None
    timeout: float = 120.0
    seed: int = 0
    repeats: int = 0
    tell: Tell = field(default=lambda text: None)
    run: RunWorker = run_worker

    def __post_init__(self) -> None:
        if self.k < 1 or self.turns < 1:
            raise ValueError(f"k = {self.k} and turns = {self.turns} must be at least 1")
        if not self.accuracies or not all(0 < a < 1 for a in self.accuracies):
            raise ValueError(f"accuracies must lie between 0 and 1, not {list(self.accuracies)}")
        if not self.timeout > 0:
            raise ValueError(f"timeout must be positive, not {self.timeout:g}")


class Bench(NamedTuple):
    """A plan, with the cores on which its processes run."""

    plan: BenchmarkPlan
    cores: list[int]

    def run(self, backend: Backend, job: dict[str, Any]) -> Outcome:
        """Run a job of a backend in a process."""
        return self.plan.run(backend, job, cores=self.cores, timeout=self.plan.timeout)

    def finish(self, backend: Backend, entry: BackendResult, job: dict[str, Any]) -> Outcome:
        """Run a job; the entry gets the status of the first process that did not finish."""
        outcome = self.run(backend, job)
        if outcome.status != "done" and entry.status == "done":
            entry.status, entry.message = outcome.status, outcome.message
        return outcome


def compare(
    workload: Workload, plan: BenchmarkPlan | None = None, backends: Sequence[Backend] | None = None
) -> BackendComparison:
    """Compare backends on a workload.

    Parameters
    ----------
    workload : Workload
    plan : BenchmarkPlan, optional
    backends : sequence of Backend, optional
        Backends to compare, by default all. The result also lists backends that cannot run here.

    Returns
    -------
    BackendComparison

    Raises
    ------
    ValueError
        If k is larger than the matrix, or the matrix is not finite.
    """
    plan = plan or BenchmarkPlan()
    chosen = select() if backends is None else list(backends)
    cores = chosen_cores(plan.threads)
    present = sum(not any(backend.absence) for backend in chosen)
    plan = replace(plan, tell=_count_steps(plan.tell, 2 + present * (2 + plan.turns)))
    bench = Bench(plan, cores)
    machine = describe(len(cores), (b.distribution for b in chosen))
    with tempfile.TemporaryDirectory(prefix="sigmascope-bench-") as folder:
        tuned = stage(workload, plan, plan.seed + TUNED, Path(folder) / "tuned.npy")
        entries = [BackendResult(b.name, b.title, b.version, b.install) for b in chosen]
        for backend, entry in zip(chosen, entries, strict=True):
            status, entry.message = backend.absence
            if status:
                entry.status = status
                continue
            _find_settings(backend, entry, tuned, bench)
        timed = tuned
        if workload.synthetic:
            timed = stage(workload, plan, plan.seed + TIMED, Path(folder) / "timed.npy")
        for backend, entry in zip(chosen, entries, strict=True):
            _choose(backend, entry, timed, bench)
        limits = _limits(chosen, entries, bench)
        _take_turns(chosen, entries, timed, bench)
        return BackendComparison(
            workload=workload.title,
            shape=timed["shape"],
            dtype=timed["dtype"],
            k=plan.k,
            accuracies=sorted(plan.accuracies, reverse=True),
            turns=plan.turns,
            checked_on_another_matrix=workload.synthetic,
            machine=machine,
            entries=entries,
            limits=limits,
            seed=plan.seed if workload.synthetic else None,
        )


def _count_steps(tell: Tell, total: int) -> Tell:
    """Return a function that adds to each step its number and the remaining time.

    The estimate assumes that steps take as long as earlier ones. Steps that search for settings
    take longest and come first, so it is too long rather than too short.
    """
    began, count = time.perf_counter(), 0

    def tell_step(text: str) -> None:
        nonlocal count
        count += 1
        passed, left = time.perf_counter() - began, max(total - count + 1, 1)
        seconds = passed / max(count - 1, 1) * left
        time_left = f"{seconds / 60:.0f} min" if seconds > 90 else f"{seconds:.0f} s"
        about = f", about {time_left} left" if count > 2 else ""
        tell(f"{min(count, total)} of {total}{about}: {text}")

    return tell_step


def stage(workload: Workload, plan: BenchmarkPlan, seed: int, path: Path) -> dict[str, Any]:
    """Write the matrix and its singular values to files, and return the job with their paths."""
    plan.tell(f"preparing {workload.title}: its singular values in float64")
    A = workload.make(seed)
    if plan.k > min(A.shape):
        raise ValueError(f"k = {plan.k} > min(m, n) = {min(A.shape)}")
    # The format .npy has no bfloat16, so its codes are saved.
    np.save(path, A.view(np.uint16) if A.dtype.name == "bfloat16" else A)
    exact = path.with_suffix(".values.npy")
    np.save(exact, reference(A))
    job = {"matrix": str(path), "dtype": A.dtype.name, "reference": str(exact), "k": plan.k}
    job |= {"accuracies": list(plan.accuracies), "shape": list(A.shape)}
    return job | {"content": sha256(path.read_bytes()).hexdigest()}


def _find_settings(
    backend: Backend,
    entry: BackendResult,
    job: dict[str, Any],
    bench: Bench,
) -> None:
    """Find out the abilities of a backend, and measure the settings of its ladders."""
    bench.plan.tell(f"{entry.title}: looking for its settings")
    abilities = bench.finish(backend, entry, {"kind": "probe"})
    entry.can = {
        "out_of_core": backend.out_of_core,
        "error_bound": backend.error_bound,
        "stops_itself": backend.stops_itself,
        "vectors": backend.vectors,
        **dict(*abilities.every("can")),
    }
    entry.device = next(iter(abilities.every("device")), "")
    outcome = bench.finish(backend, entry, {**job, "kind": "climb"})
    entry.rungs = [Rung(**rung) for rung in outcome.every("rung")]


def candidates(rungs: Sequence[Rung], accuracy: float) -> list[dict[str, Any]]:
    """Return the settings that reached an accuracy, the fastest first."""
    within = [rung for rung in rungs if rung.error <= accuracy]
    return [rung.setting for rung in sorted(within, key=lambda rung: rung.seconds)]


def _choose(
    backend: Backend,
    entry: BackendResult,
    job: dict[str, Any],
    bench: Bench,
) -> None:
    """Choose for each accuracy the fastest setting that reaches it on the matrix for timing."""
    choices = [
        (accuracy, settings)
        for accuracy in sorted(bench.plan.accuracies, reverse=True)
        if (settings := candidates(entry.rungs, accuracy))
    ]
    if not choices:
        return
    bench.plan.tell(f"{entry.title}: checking its settings")
    job = {**job, "kind": "check", "candidates": choices, "turns": bench.plan.turns}
    outcome = bench.finish(backend, entry, job)
    for line in outcome.lines:
        if "accuracy" not in line:
            continue
        same = next((t for t in entry.timings if t.setting == line["setting"]), None)
        if same is None:
            entry.timings.append(Timing([line["accuracy"]], line["setting"]))
        else:
            same.accuracies.append(line["accuracy"])


def _limits(
    backends: Sequence[Backend],
    entries: Sequence[BackendResult],
    bench: Bench,
) -> dict[str, Any]:
    """Measure the limits of the device that backends computed on, in a separate process."""
    pairs = zip(backends, entries, strict=True)
    on_device = [b for b, e in pairs if b.library is not None and not e.absent]
    if not on_device:
        return {}
    bench.plan.tell("measuring the limits of the device")
    outcome = bench.run(on_device[0], {"kind": "limits"})
    limits: dict[str, Any] = next(iter(outcome.every("limits")), {"message": outcome.message})
    return limits


def _take_turns(
    backends: Sequence[Backend],
    entries: Sequence[BackendResult],
    job: dict[str, Any],
    bench: Bench,
) -> None:
    """Time the chosen settings; the alternating order spreads a drift of speed over all."""
    plan = bench.plan
    pairs = [(b, e) for b, e in zip(backends, entries, strict=True) if e.timings]
    for turn in range(plan.turns):
        for backend, entry in pairs if turn % 2 == 0 else pairs[::-1]:
            plan.tell(f"turn {turn + 1} of {plan.turns}: {entry.title}")
            time_once(backend, entry, {**job, "seed": turn}, bench)
    for turn in range(plan.turns, plan.turns * (1 + plan.repeats)):
        if turn % plan.turns == 0:
            unsteady = [(b, e) for b, e in pairs if not all(t.is_steady for t in e.timings)]
        for backend, entry in unsteady:
            plan.tell(f"another turn, since the times vary: {entry.title}")
            time_once(backend, entry, {**job, "seed": turn}, bench)


def time_once(
    backend: Backend,
    entry: BackendResult,
    job: dict[str, Any],
    bench: Bench,
) -> None:
    """Time all chosen settings of a backend in one process."""
    settings = [timing.setting for timing in entry.timings]
    first = next((r.seconds for r in entry.rungs if r.setting == settings[0]), 0.0)
    request = {**job, "kind": "time", "settings": settings, "seconds": first}
    outcome = bench.finish(backend, entry, request)
    entry.import_seconds += outcome.every("import_seconds")
    for line in outcome.lines:
        if "number" in line:
            entry.timings[line["number"]].add(line)
