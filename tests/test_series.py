# SPDX-License-Identifier: BSD-3-Clause
"""Trajectories of a run, and the reference that a family of models gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from changed import update, weights, written

import sigmascope as ss
from sigmascope.comparing.series import reference, trajectories

OPTIONS: dict[str, Any] = {"k": 8, "num_threads": 1, "memory_limit": "1GiB"}
UP = "model.layers.{}.mlp.up_proj.weight"


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A run that moves on in one direction; the last checkpoint lacks a matrix."""
    folder = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    base = {UP.format(i): weights(40, 30, rng, 3) for i in range(3)}
    way = {name: update(w, 0.01, rng, rank=2) for name, w in base.items()}
    paths = []
    for t in range(4):
        tensors = {name: w + t * way[name] for name, w in base.items()}
        if t == 3:
            del tensors[UP.format(1)]
        paths.append(written(folder / str(t), tensors, "F32"))
    return paths


def test_a_run_gives_trajectories(steps: list[Path]) -> None:
    found = ss.compare_series(steps, **OPTIONS)
    assert [len(comparison.analysed) for comparison in found] == [3, 3, 2]
    ways = trajectories(found, "relative_change")
    assert [way.name for way in ways] == [UP.format(i) for i in range(3)]
    assert (ways[2].layer, ways[2].role, ways[2].tower) == (2, "up", "text")
    np.testing.assert_allclose(ways[0].values, [0.01, 0.02, 0.03], rtol=1e-4)
    np.testing.assert_allclose(ways[1].values, [0.01, 0.02, np.nan], rtol=1e-4)
    assert np.all(ways[0].errors < 1e-9)


def test_a_family_gives_a_reference(steps: list[Path]) -> None:
    scans = [ss.scan(path, **OPTIONS) for path in steps[:2]]
    (low, high) = reference(scans, "stable_rank", parts=2)
    assert (low.role, low.depth, high.depth) == ("up", (0.0, 0.5), (0.5, 1.0))
    assert (low.count, high.count, low.models) == (2, 4, 2)
    values = [scan[UP.format(i)]["stable_rank"] for scan in scans for i in (1, 2)]
    assert high.median == pytest.approx(np.median(values))
    assert low.low <= low.median <= low.high


def test_what_makes_no_series_is_refused(steps: list[Path]) -> None:
    scan = ss.scan(steps[0], **OPTIONS)
    comparison = ss.compare(steps[0], steps[1], **OPTIONS)
    with pytest.raises(ValueError, match="2 checkpoints or more, not 1"):
        ss.compare_series(steps[:1])
    with pytest.raises(TypeError, match="out is one file"):
        ss.compare_series(steps, out="x.csv")
    with pytest.raises(ValueError, match="no table"):
        trajectories([], "stable_rank")
    with pytest.raises(ValueError, match="comparison and scans"):
        trajectories([scan, comparison], "stable_rank")
    with pytest.raises(ValueError, match="no column of numbers 'name'"):
        reference([scan], "name")
    with pytest.raises(ValueError, match="parts must be at least 1"):
        reference([scan], "stable_rank", parts=0)
