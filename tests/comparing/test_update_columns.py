# SPDX-License-Identifier: BSD-3-Clause
"""Columns that describe an update, against NumPy; they depend on nothing but the numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tests.support.adapted_model import MODULES, adapter, change, dense, llama
from tests.support.changed import update, weights, written
from tests.support.comparisons import both
from tests.support.coverings import grid
from tests.support.scans import bits

import sigmascope as ss

ON_REQUEST = ("update_shares", "update_masks")
ROUNDED = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16}


def pair(m: int = 90, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """A matrix with five strong directions, and a change of rank 3 in some of its rows."""
    rng = np.random.default_rng(3)
    w = weights(m, n, rng, spikes=min(5, n))
    d = update(w, 0.05, rng, rank=3)
    d[: m // 3] = 0.0
    return w, w + d


def row_of(folder: Path, w: Any, v: Any, dtype: str = "F64", **options: Any) -> dict[str, Any]:
    row: dict[str, Any] = both(folder, {"w": w}, {"w": v}, dtype, **options)["w"]
    assert row["status"] == "analysed", row["reason"]
    return row


def unchanged(w: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.abs(v - w) <= 1e-3 * np.maximum(np.abs(w), np.abs(v))


@grid(shape=[(90, 60), (37, 513), (5, 3)], dtype=list(ROUNDED))
def test_sparsity_counts_entries_that_hardly_changed(
    tmp_path: Path, dtype: str, shape: tuple[int, int]
) -> None:
    w, v = (x.astype(ROUNDED[dtype]).astype(np.float64) for x in pair(*shape))
    row = row_of(tmp_path, w, v, dtype, k=2)
    assert row["update_sparsity"] == np.mean(unchanged(w, v))
    assert 0 < row["update_sparsity"] < 1


def test_the_count_has_the_same_edge_everywhere() -> None:
    """Entries at the threshold, just below and above it, and pairs of signs and zeros."""
    w = np.array([[1.0, 1.0, 1.0, 1.0, 0.0, 0.0, -2.0, -0.0, 1e-150, 1e150]])
    d = np.array([1.001, 1.0011, 0.999, 0.9989, 0.0, 1e-9, 2.0, 0.0, 1.0005e-150, 1.002e150])
    v = d[None, :]
    row = ss.compare({"w": w}, {"w": v}, k=1).rows[0]
    assert row["update_sparsity"] == np.mean(unchanged(w, v)) == 0.4


def test_spread_over_entries_rows_and_columns(tmp_path: Path) -> None:
    w, v = pair()
    row = row_of(tmp_path, w, v)
    d = v - w
    centred = d - d.mean()
    assert row["delta_kurtosis"] == pytest.approx(
        np.mean(centred**4) / np.mean(centred**2) ** 2, rel=1e-9
    )
    for name, axis in (("row", 1), ("column", 0)):
        energy = np.sum(d**2, axis=axis)
        share = energy.sum() ** 2 / (len(energy) * np.sum(energy**2))
        assert row[f"delta_{name}_evenness"] == pytest.approx(share, rel=1e-9)
    assert row["delta_row_evenness"] < 2 / 3 + 1e-9 < 1  # a third of the rows did not change
    assert row["changed_rows"] == np.count_nonzero(d.any(axis=1)) < len(d)


def test_movement_of_the_values_needs_all_of_them(tmp_path: Path) -> None:
    w, v = pair(400, 300)
    row = row_of(tmp_path, w, v, effort="exact")
    s, t = (np.linalg.svd(x, compute_uv=False) for x in (w, v))
    scale = s @ t / (s @ s)
    expected = {
        "spectral_shift": np.linalg.norm(t - s) / np.linalg.norm(s),
        "spectral_share": np.linalg.norm(t - s) / np.linalg.norm(v - w),
        "spectral_scale": scale,
        "spectral_scale_spread": np.linalg.norm(t - scale * s) / np.linalg.norm(t),
    }
    for name, value in expected.items():
        assert abs(row[name] - value) <= row[f"{name}_error"] + 1e-12
        assert row[f"{name}_error"] < 1e-3
    density = row_of(tmp_path / "density", w, v, effort="top", k=2)
    assert all(density[name] is None for name in expected)


def test_an_intruder_is_counted_or_undecided(tmp_path: Path) -> None:
    """A new strong direction of W', far above the spikes of W; only a part of W is known."""
    rng = np.random.default_rng(0)
    w = weights(80, 60, rng, spikes=6)
    x, y = (rng.standard_normal(n) for n in (80, 60))
    new = np.outer(x, y) / np.linalg.norm(x) / np.linalg.norm(y)
    v = w + 2 * np.linalg.norm(w, 2) * new
    row = row_of(tmp_path, w, v)
    U, X = (np.linalg.svd(a)[0] for a in (w, v))
    truth = np.sum(np.abs(U.T @ X[:, : row["intruders_looked_at"]]).max(axis=0) < 0.5)
    assert truth == 1
    assert row["intruders"] <= truth <= row["intruders"] + row["intruders_undecided"]
    assert row["intruder_energy"] + row["intruder_energy_undecided"] > 0.3
    same = row_of(tmp_path / "same", w, w + 1e-4 * rng.standard_normal(w.shape))
    assert same["intruders"] == same["intruders_undecided"] == 0
    assert same["intruders_looked_at"] >= 5


