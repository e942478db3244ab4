# SPDX-License-Identifier: BSD-3-Clause
"""A LoRA adapter against its base: W, W' = W + s B A and s B A, held against NumPy in float64."""

from __future__ import annotations

import json
import math
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tests.support.adapters import factors, lora, write_adapter
from tests.support.changed import bf16, numbers, stored, weights, written
from tests.support.checkpoints import of_array, write_file, write_sharded
from tests.support.families import FAMILIES
from tests.support.scans import bits
from typer.testing import CliRunner

import sigmascope as ss
from sigmascope.cli.app import app
from sigmascope.comparing import Comparison
from sigmascope.comparing.rows import COLUMNS, GROUPS
from sigmascope.statistics import pairs

OPTIONS: dict[str, Any] = {"k": 8, "num_threads": 2, "memory_limit": "1GiB"}
LAYER = "model.layers.{}."
SHAPES = {
    "self_attn.q_proj": (48, 40),
    "self_attn.v_proj": (16, 40),
    "mlp.up_proj": (96, 40),
    "mlp.down_proj": (40, 96),
}
Q = "model.layers.0.self_attn.q_proj"
UP = "model.layers.1.mlp.up_proj"
MODULES = [LAYER.format(i) + name for i in range(2) for name in SHAPES]


def llama(dtype: str = "BF16", seed: int = 0) -> dict[str, Any]:
    """Weights of a small model, as numbers that this format holds."""
    rng = np.random.default_rng(seed)
    held = {"BF16": lambda x: numbers(bf16(x)), "F32": lambda x: x.astype(np.float32)}[dtype]
    tensors = {"model.embed_tokens.weight": rng.standard_normal((64, 40))}
    for i in range(2):
        for name, shape in SHAPES.items():
            tensors[f"{LAYER.format(i)}{name}.weight"] = weights(*shape, rng, spikes=4)
        tensors[LAYER.format(i) + "input_layernorm.weight"] = np.ones(40)
    return {name: held(x).astype(np.float64) for name, x in tensors.items()}


def change(module: str, r: int = 4, kind: Any = np.float32) -> tuple[Any, Any]:
    """B and A of a change of about a tenth of a weight."""
    m, n = SHAPES[module.split(".", 3)[3]]
    B, A = factors(m, n, r, seed=len(module) + m)
    return (0.02 * B).astype(kind), (0.1 * A).astype(kind)


def adapter(folder: Path, *modules: str, r: int = 4, kind: Any = np.float32, **more: Any) -> Path:
    tensors: dict[str, Any] = {}
    for module in modules or MODULES:
        tensors |= lora(module, *change(module, r, kind))
    return write_adapter(folder, tensors, r=r, **more)


def dense(B: Any, A: Any, scale: float = 2.0) -> Any:
    return scale * B.astype(np.float64) @ A.astype(np.float64)


def effective_rank(s: Any) -> float:
    p = s[s > 0] / s.sum()
    return float(np.exp(-np.sum(p * np.log(p))))


def angles(X: Any, Y: Any) -> Any:
    return np.arccos(np.clip(np.linalg.svd(X.T @ Y, compute_uv=False), 0, 1))


