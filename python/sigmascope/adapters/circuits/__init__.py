# SPDX-License-Identifier: BSD-3-Clause
"""Circuits of attention heads: W_q^T W_k and W_o W_v as products of thin matrices."""

from __future__ import annotations

from .circuits import Circuits, circuits_of
from .logits import LogitBound, RotaryPlanes

__all__ = ["Circuits", "LogitBound", "RotaryPlanes", "circuits_of"]
