# SPDX-License-Identifier: BSD-3-Clause
"""The results page of a machine, from the results that run.py wrote.

    python benchmarks/report.py benchmarks/results/MACHINE.json

Rounds of the same case and method are pooled; every peer is compared with sigmascope.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from findings import finding, number, row
from suites.peers_of_kernels import OURS
from suites.workloads import TURNS

TITLES = {
    "svds": "The top singular triplets, over time",
    "calls": "Calls on whole matrices",
    "svdvals": "Every singular value",
    "small_svds": "Triplets of small matrices",
    "small_svdvals": "Every value of small matrices",
    "small_spectra": "Spectra of small matrices",
    "products": "Thin products",
    "rounded_products": "Thin products of bf16 numbers",
    "costs": "The cost model's choices",
    "decode": "Decoding",
    "blocks": "Decoding of GGUF's block layouts",
    "groups": "Decoding of codes in groups",
    "moments": "Statistics of the entries",
    "moments_of_file": "Statistics of the entries of a file",
    "diagnoses": "Diagnoses of comparisons",
}

NOTES = {
    "svds": f"""\
U, values and V asked for, in {TURNS} rounds. "error" is the worst relative error of the k values
against float64; "residual" is max ‖Av − σu‖ / σ₁ from both sides. Each value's bound is in the
time.""",
    "calls": """\
Ours alone, with k = 64, each beside its floor. Held against float64 are the values of a search with
their errors, a density's leading values and nuclear norm, every value of `svdvals` and the Gram
matrix, the norm of moments, and the relative change of a comparison. The floor of a comparison is
that of the spectra of W, W' and W' − W, without the fourth, of what the change projects to.""",
    "svdvals": """\
Matrices in memory, stored in the given dtype; what a method converts is in its time. The error is
absolute, in units of σ₁, against LAPACK in float64. The methods take turns; the slow ones are timed
once above order 2048.""",
    "small_svds": """\
Matrices of float64 in memory. Searches stop at a tolerance of 1e-6 σ₁, which every method must
reach; LAPACK, in NumPy and torch, is exact to rounding. At order 8 a call of ours is nearly all
overhead.""",
    "small_svdvals": """\
The same matrices; the error is absolute, in units of σ₁.""",
    "small_spectra": """\
All measures of the same matrices: ours from every value, or estimated from a density. NumPy finds
the values and the same statistics of the elements, from which our functions compute the same
measures: the difference is what a call of ours adds. Or its values give the effective rank alone.
The error is that of the effective rank, relative.""",
    "products": """\
A is stored in the given dtype and Gaussian; the block X has k columns of float32; "gram" is
AᵀA X together with A X, the step of a Krylov method. Conversions are in the time. Results are
float32 with errors of float32, except where torch computes all in bf16.""",
    "rounded_products": """\
A and the block are stored in bf16; sums are in fp32, and so is our result. "gram" is AᵀA X with A X
rounded to bf16 between: the step that steers a search. "Hi + lo" is a block of float32 as the sum
of two of bf16. What the processor can do at most stands above.""",
    "costs": """\
`svds` chooses block and method itself; "setting" has the seconds of every way, and the fastest.""",
    "decode": """\
Stored bytes read per second, while as many numbers of float32 (float64 for f64) are written to a
fresh array.""",
    "blocks": """\
A file whose pages the system holds, to float32 in memory, with the reading: ours on one thread,
and `dequantize` of the `gguf` package, which is NumPy on one thread. The answers are equal to the
bit.""",
    "groups": """\
Decoding to float32 of a file in the page cache, on one thread, with the reading of scales: GPTQ,
compressed-tensors (both 4 bits, a scale for 128 columns) and NF4 of bitsandbytes (for 64).
gguf-py decodes as many numbers of Q4_0, another layout, as a yardstick.""",
    "moments": """\
Range, mean, deviation, skewness, kurtosis, row and column norms, in stored bytes read per second;
NumPy computes the same from a float32 copy. "Norm and NaN alone" is what every algorithm of ours
looks at first. "Reading alone" is a yardstick: the maximum of the same bytes as 64-bit words, by
NumPy in as many threads.""",
    "moments_of_file": """\
