# SPDX-License-Identifier: BSD-3-Clause
"""Small checkpoints for scans and comparisons on simulated devices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.support.checkpoints import Stored, of_array, write_file
from tests.support.scans import normal

COUNT = 6


def tensors(change: float = 0.0) -> list[Stored]:
    """Matrices of up to 88 x 48 numbers in float64, one with a NaN, and a vector.

    `change` is the size of what a later version adds to each of the matrices.
    """
    rng = np.random.default_rng(5)
    results = [normal("norm", 9)]
    for i in range(COUNT):
        a = rng.standard_normal((48 + 8 * i, 48))
        a += change * np.random.default_rng(i).standard_normal(a.shape)
        results.append(of_array(f"w.{i}", "F64", a))
    bad = np.ones((6, 5))
    bad[1, 2] = np.nan
    return [*results, of_array("bad", "F64", bad)]


def checkpoint(folder: Path, name: str = "model", change: float = 0.0) -> Path:
    """Write such a checkpoint, and return the path of its file."""
    return write_file(folder / f"{name}.safetensors", *tensors(change))


def prefer_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Search the largest values of small matrices, too, all values of which cost less."""
    monkeypatch.setattr("sigmascope._execution.costs.prefers_values", lambda *_, **__: False)
