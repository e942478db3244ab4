# SPDX-License-Identifier: BSD-3-Clause
"""Where tools before this one go wrong on one matrix: a test for each that would see it here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from tests.support import known_spectra as ks
from tests.support.checkpoints import Stored, of_array, write_file

import sigmascope as ss
from sigmascope.results import Scan
from sigmascope.spectra.statistics import effective_rank

ml_dtypes = pytest.importorskip("ml_dtypes")


def scanned(tmp_path: Path, *tensors: Stored, **options: object) -> Scan:
    path = write_file(tmp_path / "model.safetensors", *tensors)
    return ss.scan(path, **{"effort": "exact"} | options)  # type: ignore[arg-type]


def test_no_absolute_cut(tmp_path: Path) -> None:
    """An eigenvalue below 1e-5 is not zero: alpha and ranks of a small matrix are those of any."""
    A = ks.llm(120, 90, seed=1)[0].astype(np.float32)
    small = (A * np.float32(2.0**-20)).astype(np.float32)
    scan = scanned(tmp_path, of_array("large", "F32", A), of_array("small", "F32", small))
    large, tiny = scan["large"], scan["small"]
    assert tiny["spectral_norm"] ** 2 < 1e-5
    for name in ("alpha", "alpha_hill", "effective_rank", "numerical_rank", "mp_outliers"):
        assert_allclose(tiny[name], large[name], rtol=1e-6, err_msg=name)
    assert tiny["alpha"] > 1
    assert scan.to_weightwatcher()["alpha"].isna().tolist() == [False, True]


def test_fp8_is_analysed_with_its_scales(tmp_path: Path) -> None:
    A = ks.llm(256, 128, seed=2)[0]
    scales = np.array([[0.01], [0.3]], np.float32)  # of blocks of 128 x 128
    codes = (A / np.repeat(scales, 128, axis=0)).astype(ml_dtypes.float8_e4m3fn)
    truth = codes.astype(np.float64) * np.repeat(scales, 128, axis=0)
    values = scanned(
        tmp_path,
        Stored("layer.weight", "F8_E4M3", (256, 128), codes.tobytes()),
        of_array("layer.weight_scale_inv", "F32", scales),
    )["layer.weight"]
    sigma = np.linalg.svd(truth, compute_uv=False)
    assert_allclose(values["top"], sigma[: values["k"]], rtol=1e-6)
    assert_allclose(values["effective_rank"], effective_rank(sigma), rtol=1e-6)
    bare = np.linalg.svd(codes.astype(np.float64), compute_uv=False)
    assert abs(effective_rank(bare) - values["effective_rank"]) > 1


def test_every_expert_of_a_stack_has_its_own_measures(tmp_path: Path) -> None:
    experts = np.stack([ks.low_rank(40, 30, seed=i, rank=3 + i)[0] for i in range(4)])
    scan = scanned(tmp_path, of_array("mlp.experts", "F32", experts.astype("f4")))
    assert len(scan.analysed) == 4
    for i in range(4):
        row = scan[f"mlp.experts[{i}]"]
        assert row["energy_rank_99"] == 3 + i
        assert row["expert"] == i


def test_a_matrix_of_more_than_50_000_rows_is_not_dropped(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    A = rng.standard_normal((60_000, 24)).astype(np.float32)
    A[:, 0] *= 10
    row = scanned(tmp_path, of_array("embed_tokens.weight", "F32", A))["embed_tokens.weight"]
    sigma = np.linalg.svd(A.astype(np.float64), compute_uv=False)
    assert row["status"] == "analysed"
    assert_allclose(row["top"], sigma, rtol=1e-6)
    assert row["mp_outliers"] == 1


@pytest.mark.parametrize("name", ["weight", "w", "layer.0.kernel", "proj.W", "a.weight_g", "x/y:0"])
def test_names_need_no_weight_at_their_end(tmp_path: Path, name: str) -> None:
    A = ks.llm(30, 20, seed=4)[0].astype(np.float32)
    row = scanned(tmp_path, of_array(name, "F32", A))[name]
    assert row["status"] == "analysed"
    assert row["effective_rank"] > 1


def test_twenty_values_have_no_effective_rank() -> None:
    """948 of a matrix became 20 of its sketch: from the top alone it is absent, never 20."""
    A, sigma = ks.llm(1300, 1200, seed=5)
    truth = effective_rank(sigma)
    top = ss.spectrum(A.astype("f4"), effort="top", k=20)
    assert top.effort == "top"
    whole = {"effective_rank", "effective_rank_energy", "spectral_entropy", "participation_ratio"}
    whole |= {"nuclear_norm", "nuclear_rank", "mp_edge", "mp_outliers", "alpha", "shoulder_200"}
    assert not whole & top.measures.keys()
    assert top.quantiles() is None
    density = ss.spectrum(A.astype("f4"), effort="density", k=20)
    assert density.effort == "density"
    rank = density["effective_rank"]
    assert rank.value > 500
    assert abs(rank.value - truth) <= 2 * rank.error


def test_what_is_not_analysed_is_in_the_scan_with_its_reason(tmp_path: Path) -> None:
    scan = scanned(
        tmp_path,
        of_array("norm.weight", "F32", np.ones(8, "f4")),
        of_array("w.qweight", "I32", np.ones((4, 8), "<i4")),
        of_array("w.weight", "F32", np.eye(8, dtype="f4")),
    )
    assert [row["status"] for row in scan] == ["entrywise", "entrywise", "analysed"]
    assert all(row["reason"] for row in scan if row["status"] != "analysed")


def test_alpha_is_never_without_its_stability_range(tmp_path: Path) -> None:
    """6.6 and 3.1 on two matrices of one distribution: the range holds both."""
    rng = np.random.default_rng(6)
    tensors = [
        of_array(f"w{i}", "F32", rng.standard_t(4, (150, 120)).astype("f4")) for i in range(12)
    ]
    rows = scanned(tmp_path, *tensors).analysed
    for row in rows:
        assert row["alpha_low"] <= row["alpha"] <= row["alpha_high"]
        assert None not in (row["alpha_D"], row["alpha_x_min"], row["alpha_tail"])
        assert_allclose(row["alpha_error"], (row["alpha"] - 1) / np.sqrt(row["alpha_tail"]))
    assert max(row["alpha"] for row in rows) > 1.3 * min(row["alpha"] for row in rows)


@pytest.mark.parametrize("factor", [1.0, 1000.0])
def test_a_search_ends_where_the_tolerance_is_met(factor: float) -> None:
    """Both searches take 61 passes together, and 71 if the tolerance is a share of lambda_1."""
    A = factor * np.random.default_rng(0).standard_normal((900, 700))
    searches = [ss.svds(A, 5, tol=tol, method="krylov") for tol in (1e-3, 1e-6)]
    assert all(search.converged for search in searches)
    assert sum(search.passes for search in searches) <= 66
