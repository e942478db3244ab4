# SPDX-License-Identifier: BSD-3-Clause
"""A LoRA adapter against its base: W, W' = W + s B A and s B A, held against NumPy in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tests.support.adapted_model import (
    MODULES,
    OPTIONS,
    UP,
    Q,
    adapter,
    assert_angles_are_those_of,
    assert_row_is_that_of,
    change,
    dense,
    effective_rank,
    llama,
)
from tests.support.adapters import factors, lora, write_adapter
from tests.support.changed import bf16, numbers, weights, written
from tests.support.coverings import grid
from tests.support.families import FAMILIES

import sigmascope as ss
from sigmascope.results import Comparison

pytestmark = pytest.mark.usefixtures("density_of_small_matrices")

# ------------------------------------------------------------------------------ what it tells


@grid(effort=("top", "density", "exact"), dtype=("BF16", "F32"))
def test_every_row_is_that_of_the_dense_matrices(tmp_path: Path, dtype: str, effort: str) -> None:
    base = llama(dtype)
    comparison = ss.compare(
        written(tmp_path / "base", base, dtype),
        adapter(tmp_path / "lora"),
        effort=effort,
        **OPTIONS,
    )
    assert [row["name"] for row in comparison.rows] == list(base)
    assert len(comparison.analysed) == len(MODULES)
    for module in MODULES:
        row, W, D = comparison[f"{module}.weight"], base[f"{module}.weight"], dense(*change(module))
        assert_row_is_that_of(row, W, D, 4)
        assert set(row) == set(Comparison.schema.columns)
        assert row["after"] == row["before"] == f"{module}.weight"
        assert (row["before_dtype"], row["after_dtype"]) == (dtype, "F32")
        assert row["before_shape"] == row["after_shape"] == list(W.shape)
        assert row["before_file"] == "model.safetensors"
        assert row["after_file"] == "adapter_model.safetensors"
        assert row["delta_numerical_rank"] == 4
        assert row["delta_top"][4:] == [0.0] * 4
        assert row["delta_mp_edge"] is row["delta_mp_outliers"] is None  # no bulk, no edge
        assert "low-rank product, exact" in row["method"]
        assert "delta: rank 4 or less by its form" in row["notes"]
    assert comparison[f"{Q}.weight"]["role"] == "q"


@pytest.mark.parametrize("effort", ["density", "exact"])
def test_angles_are_those_of_the_subspaces(tmp_path: Path, effort: str) -> None:
    base = llama("F32")
    comparison = ss.compare(
        written(tmp_path / "base", base, "F32"),
        adapter(tmp_path / "a", Q),
        effort=effort,
        **OPTIONS,
    )
    assert_angles_are_those_of(comparison[f"{Q}.weight"], base[f"{Q}.weight"], dense(*change(Q)), 4)


def test_a_wide_matrix_by_krylov_steps(tmp_path: Path) -> None:
    """Large enough that not every value is computed: products with W' are made panel by panel."""
    rng = np.random.default_rng(3)
    W = numbers(bf16(weights(560, 700, rng, spikes=12)))
    B, A = (x.astype(ml_dtypes.bfloat16) for x in factors(560, 700, 16, seed=1))
    B, A = (0.01 * B).astype(ml_dtypes.bfloat16), (0.02 * A).astype(ml_dtypes.bfloat16)
    base = written(tmp_path / "base", {f"{Q}.weight": W}, "BF16")
    folder = write_adapter(tmp_path / "a", lora(Q, B, A), r=16)
    row = ss.compare(base, folder, effort="density", k=16, num_threads=2)[f"{Q}.weight"]
    assert "block Krylov" in row["method"]
    D = dense(B, A, 0.5)
    assert_row_is_that_of(row, W, D, 16)
    assert row["before_mp_outliers"] is not None
    assert row["after_mp_edge"] is not None
    top = ss.compare(base, folder, effort="top", k=16, num_threads=2)[f"{Q}.weight"]
    assert_row_is_that_of(top, W, D, 16)


