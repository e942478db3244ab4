# SPDX-License-Identifier: BSD-3-Clause
"""The class of `scan.plot` and `comparison.plot`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sigmascope._words.rows import Row

from .overviews import draw_depth, draw_heatmap
from .spectra import draw_angles, draw_density, draw_spectrum

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_SIDES = ("before", "after", "delta")


class Plots:
    """Plots of the rows of a scan or of a comparison.

    Every method draws into `ax`, or into a new figure, and returns the Axes. It raises ImportError
    without the extra ``plot``, and ValueError if the rows lack the numbers to draw.

    Parameters
    ----------
    rows : sequence of dict
        Rows of the table; those without numbers are ignored.
    comparison : bool
        True if each row is a pair.

    Examples
    --------
    >>> scan.plot.depth("stable_rank")                       # doctest: +SKIP
    >>> comparison.plot.spectrum("model.layers.3.mlp.up_proj.weight")   # doctest: +SKIP
    """

    def __init__(self, rows: Sequence[Row], *, comparison: bool = False) -> None:
        self._rows = [row for row in rows if row["status"] == "analysed"]
        self._comparison = comparison

    def __repr__(self) -> str:
        return f"Plots({len(self._rows)} matrices: depth, heatmap, spectrum, density, angles)"

    def depth(self, measure: str, *, ax: Axes | None = None) -> Axes:
        """Draw a measure by layer, one line per role, with bands of two errors.

        Parameters
        ----------
        measure : str
            Name of a column, like "stable_rank"; for a comparison also "relative_change" or
            "delta_stable_rank". If a role has several matrices in a layer, the line is their median
            and the band their range.
        ax : matplotlib Axes, optional
        """
        return draw_depth(ax, self._rows, measure)

    def heatmap(self, measure: str, *, ax: Axes | None = None) -> Axes:
        """Draw a measure by role and layer as colours; places without a value are hatched.

        Parameters
        ----------
        measure : str
            As for :meth:`depth`.
        ax : matplotlib Axes, optional
        """
        return draw_heatmap(ax, self._rows, measure)

    def spectrum(
        self, name: str, *, sides: Sequence[str] | None = None, ax: Axes | None = None
    ) -> Axes:
        """Draw the singular values of one matrix by rank, both axes logarithmic.

        Parameters
        ----------
        name : str
            Name of the row.
        sides : sequence of str, optional
            For a pair: some of "before", "after", "delta", "projected". Default: the first three.
        ax : matplotlib Axes, optional
        """
        if sides is None:
            sides = _SIDES if self._comparison else ("",)
        return draw_spectrum(ax, self._row(name), sides)

    def density(self, name: str, *, side: str | None = None, ax: Axes | None = None) -> Axes:
        """Draw the density of the singular values of one matrix, and the density of noise.

        Parameters
        ----------
        name : str
            Name of the row.
        side : str, optional
            For a pair: "before", "after", "delta" or "projected". Default: "delta".
        ax : matplotlib Axes, optional
        """
        if side is None:
            side = "delta" if self._comparison else ""
        return draw_density(ax, self._row(name), side)

    def angles(self, name: str, *, ax: Axes | None = None) -> Axes:
        """Draw the principal angles of one pair in degrees.

        They are the angles between the leading singular subspaces before and after, and between the
        subspaces of ΔW and of W. A line shows the expected least angle of random subspaces.

        Parameters
        ----------
        name : str
            Name of the row.
        ax : matplotlib Axes, optional
        """
        return draw_angles(ax, self._row(name))

    def _row(self, name: str) -> Row:
        for row in self._rows:
            if row["name"] == name:
                return row
        raise ValueError(f"no analysed matrix is named {name!r}; there are {len(self._rows)}")