def assert_row_is_that_of(row: dict[str, Any], W: Any, D: Any, r: int) -> None:
    """Every column group against LAPACK on W and D in float64."""
    c = np.sum(D * W) / np.sum(W * W)
    for group, a in zip(GROUPS, (W, W + D, D, D - c * W), strict=True):
        s = np.linalg.svd(a, compute_uv=False)
        top = np.array(row[f"{group}_top"])
        slack = 1e-14 * s[0]
        assert np.all(np.abs(top - s[: len(top)]) <= row[f"{group}_top_errors"] + slack), group
        assert row[f"{group}_fro_norm"] == pytest.approx(np.linalg.norm(a), rel=1e-6)
        if row[f"{group}_effective_rank"] is not None:
            error = 4 * row[f"{group}_effective_rank_error"] + 1e-9
            rank = effective_rank(s[:r] if group == "delta" else s)
            assert row[f"{group}_effective_rank"] == pytest.approx(rank, abs=error), group
    norms = np.linalg.norm(W), np.linalg.norm(W + D)
    for name, value in {
        "relative_change": np.linalg.norm(D) / norms[0],
        "cosine": np.sum(W * (W + D)) / norms[0] / norms[1],
        "decay_coefficient": c,
    }.items():
        assert abs(row[name] - value) <= row[f"{name}_error"] + 1e-14, name
        assert row[f"{name}_error"] < 1e-9
    if row["change_effective_rank"] is not None:
        was, now = (effective_rank(np.linalg.svd(a, compute_uv=False)) for a in (W, W + D))
        error = 4 * row["change_effective_rank_error"] + 1e-6 * now
        assert row["change_effective_rank"] == pytest.approx(now - was, abs=error)


def assert_angles_are_those_of(row: dict[str, Any], W: Any, D: Any, r: int) -> None:
    U, _, Vt = np.linalg.svd(W)
    X, _, Yt = np.linalg.svd(W + D)
    L, _, Rt = np.linalg.svd(D)
    j = len(row["angles_left"])
    for side, one, two, of in (("left", U, X, L), ("right", Vt.T, Yt.T, Rt.T)):
        found = row[f"angles_{side}"]
        error = row[f"angles_{side}_error"]
        assert np.abs(angles(one[:, :j], two[:, :j]) - found).max() <= error + 1e-6
        found, error = row[f"delta_angles_{side}"], row[f"delta_angles_{side}_error"]
        assert len(found) == min(r, 8)  # all of the change, if W resolves as many
        differences = [
            np.abs(angles(of[:, :r], one[:, :q]) - found).max() for q in range(len(found), 9)
        ]
        assert min(differences) <= error + 1e-6


# ------------------------------------------------------------------------------ what it tells


@pytest.mark.parametrize("dtype", ["BF16", "F32"])
@pytest.mark.parametrize("effort", ["top", "density", "exact"])
def test_every_row_is_that_of_the_dense_matrices(tmp_path: Path, dtype: str, effort: str) -> None:
    base = llama(dtype)
    found = ss.compare(
        written(tmp_path / "base", base, dtype),
        adapter(tmp_path / "lora"),
        effort=effort,
        **OPTIONS,
    )
    assert [row["name"] for row in found.rows] == list(base)
    assert len(found.analysed) == len(MODULES)
    for module in MODULES:
        row, W, D = found[f"{module}.weight"], base[f"{module}.weight"], dense(*change(module))
        assert_row_is_that_of(row, W, D, 4)
        assert set(row) == set(COLUMNS)
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
    assert found[f"{Q}.weight"]["role"] == "q"


@pytest.mark.parametrize("effort", ["density", "exact"])
def test_angles_are_those_of_the_subspaces(tmp_path: Path, effort: str) -> None:
    base = llama("F32")
    found = ss.compare(
        written(tmp_path / "base", base, "F32"),
        adapter(tmp_path / "a", Q),
        effort=effort,
        **OPTIONS,
    )
    assert_angles_are_those_of(found[f"{Q}.weight"], base[f"{Q}.weight"], dense(*change(Q)), 4)


def test_a_wide_matrix_by_krylov_steps(tmp_path: Path) -> None:
    """Large enough that not every value is computed: products with W' are made panel by panel."""
    rng = np.random.default_rng(3)
    W = numbers(bf16(weights(700, 1500, rng, spikes=12)))
    B, A = (x.astype(ml_dtypes.bfloat16) for x in factors(700, 1500, 16, seed=1))
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


@pytest.mark.parametrize("dtype", ["BF16", "F32"])
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
        for group in GROUPS:
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
    for trial in range(6):
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


