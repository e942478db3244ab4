# SPDX-License-Identifier: BSD-3-Clause
"""Each term of the bounds of an extraction, against rational arithmetic on the stored factors."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import sigmascope as ss
from sigmascope.adapters import open_adapter


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
    adapter, below = open_adapter(tmp_path), 0
    for name, change in zip(names, changes, strict=True):
        row, rest2 = extraction[name], squared_rest(change, adapter[name])
        assert Fraction(row["spectral_bound"]) ** 2 >= rest2
        assert row["spectral_bound"] <= (row["remaining"] + row["remaining_error"]) * (1 + 1e-15)
        below += Fraction(row["remaining"]) ** 2 < rest2
    assert below > 0


def test_a_spectral_bound_has_the_rounding_of_each_factor(tmp_path: Path) -> None:
    """The first triplet has entries of 1 / sqrt(3), which bfloat16 rounds; values 1/8 are left."""
    change = np.diag(np.full(40, 0.125)).astype(np.float32)
    change[0], change[:, 1:3] = 0.0, 0.0
    change[0, :3] = 1 / np.sqrt(3.0)
    tuned = {"layers.0.q_proj.weight": change, "layers.1.q_proj.weight": change.T.copy()}
    base = {name: np.zeros_like(matrix) for name, matrix in tuned.items()}
    extraction = ss.extract(base, tuned, tmp_path, rank=1, dtype="bfloat16")
    adapter = open_adapter(tmp_path)
    rounded = (adapter["layers.0.q_proj.weight"].A, adapter["layers.1.q_proj.weight"].B)
    for row, factor in zip(extraction, rounded, strict=True):
        entries = np.abs(np.asarray(factor, dtype=np.float64).ravel())[:3]
        of_rounding = np.linalg.norm(entries - 1 / np.sqrt(3.0))
        assert of_rounding > 1e-4
        assert row["spectral_bound"] - 0.125 >= 0.99 * of_rounding
        assert row["spectral_bound"] - 0.125 <= 1.2 * of_rounding
