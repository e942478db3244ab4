# SPDX-License-Identifier: BSD-3-Clause
"""All measurements of the results page, one after the other: an hour or two.

    pip install '.[bench]' primme weightwatcher
    python benchmarks/run.py

What has been measured already (a JSON file in results/) is not measured again: after an
interruption, call it again; to repeat a part, delete its file. Let nothing else run meanwhile.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results"

RIVALS = "ours,scipy-propack,scipy-arpack,sklearn,torch-lowrank,primme"
"""Those that come near; `numpy`, `dask`, `fbpca` and the rest are in the comparison of all."""

ONE_ACCURACY = ["--accuracy", "1e-3"]
LARGE = [*ONE_ACCURACY, "--backends", "ours,scipy-propack,scipy-arpack,torch-lowrank"]
"""Without those that take minutes here and are behind these at order 4096: sklearn and primme."""

COMPARISONS = {
    "all": ["--shape", "2048x2048", "-k", "32", "--dtype", "float32"],
    "llm-f32": ["--shape", "4096x4096", "--dtype", "float32"],
    "llm-bf16": ["--shape", "4096x4096", "--dtype", "bfloat16"],
    "decay-f32": ["--shape", "4096x4096", "--dtype", "float32", "--spectrum", "decay"],
    "llm-k16": ["--shape", "4096x4096", "--dtype", "float32", "-k", "16", *ONE_ACCURACY],
    "llm-k256": ["--shape", "4096x4096", "--dtype", "float32", "-k", "256", *LARGE],
    "llm-wide-f32": ["--shape", "4096x11008", "--dtype", "float32", *LARGE],
    "llm-wide-bf16": ["--shape", "4096x11008", "--dtype", "bfloat16", *LARGE],
    "llm-large-bf16": ["--shape", "8192x28672", "--dtype", "bfloat16", *LARGE],
}
"""Options of `sigmascope bench` by the name of the comparison; they override the common ones."""

COMMON = {
    "--spectrum": "llm",
    "-k": "64",
    "--accuracy": "1e-2,1e-3,1e-6",
    "--turns": "3",
    "--backends": RIVALS,
    "--timeout": "240",
}


def commands(weightwatcher: str) -> dict[str, list[str]]:
    """Return every command by the name of the file that it writes."""
    python = sys.executable
    found = {}
    for name, asked in COMPARISONS.items():
        options = {**COMMON, **dict(zip(asked[::2], asked[1::2], strict=True))}
        if name == "all":
            options["--backends"] = "all"
        plot = ["--plot", str(RESULTS / "bench-all.png")] if name == "all" else []
        flat = [word for option in options.items() for word in option]
        command = [python, "-m", "sigmascope", "bench", "--quiet", *flat, *plot]
        found[f"bench-{name}.json"] = [*command, "--json"]
    found["growth.json"] = [python, "-m", "sigmascope", "bench", "--quiet", "--growth"]
    found["growth.json"] += ["--shape", "2048x2048", "-k", "64", "--json"]
    minilm = [
        python,
        str(HERE / "experiments" / "compare_minilm.py"),
        "--weightwatcher",
        weightwatcher,
        "--json",
    ]
    found["minilm.json"] = minilm
    tests = [python, "-m", "pytest", "-q", str(HERE / "suites"), "--bench-large"]
    found["run.json"] = [*tests, "--benchmark-json"]
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description="Measure everything, then write the page.")
    arguments.add_argument(
        "--weightwatcher", default=sys.executable, metavar="PYTHON", help="that has weightwatcher"
    )
    arguments.add_argument("--only", nargs="*", help="names of files in results/")
    given = arguments.parse_args()
    for name, command in commands(given.weightwatcher).items():
        path = RESULTS / name
        if path.exists() or (given.only and name not in given.only):
            continue
        partial = path.with_suffix(".partial")
        print(name, flush=True)
        ended = subprocess.run([*command, str(partial)], check=False, stdout=subprocess.DEVNULL)
        # A backend that misses an accuracy, or a case whose answer is wrong, is in the file.
        if partial.exists():
            partial.rename(path)
        else:
            sys.exit(f"{' '.join(command)} ended with {ended.returncode} and wrote nothing")
    if not (RESULTS / "run.json").exists():
        return  # a part, by --only: no page yet
    names = [name for name in commands(given.weightwatcher) if name != "run.json"]
    more = [str(RESULTS / name) for name in names if (RESULTS / name).exists()]
    report = [sys.executable, str(HERE / "report.py"), str(RESULTS / "run.json")]
    subprocess.run([*report, "--more", *more], check=True)
    compared = [path for path in more if "bench-" in path and "bench-all" not in path]
    subprocess.run([sys.executable, str(HERE / "headline.py"), *compared], check=True)


if __name__ == "__main__":
    main()
