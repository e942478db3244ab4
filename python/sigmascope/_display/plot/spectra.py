# SPDX-License-Identifier: BSD-3-Clause
"""Plots of one matrix or pair: singular values by rank, their density, and principal angles."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from sigmascope._display.curves import curve_of, density_of, least_random_angle, marchenko_pastur
from sigmascope._words.rows import Row
from sigmascope._words.text import with_error

from .axes import COLOURS, NOISE, SIDES, drawn_on, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_ANGLES = {
    "angles_left": ("before and after, left", COLOURS[0], "-"),
    "angles_right": ("before and after, right", COLOURS[0], "--"),
    "delta_angles_left": ("ΔW and W, left", COLOURS[2], "-"),
    "delta_angles_right": ("ΔW and W, right", COLOURS[2], "--"),
}


def draw_spectrum(ax: Axes | None, row: Row, sides: Iterable[str]) -> Axes:
    """Draw singular values by rank, with bands of two errors; logarithmic if they span much."""
    curves = [(side, curve) for side in sides if (curve := curve_of(row, side)) is not None]
    if not curves:
        raise ValueError(f"{row['name']} has no singular values")
    ax = drawn_on(ax, (6.0, 4.5))
    levels: list[float] = []
    for side, curve in curves:
        text, colour, style = SIDES[side]
        seen = curve.sigma > 1e-6 * curve.sigma[0]
        ranks, sigma, width = curve.ranks[seen], curve.sigma[seen], 2 * curve.errors[seen]
        ax.plot(ranks, sigma, color=colour, linestyle=style, label=text)
        levels += sigma.tolist()
        low = np.maximum(sigma - width, sigma[-1] / 10)
        ax.fill_between(ranks, low, sigma + width, color=colour, alpha=0.2, linewidth=0)
        edge = row.get(f"{side}_mp_edge" if side else "mp_edge")
        if edge and side in ("", "delta"):
            label = "noise edge" if not side else "noise edge of ΔW"
            levels.append(edge)
            ax.axhline(edge, color=NOISE, linewidth=1, linestyle=(0, (5, 4)), label=label)
    ax.set_xscale("log")
    if max(levels) > 2 * min(levels):  # numbers of a logarithmic axis differ in few digits below
        ax.set_yscale("log")
    ax.set_xlabel("rank")
    ax.set_ylabel("singular value σ")
    ax.set_title(row["name"], fontsize="medium", loc="left")
    ax.legend(frameon=False, fontsize="small")
    return styled(ax)


def draw_density(ax: Axes | None, row: Row, side: str) -> Axes:
    """Draw the density of the singular values and, as a line, of noise with the same median."""
    curve = curve_of(row, side)
    if curve is None or not curve.complete:
        raise ValueError(
            f"{row['name']} has only its largest singular values: a density needs the effort "
            "'density' or 'exact'"
        )
    ax = drawn_on(ax, (6.0, 4.5))
    text, colour, _ = SIDES[side]
    edge = row.get(f"{side}_mp_edge" if side else "mp_edge")
    density = density_of(curve, edge)
    end, edges = density.end, density.edges
    heights = density.shares / np.diff(edges)
    ax.stairs(heights, edges, fill=True, color=colour, alpha=0.35, label=text)
    if edge:
        s = np.linspace(end / 100, min(edge, end), 300)
        noise = marchenko_pastur(s, edge, (row["rows"], row["columns"]))
        ax.plot(s, noise, color=NOISE, label="noise (Marchenko-Pastur)")
        ax.axvline(edge, color=NOISE, linewidth=1, linestyle=(0, (5, 4)), label="noise edge")
        zeros = np.zeros_like(density.above)
        ax.plot(density.above, zeros, "|", color=colour, markersize=12, clip_on=True)
    if density.beyond or density.beyond_error:
        largest = with_error(float(curve.sigma[0]), float(curve.errors[0]))
        count = with_error(density.beyond, density.beyond_error)
        note = f"{count} more beyond this axis, up to {largest} →"
        ax.annotate(note, (1, 0.06), xycoords="axes fraction", ha="right", fontsize="small")
    ax.set_xlim(0.0, end)
    ax.set_ylim(bottom=0.0)
    ax.set_xlabel("singular value σ")
    ax.set_ylabel("share of the values per unit of σ")
    ax.set_title(row["name"], fontsize="medium", loc="left")
    ax.legend(frameon=False, fontsize="small")
    return styled(ax)


def draw_angles(ax: Axes | None, row: Row) -> Axes:
    """Draw principal angles in degrees, and the expected least angle of random subspaces."""
    degrees = {name: np.degrees(row[name]) for name in _ANGLES if row.get(name)}
    if not degrees:
        raise ValueError(f"{row['name']} has no angles")
    ax = drawn_on(ax, (6.0, 4.5))
    for name, angles in degrees.items():
        text, colour, style = _ANGLES[name]
        x = np.arange(1, len(angles) + 1)
        width = 2 * np.degrees(row.get(f"{name}_error") or 0.0)
        ax.plot(x, angles, color=colour, linestyle=style, label=text, marker="o", markersize=3)
        ax.fill_between(x, angles - width, angles + width, color=colour, alpha=0.2, linewidth=0)
    chances = {
        least_random_angle(max(map(len, degrees.values())), row[s]) for s in ("rows", "columns")
    }
    for number, chance in enumerate(sorted(c for c in chances if c is not None)):
        label = "closest by chance" if number == 0 else None
        ax.axhline(np.degrees(chance), color=NOISE, linewidth=1, linestyle=(0, (5, 4)), label=label)
    ax.set_ylim(0, 92)
    ax.set_yticks([0, 15, 30, 45, 60, 75, 90], [f"{a}°" for a in (0, 15, 30, 45, 60, 75, 90)])
    ax.locator_params(axis="x", integer=True)
    ax.set_xlabel("angle, from the smallest")
    ax.set_ylabel("principal angle")
    ax.set_title(row["name"], fontsize="medium", loc="left")
    ax.legend(frameon=False, fontsize="small")
    return styled(ax)
