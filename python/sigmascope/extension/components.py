# SPDX-License-Identifier: BSD-3-Clause
"""Singular vectors as components: their signs, their shares, and bounds on their errors."""

from __future__ import annotations

from sigmascope.spectra.components import oriented, shares, sine_bounds

__all__ = ["oriented", "shares", "sine_bounds"]