@pytest.mark.parametrize("dtype", ["BF16", pytest.param("F32", marks=pytest.mark.slow)])
def test_merged_it_is_the_same_within_rounding(tmp_path: Path, dtype: str) -> None:
    """W + s B A saved in f32 and compared as any two checkpoints are."""
    base = llama(dtype)
    merged = dict(base)
    for module in MODULES:
        merged[f"{module}.weight"] = base[f"{module}.weight"] + dense(*change(module))
    first = written(tmp_path / "base", base, dtype)
    exact = ss.compare(first, adapter(tmp_path / "lora"), effort="exact", **OPTIONS)
    other = ss.compare(
        first, written(tmp_path / "merged", merged, "F32"), effort="exact", **OPTIONS
    )
    for row in exact.analysed:
        saved = other[row["name"]]
        W = base[row["name"]]
        off = 2.0**-24 * np.linalg.norm(np.abs(merged[row["name"]]))  # at most, as a matrix
        for group in ("before", "after", "delta", "projected"):
            errors = np.array(row[f"{group}_top_errors"]) + saved[f"{group}_top_errors"]
            apart = np.abs(np.array(row[f"{group}_top"]) - saved[f"{group}_top"])
            assert np.all(apart <= errors + off), group
        for name in ("relative_change", "cosine", "decay_coefficient"):
            errors = row[f"{name}_error"] + saved[f"{name}_error"]
            assert abs(row[name] - saved[name]) <= errors + 2 * off / np.linalg.norm(W), name
        for side in ("left", "right"):
            error = row[f"angles_{side}_error"] + saved[f"angles_{side}_error"]
            assert np.allclose(row[f"angles_{side}"], saved[f"angles_{side}"], atol=error + 1e-5)
        assert row["change_effective_rank"] == pytest.approx(
            saved["change_effective_rank"], abs=1e-3
        )


def test_the_floor_is_that_of_the_factors(tmp_path: Path) -> None:
    """Factors in float64, rounded to what is stored: by how much their product moved."""
    rng = np.random.default_rng(7)
    moved, floors = [], []
    for trial in range(3):
        B, A = rng.standard_normal((300, 8)), 0.05 * rng.standard_normal((8, 200))
        for kinds in ((ml_dtypes.bfloat16,) * 2, (np.float32, ml_dtypes.bfloat16)):
            b, a = (x.astype(kind) for x, kind in zip((B, A), kinds, strict=True))
            folder = tmp_path / f"{trial}{len(moved)}"
            base = written(folder / "b", {f"{Q}.weight": rng.standard_normal((300, 200))})
            row = ss.compare(base, write_adapter(folder / "a", lora(Q, b, a), r=8), k=8)[
                f"{Q}.weight"
            ]
            moved.append(np.linalg.norm(dense(B, A, 1.0) - dense(b, a, 1.0)))
            floors.append(row["rounding_floor"])
            assert row["above_rounding"] is True
            assert row["rounding_effective_rank"] is None  # of rank 2 r by its form, no noise
    np.testing.assert_allclose(floors, moved, rtol=0.05)


@pytest.mark.parametrize("kind", [ml_dtypes.bfloat16, np.float16], ids=["bf16", "f16"])
def test_a_number_was_rounded_by_half_the_way_to_its_neighbours(tmp_path: Path, kind: Any) -> None:
    """Every number of a format at once, beside a factor of 1 that has no error of this size."""
    every = np.arange(1 << 16, dtype=np.uint16).view(kind)
    with np.errstate(invalid="ignore"):  # of NaN that signals
        A = every[np.isfinite(every)][None, :]
    sizes = np.unique(np.abs(A.astype(np.float64)))
    gaps = np.diff(sizes)
    below, above = np.append(gaps[:1], gaps), np.append(gaps, gaps[-1:])
    error2 = (below**3 + above**3) / (12 * (below + above))  # of numbers that lie evenly
    row = product_row(tmp_path, np.ones((1, 1)), A)
    assert row["rounding_floor"] == pytest.approx(np.sqrt(2 * error2.sum()), rel=1e-9)


def test_a_factor_of_8_bits_has_no_floor(tmp_path: Path) -> None:
    A = np.ones((1, 40), ml_dtypes.float8_e4m3fn)
    row = product_row(tmp_path, np.ones((1, 1), np.float32), A)
    assert row["rounding_floor"] is row["above_rounding"] is None


def product_row(folder: Path, B: Any, A: Any) -> dict[str, Any]:
    """Return the row of B A beside a matrix of ones."""
    shape = B.shape[0], A.shape[1]
    base = written(folder / "base", {f"{Q}.weight": np.ones(shape)}, "F64")
    change_ = write_adapter(folder / "a", lora(Q, B, A), r=B.shape[1], lora_alpha=B.shape[1])
    row: dict[str, Any] = ss.compare(base, change_, **OPTIONS)[f"{Q}.weight"]
    return row


