# SPDX-License-Identifier: BSD-3-Clause
"""The native quadrature of one run, probe by probe, and the probes that it starts from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import sigmascope as ss
from sigmascope._host.native import _core

Array = NDArray[np.float64]


def rule(A: Array, block: int, steps: int, seed: int = 0) -> dict[str, Any]:
    """Return nodes and weights of the Gauss and Gauss-Radau rules, and residuals."""
    return dict(
        _core.density(
            ss.matrix(A).native,
            block=block,
            steps=steps,
            seed=seed,
            f64=True,
            threads=2,
            panel_rows=0,
            load_bytes=0,
            progress=None,
            fingerprint=0,
        )
    )


def probes(n: int, block: int, seed: int) -> Array:
    """Return the start of a run with the fingerprint 0."""
    return _core.gaussian(n, block, _core.start_of(0, seed), 0, 1)
