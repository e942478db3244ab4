# SPDX-License-Identifier: BSD-3-Clause
"""A file of the processes of a benchmark that have ended, so that it can be continued."""

from __future__ import annotations

import json
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

from .backend import Backend
from .machine import processor
from .processes import Outcome, run_worker

_PLACES = ("matrix", "reference")
"""Members of a job that are paths in a temporary folder."""


class ProcessJournal:
    """A file with a JSON line for each process that has ended: its job and its report.

    A process whose job is in the file is not run again. Two jobs are the same if backend, version,
    matrix, settings, seed, threads and processor are the same. A job that ran out of time is
    repeated if it now gets more. An incomplete last line, which a killed run leaves, is cut off.

    Parameters
    ----------
    path : Path
        A `.jsonl` file, which is made if it does not exist.

    Attributes
    ----------
    reused, added : int
        Number of processes that were taken from the file, and number that were run.

    Raises
    ------
    ValueError
        If the suffix is not `.jsonl`, or a line is not of a benchmark.
    OSError
        If the file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix != ".jsonl":
            raise ValueError(f"{path}: a benchmark is resumed from a .jsonl, not {path.suffix!r}")
        self.path = path
        self.reused = self.added = 0
        self._outcomes: dict[str, tuple[Outcome, float]] = {}
        self._load()

    def _load(self) -> None:
        with open(self.path, "a+b") as file:
            file.seek(0)
            text = file.read()
            whole = text[: text.rfind(b"\n") + 1]
            for number, line in enumerate(whole.splitlines(), 1):
                try:
                    record = json.loads(line)
                    outcome = Outcome(**record["outcome"])
                    self._outcomes[record["job"]] = outcome, float(record["timeout"])
                except (ValueError, TypeError, KeyError):
                    raise ValueError(
                        f"{self.path}: line {number} does not describe a process of a benchmark"
                    ) from None
            file.truncate(len(whole))

    def run(
        self, backend: Backend, job: dict[str, Any], *, cores: list[int], timeout: float
    ) -> Outcome:
        """Run a job in a new process, or take its outcome from the file."""
        key = _key(backend, job, len(cores))
        if key in self._outcomes:
            outcome, given = self._outcomes[key]
            if outcome.status != "did not finish" or timeout <= given:
                self.reused += 1
                return outcome
        outcome = run_worker(backend, job, cores=cores, timeout=timeout)
        record = {
            "backend": backend.name,
            "kind": job["kind"],
            "job": key,
            "timeout": timeout,
            "outcome": asdict(outcome),
        }
        with open(self.path, "ab", buffering=0) as file:
            file.write(json.dumps(record).encode() + b"\n")
        self._outcomes[key] = outcome, timeout
        self.added += 1
        return outcome


def _key(backend: Backend, job: dict[str, Any], threads: int) -> str:
    """Return a digest of everything that decides what a process does."""
    what = {name: value for name, value in job.items() if name not in _PLACES}
    what |= {"backend": backend.name, "version": backend.version, "threads": threads}
    what |= {"processor": processor()}
    return sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
