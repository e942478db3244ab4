# SPDX-License-Identifier: BSD-3-Clause
"""The columns of weightwatcher: its published formulas in closed form, and weightwatcher itself."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from tests.support import known_spectra as ks
from tests.support.checkpoints import of_array, write_file

import sigmascope as ss
from sigmascope.results import Scan

pytestmark = pytest.mark.usefixtures("density_of_small_matrices")

POWER_LAW = ("alpha", "xmin", "xmax", "D", "sigma", "num_pl_spikes")
WEIGHTED = ("alpha_weighted", "log_alpha_norm")

MATRICES = {
    "tall": 0.5 * ks.llm(300, 200, seed=1)[0],
    "square": ks.llm(256, 256, seed=2)[0],
    "wide": ks.gaussian(120, 400, seed=3)[0],
    "few": ks.polynomial(12, 30, seed=4)[0],
    "decaying": ks.polynomial(100, 60, power=1.5)[0],
    "small": 0.02 * ks.spiked(150, 130, seed=5)[0],
}


def columns(A: np.ndarray, **options: Any) -> dict[str, Any]:
    return ss.spectrum(A, **{"effort": "exact"} | options).to_weightwatcher()


def published(sigma: np.ndarray) -> tuple[float, float, float, int]:
    """The fit as it is described: every tail, and the one of least distance; in plain loops."""
    lambdas = sorted(s**2 for s in sigma if s**2 > 1e-5)
    few = len(lambdas) < 20
    least = min(8, len(lambdas)) if few else 2
    best = (math.inf, 0.0, 0.0, 0)
    for i in range(len(lambdas) - least + 1):
        tail = lambdas[i:]
        n, xmin = len(tail), tail[0]
        total = sum(math.log(x / xmin) for x in tail)
        if total < 1e-12 * n:
            continue
        alpha = 1 + (n - 1 if few else n) / total
        cdf = [1 - (x / xmin) ** (1 - alpha) for x in tail]
        D = max(abs(F - j / n) for j, F in enumerate(cdf))
        if best[0] > D:
            best = (D, alpha, xmin, n)
    return best


@pytest.mark.parametrize("count", [3, 8, 12, 19, 20, 21, 150])
def test_the_power_law_is_the_published_one(count: int) -> None:
    for seed in range(5):
        sigma = np.sort(np.random.default_rng(seed).pareto(3.0, count) + 0.1)[::-1]
        D, alpha, xmin, tail = published(sigma)
        fit = columns(np.diag(sigma))
        names = ("alpha", "D", "xmin", "num_pl_spikes")
        assert_allclose([fit[name] for name in names], [alpha, D, xmin, tail], rtol=1e-9)
        log_norm = math.log10(np.sum(sigma ** (2 * alpha)))
        assert_allclose(fit["log_alpha_norm"], log_norm, rtol=1e-9)


@pytest.mark.parametrize("above", [15, 19, 20], ids=["15 above", "19 above", "20 above"])
def test_few_eigenvalues_are_those_above_the_threshold(above: int) -> None:
    """Another 15 are below 1e-5, so that there are more than 20 values in every case."""
    rng = np.random.default_rng(above)
    sigma = np.r_[rng.pareto(3.0, above) + 0.1, rng.uniform(1e-4, 3e-3, 15)]
    D, alpha, xmin, tail = published(sigma)
    fit = columns(np.diag(sigma))
    names = ("alpha", "D", "xmin", "num_pl_spikes")
    assert_allclose([fit[name] for name in names], [alpha, D, xmin, tail], rtol=1e-9)


def test_an_exact_power_law_is_found() -> None:
    """lambda_i = (i/n)^(-1/(a-1)) are the quantiles of the law of exponent a from 1 on."""
    n, a = 500, 2.5
    sigma = (np.arange(1, n + 1) / n) ** (-0.5 / (a - 1))
    fit = columns(np.diag(sigma))
    assert fit["alpha"] == pytest.approx(a, abs=0.03)
    assert fit["D"] < 0.006


def test_norms_ranks_and_entropy_in_closed_form() -> None:
    sigma = np.r_[4.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    A = np.zeros((8, 20))
    np.fill_diagonal(A, sigma)
    row = columns(A)
    norm = 16 + 4 + 4 + 5.0
    p = sigma**2 / norm
    expected = {
        "N": 20, "M": 8, "Q": 2.5, "rf": 1, "num_evals": 8, "sv_max": 4.0, "sv_min": 1.0,
        "lambda_max": 16.0, "norm": norm, "log_norm": math.log10(norm), "spectral_norm": 16.0,
        "log_spectral_norm": math.log10(16.0), "stable_rank": norm / 16, "matrix_rank": 8,
        "rank_loss": 0, "weak_rank_loss": 0, "entropy": -np.sum(p * np.log(p)) / math.log(8),
    }  # fmt: skip
    for name, value in expected.items():
        assert_allclose(row[name], value, rtol=1e-9, err_msg=name)
    assert_allclose(row["alpha_weighted"], row["alpha"] * math.log10(16.0), rtol=1e-9)
    assert_allclose(row["sigma"], (row["alpha"] - 1) / math.sqrt(row["num_pl_spikes"]))
    assert row["status"] == "success"


@pytest.mark.parametrize(("least", "weak"), [(1e-3, None), (2e-3, 0)])
def test_a_rank_is_weak_where_an_eigenvalue_is_small(least: float, weak: int | None) -> None:
    """The threshold of 1e-6 is one of eigenvalues: the square of a singular value."""
    row = columns(np.diag([1.0, 0.5, least]))
    assert (row["rank_loss"], row["weak_rank_loss"]) == (0, weak)


def test_nothing_is_printed_for_what_is_not_known() -> None:
    """Where weightwatcher prints -1, and calls that over-trained."""
    A = ks.llm(100, 80)[0]
    tiny = columns(1e-6 * A)
    assert tiny["status"] == "failed"
    assert {tiny[name] for name in (*POWER_LAW, *WEIGHTED, "warning")} == {None}
    assert "alpha" in ss.spectrum(1e-6 * A, effort="exact")  # ours knows no absolute cut
    zero = columns(np.zeros((30, 20)))
    assert (zero["norm"], zero["log_norm"], zero["matrix_rank"]) == (0, None, None)
    low = columns(ks.low_rank(60, 40, rank=16)[0])
    assert (low["matrix_rank"], low["entropy"], low["sv_min"]) == (None, None, None)
    assert low["stable_rank"] > 1


@pytest.mark.parametrize("effort", ["top", "density"])
def test_what_an_effort_cannot_tell_is_missing(effort: str) -> None:
    row = columns(ks.llm(640, 600)[0], effort=effort, k=2, tol=0.5)
    assert {row[name] for name in (*POWER_LAW, *WEIGHTED, "status", "warning")} == {None}
    assert {row["matrix_rank"], row["entropy"]} == {None}
    assert row["stable_rank"] > 1
    assert (row["mp_softrank"] is None) == (effort == "top")


@pytest.mark.parametrize(
    ("alpha", "warning"), [(1.5, "over-trained"), (4, ""), (9, "under-trained")]
)
def test_its_warnings(alpha: float, warning: str) -> None:
    n = 500
    sigma = (np.arange(1, n + 1) / n) ** (-0.5 / (alpha - 1))
    assert columns(np.diag(sigma))["warning"] == warning


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=60))
@settings(deadline=None, max_examples=50)
def test_any_values_give_finite_columns(values: list[float]) -> None:
    for name, x in columns(np.diag(values)).items():
        assert not isinstance(x, float) or math.isfinite(x), name


def test_values_beyond_the_range_of_their_squares_have_no_fit() -> None:
    fit = columns(np.diag([1e200, 1.0, 0.5]))
    assert {fit[name] for name in (*POWER_LAW, *WEIGHTED, "warning")} == {None}
    assert fit["status"] == "failed"


# ---------------------------------------------------------------------------------------- scans


def test_a_scan_has_the_columns_of_its_spectra(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    tensors = [of_array(name, "F32", A.astype("f4")) for name, A in MATRICES.items()]
    tensors.append(of_array("model.embed_tokens.weight", "F32", np.ones((4, 3), "f4")))
    tensors.append(of_array("norm", "F32", np.ones(3, "f4")))
    scan = ss.scan(write_file(tmp_path / "x.safetensors", *tensors), effort="exact")
    frame = scan.to_weightwatcher()
    assert list(frame.columns[:4]) == ["layer_id", "name", "longname", "layer_type"]
    assert list(frame["name"]) == [*MATRICES, "model.embed_tokens.weight"]
    assert list(frame["layer_type"]) == ["dense"] * len(MATRICES) + ["embedding"]
    for index, (name, A) in enumerate(MATRICES.items()):
        single = columns(A.astype("f4"))
        record = frame.iloc[index].to_dict()
        assert record["layer_id"] == index
        for column, value in single.items():
            if value is None:
                assert record[column] is None or math.isnan(record[column]), (name, column)
            else:
                assert record[column] == value, (name, column)
    scan.save(tmp_path / "x.jsonl")
    loaded = Scan.load(tmp_path / "x.jsonl").to_weightwatcher()
    assert loaded.equals(frame)


def test_it_needs_pandas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_file(tmp_path / "x.safetensors", of_array("w", "F32", np.eye(4, dtype="f4")))
    scan = ss.scan(path)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pip install 'sigmascope\[table\]'"):
        scan.to_weightwatcher()


# -------------------------------------------------------------------------------- the real thing

_THEIRS = """
import json, logging, sys
import numpy, torch, weightwatcher
logging.getLogger("weightwatcher").setLevel(logging.ERROR)
model = torch.nn.Module()
for name, A in numpy.load(sys.argv[1]).items():
    layer = torch.nn.Linear(A.shape[1], A.shape[0], bias=False)
    layer.weight.data = torch.tensor(A)
    setattr(model, name, layer)
