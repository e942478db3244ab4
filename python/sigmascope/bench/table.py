# SPDX-License-Identifier: BSD-3-Clause
"""Results of a benchmark as terminal tables (extra ``cli``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sigmascope.extension.commands import SavedRecord, console, show_table

from .machine import busy_note
from .results import BackendComparison, BackendResult, Growth, Timing
from .saved import is_benchmark, result_of

if TYPE_CHECKING:
    from rich.console import Console


def show_result(out: Console, result: BackendComparison | Growth) -> None:
    """Print the result of a benchmark."""
    if isinstance(result, Growth):
        show_growth(out, result)
    else:
        show_comparison(out, result)


def show_comparison(out: Console, comparison: BackendComparison) -> None:
    """Print the times, abilities and settings of each backend."""
    _heading(out, comparison.workload, comparison.k, comparison.machine, comparison.turns)
    headers = ["backend", *(f"s to {a:g}" for a in comparison.accuracies)]
    headers += ["MB added", "cores busy", "import s"]
    ran = [e for e in comparison.entries if not e.absent]
    show_table(out, "", headers, [_line(entry, comparison.accuracies) for entry in ran])
    best = [f"{a:g}: {_fastest(ran, a)}" for a in comparison.accuracies]
    out.print(f"Fastest to {'; '.join(best)}", soft_wrap=True)
    out.print()
    _show_device(out, comparison, [entry for entry in ran if entry.device])
    show_table(out, "Capabilities", _ABILITIES, [_abilities(entry) for entry in ran])
    lines = [[e.title, _setting(t), *_worst(t)] for e in ran for t in e.timings]
    if lines:
        headers = ["backend", "setting", "to", "error", "residual", "MB added", "CPU s"]
        show_table(out, "Settings, and their worst results", headers, lines, left=2)
    for text in notes(comparison):
        out.print(text, soft_wrap=True)


def show_growth(out: Console, growth: Growth) -> None:
    """Print seconds and memory of every size, and the slopes."""
    title = f"{growth.spectrum}, {growth.dtype}, tol = {growth.tol:g}"
    _heading(out, title, growth.k, growth.machine, growth.turns)
    titles = {"ours": "in memory", "ours-file": "from its file"}
    for line in growth.lines:
        rows = []
        for point in line.points:
            timing = point.timing
            size = f"{point.shape[0]} x {point.shape[1]}"
            passes = str(timing.passes or "")
            rows.append(
                [size, megabytes(point.stored), seconds(timing), megabytes(timing.peak), passes]
            )
        title = f"Growing in {line.series}, {titles[line.backend]}"
        show_table(out, title, ["size", "MB stored", "seconds", "MB added", "reads"], rows)
        out.print(f"log-log slope over m n: time {line.time_slope:.2f}, ", end="")
        out.print(f"memory added {line.memory_slope:.2f}\n")


def seconds(timing: Timing) -> str:
    """Return the median with quartiles, or "failed" if no run finished."""
    if not timing.seconds:
        return "failed"
    low, high = timing.quartiles
    return f"{timing.median:.3g} ({low:.3g}-{high:.3g})"


def megabytes(size: int | None) -> str:
    """Return a number of bytes in units of 10**6, as text."""
    return "?" if size is None else f"{size / 1e6:.3g}"


def cell(entry: BackendResult, accuracy: float) -> str:
    """Return the time to reach an accuracy, or the reason why there is none."""
    timing = entry.timing(accuracy)
    if timing is None:
        return "did not finish" if entry.status == "did not finish" else "not reached"
    if not timing.seconds:
        return entry.status if entry.status != "done" else "failed"
    return seconds(timing) if timing.error <= accuracy else f"missed: {timing.error:.1e}"


def notes(comparison: BackendComparison) -> list[str]:
    """Return remarks on the times, and on single backends: absence, failures, warnings."""
    texts = []
    if comparison.turns == 1:
        texts.append("One turn cannot show whether a time was disturbed; --turns 3 can")
    for entry in comparison.entries:
        if entry.absent:
            texts.append(f"{entry.title}: {entry.status}; {entry.message}")
        elif entry.message:
            texts.append(f"{entry.title}: {entry.message}")
        failed = [rung for rung in entry.rungs if rung.error == float("inf")]
        if failed and not entry.timings:
            texts.append(f"{entry.title}: {failed[-1].message}")
        for timing in entry.timings:
            tried = [rung.seconds for rung in entry.rungs if rung.setting == timing.setting]
            if timing.seconds and timing.median > max(10 * min(tried, default=float("inf")), 0.02):
                texts.append(
                    f"{entry.title}, {_setting(timing)}: {timing.median:.3g} s in its turns and "
                    f"{min(tried):.3g} s when it was tried: do not trust the time, run it again"
                )
            if not timing.is_steady:
                low, high = timing.quartiles
                texts.append(
                    f"{entry.title}, {_setting(timing)}: times vary, quartiles {low:.3g} and "
                    f"{high:.3g} s of {len(timing.seconds)} runs"
                )
            texts += [f"{entry.title}, {_setting(timing)}: {text}" for text in timing.messages]
            if timing.errors and timing.error > min(timing.accuracies):
                other = comparison.checked_on_another_matrix
                where = "the timed matrix" if other else "other seeds"
                texts.append(
                    f"{entry.title}: the setting for {min(timing.accuracies):g} gave "
                    f"{timing.error:.1e} on {where}"
                )
    return texts


def _heading(out: Console, what: str, k: int, machine: dict[str, Any], turns: int) -> None:
    out.print(f"{what}, k = {k}", style="bold")
    out.print(
        f"{machine['processor']}, {machine['threads']} of {machine['cores']} cores, load "
        f"{machine['load_average']}; medians of {turns} turns, quartiles in brackets\n",
        soft_wrap=True,
    )
    if note := busy_note(machine["load_average"], machine["cores"]):
        out.print(f"{note}\n", soft_wrap=True)


def _show_device(
    out: Console, comparison: BackendComparison, entries: Sequence[BackendResult]
) -> None:
    """Print the times of backends on a CUDA device by both rules, and the limits of the device."""
    if not entries:
        return
    lines = [
        [
            entry.title,
            _setting(timing),
            " ".join(f"{a:g}" for a in timing.accuracies),
            _milliseconds(timing.median),
            _milliseconds(timing.device_median),
            "U, values, V" if entry.vectors else "values",
        ]
        for entry in entries
        for timing in entry.timings
    ]
    headers = ["backend", "setting", "to", "ms from the host", "ms from the device", "finds"]
    show_table(out, "On the CUDA device", headers, lines, left=2)
    for name in dict.fromkeys(entry.device for entry in entries):
        titles = ", ".join(entry.title for entry in entries if entry.device == name)
        out.print(f"{titles}: {name}", soft_wrap=True)
    driver = comparison.machine.get("nvidia_driver")
    if driver:
        out.print(f"NVIDIA driver {driver}")
    out.print(limits_text(comparison.limits), soft_wrap=True)
    out.print()


def limits_text(limits: dict[str, Any]) -> str:
    """Return the measured limits of a device as a sentence, or why there are none."""
    if "device" not in limits:
        why = limits.get("message") or "that needs torch or CuPy"
        return f"Limits of the device: not measured; {why}"
    return (
        f"Limits of {limits['device']}: copy in its memory "
        f"{limits['copy_bytes_per_second'] / 1e9:.3g} GB/s read and written, bf16 product of order "
        f"{limits['bf16_order']} {limits['bf16_flops_per_second'] / 1e12:.3g} TFLOP/s, pinned host "
        f"memory to device {limits['host_to_device_bytes_per_second'] / 1e9:.3g} GB/s"
    )


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.3g}" if seconds < float("inf") else "-"


def _line(entry: BackendResult, accuracies: Sequence[float]) -> list[str]:
    timed = [timing for timing in entry.timings if timing.seconds]
    peak = max((timing.peak for timing in timed if timing.peak is not None), default=None)
    busy = [value for timing in timed for value in timing.busy]
    imported = sorted(entry.import_seconds)
    return [
        entry.title,
        *(cell(entry, accuracy) for accuracy in accuracies),
        megabytes(peak) if timed else "",
        f"{sum(busy) / len(busy):.1f}" if busy else "",
        f"{imported[len(imported) // 2]:.2g}" if imported else "",
    ]


def _fastest(entries: Sequence[BackendResult], accuracy: float) -> str:
    """Return the title of the fastest backend that finds vectors too."""
    good = [
        (t.median, e.title)
        for e in entries
        if e.vectors and e.stands(accuracy) and (t := e.timing(accuracy))
    ]
    return min(good)[1] if good else "none"


_ABILITIES = ["backend", "vectors", "bf16 in", "f16 in", "out of core", "error bound", "stops"]
_ABILITIES += ["reports failure"]


def _abilities(entry: BackendResult) -> list[str]:
    can = entry.can
    return [
        entry.title,
        "yes" if entry.vectors else "no",
        *(
            {None: "?", "": "no"}.get(can.get(t), f"as {can.get(t)}")
            for t in ("bfloat16", "float16")
        ),
        "yes" if can.get("out_of_core") else "no",
        can.get("error_bound") or "no",
        "itself" if can.get("stops_itself") else "preset",
        {None: "-", True: "yes", False: "no"}[can.get("tells")],
    ]


def _worst(timing: Timing) -> list[str]:
    accuracies = " ".join(f"{a:g}" for a in timing.accuracies)
    if not timing.seconds:
        return [accuracies, "failed", "", "", ""]
    residual = f"{timing.residual:.1e}" if timing.residuals else "-"
    worst = [f"{timing.error:.1e}", residual]
    return [accuracies, *worst, megabytes(timing.peak), f"{timing.processor_seconds:.3g}"]


def _setting(timing: Timing) -> str:
    text = ", ".join(f"{name}={value}" for name, value in timing.setting.items())
    return text or "default"


def _show_saved(file: Path, record: dict[str, Any], out: Path | None, alpha: float) -> None:
    if out is not None:
        raise ValueError(f"{out}: a benchmark cannot be saved in another format")
    show_result(console(), result_of(record))


BENCHMARKS = SavedRecord(is_benchmark, _show_saved)
