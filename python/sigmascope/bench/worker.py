# SPDX-License-Identifier: BSD-3-Clause
"""The program of a backend's process: it reads a job and appends results to a file.

Every result is flushed as a complete line, so that a process that dies leaves its results.
"""

from __future__ import annotations

import json
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .accuracy import worst_relative_error, worst_residual
from .backend import Backend, Setting
from .backends import known_backends
from .cuda.limits import device_work, measure_limits
from .memory import AddedMemory
from .solvers import Answer, Source
from .workloads import numpy_dtype

SEEDS = 2
"""Number of seeds with which a setting of a random method is tried before it is chosen."""

MARGIN = 2.0
"""Factor by which an error must be below an accuracy before the search in a ladder ends.

A setting that barely reaches an accuracy may miss it on another matrix.
"""

SPARE = 2
"""Number of slower settings that are tried after that, in case faster ones fail later."""

MOST_CHECKED = 6
"""Largest number of settings that are checked for one accuracy, the fastest first."""

LONG_SECONDS = 1.0
"""Longest run for which a warm-up uses the whole matrix; else it uses a corner."""

REPEAT_SECONDS = 0.3
"""Total time up to which short runs are repeated, at most `MOST_RUNS` times."""

MOST_RUNS = 5

Report = Callable[[dict[str, Any]], None]


def main(job_path: str, out_path: str, import_seconds: float) -> None:
    """Carry out a job; `import_seconds` is the time that importing the library took."""
    job = json.loads(Path(job_path).read_text(encoding="utf-8"))
    backend = next(backend for backend in known_backends() if backend.name == job["backend"])
    if backend.module == "torch":
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
        if job["kind"] == "limits":
            work = device_work()
            report({"limits": measure_limits(work) if work else {}})
            return
        task = BackendTask(backend, job)
        {"climb": task.climb, "check": task.check, "time": task.time}[job["kind"]](report)


