# SPDX-License-Identifier: BSD-3-Clause
"""What runs in the process of one backend: reads a job, and appends what it finds to a file.

Every line is whole when it is written, so that a process that dies leaves what it had found.
"""

from __future__ import annotations

import json
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .accuracy import worst_relative_error, worst_residual
from .backends import BACKENDS, Backend, Setting
from .memory import AddedMemory
from .solvers import Answer, Source
from .workloads import numpy_dtype

SEEDS = 2
"""A setting of a random method that would be chosen is tried with as many seeds."""

MARGIN = 2.0
"""A ladder is climbed until an accuracy is reached with this to spare: settings that just reach it
may fail on another matrix."""

SPARE = 2
"""So many dearer settings of a ladder are tried beyond that, should the others fail there."""

MOST_CHECKED = 6
"""So many settings are checked for one accuracy, from the fastest on."""

LONG_SECONDS = 1.0
"""A run that takes longer is not warmed up at its full size: a corner does."""

REPEAT_SECONDS = 0.3
"""Runs are repeated, up to `MOST_RUNS`, until they took as long: a short one says little alone."""

MOST_RUNS = 5

Report = Callable[[dict[str, Any]], None]


def main(job_path: str, out_path: str, import_seconds: float) -> None:
    """Do the job; `import_seconds` is what importing the library has taken."""
    job = json.loads(Path(job_path).read_text(encoding="utf-8"))
    backend = next(backend for backend in BACKENDS if backend.name == job["backend"])
    if backend.group == "torch":
        import torch

        torch.set_num_threads(job["threads"])
    with open(out_path, "a", encoding="utf-8") as out:

        def report(line: dict[str, Any]) -> None:
            out.write(json.dumps(line) + "\n")
            out.flush()

        report({"import_seconds": import_seconds})
        if job["kind"] == "probe":
            report(probe(backend))
            return
        task = Task(backend, job)
        {"climb": task.climb, "check": task.check, "time": task.time}[job["kind"]](report)


def told(run: Callable[[], Any]) -> tuple[Any, str]:
    """The result of a call and what it warned of; None and why if it failed."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = run()
        except Exception as error:
            return None, _short(f"{type(error).__name__}: {error}")
    serious = [w for w in caught if not issubclass(w.category, DeprecationWarning | FutureWarning)]
    return result, _short("; ".join(dict.fromkeys(str(w.message) for w in serious)))


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 100 else f"{text[:99]}…"


# ------------------------------------------------------------------------------- what it can do


def probe(backend: Backend) -> dict[str, Any]:
    """Which dtypes the library takes as they are stored, and whether it tells of a failure."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((96, 64), dtype=np.float32)
    can: dict[str, Any] = {}
    for dtype in ("bfloat16", "float16"):
        try:
            stored = A.astype(numpy_dtype(dtype))
        except ImportError:
            can[dtype] = None
            continue
        can[dtype] = _takes(backend, stored)
    if backend.hopeless is not None:
        wide = rng.standard_normal((480, 400), dtype=np.float32)
        with tempfile.TemporaryDirectory() as folder:
            source = Source(wide, Path(folder) / "wide.npy", 1)
            np.save(source.path, wide)
            hopeless = backend.hopeless
            found, message = told(lambda: backend.solve(source, 20, 0, **hopeless))
        can["tells"] = found is None or bool(message) or len(found.s) < 20
    return {"can": can}


def _takes(backend: Backend, stored: Any) -> str:
    """In which precision it computes with an array as it is stored; empty: it does not."""
    assert backend.direct is not None
    found, _ = told(lambda: backend.direct(stored, 4))  # type: ignore[misc]
    if found is None:
        return ""
    return str(next(iter(found)).dtype).removeprefix("torch.")


# --------------------------------------------------------------------------------- what it takes


