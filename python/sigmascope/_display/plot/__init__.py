# SPDX-License-Identifier: BSD-3-Clause
"""The charts of a page as matplotlib functions (extra ``plot``): `scan.plot`, `comparison.plot`.

Each function draws into the given Axes, or into a new figure, and returns the Axes. matplotlib is
imported at the first drawing.
"""

from __future__ import annotations

from .accessor import Plots

__all__ = ["Plots"]