def test_a_fresh_adapter_changes_nothing(tmp_path: Path) -> None:
    """B = 0: an ordinary finding."""
    B, A = change(Q)
    base = written(tmp_path / "base", llama())
    row = ss.compare(base, write_adapter(tmp_path / "a", lora(Q, 0 * B, A)), **OPTIONS)[
        f"{Q}.weight"
    ]
    assert (row["relative_change"], row["cosine"], row["decay_coefficient"]) == (0, 1, 0)
    assert row["delta_fro_norm"] == row["change_effective_rank"] == 0
    assert row["change_effective_rank_error"] == 0
    assert row["delta_angles_left"] is None
    assert row["converged"] is True


def test_an_adapter_of_what_is_zero(tmp_path: Path) -> None:
    base = written(tmp_path / "base", {f"{Q}.weight": np.zeros((48, 40))})
    row = ss.compare(base, adapter(tmp_path / "a", Q), **OPTIONS)[f"{Q}.weight"]
    assert row["before_fro_norm"] == 0
    assert row["after_spectral_norm"] == pytest.approx(row["delta_spectral_norm"], rel=1e-6)
    assert row["relative_change"] is row["projected_top"] is None


def test_an_adapter_that_undoes_its_weight(tmp_path: Path) -> None:
    B, A = change(Q, kind=ml_dtypes.bfloat16)
    W = -dense(B, A)
    base = written(tmp_path / "base", {f"{Q}.weight": W}, "F64")
    row = ss.compare(base, write_adapter(tmp_path / "a", lora(Q, B, A)), **OPTIONS)[f"{Q}.weight"]
    assert row["status"] == "analysed", row["reason"]
    assert row["after_spectral_norm"] <= 1e-12 * row["before_spectral_norm"]
    assert row["decay_coefficient"] == pytest.approx(-1)


def test_a_tiny_change_keeps_its_accuracy(tmp_path: Path) -> None:
    """Far below the last place of W: nothing is subtracted, so nothing is lost."""
    base = llama()
    B, A = change(Q)
    folder = write_adapter(tmp_path / "a", lora(Q, B * np.float32(1e-12), A))
    row = ss.compare(written(tmp_path / "base", base), folder, **OPTIONS)[f"{Q}.weight"]
    W, D = base[f"{Q}.weight"], dense(B * np.float32(1e-12), A)
    for name, value in (
        ("relative_change", np.linalg.norm(D) / np.linalg.norm(W)),
        ("decay_coefficient", np.sum(D * W) / np.sum(W * W)),
        ("delta_effective_rank", effective_rank(np.linalg.svd(D, compute_uv=False)[:4])),
    ):
        assert row[name] == pytest.approx(value, rel=1e-10)


# ------------------------------------------------------------------------------- its settings


@pytest.mark.parametrize(
    ("more", "scale"),
    [
        ({"use_rslora": True}, 4.0),
        ({"alpha_pattern": {"q_proj": 3}}, 0.75),
        ({"rank_pattern": {"q_proj": 4}, "r": 64, "lora_alpha": 2}, 0.5),
    ],
    ids=["root of the rank", "alpha of a module", "rank of a module"],
)
def test_scales_are_heeded(tmp_path: Path, more: dict[str, Any], scale: float) -> None:
    base = llama("F32")
    folder = write_adapter(tmp_path / "a", lora(Q, *change(Q)), **more)
    row = ss.compare(written(tmp_path / "base", base, "F32"), folder, **OPTIONS)[f"{Q}.weight"]
    assert_row_is_that_of(row, base[f"{Q}.weight"], dense(*change(Q), scale), 4)