@pytest.mark.parametrize("dtype", ["bf16", "f16"])
def test_the_rounding_of_numbers_is_that_of_their_codes(dtype: str) -> None:
    """The variances of single numbers against those by which whole matrices are judged."""
    codes = np.arange(1 << 16, dtype=np.uint16)
    a = ss.matrix(codes[None, :], dtype=dtype)
    x = np.asarray(a, dtype=np.float64)
    finite = np.isfinite(x)
    kept = codes[finite[0]][None, :]
    number = x[finite][None, :]
    one = np.ones((1, 1))
    # of B = 1 the rounding is e, known; of A that of every code at once
    e = pairs.product_floor(1.0, one, np.zeros((1, 1)), ("f64", "f64"))
    found = pairs.product_floor(1.0, one, number, ("f64", dtype))
    assert e is not None
    assert found is not None
    expected = pairs.codes_of(dtype).error2[kept[0]].sum()
    assert found**2 == pytest.approx(expected, rel=1e-9)
    assert pairs.product_floor(1.0, one, number, ("f32", "f8_e4m3")) is None


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
)
def test_scales_are_heeded(tmp_path: Path, more: dict[str, Any], scale: float) -> None:
    base = llama("F32")
    folder = write_adapter(tmp_path / "a", lora(Q, *change(Q)), **more)
    row = ss.compare(written(tmp_path / "base", base, "F32"), folder, **OPTIONS)[f"{Q}.weight"]
    assert_row_is_that_of(row, base[f"{Q}.weight"], dense(*change(Q), scale), 4)


@pytest.mark.parametrize("heads", [False, True])
def test_parts_of_a_fused_and_turned_weight(tmp_path: Path, heads: bool) -> None:
    """GPT-2: q, k and v in one weight that keeps inputs as rows, and so does its change."""
    base = FAMILIES["gpt2"].opened(tmp_path / "base", heads=heads)
    B, A = factors(96, 32)
    module = "transformer.h.0.attn.c_attn"
    folder = write_adapter(tmp_path / "a", lora(module, B, A), fan_in_fan_out=True)
    found = ss.compare(base, folder, **OPTIONS)
    whole = dense(B, A).T
    assert len(found.analysed) == (12 if heads else 3)
    at = 0
    for row in found.analysed:
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
    found = ss.compare(first, tmp_path / "run", **OPTIONS)
    assert [row["name"] for row in found.analysed] == [
        f"{Q}.weight[first]",
        f"{Q}.weight[second]",
        f"{UP}.weight[first]",
    ]
    assert len({row["name"] for row in found.rows}) == len(found.rows)
    for label, scale in (("first", 2.0), ("second", 0.25)):
        row = found[f"{Q}.weight[{label}]"]
        assert (row["before"], row["after"]) == (f"{Q}.weight", f"{Q}.weight[{label}]")
        assert_row_is_that_of(row, base[f"{Q}.weight"], dense(*change(Q), scale), 4)
    one = ss.compare(first, tmp_path / "run", include="*[[]second]", **OPTIONS)
    assert [row["name"] for row in one.analysed] == [f"{Q}.weight[second]"]


def test_names_under_other_prefixes(tmp_path: Path) -> None:
    base = {name.replace("model.", "model.language_model.", 1): x for name, x in llama().items()}
    found = ss.compare(written(tmp_path / "base", base), adapter(tmp_path / "a", Q), **OPTIONS)
    (row,) = found.analysed
    assert (row["before"], row["after"]) == (
        Q.replace("model.", "model.language_model.", 1) + ".weight",
        f"{Q}.weight",
    )


# -------------------------------------------------------------------- what is listed, not guessed


