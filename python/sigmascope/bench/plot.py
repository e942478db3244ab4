# SPDX-License-Identifier: BSD-3-Clause
"""Plot of time against accuracy, one curve for every backend (extra ``plot``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .results import BackendComparison, BackendResult, Rung

_BEYOND = 30.0
"""Ratio of the finest requested accuracy to the error at the edge of the plot."""

_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000", "#8C6D00")
"""Okabe and Ito's palette for colour-blind readers, with a darker yellow."""

_MARKERS = "osD^vPX<>*hp8"


def front(rungs: list[Rung]) -> list[Rung]:
    """Return the rungs that no other beats in both time and error, from cheap to accurate."""
    best: list[Rung] = []
    for rung in sorted(rungs, key=lambda rung: (rung.seconds, rung.error)):
        if rung.error < min((other.error for other in best), default=float("inf")):
            best.append(rung)
    return best


def save_plot(comparison: BackendComparison, path: Path) -> None:
    """Draw the comparison into a .png, .svg or .pdf file.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If matplotlib has no format with the suffix of the path.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("--plot needs matplotlib: pip install 'sigmascope[plot]'") from None
    figure = Figure(figsize=(9.5, 5.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    edge = min(comparison.accuracies) / _BEYOND
    for number, entry in enumerate(comparison.entries):
        if front(entry.rungs):
            style = {
                "color": _COLOURS[number % len(_COLOURS)],
                "marker": _MARKERS[number % len(_MARKERS)],
                "linestyle": "-" if number < len(_COLOURS) else "--",
            }
            _draw(axes, entry, edge, style)
    _label(figure, axes, comparison, edge)
    figure.savefig(path, dpi=160)


def _draw(axes: Any, entry: BackendResult, edge: float, style: dict[str, Any]) -> None:
    """Draw a thin curve through the settings that were tried, and large marks for timed ones."""
    tried = front(entry.rungs)
    axes.plot(
        [max(rung.error, edge) for rung in tried],
        [rung.seconds for rung in tried],
        markersize=3.5,
        linewidth=1.1,
        alpha=0.75,
        label=entry.title,
        clip_on=False,
        **style,
    )
    timed = [timing for timing in entry.timings if timing.seconds and timing.error < float("inf")]
    if not timed:
        return
    medians = [timing.median for timing in timed]
    bars = [
        [median - timing.quartiles[0] for median, timing in zip(medians, timed, strict=True)],
        [timing.quartiles[1] - median for median, timing in zip(medians, timed, strict=True)],
    ]
    axes.errorbar(
        [max(timing.error, edge) for timing in timed],
        medians,
        yerr=bars,
        **{**style, "linestyle": "none"},
        markersize=8,
        clip_on=False,
        markeredgecolor="white",
        markeredgewidth=0.8,
        elinewidth=1.2,
        zorder=3,
    )


def _label(figure: Any, axes: Any, comparison: BackendComparison, edge: float) -> None:
    """Set scales, labels, title and legend."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(right=edge, left=1.0)
    for accuracy in comparison.accuracies:
        axes.axvline(accuracy, color="0.75", linewidth=0.8, linestyle="--", zorder=0)
    axes.set_xlabel(
        f"worst relative error of the {comparison.k} values; more accurate to the right, "
        f"at the edge {edge:.0e} or better"
    )
    axes.set_ylabel("seconds")
    axes.grid(axis="y", which="major", color="0.92", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    machine = comparison.machine
    title = f"{comparison.workload}, k = {comparison.k}"
    axes.set_title(title, loc="left", fontweight="bold", pad=24)
    axes.annotate(
        f"{machine['processor']}, threads: {machine['threads']}. Large: medians of "
        f"{comparison.turns} turns, with quartiles. Small: settings as they were tried",
        (0, 1),
        (0, 8),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=8.5,
        color="0.35",
    )
    figure.legend(loc="outside right upper", frameon=False, fontsize=8.5)
