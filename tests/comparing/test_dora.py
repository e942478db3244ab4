# SPDX-License-Identifier: BSD-3-Clause
"""DoRA against its base: W' = m (W + s B A) / |W + s B A|, one norm for each output."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tests.support.adapted_model import OPTIONS, Q, change, llama
from tests.support.adapters import factors, lora, write_adapter
from tests.support.changed import written
from tests.support.checkpoints import of_array, opened
from tests.support.coverings import grid
from tests.support.families import FAMILIES

import sigmascope as ss

SCALE = 2.0  # lora_alpha over r


def magnitudes(outputs: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(3).uniform(3, 9, outputs).astype(np.float32)


def scaled(W: Any, BA: Any, m: Any) -> Any:
    added = W + SCALE * BA
    return added * (m / np.linalg.norm(added, axis=1))[:, None]


def assert_row(row: dict[str, Any], W: Any, after: Any) -> None:
    delta = after - W
    s, t = (np.linalg.svd(x, compute_uv=False) for x in (delta, after))
    assert row["status"] == "analysed", row["reason"]
    assert row["delta_top"] == pytest.approx(s[: row["k"]], rel=2e-5)
    assert row["after_top"] == pytest.approx(t[: row["k"]], rel=2e-5)
    assert row["delta_fro_norm"] == pytest.approx(np.linalg.norm(delta), rel=1e-6)
    wanted = np.linalg.norm(delta) / np.linalg.norm(W)
    assert row["relative_change"] == pytest.approx(wanted, rel=1e-5)
    decay = (delta * W).sum() / (W * W).sum()
    assert row["decay_coefficient"] == pytest.approx(decay, rel=1e-4)
    projected = np.linalg.svd(delta - decay * W, compute_uv=False)
    assert row["projected_top"] == pytest.approx(projected[: row["k"]], rel=2e-5)
    assert row["rounding_floor"] is None
    assert row["product_rank"] is None


def files(m: Any, ending: str = "") -> dict[str, Any]:
    return lora(Q, *change(Q)) | {f"{Q}.lora_magnitude_vector{ending}": m}


@grid(effort=("density", "exact"), ending={"bare": "", "ending with weight": ".weight"})
def test_the_change_is_that_of_the_definition(tmp_path: Path, ending: str, effort: str) -> None:
    base, (B, A), m = llama(), change(Q), magnitudes(48)
    folder = write_adapter(tmp_path / "a", files(m, ending), use_dora=True)
    comparison = ss.compare(written(tmp_path / "base", base), folder, effort=effort, **OPTIONS)
    (row,) = comparison.analysed
    W = base[f"{Q}.weight"]
    assert (row["name"], row["kind"]) == (f"{Q}.weight", "matrix")
    assert_row(row, W, scaled(W, B.astype(float) @ A, m))


@pytest.mark.parametrize("named", [True, False], ids=["in the settings", "by the shape alone"])
def test_a_base_that_stores_inputs_first_has_columns_as_outputs(
    tmp_path: Path, named: bool
) -> None:
    base, (B, A), m = llama(), change(Q), magnitudes(48)
    W = base[f"{Q}.weight"]
    base[f"{Q}.weight"] = np.ascontiguousarray(W.T)
    folder = write_adapter(tmp_path / "a", files(m), use_dora=True, fan_in_fan_out=named)
    (row,) = ss.compare(written(tmp_path / "base", base), folder, **OPTIONS).analysed
    assert (row["rows"], row["columns"]) == (40, 48)
    assert_row(row, W.T, scaled(W, B.astype(float) @ A, m).T)


@pytest.mark.parametrize(
    "heads",
    [pytest.param(False, id="whole", marks=pytest.mark.slow), pytest.param(True, id="heads")],
)
def test_parts_of_a_fused_weight_have_their_outputs(tmp_path: Path, heads: bool) -> None:
    """GPT-2: q, k and v in one weight that keeps inputs as rows; heads of o have some inputs."""
    base = FAMILIES["gpt2"].opened(tmp_path / "base", heads=heads)
    (B, A), m = factors(96, 32), magnitudes(96)
    qkv, o = (f"transformer.h.0.attn.{name}" for name in ("c_attn", "c_proj"))
    tensors = lora(qkv, B, A) | {f"{qkv}.lora_magnitude_vector": m}
    tensors |= lora(o, *factors(32, 32)) | {f"{o}.lora_magnitude_vector": magnitudes(32)}
    folder = write_adapter(tmp_path / "a", tensors, use_dora=True, fan_in_fan_out=True)
    comparison = ss.compare(base, folder, **OPTIONS)
    rows = [row for row in comparison.analysed if "c_attn" in row["name"]]
    assert len(rows) == (12 if heads else 3)
    W = np.hstack([np.asarray(base[row["before"]], dtype=np.float64) for row in rows])
    after, at = scaled(W.T, B.astype(float) @ A, m).T, 0
    for row in rows:
        part = slice(at, at + row["columns"])
        assert_row(row, W[:, part], after[:, part])
        at += row["columns"]
    others = [row for row in comparison.rows if o in row["name"] and row["after"] is not None]
    if heads:
        assert "of which each part has some inputs" in others[0]["reason"]
    else:
        assert [row["status"] for row in others] == ["analysed"]


def test_parts_of_a_fused_weight_have_the_scales_of_their_own_blocks(tmp_path: Path) -> None:
    """Phi-3 in fp8: q, k and v begin within blocks of 14 rows, of which each has a scale."""
    rng, name = np.random.default_rng(0), "model.layers.0.self_attn.qkv_proj"
    codes = rng.standard_normal((64, 32)).astype(ml_dtypes.float8_e4m3fn)
    scales = np.exp2(rng.integers(-3, 3, (5, 3))).astype(np.float32)
    stored = of_array(f"{name}.weight", "F8_E4M3", codes)
    tensors = stored, of_array(f"{name}.weight_scale_inv", "F32", scales)
    how = {"quantization_config": {"weight_block_size": [14, 12]}}
    base = opened(tmp_path, *tensors, config=FAMILIES["phi3"].config | how)
    (B, A), m = factors(64, 32), magnitudes(64)
    adapter = lora(name, B, A) | {f"{name}.lora_magnitude_vector": m}
    folder = write_adapter(tmp_path / "a", adapter, use_dora=True)
    W = codes.astype(float) * scales.repeat(14, 0).repeat(12, 1)[:64, :32]
    after = scaled(W, B.astype(float) @ A, m)
    rows = ss.compare(base, folder, **OPTIONS).analysed
    assert [row["rows"] for row in rows] == [32, 16, 16]
    for row, part in zip(rows, (slice(32), slice(32, 48), slice(48, 64)), strict=True):
        assert_row(row, W[part], after[part])


def test_a_pass_in_parts_and_scales_of_the_base_change_nothing(tmp_path: Path) -> None:
    base, m = llama(), magnitudes(48)
    folder = write_adapter(tmp_path / "a", files(m), use_dora=True)
    rows = [
        ss.compare(written(tmp_path / "base", base), folder, **OPTIONS | more).analysed[0]
        for more in ({}, {"num_threads": 1}, {"memory_limit": "64MiB"})
    ]
    assert rows[0]["delta_top"] == rows[1]["delta_top"] == rows[2]["delta_top"]
    a = ss.matrix(base[f"{Q}.weight"].astype(np.float32))
    joined = ss.block([[a[:20, 1:], a[:20, :1]], [a[20:, :30], a[20:, 30:]]])
    factors = np.arange(48, dtype=np.float32)
    twice = joined.native.times_rows(factors).times_rows(factors)
    wanted = np.asarray(joined) * factors[:, None] ** 2
    np.testing.assert_allclose(twice.decode_f32(1), wanted, rtol=1e-6)
    part = twice.transposed().slice(3, 40, 5, 48, 2, 3).decode_f32(1)
    np.testing.assert_allclose(part, wanted.T[3:40:2, 5:48:3], rtol=1e-6)
    with pytest.raises(ValueError, match="3 factors for 48 rows"):
        joined.native.times_rows(factors[:3])


def test_without_a_base_the_row_says_why(tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "a", files(magnitudes(48)), use_dora=True)
    row = ss.scan(folder)[f"{Q}.weight"]
    assert row["status"] == "not analysed"
    assert row["reason"] == (
        "DoRA: the outputs of the changed weight are scaled too, "
        "so the change can only be computed in a comparison with the base"
    )


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        (lora(Q, *change(Q)), "lora_magnitude_vector is missing"),
        (files(np.ones(47, np.float32)), r"DoRA: magnitudes of shape \[47\] for 48 outputs"),
    ],
    ids=["without magnitudes", "too few magnitudes"],
)
def test_what_cannot_be_computed_is_named(
    tmp_path: Path, tensors: dict[str, Any], reason: str
) -> None:
    folder = write_adapter(tmp_path / "a", tensors, use_dora=True)
    comparison = ss.compare(written(tmp_path / "base", llama()), folder, **OPTIONS)
    assert re.search(reason, comparison[f"{Q}.weight"]["reason"])
    assert comparison.analysed == []


def test_an_output_of_norm_zero_is_an_error_of_its_row(tmp_path: Path) -> None:
    base, (B, A) = llama(), change(Q)
    base[f"{Q}.weight"][7], B[7] = 0, 0
    tensors = lora(Q, B, A) | {f"{Q}.lora_magnitude_vector": magnitudes(48)}
    folder = write_adapter(tmp_path / "a", tensors, use_dora=True)
    (row,) = ss.compare(written(tmp_path / "base", base), folder, **OPTIONS).failed
    assert "of output 7 by the norm 0 of W + s B A" in row["reason"]


def test_a_plan_reads_no_weights(tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "a", files(magnitudes(48)), use_dora=True)
    plan = ss.compare(written(tmp_path / "base", llama()), folder, **OPTIONS, plan=True)
    (one,) = [tensor for tensor in plan.tensors if tensor.name == f"{Q}.weight"]
    assert one.refused is None
    assert plan.unreadable == {}
