# SPDX-License-Identifier: BSD-3-Clause
"""Sections of a results page, from what `sigmascope bench` and the experiments wrote as JSON.

    python benchmarks/findings.py FILE.json

prints the section of one file.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from sigmascope.bench.results import ABSENT


def row(cells: Iterable[object]) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def finding(result: dict[str, Any]) -> str:
    """A section of what `sigmascope bench` or an experiment wrote as JSON."""
    sections = {
        "comparison": comparison,
        "growth": growth,
        "minilm": minilm,
        "scale": scale,
        "shares": shares,
        "pair": pair,
        "extraction": extraction,
    }
    title, note, lines = sections[result["kind"]](result)
    machine = result["machine"]
    where = f"{machine['processor']}, {machine['threads']} threads, "
    where += f"load average before: {machine['load_average']:.2f}."
    return "\n".join([f"## {title}", "", f"{note} {where}", "", *lines])


Section = tuple[str, str, list[str]]


def comparison(result: dict[str, Any]) -> Section:
    """Every backend: time to each accuracy, over the best of ours."""
    accuracies = result["accuracies"]
    lines = [row(["backend", *(f"s to {a:g} (quartiles); × ours" for a in accuracies), "MB added"])]
    lines.append(row(["---"] * (len(accuracies) + 2)))
    ours = next((e for e in result["entries"] if e["name"] == "ours"), None)
    for entry in result["entries"]:
        if entry["status"] in ABSENT:
            continue
        peaks = [t["peak"] for t in entry["timings"] if t["peak"]]
        cells = [reached(entry, ours, a) for a in accuracies]
        lines.append(row([entry["title"], *cells, f"{max(peaks) / 1e6:.0f}" if peaks else ""]))
    note = f"`sigmascope bench`, {result['turns']} turns; its method is in docs/benchmarking.md."
    return f"Backends: {result['workload']}, k = {result['k']}", note, lines


def reached(entry: dict[str, Any], ours: dict[str, Any] | None, accuracy: float) -> str:
    """Median, quartiles and ratio; why there is none."""

    def timing(of: dict[str, Any]) -> dict[str, Any] | None:
        return next((t for t in of["timings"] if accuracy in t["accuracies"]), None)

    mine = timing(entry)
    if mine is None or mine["median"] is None:
        return entry["status"] if entry["status"] != "done" else "not reached"
    if mine["error"] is None or mine["error"] > accuracy:
        return "missed" if mine["error"] is None else f"missed: {mine['error']:.1e}"
    low, high = (number(value) for value in mine["quartiles"])
    text = f"{number(mine['median'])} ({low}–{high})"
    base = timing(ours) if ours else None
    if base is None or base["median"] is None or entry is ours:
        return text
    return f"{text}; {mine['median'] / base['median']:.2f}×"


def growth(result: dict[str, Any]) -> Section:
    """Seconds and memory of every size, and the slopes."""
    lines = [row(["grows in", "backend", "shape", "seconds", "MB added", "reads"])]
    lines.append(row(["---"] * 6))
    for line in result["lines"]:
        for point in line["points"]:
            t = point["timing"]
            shape = " x ".join(map(str, point["shape"]))
            figures = [number(t["median"]), f"{(t['peak'] or 0) / 1e6:.1f}", t["passes"]]
            lines.append(row([line["series"], line["backend"], shape, *figures]))
        slopes = [f"slope {line[name]:.2f}" for name in ("time_slope", "memory_slope")]
        lines.append(row([line["series"], line["backend"], "over m n", *slopes, ""]))
    note = f"`sigmascope bench --growth`, {result['turns']} turns."
    title = f"Growth: {result['spectrum']}, {result['dtype']}, k = {result['k']}"
    return f"{title}, tol = {result['tol']:g}", note, lines


def minilm(result: dict[str, Any]) -> Section:
    """Whole processes on one real model."""
    title = "Every matrix of all-MiniLM-L6-v2, every value"
    return title, "`benchmarks/experiments/compare_minilm.py`.", tools(result)


def pair(result: dict[str, Any]) -> Section:
    """Whole processes on two checkpoints."""
    title = f"Two checkpoints of {result['parameters'] / 1e6:.0f} M parameters side by side"
    note = "`benchmarks/experiments/compare_pair.py`: ours computes four spectra of every pair, "
    note += "all measures, angles and floors; modeldelta the singular values of the difference, "
    note += "and a few numbers of them."
    if result["decay"]:
        title += f", {result['decay']:g} of W gone"
        note += " The projected changes are too far from the changes to be told from them."
    return title, note, tools(result)


def extraction(result: dict[str, Any]) -> Section:
    """Whole processes that make an adapter, and the ranks and errors of its matrices."""
    lines = tools(result)
    header = ["matrix", "shape", "rank", "remaining error, relative", "that of the full SVD"]
    lines += ["", row(header), row(["---"] * len(header))]
    for each in result["matrices"]:
        shape = " × ".join(map(str, each["shape"]))
        errors = (f"{each[key]:.6f}" for key in ("relative_error", "peer_error"))
        lines.append(row([each["name"], shape, each["rank"], *errors]))
    title = f"An adapter from two checkpoints of {result['parameters'] / 1e6:.0f} M parameters"
    note = "`benchmarks/experiments/extract_pair.py`: matrices of the shapes of Llama 7B in bf16; "
    note += (
        f"the update has rank {result['rank']} and {result['size']:g} of the weight's norm. Ours "
    )
    note += f"finds the rank by the noise edge, within {result['memory']}; every error that it "
    note += "states was compared with that of the factors. The other tool is given the rank, and "
    used = [float(np.median(tool["processor_seconds"])) for tool in result["tools"]]
    note += f"takes {used[1] / used[0]:.1f} times the processor time."
    return title, note, lines


def tools(result: dict[str, Any]) -> list[str]:
    """Time and memory of whole processes."""
    header = ["tool", "wall s (all runs)", "× ours", "processor s", "MB peak"]
    lines = [row(header), row(["---"] * len(header))]
    ours = float(np.median(result["tools"][0]["seconds"]))
    for tool in result["tools"]:
        runs = ", ".join(number(value) for value in tool["seconds"])
        median = float(np.median(tool["seconds"]))
        wall = f"{number(median)} ({runs})"
        used = number(float(np.median(tool["processor_seconds"])))
        peak = f"{max(tool['peaks']) / 1e6:.0f}"
        lines.append(row([tool["name"], wall, f"{median / ours:.2f}", used, peak]))
    return lines


def scale(result: dict[str, Any]) -> Section:
    """Whole checkpoints: time, memory, what is left in the page cache, planted values found."""
    header = ["checkpoint", "GB", "matrices", "passes", "minutes", "GB/min"]
    header += ["MiB peak", "MiB cached", "planted values", "worst, of what is allowed"]
    lines = [row(header)]
    lines.append(row(["---"] * 10))
    for run in result["runs"]:
        size, minutes, planted = run["bytes"] / 1e9, run["seconds"] / 60, run["planted"]
        cells = [run["name"], f"{size:.1f}", run["analysed"], "–".join(map(str, run["passes"]))]
        cells += [f"{minutes:.2f}", f"{size / minutes:.1f}"]
        cells += [f"{run[key] / 2**20:.{digits}f}" for key, digits in (("peaks", 0), ("cached", 1))]
        hits = planted["values"] - planted["missed"]
        lines.append(row([*cells, f"{hits} of {planted['values']}", f"{planted['worst']:.2f}"]))
    if "slopes" in result:
        slopes = ", ".join(
            f"{name} {result['slopes'][key]:.2f}"
            for key, name in (("seconds", "time"), ("peaks", "peak memory"))
        )
        lines += ["", f"Slopes in logarithms over bytes: {slopes}."]
    for run in result["runs"]:
        if whole := run.get("whole"):
            hours = f"{whole / 3600:.1f} h"
            lines += ["", f"All of {run['name']} would take about {hours}: {EXTRAPOLATED}"]
    part = "".join(f" --include '{pattern}'" for pattern in result.get("include") or ())
    what = "every value" if result["effort"] == "exact" else "k = 64 to 1e-3"
    title = f"Whole checkpoints: effort {result['effort']}, {what}" + (", a part" if part else "")
    options = f"--effort {result['effort']} --memory {result['memory']}{part}"
    if result.get("accuracy", "reference") != "reference":
        options += f" --accuracy {result['accuracy']}"
    note = f"`benchmarks/experiments/scale_checkpoint.py {options}`, "
    return title, note + "read from disk past the page cache.", lines


EXTRAPOLATED = """each shape that was measured as long as it took, the others as long as the
floating-point operations of their Gram matrix at the rate of the largest that was measured."""


def shares(result: dict[str, Any]) -> Section:
    """Where the processor's time of a scan went."""
    lines = [row(["part", "share of processor time"]), row(["---"] * 2)]
    lines += [row([name, f"{100 * share:.1f} %"]) for name, share in result["shares"].items()]
    note = f"`benchmarks/experiments/profile_scan.py` on {result['what']}; "
    note += f"{result['busy']:.2f} cores busy."
    return "Where the time of a scan goes", note, lines


def main() -> None:
    arguments = argparse.ArgumentParser(description="Print the sections of findings.")
    arguments.add_argument("findings", type=Path, nargs="+", help="JSON")
    for path in arguments.parse_args().findings:
        print(finding(json.loads(path.read_text(encoding="utf-8"))), end="\n\n")


if __name__ == "__main__":
    main()
