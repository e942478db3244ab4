# SPDX-License-Identifier: BSD-3-Clause
"""The command: workers over all cores and instruction sets, failures shrunk and saved."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .cases import EVERY_LAYOUT, FUNCTIONS, Case, draw, following
from .generators import EVERY
from .stored import DTYPES
from .summary import Summary

ISAS = ("scalar", "avx2", "avx512", "avx512bf16", "amx")
PROCESSORS = {"scalar": "Prescott", "avx2": "Haswell"}
"""OpenBLAS's name of a processor with these instructions: LAPACK's time is of the same machine."""
CHUNK = 250
"""Cases of one worker process, all with one instruction set."""
ROOT = Path(__file__).parents[2]
"""The folder from which workers import this package."""


def instructions(isa: str) -> dict[str, str]:
    """Variables by which the engine, and LAPACK with it, keep to an instruction set."""
    result = {"SIGMASCOPE_ISA": isa} if isa else {}
    return result | ({"OPENBLAS_CORETYPE": PROCESSORS[isa]} if isa in PROCESSORS else {})


def environment(isa: str) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    single = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**os.environ, **single, **instructions(isa), "PYTHONPATH": path}


def available() -> list[str]:
    """The instruction sets that this machine has."""
    code = "import sigmascope; print(sigmascope.show_config()['isa'])"
    results = []
    for isa in ISAS:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment(isa),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.stdout.strip() == isa:
            results.append(isa)
    return results or [""]


@dataclass
class Campaign:
    seed: int
    only: list[str]
    cases: int
    until: float
    folder: Path
    each: int
    isas: list[str]
    summary: Summary
    next: int = 0
    broken: str = ""
    """Why no worker can run."""
    saved: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    last_message: float = field(default_factory=time.time)
    lock: threading.Lock = field(default_factory=threading.Lock)
    processes: set[subprocess.Popen[str]] = field(default_factory=set)
    slow: list[tuple[int, str]] = field(default_factory=list)
    """Cases, with their instruction sets, that took too long while another worker ran."""
    alone: bool = False
    """True once there is one worker only, and times may be judged."""

    def work(self) -> None:
        """One worker after the other, until time or cases are at their end."""
        while True:
            with self.lock:
                first, end = self.next, min(self.next + CHUNK, self.cases)
                self.next = end
            if first >= end or time.time() > self.until:
                return
            isa = self.isas[first // CHUNK % len(self.isas)]
            while first < end and time.time() <= self.until:
                first = self._run(first, end, isa)

    def measure_slow_cases(self) -> None:
        """Run the cases that took too long again, one at a time, and count the second time."""
        self.alone, self.until = True, time.time() + 3600.0
        if self.slow:
            print(f"{len(self.slow)} slow cases again, one at a time", file=sys.stderr, flush=True)
        for index, isa in self.slow:
            self._run(index, index + 1, isa)

    def progress(self) -> None:
        """Say how far it is, once a minute."""
        if time.time() > self.last_message + 60:
            self.last_message = time.time()
            cases, failed = (sum(x.values()) for x in (self.summary.cases, self.summary.failed))
            print(f"{cases} cases, {failed} failed", file=sys.stderr, flush=True)

    def stop(self) -> None:
        """End the workers, and count no case of theirs."""
        self.until = 0
        for process in list(self.processes):
            process.terminate()

    def _run(self, first: int, end: int, isa: str) -> int:
        """Run a process on cases from `first` on; the first case that is still to be run."""
        with self.lock:
            saved = [[*group, count] for group, count in self.saved.items()]
        job = {
            "seed": self.seed,
            "first": first,
            "end": end,
            "only": self.only,
            "until": self.until,
            "folder": str(self.folder),
            "each": self.each,
            "saved": saved,
            "isa": isa,
            "alone": self.alone,  # without those of other numbers that follow it
        }
        with subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.campaign.worker", json.dumps(job)],
            env=environment(isa),
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is the runner's
        ) as process:
            self.processes.add(process)
            began, done = self._listen(process, isa)
        self.processes.discard(process)
        code = process.returncode
        if code == 0 or self.until == 0:
            return end
        if began is None:
            self.broken = f"a worker ended with {code} before its first case"
            self.stop()
            return end
        if not done:
            self._seen(ended(draw(self.seed, began), code), isa)
        return following(began)

    def _listen(self, process: subprocess.Popen[str], isa: str) -> tuple[int | None, bool]:
        """Take in what a worker tells: the case that it began last, and whether that is done."""
        began, done = None, True
        assert process.stdout is not None
        for line in process.stdout:
            if not line.startswith("{"):  # of something else that prints
                print(line, end="")
                continue
            record = json.loads(line)
            done = "began" not in record
            if done:
                self._seen(record, isa)
            else:
                began = record["began"]
        return began, done

    def _seen(self, record: dict[str, Any], isa: str) -> None:
        with self.lock:
            if record["findings"] and record["main"] == "work" and not self.alone:
                self.slow.append((record["index"], isa))
                return
            self.summary.add(record)
            if record["line"]:
                self.saved[record["function"], record["main"], record["kind"]] += 1
                line = f"{record['line']} | {rerun(isa, self.seed, record['index'])}"
                print(f"FAILED {line}", flush=True)
                self.folder.mkdir(parents=True, exist_ok=True)
                with (self.folder / "failures.txt").open("a", encoding="utf-8") as file:
                    file.write(line + "\n")


def where() -> str:
    """Which sigmascope is tried: not always the one that is meant."""
    spec = importlib.util.find_spec("sigmascope")
    return str(spec.origin if spec else "no sigmascope")


def rerun(isa: str, seed: int, index: int) -> str:
    switches = " ".join(f"{name}={value}" for name, value in instructions(isa).items())
    return f"{switches} python -m tests.campaign --case {seed}:{index}"


def ended(case: Case, code: int) -> dict[str, Any]:
    """Return the report of a case that ended its process."""
    late = code in (-signal.SIGPROF, -signal.SIGALRM)
    what = "out of time" if late else "crash"
    text = signal.Signals(-code).name if code < 0 else f"exit status {code}"
    return {
        "index": case.index,
        "function": case.function,
        "kind": case.kind,
        "dtype": case.dtype,
        "findings": [{"what": what, "ratio": float(np.finfo(float).max), "detail": text}],
        "converged": None,
        "z": {},
        "seconds": 0.0,
        "work": None,
        "refused": "",
        "main": what,
        "line": f"{case.function} {case.record()} | {what}: {text}",
    }


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("--minutes", type=float, default=0.0, help="stop after so long")
    parser.add_argument("--cases", type=int, default=0, help="stop after so many numbers of cases")
    parser.add_argument("--seed", type=int, help="of the campaign; default: the day")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument(
        "--only", default="", help="classes, functions, dtypes, layouts, with commas"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--isa", default="", help="instruction sets, with commas; default: all")
    parser.add_argument("--folder", type=Path, default=Path("build/campaign"))
    parser.add_argument("--each", type=int, default=1, help="failures saved of a kind and class")
    parser.add_argument("--json", type=Path, help="where to write the summary")
    parser.add_argument("--case", help="SEED:INDEX: run one case, and say everything of it")
    parser.add_argument("--file", type=Path, help="a saved failure: run it again")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for; 1 if anything failed."""
    options = parsed(arguments)
    if options.case or options.file:
        from .showing import show

        return show(options.case, options.file)
    seed = int(time.strftime("%Y%m%d")) if options.seed is None else options.seed
    isas = options.isa.split(",") if options.isa else available()
    only = [name for name in options.only.replace("/", ",").split(",") if name]
    unknown = set(only).difference(EVERY, FUNCTIONS, DTYPES, EVERY_LAYOUT)
    if unknown:
        sys.exit(f"no class, function, dtype or layout: {', '.join(sorted(unknown))}")
    print(f"campaign seed {seed}, instruction sets {' '.join(isas)}, {where()}", flush=True)
    minutes = options.minutes or (1e9 if options.cases else 30.0)
    campaign = Campaign(
        seed=seed,
        only=only,
        cases=options.first + options.cases if options.cases else 2**62,
        until=time.time() + 60 * minutes,
        folder=options.folder,
        each=options.each,
        isas=isas,
        summary=Summary(seed, isas),
        next=options.first,
    )
    for stop in (signal.SIGINT, signal.SIGTERM):  # a background shell ignores the first
        signal.signal(stop, signal.default_int_handler)
    threads = [threading.Thread(target=campaign.work) for _ in range(options.workers)]
    for thread in threads:
        thread.start()
    try:
        while any(thread.is_alive() for thread in threads):
            for thread in threads:
                thread.join(timeout=5)
            campaign.progress()
    except KeyboardInterrupt:
        campaign.stop()
    if campaign.broken:
        sys.exit(campaign.broken)
    for thread in threads:
        thread.join()
    campaign.measure_slow_cases()
    print("\n" + campaign.summary.text())
    if options.json:
        options.json.write_text(json.dumps(campaign.summary.record(), indent=1), encoding="utf-8")
    return 1 if sum(campaign.summary.failed.values()) else 0