The same of 1 GiB of bf16 in a safetensors file, whose pages the system holds, or that was dropped
from its cache before every round. "Reading alone" is a yardstick: positioned reads of 8 MiB, one
after another, into one buffer.""",
    "diagnoses": """\
`diagnose` of the rows of a comparison against a calibration, which is in memory; no weights are
read. 560 rows are the matrices of a model of 80 layers.""",
}

UNITS = {
    "products": "GFLOP/s",
    "rounded_products": "GFLOP/s",
    "decode": "GB/s",
    "blocks": "Gnumbers/s",
    "groups": "Gnumbers/s",
    "moments": "GB/s",
    "moments_of_file": "GB/s",
}


@dataclass
class Timing:
    """All rounds of one method on one case."""

    seconds: list[float] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)

    @property
    def median(self) -> float:
        return float(np.median(self.seconds))

    @property
    def quartiles(self) -> tuple[float, float]:
        low, high = np.percentile(self.seconds, [25, 75])
        return float(low), float(high)

    def worst(self, name: str) -> float | None:
        """The largest of a figure over the rounds."""
        results = [note[name] for note in self.notes if name in note]
        return max(results) if results else None


Table = dict[tuple[tuple[str, Any], ...], dict[str, Timing]]


def collect(entries: list[dict[str, Any]]) -> dict[str, Table]:
    """Return the timings by table, by case, by method."""
    tables: dict[str, Table] = {}
    for entry in entries:
        cases = tables.setdefault(entry["table"], {})
        methods = cases.setdefault(tuple(entry["case"].items()), {})
        timing = methods.setdefault(entry["method"], Timing())
        timing.seconds.extend(entry["seconds"])
        timing.notes.append(entry)
    return tables


def number_of_cores(notes: list[dict[str, Any]]) -> str:
    busy = [note["busy"] for note in notes if "busy" in note]
    return f"{np.median(busy):.1f}" if busy else ""


def times_ours(methods: dict[str, Timing], name: str) -> str:
    """Return the ratio of the time of a method to that of ours, in words."""
    if OURS not in methods:
        return ""
    return "1" if name == OURS else f"{methods[name].median / methods[OURS].median:.2f}"


def floor_beside(timing: Timing) -> str:
    """Return the seconds of the floor, what sets it, and the time over it; empty if not known."""
    note = timing.notes[-1]
    if "floor" not in note:
        return ""
    return f"{number(note['floor'])}, {note['bound']}; {timing.median / note['floor']:.1f}×"


def by_method(table: Table) -> list[str]:
    """One line for every method: seconds, floor, accuracy, setting."""
    keys = [key for key, _ in next(iter(table))]
    figures = ["method", "seconds (quartiles)", "× ours", "floor, s; × floor"]
    figures += ["worst error", "residual", "cores busy"]
    lines = [row([*keys, *figures, "setting"]), row(["---"] * (len(keys) + len(figures) + 1))]
    for case, methods in table.items():
        for name, timing in methods.items():
            low, high = (number(value) for value in timing.quartiles)
            error, residual = timing.worst("error"), timing.worst("residual")
            setting = timing.notes[0].get("setting") or {}
            lines.append(
                row(
                    [
                        *(value for _, value in case),
                        name,
                        f"{number(timing.median)} ({low}–{high})",
                        times_ours(methods, name),
                        floor_beside(timing),
                        "" if error is None else f"{error:.1e}",
                        "" if residual is None else f"{residual:.1e}",
                        number_of_cores(timing.notes),
                        ", ".join(f"{key} = {value}" for key, value in setting.items()),
                    ]
                )
            )
    return lines


def by_rate(table: Table, unit: str) -> list[str]:
    """One line for every case, a column for every method: rate, quartiles, × ours, floor."""
    keys = [key for key, _ in next(iter(table))]
    names = list(dict.fromkeys(name for methods in table.values() for name in methods))
    lines = [row([*keys, *(f"{name}, {unit}" for name in names)])]
    lines.append(row(["---"] * (len(keys) + len(names))))
    for case, methods in table.items():
        cells: list[object] = [value for _, value in case]
        for name in names:
            if name not in methods:
                cells.append("")
                continue
            timing = methods[name]
            work = timing.notes[0]["work"]
            low, high = (number(work / seconds) for seconds in reversed(timing.quartiles))
            ratio = "" if name == OURS else f"; {times_ours(methods, name)}×"
            if floor := timing.notes[-1].get("floor"):
                ratio += f"; floor {number(work / floor)}"
            cells.append(f"{number(work / timing.median)} ({low}–{high}){ratio}")
        lines.append(row(cells))
    return lines


def peak_of(rates: dict[str, float]) -> str:
    if not rates:
        return "not known"
    units = {"fp32": "fp32 multiply-adds", "fp64": "fp64 multiply-adds"}
    units |= {"bf16": "bf16 dot products", "tiles": "bf16 tiles"}
    had = [f"{rates[key]:.0f} GFLOP/s of {unit}" for key, unit in units.items() if rates.get(key)]
    return ", ".join(had)


def reading_of(rates: dict[str, float]) -> str:
    """Return the rates of reading of arrays of each size."""
    sizes = sorted((int(key), rate) for key, rate in rates.items() if key.isdigit())
    large = [f"{rate:.0f} GB/s of {size / 1e6:.0f} MB" for size, rate in sizes if size >= 1e7]
    return ", ".join(large) if large else "not known"


def page(results: dict[str, Any], plot: str) -> str:
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    parts = [
        f"""\
