# SPDX-License-Identifier: BSD-3-Clause
"""Matrices of finite entries whose singular values are beyond the range of float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import sigmascope as ss
from sigmascope.results import Scan


@pytest.fixture
def huge() -> NDArray[np.float64]:
    """Entries of 1.5e308, whose rows have norms of 8e308."""
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (40, 30))
    return np.asarray(1.5e308 * signs)


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet", "html"])
def test_every_table_holds_their_row(
    huge: NDArray[np.float64], suffix: str, tmp_path: Path
) -> None:
    """JSON has no infinity: infinite values are absent, and the notes say that they exist."""
    out = tmp_path / f"scan.{suffix}"
    ss.scan({"w": huge, "v": huge * 2.0**-64}, k=4, out=out)
    if suffix == "html":
        assert out.stat().st_size > 10_000
        return
    rows = {row["name"]: row for row in Scan.load(out).rows}
    assert [row["status"] for row in rows.values()] == ["analysed"] * 2
    assert (rows["w"]["top"], rows["w"]["top_errors"], rows["w"]["fro_norm"]) == (None,) * 3
    assert (rows["w"]["quantiles"], rows["w"]["outlier_rows"]) == (None, 0)
    assert "beyond the range of float64" in rows["w"]["notes"]
    assert rows["v"]["top"][0] == pytest.approx(np.linalg.norm(huge * 2.0**-64, 2), rel=1e-12)
    for measure in ("stable_rank", "effective_rank"):
        assert rows["w"][measure] == pytest.approx(rows["v"][measure], rel=1e-12)


def test_a_comparison_refuses_them_and_says_what_helps(huge: NDArray[np.float64]) -> None:
    pair = {"w": huge}, {"w": 0.9 * huge}
    (row,) = ss.compare(*pair, k=4).rows
    assert row["status"] == "failed"
    assert row["reason"].endswith(
        "the first matrix and the second matrix: singular values are beyond the range of float64; "
        "compare both matrices times 2**-64"
    )
    before, after = ({"w": side["w"] * 2.0**-64} for side in pair)
    (row,) = ss.compare(before, after, k=4).rows
    assert (row["status"], round(row["relative_change"], 9)) == ("analysed", 0.1)
