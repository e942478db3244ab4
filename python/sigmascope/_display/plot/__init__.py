# SPDX-License-Identifier: BSD-3-Clause
"""The charts of a page as matplotlib functions (extra ``plot``): `scan.plot`, `comparison.plot`.

Each draws into the Axes that it is given, or into a new figure, and returns the Axes. matplotlib is
imported when the first one draws.
"""

from __future__ import annotations

from .accessor import Plots

__all__ = ["Plots"]
