# SPDX-License-Identifier: BSD-3-Clause
"""Reading of circuits: both factors, the rotation of positions, and the scale of the logits."""

from __future__ import annotations

import math
from threading import Lock

from sigmascope.checkpoint import Checkpoint

from .factors import Factor, FactorReader, storage_of
from .families import logit_scale
from .logits import LogitScale
from .modules import Circuit
from .product import CircuitProduct, HeldFactor, Positions


class CircuitReader:
    """Reader of circuits, which keeps the last factor of k or v for the heads that share it."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._factors = FactorReader(checkpoint)
        self._last: tuple[Factor, HeldFactor] | None = None
        self._lock = Lock()

    def product(self, circuit: Circuit) -> CircuitProduct:
        """Return a circuit with its factors in memory as float64."""
        left, right = HeldFactor(self._factors.read(circuit.left)), self._shared(circuit.right)
        B, A = (storage_of(self._checkpoint, factor) for factor in (circuit.left, circuit.right))
        positions = None
        if circuit.role.role.endswith("qk"):
            positions = Positions(circuit.rotation, self._scale(circuit))
        return CircuitProduct(left, right, (B, A), positions)

    def _shared(self, factor: Factor) -> HeldFactor:
        """Return a factor of k or v, which the heads of a group share."""
        with self._lock:
            if self._last is None or self._last[0] != factor:
                self._last = factor, HeldFactor(self._factors.read(factor))
            return self._last[1]

    def _scale(self, circuit: Circuit) -> LogitScale | None:
        """Return the scale of a head's logits; None if the norms of its inputs are not known."""
        left, right = circuit.left, circuit.right
        settings = self._checkpoint.configuration.of_tower(circuit.role.tower)
        rank, d = left.shape(self._checkpoint)
        scale = logit_scale(settings, rank)
        if isinstance(scale, str):
            return None
        if left.rows is not None and right.rows is not None:
            q, k = (self._factors.gain(gain, rank) for gain in (left.rows, right.rows))
            counts = [self._factors.count(gain) for gain in (left.rows, right.rows)]
            return LogitScale(scale * math.sqrt(math.prod(counts)), (q, k))
        normalised = left.columns is not None and right.columns is not None
        if not normalised or left.rows or right.rows or not (left.plain and right.plain):
            return None
        return LogitScale(scale * d)
