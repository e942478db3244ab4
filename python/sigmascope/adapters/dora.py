# SPDX-License-Identifier: BSD-3-Clause
"""DoRA changes: a product s B A, and the magnitudes that the outputs of W + s B A are scaled to."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sigmascope.analysis.low_rank import LowRank
from sigmascope.checkpoint import Checkpoint

from .adapter import Adapter
from .pairing import taken


class Dora(NamedTuple):
    """A DoRA change, in the orientation of a matrix of the base.

    `product` is s B A, `magnitudes` holds the norm of each output of the changed weight, and
    `outputs` is the axis of the outputs.
    """

    product: LowRank
    magnitudes: NDArray[np.float64]
    outputs: int


def dora_of(base: Checkpoint, name: str, adapter: Adapter, change: str) -> Dora | None:
    """Return the DoRA change of a matrix of the base; None if it is another kind of change."""
    parts = adapter.with_magnitudes(change)
    if parts is None:
        return None
    product, magnitudes, outputs = parts
    view = base.view_of(name)
    if product.shape != view.full_shape:
        product, outputs = product.T, 1 - outputs  # the base stores its weights transposed
    if view.cut is None:
        return Dora(product, magnitudes, outputs)
    kept = np.concatenate([magnitudes[slice(*run)] for run in view.cut.runs])
    return Dora(taken(product, view.cut), kept, outputs)
