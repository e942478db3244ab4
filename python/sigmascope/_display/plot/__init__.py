# SPDX-License-Identifier: BSD-3-Clause
"""The charts of a page as matplotlib functions (extra ``plot``): `scan.plot`, `comparison.plot`.

Each function draws into the given Axes, or into a new figure, and returns the Axes. matplotlib is
imported at the first drawing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .accessor import Plots
from .spectra import draw_density, draw_spectrum

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Axes

__all__ = ["Plots", "draw_density", "draw_spectrum"]
