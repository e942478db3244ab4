# SPDX-License-Identifier: BSD-3-Clause
"""Spectra of a model during training, at a bounded share of its time."""

from __future__ import annotations

from .monitor import Monitor

__all__ = ["Monitor"]
