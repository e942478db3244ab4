# SPDX-License-Identifier: BSD-3-Clause
"""New processes for measurements, on given cores and with a time limit."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .backend import Backend
from .machine import thread_environment

BOOT = """
import os, sys, time
module, cores, job, out = sys.argv[1:]
os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
import importlib
started = time.perf_counter()
imported = importlib.import_module(module)
for name in getattr(imported, "__all__", ()):
    getattr(imported, name, None)
seconds = time.perf_counter() - started
from sigmascope.bench.worker import main
main(job, out, seconds)
"""
"""Program of a process: it imports the library first of all, and times that import.

Names that a library imports at their first use count as well.
"""


@dataclass(frozen=True)
class Outcome:
    """The result of a process.

    Attributes
    ----------
    lines : list of dict
        The records that it reported before its end.
    status : {"done", "did not finish", "crashed"}
    message : str
        Reason of a crash or of a missing end; else empty.
    """

    lines: list[dict[str, Any]]
    status: str
    message: str

    def every(self, name: str) -> list[Any]:
        """Return the values that were reported under a name."""
        return [line[name] for line in self.lines if name in line]


RunWorker = Callable[..., Outcome]
"""A function like `run_worker`."""


def run_worker(
    backend: Backend, job: dict[str, Any], *, cores: list[int], timeout: float
) -> Outcome:
    """Run one job of `worker` in a new process."""
    job = {**job, "backend": backend.name, "threads": len(cores)}
    with tempfile.TemporaryDirectory(prefix="sigmascope-bench-") as folder:
        request, out, errors = (Path(folder) / name for name in ("job", "out", "errors"))
        request.write_text(json.dumps(job), encoding="utf-8")
        out.touch()
        where = ",".join(map(str, cores))
        command = [sys.executable, "-P", "-c", BOOT, backend.module, where, str(request), str(out)]
        with open(errors, "wb") as stream:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stream,
                env=thread_environment(backend.blas_threads or len(cores)),
            )
            try:
                code: int | None = process.wait(timeout)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                process.kill()
                process.wait()
        lines = [
            json.loads(line)
            for line in out.read_text(encoding="utf-8").splitlines(True)
            if line.endswith("\n")
        ]
        status, message = _end(code, timeout, errors)
        return Outcome(lines, status, message)


def _end(code: int | None, timeout: float, errors: Path) -> tuple[str, str]:
    """Return status and message of a process with this exit code; None is a timeout."""
    if code is None:
        return "did not finish", f"did not finish in {timeout:g} s"
    if code == 0:
        return "done", ""
    last = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    if code < 0:
        names = {number.value: number.name for number in signal.Signals}
        return "crashed", f"killed by {names.get(-code, -code)}"
    return "crashed", last[0][:300] if last else f"exit status {code}"
