# SPDX-License-Identifier: BSD-3-Clause
"""The plot of a diagnosis: the update at each place, among the runs of the calibration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sigmascope.extension.plots import COLOURS, drawn_on, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIDES = (
    ("others", "other runs", "0.7", 0.0),
    ("narrow", "narrow runs", COLOURS[1], -0.16),
    ("broad", "broad runs", COLOURS[0], 0.16),
)
"""Key, label and colour of each class of runs, and its distance from the middle of a row."""


def draw_diagnosis(
    ax: Axes | None, places: Sequence[Mapping[str, Any]], *, example: bool = False
) -> Axes:
    """Draw a row for each place: runs of known data as dots by class, the model as a line.

    Parameters
    ----------
    ax : matplotlib Axes, optional
    places : sequence of mapping
        The places of a diagnosis as plain JSON, each with `text`, `value`, `narrow`, `broad` and
        `others`; values are ln(effective rank / min(m, n)).
    example : bool
        Whether the runs belong to the example calibration. If so, the title says it.
    """
    ax = drawn_on(ax, (8.0, 1.2 + 0.34 * len(places)))
    for key, label, colour, shift in _SIDES:
        dots = [
            (100 * math.exp(x), i + shift) for i, place in enumerate(places) for x in place[key]
        ]
        if dots:
            ax.plot(*zip(*dots, strict=True), "o", color=colour, markersize=4, label=label)
    for i, place in enumerate(places):
        at = 100 * math.exp(place["value"])
        ax.plot(
            [at, at],
            [i - 0.36, i + 0.36],
            color="black",
            linewidth=2,
            label="this model" if i == 0 else None,
        )
    ax.set_yticks(range(len(places)), [place["text"] for place in places])
    ax.invert_yaxis()
    if example:
        ax.set_title("example calibration: not from your kind of run", fontsize="medium")
    ax.set_xlabel("effective rank of the update without decay (% of the full rank)")
    ax.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return styled(ax)