@pytest.mark.parametrize("heads", [False, True], ids=["whole", "heads"])
def test_parts_of_a_fused_and_turned_weight(tmp_path: Path, heads: bool) -> None:
    """GPT-2: q, k and v in one weight that keeps inputs as rows, and so does its change."""
    base = FAMILIES["gpt2"].opened(tmp_path / "base", heads=heads)
    B, A = factors(96, 32)
    module = "transformer.h.0.attn.c_attn"
    folder = write_adapter(tmp_path / "a", lora(module, B, A), fan_in_fan_out=True)
    comparison = ss.compare(base, folder, **OPTIONS)
    whole = dense(B, A).T
    assert len(comparison.analysed) == (12 if heads else 3)
    at = 0
    for row in comparison.analysed:
        W = np.asarray(base[row["before"]], dtype=np.float64)
        D = whole[:, at : at + W.shape[1]]
        assert_row_is_that_of(row, W, D, 4)
        assert row["after"] == f"{module}.weight"
        assert row["after_shape"] == list(W.shape)
        at += W.shape[1]


def test_several_adapters_have_a_row_each(tmp_path: Path) -> None:
    base = llama("F32")
    first = written(tmp_path / "base", base, "F32")
    adapter(tmp_path / "run" / "second", Q, lora_alpha=1)
    adapter(tmp_path / "run" / "first", Q, UP)
    comparison = ss.compare(first, tmp_path / "run", **OPTIONS)
    assert [row["name"] for row in comparison.analysed] == [
        f"{Q}.weight[first]",
        f"{Q}.weight[second]",
        f"{UP}.weight[first]",
    ]
    assert len({row["name"] for row in comparison.rows}) == len(comparison.rows)
    for label, scale in (("first", 2.0), ("second", 0.25)):
        row = comparison[f"{Q}.weight[{label}]"]
        assert (row["before"], row["after"]) == (f"{Q}.weight", f"{Q}.weight[{label}]")
        assert_row_is_that_of(row, base[f"{Q}.weight"], dense(*change(Q), scale), 4)
    one = ss.compare(first, tmp_path / "run", include="*[[]second]", **OPTIONS)
    assert [row["name"] for row in one.analysed] == [f"{Q}.weight[second]"]


def test_names_under_other_prefixes(tmp_path: Path) -> None:
    base = {name.replace("model.", "model.language_model.", 1): x for name, x in llama().items()}
    comparison = ss.compare(written(tmp_path / "base", base), adapter(tmp_path / "a", Q), **OPTIONS)
    (row,) = comparison.analysed
    assert (row["before"], row["after"]) == (
        Q.replace("model.", "model.language_model.", 1) + ".weight",
        f"{Q}.weight",
    )


# --------------------------------------------------------------------------------- two adapters


def test_two_adapters_by_their_difference(tmp_path: Path) -> None:
    """Both exactly: what one adds more than the other, of rank r + r'."""
    one = adapter(tmp_path / "one", Q, UP)
    B, A = change(Q, r=3)
    D, E = dense(*change(Q)), dense(1.5 * B, A, 8 / 3)
    two = write_adapter(tmp_path / "two", lora(Q, np.float32(1.5) * B, A), r=3)
    comparison = ss.compare(one, two, **OPTIONS)
    row = comparison[f"{Q}.weight"]
    assert_row_is_that_of(row, D, E - D, 7)
    assert row["delta_numerical_rank"] <= 7
    assert row["method"] == "low-rank product, exact"
    assert row["effort"] == "exact"
    assert (len(row["angles_left"]), len(row["delta_angles_left"])) == (3, 4)
    assert row["rounding_floor"] > 0
    (alone,) = comparison.unpaired
    assert alone["name"] == f"{UP}.weight"


def test_two_adapters_of_a_weight_are_not_paired_with_a_third(tmp_path: Path) -> None:
    """Which of both was meant is not guessed, whichever side has two."""
    one, run = adapter(tmp_path / "one", Q), tmp_path / "run"
    for label in ("first", "second"):
        adapter(run / label, Q)
    for pair in ((one, run), (run, one)):
        comparison = ss.compare(*pair, **OPTIONS)
        assert {row["name"] for row in comparison.unpaired} == {
            f"{Q}.weight",
            f"{Q}.weight[first]",
            f"{Q}.weight[second]",
        }
        assert len(comparison) == 3
        assert all(row["reason"].startswith("ambiguous:") for row in comparison.rows)


def test_an_adapter_with_itself_is_identical(tmp_path: Path) -> None:
    one, two = adapter(tmp_path / "one"), adapter(tmp_path / "two")
    for row in ss.compare(one, two, **OPTIONS).analysed:
        assert (row["relative_change"], row["cosine"], row["delta_fro_norm"]) == (0, 1, 0)
        assert row["change_effective_rank"] == row["change_effective_rank_error"] == 0