@pytest.mark.parametrize(
    "place", [1, 10, 11, 15, 25], ids=["first", "tenth", "eleventh", "fifteenth", "not known"]
)
def test_a_direction_that_came_from_further_down_is_not_an_intruder(place: int) -> None:
    """The one that leads W' is compared with all known directions of W; the 25th is unknown."""
    sigma = 0.85 ** np.arange(40.0)
    raised = sigma.copy()
    raised[place - 1] = 2.0
    row = ss.compare({"w": np.diag(sigma)}, {"w": np.diag(raised)}, k=16, tol=1e-6).rows[0]
    assert (row["intruders"], row["intruders_looked_at"]) == (0, 10)
    undecided = int(place > 16)
    assert row["intruders_undecided"] == undecided
    share = undecided * 2.0**2 / np.sum(np.sort(raised)[-10:] ** 2)
    assert row["intruder_energy_undecided"] == pytest.approx(share, rel=1e-6)


def test_shares_in_the_leading_subspaces(tmp_path: Path) -> None:
    w, v = pair()
    row = row_of(tmp_path, w, v, measures=["update_shares"])
    k = row["share_dimension"]
    assert 5 <= k <= 8
    U, _, Vt = np.linalg.svd(w)
    d = (v - w) / np.linalg.norm(v - w)
    for side, part in (
        ("left", U[:, :k].T @ d),
        ("right", d @ Vt[:k].T),
        ("both", U[:, :k].T @ d @ Vt[:k].T),
    ):
        share = np.linalg.norm(part) ** 2
        assert abs(row[f"share_{side}"] - share) <= row[f"share_{side}_error"] + 1e-9
    chances = [row[f"share_{side}_chance"] for side in ("left", "right", "both")]
    assert chances == pytest.approx([k / 90, k / 60, k * k / 5400])


def test_masks_count_the_changed_entries_in_them(tmp_path: Path) -> None:
    w, v = (x.astype(np.float32).astype(np.float64) for x in pair(120, 100))
    row = row_of(tmp_path, w, v, "F32", k=8, tol=1e-6, measures=["update_masks"])
    U, s, Vt = np.linalg.svd(w)
    principal = np.abs((U[:, :8] * s[:8]) @ Vt[:8])
    changed = ~unchanged(w, v)
    for name, size in (("principal", -principal), ("low", np.abs(w))):
        chance = row[f"{name}_overlap_chance"]
        assert abs(chance - 0.1) < 0.01
        mask = size <= np.sort(size, axis=None)[round(chance * size.size) - 1]
        assert row[f"{name}_overlap"] == pytest.approx(np.mean(mask[changed]), abs=2e-3)


def test_the_chance_of_a_mask_is_the_share_that_ties_leave_it(tmp_path: Path) -> None:
    """The smaller one of two magnitudes has 15 % of the entries, which is nearest to a tenth."""
    rng = np.random.default_rng(0)
    w = np.where(rng.random((60, 50)) < 0.15, 1.0, 2.0) * rng.choice([-1.0, 1.0], (60, 50))
    v = w + rng.choice([0.0, 0.5], (60, 50))
    row = row_of(tmp_path, w, v, "F32", measures=["update_masks"])
    assert row["low_overlap_chance"] == np.mean(np.abs(w) == 1.0)
    assert row["low_overlap"] == np.mean(np.abs(w[v != w]) == 1.0)


def test_the_passes_of_the_columns_are_counted(tmp_path: Path) -> None:
    w, v = pair()
    plain = row_of(tmp_path / "plain", w, v)["passes"]
    passes_of_measures = {"update_shares": 2, "update_masks": 1}
    for name, passes in passes_of_measures.items():
        assert row_of(tmp_path / name, w, v, measures=[name])["passes"] == plain + passes


def test_nothing_of_this_is_there_without_a_change(tmp_path: Path) -> None:
    w, _ = pair()
    row = row_of(tmp_path, w, w, measures=list(ON_REQUEST))
    assert row["update_sparsity"] == 1.0
    assert row["delta_kurtosis"] is row["delta_row_evenness"] is row["share_left"] is None
    assert row["principal_overlap"] is None
    assert row["spectral_shift"] == 0.0


def test_an_adapter_has_what_its_factors_tell(tmp_path: Path) -> None:
    base = written(tmp_path / "base", llama("F32"), "F32")
    comparison = ss.compare(base, adapter(tmp_path / "lora"), k=8, measures=list(ON_REQUEST))
    for module in MODULES:
        row, D = comparison[f"{module}.weight"], dense(*change(module))
        assert row["update_sparsity"] is row["delta_kurtosis"] is row["principal_overlap"] is None
        energy = np.sum(D**2, axis=1)
        evenness = energy.sum() ** 2 / (len(energy) * np.sum(energy**2))
        assert row["delta_row_evenness"] == pytest.approx(evenness, rel=1e-6)
        assert 0 <= row["share_both"] <= min(row["share_left"], row["share_right"]) + 1e-12


def test_no_bit_depends_on_threads_or_memory(tmp_path: Path) -> None:
    w, v = pair(700, 500)
    before, after = (
        written(tmp_path / name, {"w": x.astype(np.float32)}, "F32")
        for name, x in (("a", w), ("b", v))
    )
    runs = [
        ss.compare(before, after, k=8, measures=list(ON_REQUEST), num_threads=n, memory_limit=limit)
        for n, limit in ((1, "1GiB"), (3, "1GiB"), (2, "120MiB"))
    ]
    assert bits(runs[0]) == bits(runs[1]) == bits(runs[2])
    assert runs[0].rows[0]["principal_overlap"] is not None


def test_an_unknown_measure_names_those_of_a_comparison(tmp_path: Path) -> None:
    w, v = pair()
    with pytest.raises(ValueError, match="update_shares, update_masks, not 'masks'"):
        row_of(tmp_path, w, v, measures="masks")
