# SPDX-License-Identifier: BSD-3-Clause
"""Plots of one measure of all matrices: across depth, and by layer and role."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sigmascope._display.glossary import entry, role_rank
from sigmascope._words.rows import Row, role_in_tower

from .axes import COLOURS, STYLES, drawn_on, is_log, styled, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Places = dict[str, dict[int, list[Row]]]


def by_place(rows: Iterable[Row], column: str) -> Places:
    """Return the rows with a measure by role, with the tower if there are several, and by layer."""
    rows = [row for row in rows if row.get("layer") is not None]
    towers = list(dict.fromkeys(row.get("tower") for row in rows))
    rows.sort(key=lambda row: (towers.index(row.get("tower")), role_rank(row.get("role") or "")))
    several = len(towers) > 1
    places: Places = {}
    for row in rows:
        role = row.get("role") or "other"
        layers = places.setdefault(role_in_tower(row.get("tower"), role) if several else role, {})
        layers.setdefault(row["layer"], [])
        if row.get(column) is not None:
            layers[row["layer"]].append(row)
    if not any(any(layers.values()) for layers in places.values()):
        raise ValueError(f"no matrix in a layer has a value of {column}")
    return places


def draw_depth(ax: Axes | None, rows: Iterable[Row], column: str) -> Axes:
    """Draw a line for each role; bands are two errors wide, or the range of several matrices."""
    places = by_place(rows, column)
    ax = drawn_on(ax, (8.0, 4.5))
    middles: list[float] = []
    for number, (place, layers) in enumerate(places.items()):
        style: dict[str, Any] = {
            "color": COLOURS[number % len(COLOURS)],
            "linestyle": STYLES[number // len(COLOURS) % len(STYLES)],
        }
        x = np.arange(min(layers), max(layers) + 1)
        low, middle, high = np.array([_at(layers.get(n, []), column) for n in x.tolist()]).T
        middles += middle[np.isfinite(middle)].tolist()
        ax.plot(x, middle, marker="o", markersize=3, linewidth=1.5, label=place, **style)
        ax.fill_between(x, low, high, color=style["color"], alpha=0.18, linewidth=0)
    if is_log(column, middles):
        ax.set_yscale("log")
    if entry(column).signed:
        ax.axhline(0.0, color="0.6", linewidth=0.8)
    ax.set_xlabel("layer")
    ax.set_ylabel(words(column))
    ax.locator_params(axis="x", integer=True)
    ax.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return styled(ax)


def _at(rows: Sequence[Row], column: str) -> tuple[float, float, float]:
    """Return low end, median and high end; nan if there is no value, which leaves a gap."""
    if not rows:
        return (np.nan, np.nan, np.nan)
    values = [row[column] for row in rows]
    width = 2 * (rows[0].get(f"{column}_error") or 0.0) if len(rows) == 1 else 0.0
    return min(values) - width, median(values), max(values) + width


def draw_heatmap(ax: Axes | None, rows: Iterable[Row], column: str) -> Axes:
    """Draw roles by layers as colours, with a colour bar; places without a value are hatched."""
    places = by_place(rows, column)
    layers = sorted({layer for by_layer in places.values() for layer in by_layer})
    grid = np.full((len(places), len(layers)), np.nan)
    for i, by_layer in enumerate(places.values()):
        for j, layer in enumerate(layers):
            if by_layer.get(layer):
                grid[i, j] = median(row[column] for row in by_layer[layer])
    ax = drawn_on(ax, (min(4 + 0.25 * len(layers), 14), 1.5 + 0.35 * len(places)))
    ax.set_facecolor("0.95")
    missing = np.where(np.isnan(grid), 1.0, np.nan)
    edges = np.arange(len(layers) + 1) - 0.5, np.arange(len(places) + 1) - 0.5
    ax.pcolor(*edges, np.ma.masked_invalid(missing), hatch="///", alpha=0.0, edgecolor="0.6")
    image = ax.pcolormesh(*edges, np.ma.masked_invalid(grid), **_colours(column, grid))
    _name_layers(ax, layers)
    ax.set_yticks(range(len(places)), list(places))
    ax.invert_yaxis()
    ax.set_xlabel("layer")
    ax.figure.colorbar(image, ax=ax, label=words(column), pad=0.02)
    return ax


def _name_layers(ax: Axes, layers: Sequence[int]) -> None:
    """Number as many columns as the width of the axes allows."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    def name(place: float, _: object) -> str:
        known = place == int(place) and 0 <= place < len(layers)
        return str(layers[int(place)]) if known else ""

    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    ax.xaxis.set_major_formatter(FuncFormatter(name))


def _colours(column: str, grid: NDArray[np.float64]) -> dict[str, Any]:
    """Return palette and scale; for a change, the middle of the palette is at zero."""
    from matplotlib.colors import LogNorm, Normalize

    known = grid[np.isfinite(grid)].tolist()
    if entry(column).signed:
        far = max(map(abs, known)) or 1.0
        return {"cmap": "PuOr_r", "norm": Normalize(-far, far)}
    norm = LogNorm if is_log(column, known) else Normalize
    return {"cmap": "cividis", "norm": norm(min(known), max(known))}
