# SPDX-License-Identifier: BSD-3-Clause
"""Tables that are saved and loaded: every cell has its value and its type again.

The comparison is by `repr`, which distinguishes 1, 1.0, True and "1", also within lists.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sigmascope as ss
from sigmascope.results import Comparison, Scan
from sigmascope.series.saved import load_series

CELLS: dict[str, list[Any]] = {
    "str": ["007", "1e5", "true", "null", 'a,"b"\nc', "0x1F"],
    "int": [2**53 + 1, -(2**63), 0, 1, -1, 2**63 - 1],
    "uint": [2**64 - 1, 2**53 + 1, 0, 1, 7, 2**63],
    "float": [3.0, -0.0, 5e-324, 0.1, 2.0**53, 1e300],
    "bool": [True, False, True, False, True, False],
    "ints": [[2**53 + 1, 0], [], [1], [-1], [0, 1, 2], [-(2**63)]],
    "floats": [[1.0, 2.0**60], [], [0.1], [5e-324, -0.0], [3.0], [1e300]],
}
"""Cells of six rows, by the type of a column."""

WEIGHTS = {"w": np.eye(4, 3, dtype=np.float32), "v": np.ones((4, 3), np.float32)}


def rows_of_every_type(columns: dict[str, str]) -> list[dict[str, Any]]:
    """Return six rows of `CELLS`, and a row of which only the name is there."""
    rows = [{name: CELLS[kind][i] for name, kind in columns.items()} for i in range(6)]
    return [*rows, dict.fromkeys(columns) | {"name": "12"}]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
@pytest.mark.parametrize("kind", [Scan, Comparison])
def test_every_cell_of_a_saved_table_has_its_value_and_its_type(
    kind: type[Scan] | type[Comparison], suffix: str, tmp_path: Path
) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    small = ss.scan(WEIGHTS) if kind is Scan else ss.compare(WEIGHTS, WEIGHTS)
    rows = rows_of_every_type(dict(kind.schema.columns))
    table = replace(small, rows=rows)
    path = tmp_path / f"table{suffix}"
    table.save(path)
    assert repr(kind.load(path).rows) == repr(rows)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_every_cell_of_a_saved_series_has_its_value_and_its_type(
    suffix: str, tmp_path: Path
) -> None:
    """Steps are real numbers; a role may look like an integer."""
    models = []
    for factor in range(1, 5):
        weights = {name: factor * x for name, x in WEIGHTS.items()}
        scan = ss.scan(weights, seed=2**63 + 1)
        models.append(replace(scan, rows=[row | {"role": "12", "layer": 3} for row in scan]))
    measures = ("fro_norm", "stable_rank")
    trajectory = ss.series.trajectory(models[:3], steps=[1.0, 2.0, 2.5], measures=measures)
    reference = ss.series.reference(models[:3], measures=measures)
    for table in (trajectory, reference, reference.place(models[3])):
        path = tmp_path / f"table{suffix}"
        table.save(path)
        saved = load_series(path)
        assert saved is not None
        assert {(row["role"], row["seed"]) for row in table} == {("12", 2**63 + 1)}
        assert repr(saved.rows) == repr(table.rows)