def test_all_that_is_not_compared_is_listed_with_the_reason(tmp_path: Path) -> None:
    base = llama() | {"lm_head.weight": np.ones((64, 40))}
    tensors = (
        lora(Q, *change(Q))
        | lora(LAYER.format(9) + "mlp.up_proj", *change(UP))
        | lora(UP, *factors(90, 40))
        | lora(LAYER.format(1) + "self_attn.q_proj", *factors(48, 40))
        | {
            "lm_head.weight": np.full((64, 40), 1.5, np.float32),
            LAYER.format(1) + "self_attn.q_proj.lora_magnitude_vector": np.ones(48, np.float32),
        }
    )
    folder = write_adapter(tmp_path / "a", tensors, modules_to_save=["lm_head"])
    found = ss.compare(written(tmp_path / "base", base), folder, **OPTIONS)
    assert [row["name"] for row in found.analysed] == [f"{Q}.weight"]
    assert not found.failed
    assert len({row["name"] for row in found.rows}) == len(found.rows)

    rest = {row["name"]: row for row in found.rows if row["reason"] != "not adapted"}
    alone = rest.pop(LAYER.format(9) + "mlp.up_proj.weight")
    assert (alone["status"], alone["before"], alone["after"]) == ("unpaired", None, alone["name"])
    assert alone["reason"].endswith(f"has no {alone['name']}, nor one weight of its role")
    misfit = rest.pop(f"{UP}.weight")
    assert misfit["status"] == "unpaired"
    assert misfit["reason"] == (
        f"{UP}.weight of model.safetensors is [96, 40], "
        "the change in adapter_model.safetensors [90, 40]"
    )
    assert (misfit["before_shape"], misfit["after_shape"]) == ([96, 40], [90, 40])
    head = rest.pop("lm_head.weight")
    assert (head["status"], head["after"]) == ("entrywise", "lm_head.weight")
    assert (head["relative_change"], head["changed_entries"]) == (0.5, 64 * 40)
    assert str(found.verdict).endswith("3 (1 cannot be read, 2 without a partner).")
    assert head["reason"].startswith("saved whole beside the products")
    dora = rest.pop(LAYER.format(1) + "self_attn.q_proj.weight")
    assert (dora["status"], dora["kind"]) == ("not analysed", "unreadable")
    assert dora["reason"].startswith("DoRA")
    assert list(rest) == [f"{Q}.weight"]

    others = [row for row in found.rows if row["reason"] == "not adapted"]
    assert {row["name"] for row in others} == set(base) - {
        f"{Q}.weight",
        f"{UP}.weight",
        "lm_head.weight",
        LAYER.format(1) + "self_attn.q_proj.weight",
    }
    assert all((row["status"], row["after"]) == ("not analysed", None) for row in others)


def test_two_changes_of_one_place_are_not_guessed(tmp_path: Path) -> None:
    base = {name.replace("model.", "", 1): x for name, x in llama().items()}
    tensors = lora(f"x.{Q}", *change(Q)) | lora(f"y.{Q}", *change(Q))
    folder = write_adapter(tmp_path / "a", tensors)
    found = ss.compare(written(tmp_path / "base", base), folder, **OPTIONS)
    assert found.analysed == []
    assert [row["name"] for row in found.unpaired] == [f"x.{Q}.weight", f"y.{Q}.weight"]


@pytest.mark.parametrize("side", ["A", "B"])
def test_nan_in_a_factor_is_named(tmp_path: Path, side: str) -> None:
    B, A = change(Q)
    (A if side == "A" else B)[3, 2] = np.nan
    tensors = lora(Q, B, A) | lora(UP, *change(UP))
    found = ss.compare(
        written(tmp_path / "base", llama()), write_adapter(tmp_path / "a", tensors), **OPTIONS
    )
    row = found[f"{Q}.weight"]
    assert (row["status"], row["failure"]) == ("failed", "data")
    assert row["reason"] == (
        f"factor {side} of a product holds 1 NaN or infinite entries, the first at (3, 2)"
    )
    assert found[f"{UP}.weight"]["status"] == "analysed"