def capture_call(run: Callable[[], Any]) -> tuple[Any, str]:
    """Return the result of a call and its warnings; None and the reason if it failed."""
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
    """Find out which stored dtypes the library takes, and whether it reports a failure."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((96, 64), dtype=np.float32)
    can: dict[str, Any] = {}
    for dtype in ("bfloat16", "float16"):
        try:
            stored = A.astype(numpy_dtype(dtype))
        except ImportError:
            can[dtype] = None
            continue
        can[dtype] = None if backend.direct is None else _takes(backend, stored)
    if backend.hopeless is not None:
        wide = rng.standard_normal((480, 400), dtype=np.float32)
        with tempfile.TemporaryDirectory() as folder:
            source = Source(wide, Path(folder) / "wide.npy", 1)
            np.save(source.path, wide)
            hopeless = backend.hopeless
            answer, message = capture_call(lambda: backend.solve(source, 20, 0, **hopeless))
        can["tells"] = answer is None or bool(message) or len(answer.s) < 20
    device = "" if backend.library is None else backend.library.description()
    return {"can": can, "device": device}


def _takes(backend: Backend, stored: Any) -> str:
    """Return the precision of the result for a stored array; empty if the library refuses it."""
    assert backend.direct is not None
    result, _ = capture_call(lambda: backend.direct(stored, 4))  # type: ignore[misc]
    if result is None:
        return ""
    return str(next(iter(result)).dtype).removeprefix("torch.")


# --------------------------------------------------------------------------------- what it takes


class BackendTask:
    """The measurements of one backend on one matrix with known singular values."""

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
        """Run the backend on the host's array; return None and the reason if it failed."""
        return self._call(self.source, seed, setting)

    def _call(self, source: Source, seed: int, setting: Setting) -> tuple[Answer | None, str]:
        return capture_call(lambda: self.backend.solve(source, self.k, seed, **setting))

    def error(self, answer: Answer) -> float:
        """Return the worst relative error of the values; infinite if some are missing."""
        if len(answer.s) < self.k:
            return float("inf")
        return worst_relative_error(answer.s, self.exact)

    # ---------------------------------------------------------------- looking for the settings

    def climb(self, report: Report) -> None:
        """Try every ladder from cheap to accurate, until no later setting can be the fastest."""
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
        """Find the fastest setting for each accuracy that reaches it with all seeds."""
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
        """Measure time and error of a setting; if it may be chosen, with several seeds."""
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
        """Run the backend on a corner of the matrix, to start its threads and allocate buffers."""
        side = max(8 * self.k, 256)
        corner = np.ascontiguousarray(self.source.array[:side, :side])
        source = Source(corner, self.source.path, self.source.threads)
        k = min(self.k, *corner.shape)
        capture_call(lambda: self.backend.solve(source, k, 0, **self.backend.ladders(k)[0][0]))

    # ------------------------------------------------------------------------------- the timing

    def time(self, report: Report) -> None:
        """Warm up by one run that does not count, then time and check every setting."""
        settings: list[Setting] = self.job["settings"]
        seed: int = self.job["seed"]
        if self.job["seconds"] > LONG_SECONDS:
            self._warm_up_small()
        else:
            self.solve(seed, settings[0])
        for number in self._order(len(settings)):
            report({"number": number, **self._timed(seed, settings[number])})

    def _order(self, count: int) -> Iterator[int]:
        """Return the order of the settings, which is reversed in every other turn."""
        turn: int = self.job["seed"]
        return iter(range(count) if turn % 2 == 0 else range(count)[::-1])

    def _timed(self, seed: int, setting: Setting) -> dict[str, Any]:
        """Time a setting from the host's memory, then, if possible, from the device's."""
        run: dict[str, Any] = {"seconds": [], "busy": [], "passes": None, "device_seconds": []}
        run |= {"peak": None, "error": None, "residual": None, "message": ""}
        answer = self._repeated(run, self.source, seed, setting)
        if answer is None:
            return run
        run["passes"] = answer.passes
        self._judge(run, answer)
        placed = self._placed()
        if placed is not None:
            there: dict[str, Any] = {"seconds": [], "busy": [], "peak": None}
            answer = self._repeated(there, placed, seed, setting)
            run["device_seconds"] = there["seconds"]
            run["message"] = run["message"] or there["message"]
            if answer is not None:
                self._judge(run, answer)
        return run

    def _repeated(
        self, run: dict[str, Any], source: Source, seed: int, setting: Setting
    ) -> Answer | None:
        """Add the times of repeated runs and return the last answer; None if one failed."""
        time.sleep(0.05)  # threads that wait busily go to sleep
        answer = None
        while sum(run["seconds"]) < REPEAT_SECONDS and len(run["seconds"]) < MOST_RUNS:
            answer = None
            added = AddedMemory()
            wall, used = time.perf_counter(), time.process_time()
            answer, run["message"] = self._call(source, seed, setting)
            taken = time.perf_counter() - wall
            if answer is None:
                return None
            run["busy"].append((time.process_time() - used) / taken)
            run["seconds"].append(taken)
            run["peak"] = run["peak"] if run["peak"] is not None else added.bytes()
        return answer

    def _placed(self) -> Source | None:
        """Return the source with its array on the device, if the backend computes on one."""
        if self.backend.library is None:
            return None
        array = self.backend.library.place(self.source.array)
        return None if array is None else replace(self.source, array=array)

    def _judge(self, run: dict[str, Any], answer: Answer) -> None:
        """Record the largest error and the largest residual, including those of this answer."""
        errors = [self.error(answer), run["error"] or 0.0]
        run["error"] = max(errors)
        if answer.U is not None and answer.Vt is not None:
            residual = worst_residual(self.source.array, answer.U, answer.s, answer.Vt)
            run["residual"] = max(residual, run["residual"] or 0.0)
