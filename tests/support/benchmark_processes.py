# SPDX-License-Identifier: BSD-3-Clause
"""Stand-ins for the processes of benchmarks, and the tables that a record is shown as.

A benchmark starts each process by `subprocess.Popen`: Python with a program, and with the name of a
module, cores, and the paths of a job and of the lines that it reports.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.support.command_line import invoke

Job = dict[str, Any]
Lines = list[dict[str, Any]]


class Processes:
    """Processes that end at once: a function says what each reports for its job.

    Parameters
    ----------
    monkeypatch
    report
        The lines of a job; None if it does not end in its time.
    stop_at
        Number of the process in place of which there is a Ctrl-C.
    """

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        report: Callable[[Job], Lines | None],
        stop_at: int | None = None,
    ) -> None:
        self.jobs: list[Job] = []
        self._report, self._stop_at = report, stop_at
        self._late = False
        self._start = subprocess.Popen
        monkeypatch.setattr(subprocess, "Popen", self)

    def __call__(self, command: Sequence[str], **how: Any) -> Any:
        """Start a process; one of another kind as it is."""
        if not _is_of_a_benchmark(command):
            return self._start(command, **how)
        if len(self.jobs) == self._stop_at:
            raise KeyboardInterrupt
        job, out = map(Path, command[-2:])
        self.jobs.append(json.loads(job.read_text(encoding="utf-8")))
        lines = self._report(self.jobs[-1])
        self._late = lines is None
        out.write_text("".join(json.dumps(line) + "\n" for line in lines or ()), encoding="utf-8")
        return self

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status."""
        if self._late and timeout is not None:
            raise subprocess.TimeoutExpired("python", timeout)
        return 0

    def kill(self) -> None:
        """Do nothing: it has ended."""

    @property
    def steps(self) -> list[tuple[str, str, int | None]]:
        """The backend, kind and seed of each job."""
        return [(job["backend"], job["kind"], job.get("seed")) for job in self.jobs]


def _is_of_a_benchmark(command: Sequence[str]) -> bool:
    """Return True unless a library starts a program, such as one that lists fonts."""
    return any("sigmascope.bench" in str(word) for word in command)


def run_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the programs of benchmarks run in this process, on the cores that it has."""

    start = subprocess.Popen

    def run(command: Sequence[str], **how: Any) -> Any:
        if not _is_of_a_benchmark(command):
            return start(command, **how)
        program, *arguments = command[command.index("-c") + 1 :]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["-c", *arguments])
            patch.setattr(os, "sched_setaffinity", lambda process, cores: None)
            gc.freeze()  # it collects garbage for each run, and not that of all tests before
            exec(program, {})
        return FinishedProcess()

    monkeypatch.setattr(subprocess, "Popen", run)


class FinishedProcess:
    """A process that has ended well."""

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status."""
        return 0

    def kill(self) -> None:
        """Do nothing: it has ended."""


def reports(
    rungs: Callable[[Job], Lines], runs: Callable[[Job], Lines]
) -> Callable[[Job], Lines | None]:
    """Return a function for `Processes`: probes and checks go well, the rest is as given.

    Parameters
    ----------
    rungs
        Settings that the search has tried, with seconds and error.
    runs
        One record of runs for each setting that is timed, or a part of one: see `timed`.
    """

    def report(job: Job) -> Lines:
        if job["kind"] == "probe":
            return [{"can": {"tells": True}, "device": ""}]
        if job["kind"] == "climb":
            return [{"rung": {"message": ""} | rung} for rung in rungs(job)]
        if job["kind"] == "check":
            return [{"accuracy": a, "setting": settings[0]} for a, settings in job["candidates"]]
        numbered = enumerate(runs(job))
        return [{"import_seconds": 0.1}, *({"number": i} | timed(**run) for i, run in numbered)]

    return report


def timed(**parts: Any) -> dict[str, Any]:
    """Return the record of a setting that was timed in one process, with these parts."""
    run: dict[str, Any] = {
        "seconds": [0.5],
        "busy": [1.0],
        "peak": 1,
        "error": 1e-4,
        "residual": 1e-4,
    }
    return run | {"message": "", "passes": 3, "device_seconds": []} | parts


def entry_record(name: str = "x", **parts: Any) -> dict[str, Any]:
    """Return the record of a backend in a comparison, with these parts."""
    entry: dict[str, Any] = {
        "name": name,
        "title": name.upper(),
        "version": None,
        "install": f"pip install {name}",
    }
    entry |= {"status": "done", "message": "", "can": {}, "import_seconds": [], "device": ""}
    return entry | {"rungs": [], "timings": []} | parts


def timing_record(accuracies: Sequence[float], **parts: Any) -> dict[str, Any]:
    """Return the record of a setting that was timed in all turns, with these parts."""
    timing: dict[str, Any] = {"accuracies": list(accuracies), "setting": {"n": 2}}
    timing |= {"errors": [], "residuals": []}
    return timing | {"busy": [1.0] * len(parts.get("seconds", ()))} | parts


def comparison_record(
    entries: Sequence[dict[str, Any]], accuracies: Sequence[float] = (0.1,), **parts: Any
) -> dict[str, Any]:
    """Return the record of a comparison of backends, with these parts."""
    machine = {"processor": "P", "threads": 1, "cores": 1, "load_average": 0.0}
    whole: dict[str, Any] = {"schema": 1, "kind": "comparison", "workload": "w"}
    whole |= {
        "shape": [9, 9],
        "dtype": "f32",
        "k": 3,
        "accuracies": list(accuracies),
        "turns": 3,
        "limits": {},
        "seed": None,
    }
    whole |= {"checked_on_another_matrix": True, "machine": machine | parts.pop("machine", {})}
    return whole | {"entries": list(entries)} | parts


def printed(
    record: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch, width: int = 140
) -> str:
    """Return what the command line shows of the record of a benchmark."""
    monkeypatch.setenv("COLUMNS", str(width))
    file = folder / "benchmark.json"
    file.write_text(json.dumps(record, allow_nan=False), encoding="utf-8")
    status, text, err = invoke("show", file)
    assert (status, err) == (0, "")
    return text