def test_nan_in_the_base_is_named(tmp_path: Path) -> None:
    base = llama()
    base[f"{Q}.weight"][1, 2] = np.nan
    found = ss.compare(written(tmp_path / "base", base, "F32"), adapter(tmp_path / "a"), **OPTIONS)
    assert found[f"{Q}.weight"]["reason"] == (
        "the matrix before holds 1 NaN and 0 infinite entries, the first at (1, 2)"
    )
    assert len(found.failed) == 1


def test_the_base_comes_first(tmp_path: Path) -> None:
    base, folder = written(tmp_path / "base", llama()), adapter(tmp_path / "a")
    with pytest.raises(
        ValueError, match=r"a is an adapter and .*base a checkpoint: the base comes"
    ):
        ss.compare(folder, base)


def test_too_little_memory_fails_a_row_with_both_numbers(tmp_path: Path) -> None:
    base, folder = written(tmp_path / "base", llama()), adapter(tmp_path / "a", Q, UP)
    found = ss.compare(base, folder, **OPTIONS | {"memory_limit": 20_000})
    for row in found.failed:
        assert row["failure"] == "environment"
        assert re.search(r"needs \d.* kiB, memory_limit is 19.6 kiB", row["reason"])
    assert len(found.failed) == 2


# --------------------------------------------------------------------------------- two adapters


def test_two_adapters_by_their_difference(tmp_path: Path) -> None:
    """Both exactly: what one adds more than the other, of rank r + r'."""
    one = adapter(tmp_path / "one", Q, UP)
    B, A = change(Q, r=3)
    D, E = dense(*change(Q)), dense(1.5 * B, A, 8 / 3)
    two = write_adapter(tmp_path / "two", lora(Q, np.float32(1.5) * B, A), r=3)
    found = ss.compare(one, two, **OPTIONS)
    row = found[f"{Q}.weight"]
    assert_row_is_that_of(row, D, E - D, 7)
    assert row["delta_numerical_rank"] <= 7
    assert row["method"] == "low-rank product, exact"
    assert row["effort"] == "exact"
    assert (len(row["angles_left"]), len(row["delta_angles_left"])) == (3, 4)
    assert row["rounding_floor"] > 0
    (alone,) = found.unpaired
    assert alone["name"] == f"{UP}.weight"


def test_an_adapter_with_itself_is_identical(tmp_path: Path) -> None:
    one, two = adapter(tmp_path / "one"), adapter(tmp_path / "two")
    for row in ss.compare(one, two, **OPTIONS).analysed:
        assert (row["relative_change"], row["cosine"], row["delta_fro_norm"]) == (0, 1, 0)
        assert row["change_effective_rank"] == row["change_effective_rank_error"] == 0


# ------------------------------------------------------------------------------ invariances


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("adapted")
    base, lora_ = written(folder / "base", llama()), adapter(folder / "lora")
    return base, lora_, bits(ss.compare(base, lora_, **OPTIONS).rows)


@pytest.mark.parametrize(
    "options",
    [
        {"num_threads": 1},
        {"num_threads": 3},
        {"memory_limit": "64MiB"},
        {"reading": "mapped"},
        {"reading": "uncached"},
    ],
    ids=str,
)
def test_threads_memory_and_reading_change_no_bit(
    compared: tuple[Path, Path, list[dict[str, Any]]], options: dict[str, Any]
) -> None:
    base, folder, expected = compared
    assert bits(ss.compare(base, folder, **OPTIONS | options).rows) == expected


