# SPDX-License-Identifier: BSD-3-Clause
"""The order from which products are rounded by default, on any processor."""

from __future__ import annotations

import numpy as np
import pytest

import sigmascope as ss

SHAPES = {(512, 600): True, (600, 512): True, (511, 600): False, (600, 511): False}
"""Whether matrices of a shape are large enough for rounded products."""


@pytest.mark.parametrize(
    ("instructions", "search", "density"),
    [
        ({"dot_bf16": True, "tiles": True}, "mixed", "split"),
        ({"dot_bf16": True, "tiles": False}, "mixed", "float32"),
        ({"dot_bf16": False, "tiles": False}, "float32", "float32"),
    ],
    ids=["tiles", "products of bfloat16", "neither"],
)
def test_products_are_rounded_from_order_512_on_where_an_instruction_makes_them_fast(
    instructions: dict[str, bool], search: str, density: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine rounds with any instructions; here it names those of other processors."""
    config = ss.show_config() | instructions
    monkeypatch.setattr("sigmascope._execution.rounding._core.config", lambda: config)
    for shape, large in SHAPES.items():
        A = np.ones(shape, np.float32)
        svd = ss.svds(A, 1, method="krylov", tol=1e-2)
        assert svd.precision == (search if large else "float32")
        estimate = ss.spectral_density(A, passes=2, probes=2)
        assert estimate.precision == (density if large else "float32")