details = weightwatcher.WeightWatcher(model=model).analyze()
with open(sys.argv[2], "w") as file:
    file.write(details.set_index("name").to_json(orient="index", double_precision=15))
"""


@pytest.mark.nightly
@pytest.mark.skipif(
    importlib.util.find_spec("weightwatcher") is None, reason="weightwatcher is not installed"
)
def test_weightwatcher_itself_agrees(tmp_path: Path) -> None:
    """In a process of its own: it changes the filters of warnings, and imports a display."""
    arrays = {name: A.astype(np.float32) for name, A in MATRICES.items()}
    np.savez(tmp_path / "in.npz", **arrays)
    call = [sys.executable, "-W", "ignore", "-c", _THEIRS]
    call += [str(tmp_path / "in.npz"), str(tmp_path / "out.json")]
    subprocess.run(call, check=True, capture_output=True, env=_plain())
    theirs = json.loads((tmp_path / "out.json").read_text())
    compared = 0
    for name, A in arrays.items():
        row = columns(A)
        for column in row.keys() & theirs[name].keys() - {"weak_rank_loss", "entropy"}:
            ours, expected = row[column], theirs[name][column]
            compared += 1
            if isinstance(expected, str):
                assert ours == expected, (name, column)
            else:
                assert_allclose(ours, expected, rtol=1e-6, atol=1e-9, err_msg=f"{name} {column}")
        # they add 1e-10 to each probability
        assert_allclose(row["entropy"], theirs[name]["entropy"], rtol=1e-5)
        if row["weak_rank_loss"] is not None:
            assert row["weak_rank_loss"] == theirs[name]["weak_rank_loss"]
    assert compared > 20 * len(arrays)


def _plain() -> dict[str, str]:
    return {**os.environ, "MPLBACKEND": "agg"}
