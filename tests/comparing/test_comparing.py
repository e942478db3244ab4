# SPDX-License-Identifier: BSD-3-Clause
"""Rows of a comparison: spectra, angles and changes, and what must change none of them."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.analyses import after_each_krylov_search, before_each_spectrum_of_a_pair
from tests.support.changed import low_rank, numbers, stored, update, weights, written
from tests.support.checkpoints import write_sharded
from tests.support.comparisons import OPTIONS, both, model, tuned
from tests.support.scans import bits

import sigmascope as ss

pytestmark = pytest.mark.usefixtures("density_of_small_matrices")

GROUPS = ("before", "after", "delta", "projected")

# ------------------------------------------------------------------------------ what it tells


@pytest.fixture(scope="module")
def pair() -> tuple[Any, Any]:
    """A matrix, and the same after decay and an update of rank 3."""
    rng = np.random.default_rng(5)
    w = weights(90, 70, rng, spikes=5)
    return w, w - 0.01 * w + update(w, 0.05, rng, rank=3)


def row_of(folder: Path, w: Any, v: Any, dtype: str = "F64", **options: Any) -> dict[str, Any]:
    comparison = both(folder, {"w": w}, {"w": v}, dtype, **options)
    row: dict[str, Any] = comparison["w"]
    assert row["status"] == "analysed", row["reason"]
    return row


@pytest.mark.parametrize("effort", ["exact", "density"])
def test_every_spectrum_is_that_of_its_matrix(
    tmp_path: Path, pair: tuple[Any, Any], effort: str
) -> None:
    w, v = pair
    row = row_of(tmp_path, w, v, effort=effort)
    d = v - w
    c = float(np.sum(d * w) / np.sum(w * w))
    assert row["decay_coefficient"] == pytest.approx(c, rel=1e-12)
    for group, a in zip(GROUPS, (w, v, d, d - c * w), strict=True):
        s = np.linalg.svd(a, compute_uv=False)
        p = s / s.sum()
        rank = np.exp(-np.sum(p * np.log(p)))
        assert np.all(np.abs(np.array(row[f"{group}_top"]) - s[:8]) <= row[f"{group}_top_errors"])
        assert row[f"{group}_effective_rank"] == pytest.approx(
            rank, abs=4 * row[f"{group}_effective_rank_error"] + 1e-9
        )
        assert row[f"{group}_fro_norm"] == pytest.approx(np.linalg.norm(a), rel=1e-10)
    for name in ("stable_rank", "effective_rank", "spectral_norm"):
        assert row[f"change_{name}"] == pytest.approx(row[f"after_{name}"] - row[f"before_{name}"])
        errors = row[f"after_{name}_error"] + row[f"before_{name}_error"]
        assert 0 <= row[f"change_{name}_error"] <= errors
    # no probes that both share: the signs of both errors are unknown
    bounds = [row[f"{side}_spectral_norm_error"] for side in ("before", "after")]
    assert min(bounds) > 0
    assert row["change_spectral_norm_error"] == sum(bounds)
    assert row["relative_change"] == pytest.approx(np.linalg.norm(d) / np.linalg.norm(w))
    cosine = np.sum(w * v) / np.linalg.norm(w) / np.linalg.norm(v)
    assert row["cosine"] == pytest.approx(cosine, abs=1e-12)


@pytest.mark.parametrize("effort", ["exact", "density"])
def test_angles_are_those_of_the_subspaces(
    tmp_path: Path, pair: tuple[Any, Any], effort: str
) -> None:
    w, v = pair
    row = row_of(tmp_path, w, v, effort=effort)
    (U, _, Wt), (X, _, Yt) = np.linalg.svd(w), np.linalg.svd(v)
    D, _, Et = np.linalg.svd(v - w)
    j = len(row["angles_left"])
    assert 5 <= j <= 8
    for name, one, two in (
        ("angles_left", U[:, :j], X[:, :j]),
        ("angles_right", Wt[:j].T, Yt[:j].T),
        ("delta_angles_left", D, U),
        ("delta_angles_right", Et.T, Wt.T),
    ):
        values = np.array(row[name])
        if name.startswith("delta"):
            # of so many dimensions as each has above the gap
            candidates = [
                np.arccos(np.clip(np.linalg.svd(one[:, :p].T @ two[:, :q], compute_uv=False), 0, 1))
                for p in range(1, 9)
                for q in range(1, 9)
                if min(p, q) == len(values)
            ]
            error = min(np.abs(c - values).max() for c in candidates)
        else:
            angles = np.arccos(np.clip(np.linalg.svd(one.T @ two, compute_uv=False), 0, 1))
            error = np.abs(angles - values).max()
        assert error <= row[f"{name}_error"] + 1e-6
        assert np.all(np.diff(values) >= 0)
        assert row[f"{name}_error"] < 0.11


@pytest.mark.parametrize("effort", ["exact", "density"])
def test_the_error_of_angles_is_that_of_both_subspaces(
    tmp_path: Path, pair: tuple[Any, Any], effort: str
) -> None:
    """The gap below the subspace of one matrix is narrow, that of the other one is wide."""
    w, _ = pair
    U, s, Vt = np.linalg.svd(w, full_matrices=False)
    v = (U * np.where(np.arange(70) < 5, s, 1e-3 * s)) @ Vt
    there = row_of(tmp_path / "there", w, v, effort=effort)
    back = row_of(tmp_path / "back", v, w, effort=effort)
    for side in ("left", "right"):
        assert len(there[f"angles_{side}"]) == len(back[f"angles_{side}"])
        error = there[f"angles_{side}_error"]
        assert back[f"angles_{side}_error"] == pytest.approx(error, rel=1e-6)


def test_angles_without_a_gap_are_absent(tmp_path: Path) -> None:
    """All values equal: no subspace is told from another."""
    rng = np.random.default_rng(0)
    w, v = (np.linalg.qr(rng.standard_normal((30, 30)))[0] for _ in range(2))
    row = row_of(tmp_path, w, v)
    assert row["angles_left"] is row["angles_left_error"] is row["delta_angles_right"] is None


def test_identical_matrices_are_an_ordinary_finding(tmp_path: Path) -> None:
    w = weights(50, 40, np.random.default_rng(0))
    row = row_of(tmp_path, w, w, "BF16")
    assert (row["relative_change"], row["cosine"], row["decay_coefficient"]) == (0, 1, 0)
    assert (row["delta_fro_norm"], row["projected_fro_norm"], row["delta_numerical_rank"]) == (
        0,
        0,
        0,
    )
    assert row["delta_top"] == [0.0] * 8
    assert row["change_effective_rank"] == row["change_effective_rank_error"] == 0
    assert row["above_rounding"] is False
    assert max(row["angles_left"]) < 1e-6
    assert row["delta_angles_left"] is row["delta_effective_rank"] is None
    assert row["converged"] is True


def test_the_same_numbers_in_another_format_are_identical(tmp_path: Path) -> None:
    w = weights(50, 40, np.random.default_rng(0))
    one = written(tmp_path / "a", {"w": w}, "BF16")
    codes = np.frombuffer(stored("w", w).bytes, np.uint16).reshape(w.shape)
    two = written(tmp_path / "b", {"w": numbers(codes)}, "F32")
    row = ss.compare(one, two, **OPTIONS)["w"]
    assert row["relative_change"] == 0
    assert (row["before_dtype"], row["after_dtype"]) == ("BF16", "F32")


@pytest.mark.parametrize("which", ["before", "after"])
def test_zero_matrices(tmp_path: Path, which: str) -> None:
    w = weights(30, 20, np.random.default_rng(0))
    zero = np.zeros((30, 20))
    row = row_of(tmp_path, *((zero, w) if which == "before" else (w, zero)))
    assert row[f"{which}_fro_norm"] == 0
    assert row["delta_fro_norm"] == pytest.approx(np.linalg.norm(w))
    if which == "before":
        assert row["relative_change"] is row["decay_coefficient"] is row["projected_top"] is None
    else:
        assert row["decay_coefficient"] == pytest.approx(-1)
        assert row["projected_fro_norm"] <= 1e-6 * np.linalg.norm(w)


def test_a_merged_adapter_is_of_low_rank(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    w = rng.standard_normal((80, 60))
    row = row_of(tmp_path, w, w + low_rank(80, 60, np.array([3.0, 2.0, 1.0]), rng))
    assert row["delta_numerical_rank"] == 3
    assert len(row["delta_angles_left"]) == 3


def test_a_tiny_change_keeps_its_measures(tmp_path: Path) -> None:
    """No cut is absolute: where others end with alpha = -1."""
    rng = np.random.default_rng(3)
    w = rng.standard_normal((60, 50))
    d = low_rank(60, 50, np.geomspace(1, 0.1, 50), rng)
    large = row_of(tmp_path / "large", w, w + d, effort="exact")
    small = row_of(tmp_path / "small", 1e3 * w, 1e3 * w + 1e-6 * d, effort="exact")
    for name in ("stable_rank", "effective_rank", "alpha", "shoulder_200", "participation_ratio"):
        # what float64 keeps of entries 1e9 times as large
        assert small[f"delta_{name}"] == pytest.approx(large[f"delta_{name}"], rel=1e-3), name


def test_a_nan_is_the_reason_of_its_row(tmp_path: Path) -> None:
    w = np.ones((4, 5))
    bad = w.copy()
    bad[2, 3] = np.nan
    comparison = both(tmp_path, {"w": w, "v": w}, {"w": bad, "v": 2 * w})
    assert comparison["w"]["reason"] == (
        "the matrix after holds 1 NaN and 0 infinite entries, the first at (2, 3)"
    )
    assert (comparison["w"]["status"], comparison["w"]["failure"]) == ("failed", "data")
    assert comparison["v"]["status"] == "analysed"


# ------------------------------------------------------------------------------ invariances


@given(st.integers(12, 40), st.integers(12, 40), st.integers(0, 99), st.floats(1e-6, 1e6))
@settings(max_examples=4, deadline=None)
@pytest.mark.unsanitized
def test_scale_transpose_and_rotation_change_no_scale_free_measure(
    tmp_path_factory: pytest.TempPathFactory, m: int, n: int, seed: int, factor: float
) -> None:
    rng = np.random.default_rng(seed)
    w = weights(m, n, rng, spikes=3)
    v = 0.98 * w + update(w, 0.1, rng, rank=4)
    L, R = (np.linalg.qr(rng.standard_normal((i, i)))[0] for i in (m, n))
    folder = tmp_path_factory.mktemp("pairs")
    plain = row_of(folder / "plain", w, v)
    others = {
        "scaled": row_of(folder / "scaled", factor * w, factor * v),
        "transposed": row_of(folder / "transposed", w.T, v.T),
        "rotated": row_of(folder / "rotated", L @ w @ R, L @ v @ R),
    }
    free = ("stable_rank", "effective_rank", "participation_ratio", "mp_outliers", "mp_softrank")
    for kind, row in others.items():
        for name in ("relative_change", "cosine", "decay_coefficient"):
            assert row[name] == pytest.approx(plain[name], rel=1e-9, abs=1e-12), (kind, name)
        for group in (*GROUPS, "change"):
            for measure in free:
                name = f"{group}_{measure}"
                if measure.startswith("mp_") and None in (row[name], plain[name]):
                    # Whether there is an edge depends on the norms of rows, which turn.
                    assert kind == "rotated" or row[name] is plain[name], (kind, name)
                    continue
                assert row[name] == pytest.approx(plain[name], rel=1e-6, abs=1e-6), (kind, name)
        sides = ("right", "left") if kind == "transposed" else ("left", "right")
        for side, other in zip(("left", "right"), sides, strict=True):
            was, now = plain[f"angles_{side}"], row[f"angles_{other}"]
            if was and now and len(was) == len(now):
                error = plain[f"angles_{side}_error"] + row[f"angles_{other}_error"]
                assert np.allclose(was, now, atol=error + 1e-6), kind


def test_formats_agree_within_their_rounding(tmp_path: Path, pair: tuple[Any, Any]) -> None:
    """Stored in f32 and in bf16: what differs is what the floor says."""
    w, v = pair
    fine, coarse = row_of(tmp_path / "f32", w, v, "F32"), row_of(tmp_path / "bf16", w, v, "BF16")
    assert fine["rounding_floor"] < 1e-4 * coarse["rounding_floor"]
    assert fine["above_rounding"] is coarse["above_rounding"] is True
    expected = np.hypot(fine["delta_fro_norm"], coarse["rounding_floor"])
    assert coarse["delta_fro_norm"] == pytest.approx(expected, rel=0.02)
    top = np.abs(np.array(fine["delta_top"]) - coarse["delta_top"])
    assert top.max() < coarse["rounding_floor"]
    assert coarse["before_effective_rank"] == pytest.approx(fine["before_effective_rank"], rel=1e-2)


def test_shards_threads_and_memory_change_no_bit(tmp_path: Path) -> None:
    base, other = model(), tuned(model())
    whole = both(tmp_path, base, other, "BF16")
    tensors = [stored(name, x) for name, x in other.items()]
    sharded = write_sharded(
        tmp_path / "shards", {"b.safetensors": tensors[::2], "a.safetensors": tensors[1::2]}
    )
    expected = bits({**row, "after_file": None} for row in whole.rows)
    for options in (
        {"num_threads": 1},
        {"num_threads": 3, "reading": "mapped"},
        {"num_threads": 4, "memory_limit": "64MiB"},
    ):
        comparison = ss.compare(tmp_path / "before", sharded, **OPTIONS | options)
        assert bits({**row, "after_file": None} for row in comparison.rows) == expected, options


@pytest.mark.parametrize("effort", ["top", "density"])
@pytest.mark.unsanitized
def test_larger_matrices_are_the_same_bits_however_they_are_computed(
    tmp_path: Path, effort: str
) -> None:
    """Beyond the order where every value is cheaper, with vectors and a density."""
    rng = np.random.default_rng(1)
    w = weights(900, 640, rng)
    v = w + update(w, 0.02, rng)
    one, two = written(tmp_path / "a", {"w": w}), written(tmp_path / "b", {"w": v})
    rows = []
    for threads, limit in ((1, "1GiB"), (4, "48MiB")):
        comparison = ss.compare(
            one, two, effort=effort, k=24, num_threads=threads, memory_limit=limit
        )
        row = comparison["w"]
        assert (row["status"], row["effort"]) == ("analysed", effort), row["reason"]
        rows.append(row)
    if ss.show_config()["tiles"]:  # whose panels take more of the small limit
        fewer, more = (row.pop("passes") for row in rows)
        assert more - fewer in (0, 2)
    assert bits(rows[1:]) == bits(rows[:1])
    if effort == "density":
        assert abs(rows[0]["delta_mp_outliers"] - 16) <= 1
    assert len(rows[0]["delta_angles_left"]) >= 8


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_the_seconds_of_all_rows_are_those_of_the_comparison(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    """Pairs are analysed two at a time and wait for each other: no second counts twice.

    The clock goes on by a second whenever it is read, so that no time between two readings is lost.
    """
    base, other = model(), tuned(model())
    seconds = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(seconds)))
    comparison = both(tmp_path, base, other, num_threads=threads)
    assert all(row["seconds"] > 0 for row in comparison.analysed)
    assert 0 < comparison.seconds <= next(seconds)


@pytest.mark.parametrize("threads", [*(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2)), 5])
@pytest.mark.unsanitized
def test_every_spectrum_is_computed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    """Side by side in the memory that was planned for that, not refused and begun again."""
    begun: list[tuple[tuple[int, int], int]] = []
    before_each_spectrum_of_a_pair(
        monkeypatch, lambda a, num_threads: begun.append((a.shape, num_threads))
    )
    rng = np.random.default_rng(1)
    w = {"v": weights(700, 640, rng), "w": weights(40, 30, rng, 3)}
    v = {name: 0.5 * x + update(x, 0.1, rng) for name, x in w.items()}
    each = threads // {1: 1, 2: 2, 5: 4}[threads]
    both(tmp_path, w, v, num_threads=threads)
    assert sorted(begun) == [((40, 30), each)] * 4 + [((700, 640), each)] * 4


def test_no_spectrum_looks_for_a_norm_that_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W, W' and dW have known norms; dW - c W may be nearly zero, so that its norm is computed."""
    searches: dict[int, tuple[float | None, int]] = {}

    def listener(options: dict[str, Any], outcome: Any) -> None:
        reads = outcome["reads"] - outcome["steps"]
        searches[round(1e6 * outcome["fro2"])] = options["fro2"], reads

    after_each_krylov_search(monkeypatch, listener)
    rng = np.random.default_rng(1)
    w = weights(700, 640, rng)
    v = 0.5 * w + update(w, 0.1, rng)
    row = row_of(tmp_path, w, v, effort="density", num_threads=1)
    d = v - w
    projected = d - row["decay_coefficient"] * w
    assert len(searches) == 4
    for a in (w, v, d):
        fro2, others = searches[round(1e6 * np.sum(a**2))]
        assert fro2 == pytest.approx(np.sum(a**2), rel=1e-12)
        assert others == 1  # what is read out
    assert searches[round(1e6 * np.sum(projected**2))] == (None, 2)
