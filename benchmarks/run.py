# SPDX-License-Identifier: BSD-3-Clause
"""All measurements of this machine at this commit, one after the other: an hour or two.

    pip install '.[bench]' primme
    python benchmarks/run.py

Writes results/<machine>.json, the page and the plot of that name, and the table in the README. They
belong to the last commit that changed the library. An interrupted run goes on where it was, unless
there is a later one. Let nothing else run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headline import write_headline
from report import write_page

from sigmascope.bench.machine import describe

HERE = Path(__file__).parent
RESULTS, CACHE = HERE / "results", HERE / ".cache"

RIVALS = "ours,scipy-propack,scipy-arpack,sklearn,torch-lowrank,primme"
"""Those that come near; `numpy`, `dask`, `fbpca` and the rest are in the comparison of all."""

ONE_ACCURACY = ["--accuracy", "1e-3"]
LARGE = [*ONE_ACCURACY, "--backends", "ours,scipy-propack,scipy-arpack,torch-lowrank"]
"""Without those that take minutes here and are behind these at order 4096: sklearn and primme."""

COMPARISONS = {
    "all": ["--shape", "2048x2048", "-k", "32", "--dtype", "float32", "--backends", "all"],
    "llm-f32": ["--shape", "4096x4096", "--dtype", "float32"],
    "llm-bf16": ["--shape", "4096x4096", "--dtype", "bfloat16"],
    "decay-f32": ["--shape", "4096x4096", "--dtype", "float32", "--spectrum", "decay"],
    "llm-k16": ["--shape", "4096x4096", "--dtype", "float32", "-k", "16", *ONE_ACCURACY],
    "llm-k256": ["--shape", "4096x4096", "--dtype", "float32", "-k", "256", *LARGE],
    "llm-wide-bf16": ["--shape", "4096x11008", "--dtype", "bfloat16", *LARGE],
}
"""Options of `sigmascope bench` by the name of the comparison; they override the common ones."""

SUITE = "suite-"
"""Prefix of the parts that pytest-benchmark makes."""

LIBRARY = (":/cpp", ":/python", ":/CMakeLists.txt")
"""Files that decide what is measured."""

COMMON = {
    "--spectrum": "llm",
    "-k": "64",
    "--accuracy": "1e-2,1e-3,1e-6",
    "--turns": "3",
    "--backends": RIVALS,
    "--timeout": "240",
}


def commands(machine: str, models: list[str], modeldelta: str | None) -> dict[str, list[str]]:
    """Return every command, without the file that it writes, by the name of the part."""
    bench = [sys.executable, "-m", "sigmascope", "bench", "--quiet"]
    results = {}
    for name, arguments in COMPARISONS.items():
        options = {**COMMON, **dict(zip(arguments[::2], arguments[1::2], strict=True))}
        plot = ["--plot", str(RESULTS / f"{machine}.png")] if name == "all" else []
        flat = [word for option in options.items() for word in option]
        results[name] = [*bench, *flat, *plot, "--json"]
    results["growth"] = [*bench, "--growth", "--shape", "2048x2048", "-k", "64", "--json"]
    pair = [sys.executable, str(HERE / "experiments" / "compare_pair.py")]
    results["pair"] = [*pair, *(["--modeldelta", modeldelta] if modeldelta else []), "--json"]
    results["extraction"] = [
        sys.executable,
        str(HERE / "experiments" / "extract_pair.py"),
        "--turns",
        "3",
        "--json",
    ]
    scale = [sys.executable, str(HERE / "experiments" / "scale_checkpoint.py")]
    folders = [str(CACHE / "models" / name) for name in models]
    results["scale"] = [*scale, *folders, "--memory", "1.8GiB", "--json"]
    for path in sorted((HERE / "suites").glob("test_bench_*.py")):
        suite = [sys.executable, "-m", "pytest", "-q", str(path), "--benchmark-json"]
        results[SUITE + path.stem.removeprefix("test_bench_")] = suite
    return results


def machine_name() -> str:
    """Return the processor and its instruction set as the name of a file."""
    machine = describe(1)
    words = re.findall(r"[a-z0-9]+", f"{machine['processor']} {machine['isa']}".lower())
    return "-".join(word for word in words if word not in ("r", "processor"))


def git(*arguments: str) -> str:
    command = ["git", "-C", str(HERE), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def committed() -> str:
    """Return the last commit that changed the library; nothing but results may be uncommitted."""
    changed = git("status", "--porcelain", "--", ":/", ":!/benchmarks/results", ":!/README.md")
    if changed:
        sys.exit(f"commit first, since results belong to a commit:\n{changed}")
    return git("log", "-1", "--format=%H", "--", *LIBRARY)


def make_models(names: list[str]) -> None:
    """Make the checkpoints that are not there yet."""
    missing = [name for name in names if not (CACHE / "models" / name / "truth.json").exists()]
    if missing:
        (CACHE / "models").mkdir(parents=True, exist_ok=True)
        maker = str(HERE / "experiments" / "make_checkpoints.py")
        subprocess.run([sys.executable, maker, str(CACHE / "models"), *missing], check=True)


def measure(name: str, command: list[str], folder: Path) -> dict[str, Any]:
    """Run a command unless its part is there; return the part, with `failure` if it failed."""
    path = folder / f"{name}.json"
    if not path.exists():
        partial = path.with_suffix(".partial")
        print(name, flush=True)
        with path.with_suffix(".log").open("w+", encoding="utf-8") as log:
            ended = subprocess.run(
                [*command, str(partial)], check=False, stdout=log, stderr=subprocess.STDOUT
            )
            log.seek(0)
            said = log.read()
        # `sigmascope bench` ends so, too, if a backend misses an accuracy, which its table shows.
        if not partial.exists():
            sys.exit(f"{said}{' '.join(command)} ended with {ended.returncode} and wrote nothing")
        if ended.returncode and "bench" not in command:
            written = json.loads(partial.read_text(encoding="utf-8"))
            written["failure"] = said.strip().rpartition("\n")[2]
            print(f"{name} failed: {written['failure']}", flush=True)
            partial.write_text(json.dumps(written), encoding="utf-8")
        partial.rename(path)
    part: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return part


def main() -> None:
    arguments = argparse.ArgumentParser(description="Measure everything, then write the page.")
    arguments.add_argument("--modeldelta", metavar="COMMAND", help="of an environment that has it")
    arguments.add_argument(
        "--models",
        nargs="+",
        default=["qwen-0.5b", "llama-3b", "llama-7b"],
        help="checkpoints to make and scan: 21 GB of disk; llama-70b: 141 GB, or a tenth on XFS",
    )
    given = arguments.parse_args()
    commit, machine = committed(), machine_name()
    folder = CACHE / "parts" / commit
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "scale.json").exists():
        make_models(given.models)
    parts = {
        name: measure(name, command, folder)
        for name, command in commands(machine, given.models, given.modeldelta).items()
    }
    suites = [part for name, part in parts.items() if name.startswith(SUITE)]
    results = {
        "machine": suites[0]["machine_info"],
        "commit": commit,
        "date": datetime.now(UTC).date().isoformat(),
        "load_average_at_start": max(suite["load_average_at_start"] for suite in suites),
        "peak": {name: rate for suite in suites[::-1] for name, rate in suite["peak"].items()},
        "failures": {name: part["failure"] for name, part in parts.items() if "failure" in part},
        "suites": [
            {**entry["extra_info"], "seconds": entry["stats"]["data"]}
            for suite in suites
            for entry in suite["benchmarks"]
        ],
        "findings": {name: part for name, part in parts.items() if not name.startswith(SUITE)},
    }
    path = RESULTS / f"{machine}.json"
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    write_page(results, path.with_suffix(".md"))
    write_headline(results, path.with_suffix(".md"))
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
