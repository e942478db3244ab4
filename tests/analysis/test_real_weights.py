# SPDX-License-Identifier: BSD-3-Clause
"""Every matrix of a real model against LAPACK in float64: all-MiniLM-L6-v2, fetched once."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.changed import update, written

import sigmascope as ss
from sigmascope.cli.demo import DemoError, fetch
from sigmascope.spectra import statistics

pytestmark = pytest.mark.slow

MATRICES = 40
ESTIMATES = ("nuclear_norm", "effective_rank", "effective_rank_energy", "participation_ratio")

Truth = dict[str, NDArray[np.float64]]


@pytest.fixture(scope="module")
def folder() -> Path:
    if os.environ.get("SIGMASCOPE_OFFLINE") == "1":
        pytest.skip("SIGMASCOPE_OFFLINE=1: the real model is not fetched")
    try:
        return fetch()
    except DemoError as error:
        pytest.fail(f"{error} Without a network, set SIGMASCOPE_OFFLINE=1.", pytrace=False)


@pytest.fixture(scope="module")
def checkpoint(folder: Path) -> ss.Checkpoint:
    return ss.open_checkpoint(folder)


@pytest.fixture(scope="module")
def truth(checkpoint: ss.Checkpoint) -> Truth:
    return {
        name: np.linalg.svd(np.asarray(a, dtype=np.float64), compute_uv=False)
        for name, a in checkpoint.items()
    }


def test_exact_effort_agrees_with_lapack(folder: Path, truth: Truth) -> None:
    scan = ss.scan(folder, effort="exact", k=384)
    assert len(scan.analysed) == len(truth) == MATRICES
    assert scan.failed == scan.unreadable == scan.unconverged == []
    for row in scan.analysed:
        sigma = truth[row["name"]]
        assert len(row["top"]) == len(sigma)
        error = np.abs(row["top"] - sigma)
        assert error.max() <= 1e-7 * sigma[0], row["name"]
        assert np.all(error <= np.array(row["top_errors"]) + 1e-13 * sigma[0]), row["name"]


@pytest.mark.parametrize("vectors", [True, False])
def test_largest_values_are_within_their_bounds(
    checkpoint: ss.Checkpoint, truth: Truth, vectors: bool
) -> None:
    for name, a in checkpoint.items():
        k, sigma = min(64, *a.shape), truth[name]
        result = ss.svds(a, k, tol=1e-3, method="krylov", vectors=vectors)
        assert result.converged, name
        assert np.all(np.abs(result.s - sigma[:k]) <= result.errors), name
        # With vectors the tolerance is about residuals, without about the values.
        reached = result.residuals if vectors else result.errors
        assert reached.max() <= 1e-3 * sigma[0], name


def test_density_measures_are_within_their_errors(checkpoint: ss.Checkpoint, truth: Truth) -> None:
    """Two stated errors in at least 90 % of cases, four in all."""
    ratios = []
    for name, a in checkpoint.items():
        density = ss.spectral_density(a, passes=8, probes=16)
        for measure in ESTIMATES:
            estimate = getattr(density, measure)()
            exact = getattr(statistics, measure)(truth[name])
            # one part in 1e6 for what float32 blocks cannot resolve
            ratios.append(abs(estimate.value - exact) / (estimate.error + 1e-6 * exact))
            assert ratios[-1] <= 4, (name, measure, estimate, exact)
    assert len(ratios) == MATRICES * len(ESTIMATES)
    assert np.mean(np.array(ratios) <= 2) >= 0.9


@pytest.fixture(scope="module")
def tuned(
    folder: Path, checkpoint: ss.Checkpoint, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The model after an update of rank 8 of every matrix, and a little decay, stored in bf16."""
    rng = np.random.default_rng(11)
    tensors = {}
    for name, a in checkpoint.items():
        w = np.asarray(a, dtype=np.float64)
        tensors[f"bert.{name}"] = 0.999 * w + update(w, 0.02, rng, rank=8)
    return written(tmp_path_factory.mktemp("tuned"), tensors)


def test_a_planted_update_is_seen_in_every_matrix(
    folder: Path, checkpoint: ss.Checkpoint, tuned: Path
) -> None:
    """Under a prefix, in another format; against LAPACK for the first of each shape."""
    comparison = ss.compare(folder, tuned, k=32)
    assert len(comparison.analysed) == MATRICES
    assert "matrix" not in {row["kind"] for row in comparison.unpaired}  # but biases and norms
    seen = set()
    after = ss.open_checkpoint(tuned)
    for row in comparison.analysed:
        assert row["relative_change"] == pytest.approx(0.02, rel=0.05), row["name"]
        if min(row["rows"], row["columns"]) > 8:  # else the update itself goes along the weights
            assert row["decay_coefficient"] == pytest.approx(-0.001, abs=5e-4), row["name"]
        assert row["above_rounding"] is True
        if tuple(row["before_shape"]) in seen:
            continue
        seen.add(tuple(row["before_shape"]))
        w, v = (
            np.asarray(c[row[s]], np.float64) for c, s in ((checkpoint, "before"), (after, "after"))
        )
        s = np.linalg.svd(v - w, compute_uv=False)
        k = len(row["delta_top"])
        assert np.all(np.abs(np.array(row["delta_top"]) - s[:k]) <= row["delta_top_errors"])
        change = statistics.effective_rank(np.linalg.svd(v, compute_uv=False))
        change -= statistics.effective_rank(np.linalg.svd(w, compute_uv=False))
        error = 4 * row["change_effective_rank_error"] + 1e-6
        assert abs(row["change_effective_rank"] - change) <= error, row["name"]
