# SPDX-License-Identifier: BSD-3-Clause
"""Each term of the bounds of an extraction, against rational arithmetic on the stored factors."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import sigmascope as ss


def squared_rest(change: NDArray[Any], product: ss.LowRank) -> Fraction:
    """Return the sum of squares of a change of one row less the product of rank one, exactly."""
    (b,), row = np.asarray(product.B).ravel().tolist(), np.asarray(product.A)[0].tolist()
    assert product.scale == 1.0
    rests = (
        Fraction(float(w)) - Fraction(b) * Fraction(a) for w, a in zip(change, row, strict=True)
    )
    return sum((rest**2 for rest in rests), Fraction(0))


def test_a_spectral_bound_has_the_error_of_the_frobenius_norm(tmp_path: Path) -> None:
    """Changes of one row have one norm, which the stated value alone does not always reach."""
    changes = np.random.default_rng(0).integers(-99, 100, (12, 5)).astype(np.float32)
    names = [f"layers.{i}.q_proj.weight" for i in range(len(changes))]
    base = {name: np.zeros((1, 5), np.float32) for name in names}
    tuned = {name: change[None] for name, change in zip(names, changes, strict=True)}
    extraction = ss.extract(base, tuned, tmp_path, rank=1, dtype="float32")
    adapter, below = ss.open_adapter(tmp_path), 0
    for name, change in zip(names, changes, strict=True):
        row, rest2 = extraction[name], squared_rest(change, adapter[name])
        assert Fraction(row["spectral_bound"]) ** 2 >= rest2
        assert row["spectral_bound"] <= (row["remaining"] + row["remaining_error"]) * (1 + 1e-15)
        below += Fraction(row["remaining"]) ** 2 < rest2
    assert below > 0