class Task:
    """One backend on one matrix, against its singular values in float64."""

    def __init__(self, backend: Backend, job: dict[str, Any]) -> None:
        self.backend, self.job = backend, job
        path = Path(job["matrix"])
        A = np.load(path)
        if job["dtype"] == "bfloat16":
            A = A.view(numpy_dtype("bfloat16"))
        self.source = Source(A, path, job["threads"])
        self.exact = np.load(job["reference"])
        self.k: int = job["k"]

    def solve(self, seed: int, setting: Setting) -> tuple[Answer | None, str]:
        """Run it; None and the reason if it failed."""
        return told(lambda: self.backend.solve(self.source, self.k, seed, **setting))

    def error(self, answer: Answer) -> float:
        """Worst relative error of the values; infinite if some are missing."""
        if len(answer.s) < self.k:
            return float("inf")
        return worst_relative_error(answer.s, self.exact)

    # ---------------------------------------------------------------- looking for the settings

    def climb(self, report: Report) -> None:
        """Try every ladder from cheap to accurate, until the rest cannot be the fastest."""
        wanted = [accuracy / MARGIN for accuracy in self.job["accuracies"]]
        best = dict.fromkeys(wanted, float("inf"))
        self._warm_up_small()
        for ladder in self.backend.ladders(self.k):
            dearer = 0
            for setting in ladder:
                rung = self._attempt(setting, best)
                report({"rung": rung})
                for accuracy in wanted:
                    if rung["error"] <= accuracy:
                        best[accuracy] = min(best[accuracy], rung["seconds"])
                if best[min(wanted)] <= rung["seconds"] < float("inf"):
                    dearer += 1
                if dearer > SPARE:
                    break

    def check(self, report: Report) -> None:
        """Find the fastest setting for each accuracy that holds with the seeds of all turns."""
        seeds = range(self.job["turns"] if self.backend.random else 1)
        known: dict[str, float] = {}
        for accuracy, candidates in self.job["candidates"]:
            for setting in candidates[:MOST_CHECKED]:
                name = json.dumps(setting)
                if name not in known:
                    answers = (self.solve(seed, setting)[0] for seed in seeds)
                    known[name] = max(self.error(a) if a else float("inf") for a in answers)
                if known[name] <= accuracy:
                    report({"accuracy": accuracy, "setting": setting})
                    break
            else:
                tried = candidates[:MOST_CHECKED]
                best = min(tried, key=lambda setting: known[json.dumps(setting)])
                report({"accuracy": accuracy, "setting": best})

    def _attempt(self, setting: Setting, best: dict[float, float]) -> dict[str, Any]:
        """Time and error of a setting; with more seeds where it would be chosen."""
        seconds: list[float] = []
        worst, message = 0.0, ""
        for seed in range(SEEDS if self.backend.random else 1):
            started = time.perf_counter()
            answer, message = self.solve(seed, setting)
            seconds.append(time.perf_counter() - started)
            if answer is None:
                return self._rung(setting, float("inf"), float("inf"), message)
            worst = max(worst, self.error(answer))
            if all(worst > a or seconds[0] >= best[a] for a in best):
                break
        return self._rung(setting, min(seconds), worst, message)

    @staticmethod
    def _rung(setting: Setting, seconds: float, error: float, message: str) -> dict[str, Any]:
        return {"setting": setting, "seconds": seconds, "error": error, "message": message}

    def _warm_up_small(self) -> None:
        """Let the library start its threads and allocate its buffers, on a corner of the matrix."""
        side = max(8 * self.k, 256)
        corner = np.ascontiguousarray(self.source.array[:side, :side])
        source = Source(corner, self.source.path, self.source.threads)
        k = min(self.k, *corner.shape)
        told(lambda: self.backend.solve(source, k, 0, **self.backend.ladders(k)[0][0]))

    # ------------------------------------------------------------------------------- the timing

    def time(self, report: Report) -> None:
        """One run apart to warm up, then the timed runs of every setting, each answer checked."""
        settings: list[Setting] = self.job["settings"]
        seed: int = self.job["seed"]
        if self.job["seconds"] > LONG_SECONDS:
            self._warm_up_small()
        else:
            self.solve(seed, settings[0])
        for number in self._order(len(settings)):
            report({"number": number, **self._timed(seed, settings[number])})

    def _order(self, count: int) -> Iterator[int]:
        """The settings alternate over the turns as the backends do."""
        turn: int = self.job["seed"]
        return iter(range(count) if turn % 2 == 0 else range(count)[::-1])

    def _timed(self, seed: int, setting: Setting) -> dict[str, Any]:
        run: dict[str, Any] = {"seconds": [], "busy": [], "passes": None}
        run |= {"peak": None, "error": None, "residual": None, "message": ""}
        time.sleep(0.05)  # let waiting threads go to sleep
        while sum(run["seconds"]) < REPEAT_SECONDS and len(run["seconds"]) < MOST_RUNS:
            answer = None
            added = AddedMemory()
            wall, used = time.perf_counter(), time.process_time()
            answer, run["message"] = self.solve(seed, setting)
            taken = time.perf_counter() - wall
            if answer is None:
                return run
            run["busy"].append((time.process_time() - used) / taken)
            run["seconds"].append(taken)
            run["peak"] = run["peak"] if run["peak"] is not None else added.bytes()
        assert answer is not None
        run["passes"] = answer.passes
        run["error"] = self.error(answer)
        run["residual"] = worst_residual(self.source.array, answer.U, answer.s, answer.Vt)
        return run
