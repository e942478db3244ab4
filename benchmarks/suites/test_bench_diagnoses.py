# SPDX-License-Identifier: BSD-3-Clause
"""The time of a diagnosis: rows of a comparison against a calibration of many runs."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sigmascope as ss
from sigmascope.comparing.rows import COLUMNS
from sigmascope.diagnosis import Calibration
from sigmascope.results import Comparison

ROLES = ("q", "k", "v", "o", "gate", "up", "down")
LEVELS = {"narrow": 0.53, "broad": 0.56}
"""Effective ranks as shares of the full rank."""

AT_MOST = 0.2
"""Seconds that a diagnosis of 301 rows against 100 runs may take."""

CASES = [(43, 100, False), (80, 100, False), (80, 100, True)]
"""Layers, runs of the calibration, and whether the rows are read from a saved comparison."""


def rows_of(label: str, seed: int, layers: int, side: int = 8192) -> list[dict[str, Any]]:
    """Return the rows of a comparison whose updates have the spread of a class."""
    rng = np.random.default_rng(seed)
    rows = []
    for layer in range(layers):
        for role in ROLES:
            spread = math.log(LEVELS[label]) + 0.01 * rng.standard_normal()
            row = {
                "name": f"model.layers.{layer}.{role}.weight",
                "status": "analysed",
                "layer": layer,
                "role": role,
                "tower": "text",
                "rows": side,
                "columns": side,
                "relative_change": 0.08 * math.exp(0.05 * rng.standard_normal()),
                "decay_coefficient": -0.01 + 0.001 * rng.standard_normal(),
                "projected_effective_rank": side * math.exp(spread),
                "projected_quantiles": (np.linspace(0.1, 1.5, 33)).tolist(),
                "before_dtype": "BF16",
                "after_dtype": "BF16",
                "rounding_floor": 1e-8,
                "delta_fro_norm": 1.0,
            }
            rows.append(dict.fromkeys(COLUMNS) | row)
    return rows


@pytest.mark.parametrize(("layers", "runs", "saved"), CASES)
def test_diagnose(
    layers: int, runs: int, saved: bool, tmp_path: Path, smoke: bool, benchmark: Any
) -> None:
    if smoke:
        layers, runs = 6, 20
    calibration = Calibration.fit(
        [
            (rows_of(label, 2 * i + (label == "broad"), layers), label, f"base{i % 5}")
            for i in range(runs // 2)
            for label in LEVELS
        ]
    )
    rows = rows_of("narrow", 7777, layers)
    given: Any = rows
    if saved:  # the checkpoints that the file names do not exist
        given = tmp_path / "pair.jsonl"
        Comparison(
            before="base", after="tuned", options={}, rows=rows, expected=len(rows), engine={}
        ).save(given)
    began = time.perf_counter()
    diagnosis = ss.diagnosis.diagnose(given, calibration, group="base0")
    seconds = time.perf_counter() - began
    assert diagnosis.verdict == "narrow", diagnosis.text
    benchmark.extra_info.update(
        table="diagnoses",
        case={"rows": len(rows), "runs": runs, "from": "a file" if saved else "memory"},
        method="sigmascope",
    )
    benchmark.pedantic(lambda: ss.diagnosis.diagnose(given, calibration, group="base0"), rounds=3)
    if layers == 43:
        assert seconds <= AT_MOST, f"{seconds:.3f} s"
