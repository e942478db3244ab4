# SPDX-License-Identifier: BSD-3-Clause
"""Spectra of a model during training, within a bounded share of the training time."""

from __future__ import annotations

from .monitor import Monitor

__all__ = ["Monitor"]
