# SPDX-License-Identifier: BSD-3-Clause
"""Axes and colours of the plots of sigmascope (extra ``plot``)."""

from __future__ import annotations

from sigmascope._display.plot.axes import COLOURS, drawn_on, styled

__all__ = ["COLOURS", "drawn_on", "styled"]