# Benchmarks: {machine["processor"]}, {machine["isa"]}

Made by `benchmarks/run.py`; do not edit.

    pip install '.[bench]' primme
    python benchmarks/run.py

- **Machine**: {machine["processor"]}, {machine["cores"]} cores, {machine["memory_gib"]} GiB,
  {machine["system"]}, instruction set {machine["isa"]}
- **Threads**: {machine["threads"]} for every library, on as many cores; load average of the machine
  before: {results["load_average_at_start"]:.2f}
- **Peak**, measured on registers alone: {peak_of(results["peak"])}
- **Reading**, an array over and over: {reading_of(results["peak"])}
- **Versions**: {versions}; our BLAS: {machine["blas"]}
- **When**: {results["date"]}, commit {results["commit"][:10]}
{failed(results.get("failures", {}))}
Times are medians with quartiles in brackets, after a warm-up. "×" is the time of a method over the
time of sigmascope on the same case: above 1, sigmascope is faster. "cores busy" is processor time
over wall time; well below the number of threads, a method did not get, or did not use, its cores.
"floor" is the least time of the method here: its bytes at the rate of reading arrays of that size,
or its multiply-adds at the peak of their type, whichever takes longer (`suites/floors.py`). In
tables of rates it is the rate at that time, of ours alone.
Every case asserts its answer; one that is wrong has no line here. A part that fails is named above.

![Time against accuracy, a curve for each library]({plot})"""
    ]
    parts += [finding(result).rstrip() for result in results["findings"].values()]
    tables = collect(results["suites"])
    for name, title in TITLES.items():
        if name in tables:
            table = tables[name]
            lines = by_rate(table, UNITS[name]) if name in UNITS else by_method(table)
            parts.append("\n".join([f"## {title}", "", NOTES[name], "", *lines]))
    return "\n\n".join(parts) + "\n"


def failed(failures: dict[str, str]) -> str:
    """Return a line for each part whose command failed."""
    return "".join(f"- **Failed**: {name}: {reason}\n" for name, reason in failures.items())


def write_page(results: dict[str, Any], path: Path) -> None:
    path.write_text(page(results, path.with_suffix(".png").name), encoding="utf-8")


def main() -> None:
    arguments = argparse.ArgumentParser(description="Write the results page of a machine.")
    arguments.add_argument("results", type=Path, help="what run.py wrote")
    given = arguments.parse_args()
    results = json.loads(given.results.read_text(encoding="utf-8"))
    write_page(results, given.results.with_suffix(".md"))


if __name__ == "__main__":
    main()