def test_a_large_matrix_has_the_same_bits_for_any_threads_and_memory(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    base = written(tmp_path / "base", {f"{Q}.weight": weights(900, 1100, rng)})
    B, A = factors(900, 1100, 8)
    folder = write_adapter(tmp_path / "a", lora(Q, 0.01 * B, 0.02 * A), r=8)
    options: dict[str, Any] = {"k": 16, "effort": "density"}
    rows = [
        bits(ss.compare(base, folder, **options | more).rows)
        for more in (
            {"num_threads": 1, "memory_limit": "1GiB"},
            {"num_threads": 3, "memory_limit": "1GiB"},
            {"num_threads": 2, "memory_limit": "70MiB"},
        )
    ]
    assert rows[0] == rows[1] == rows[2]


def test_shards_of_the_base_change_no_bit(
    compared: tuple[Path, Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    _, folder, expected = compared
    tensors = [stored(name, x) for name, x in llama().items()]
    sharded = write_sharded(
        tmp_path / "shards", {"b.safetensors": tensors[::2], "a.safetensors": tensors[1::2]}
    )
    found = bits(ss.compare(sharded, folder, **OPTIONS).rows)
    by_name = {row["name"]: row | {"before_file": "model.safetensors"} for row in found}
    assert by_name == {row["name"]: row for row in expected}


def test_executors_and_breaks_change_no_bit(
    compared: tuple[Path, Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    base, folder, expected = compared
    with ThreadPoolExecutor(2) as pool:
        spread = ss.compare(base, folder, executor=pool, workers=2, **OPTIONS)
    assert bits(spread.rows) == expected
    journal = tmp_path / "pair.jsonl"
    ss.compare(base, folder, resume=journal, **OPTIONS)
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:5]))
    assert bits(ss.compare(base, folder, resume=journal, **OPTIONS).rows) == expected


def test_another_adapter_is_another_comparison(tmp_path: Path) -> None:
    base, folder = written(tmp_path / "base", llama()), adapter(tmp_path / "a", Q)
    ss.compare(base, folder, resume=tmp_path / "pair.jsonl", **OPTIONS)
    adapter(folder, Q, lora_alpha=9)
    with pytest.raises(ValueError, match=r"after/adapter_config.json has other content"):
        ss.compare(base, folder, resume=tmp_path / "pair.jsonl", **OPTIONS)


# -------------------------------------------------------------------------- reports, command line


def test_reports_tables_and_pages_take_it(tmp_path: Path) -> None:
    found = ss.compare(written(tmp_path / "base", llama()), adapter(tmp_path / "a"), **OPTIONS)
    for suffix in ("jsonl", "csv", "html"):
        found.save(tmp_path / f"pair.{suffix}")
    assert bits(Comparison.load(tmp_path / "pair.jsonl").rows) == bits(found.rows)
    page = (tmp_path / "pair.html").read_text()
    assert "8 pairs of matrices" in page
    assert math.isfinite(found.analysed[0]["relative_change"])


def invoke(*arguments: object) -> tuple[int, str, str]:
    found = CliRunner().invoke(app, ["compare", *map(str, arguments)])
    return found.exit_code, found.stdout, found.stderr


def test_the_command_line(tmp_path: Path) -> None:
    base, folder = written(tmp_path / "base", llama()), adapter(tmp_path / "a")
    status, out, err = invoke(base, folder, "-k", 8, "--out", tmp_path / "pair.csv")
    assert status == 0, err
    assert "8 pairs analysed" in out
    assert "Without a partner" not in out
    assert len(Comparison.load(tmp_path / "pair.csv").analysed) == 8
    status, out, _ = invoke(base, folder, "-k", 8, "--json", "--quiet")
    assert status == 0
    assert [json.loads(line)["name"] for line in out.splitlines()] == list(llama())
    status, _, err = invoke(folder, base)
    assert status == 2
    assert "the base comes first" in " ".join(err.split())
    alone = adapter(tmp_path / "other", Q)
    write_file(tmp_path / "less.safetensors", of_array("w", "F32", np.ones((3, 4), np.float32)))
    status, out, _ = invoke(tmp_path / "less.safetensors", alone)
    assert status == 1
    assert "Without a partner" in out


def test_notes_of_the_adapter_are_kept(tmp_path: Path) -> None:
    folder = adapter(tmp_path / "a", Q, init_lora_weights="pissa")
    found = ss.compare(written(tmp_path / "base", llama()), folder, **OPTIONS)
    assert any("pissa" in note and note.startswith("after: ") for note in found.notes)
