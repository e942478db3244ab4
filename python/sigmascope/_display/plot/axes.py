# SPDX-License-Identifier: BSD-3-Clause
"""Axes, colours and labels that all plots share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sigmascope._display.glossary import entry

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D00")
"""Okabe and Ito's palette for colour-blind readers, with a darker yellow."""

STYLES = ("-", "--", "-.", ":")

SIDES = {
    "": ("W", COLOURS[0], "-"),
    "before": ("before", COLOURS[0], "-"),
    "after": ("after", COLOURS[1], "-"),
    "delta": ("ΔW", COLOURS[2], "-"),
    "projected": ("ΔW without decay", COLOURS[3], "--"),
}
"""Label, colour and line style of each side of a row."""

NOISE = "0.35"


def drawn_on(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """Return the given Axes, or Axes of a new figure; ImportError without the extra ``plot``."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("plots need matplotlib: pip install 'sigmascope[plot]'") from error
    return plt.figure(figsize=size, layout="constrained").add_subplot() if ax is None else ax


def words(column: str) -> str:
    """Return the label of a measure with its unit."""
    measure = entry(column)
    return f"{measure.label} ({measure.unit})" if measure.unit else measure.label


def is_log(column: str, values: Sequence[float]) -> bool:
    """Return True if values are positive and span enough for a logarithmic axis."""
    measure = entry(column)
    if measure.signed or not values or min(values) <= 0:
        return False
    return max(values) / min(values) > (2 if measure.log else 40)


def styled(ax: Axes) -> Axes:
    """Remove two of the spines, and add a light grid."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_axisbelow(True)
    ax.grid(color="0.92", linewidth=0.7)
    return ax
