# SPDX-License-Identifier: BSD-3-Clause
"""Comparisons on simulated devices: the CPU's rows, and shares of the memory of a device."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tests.support.adapted_model import UP, Q, adapter, llama
from tests.support.changed import written
from tests.support.checkpoints import of_array, write_file
from tests.support.coverings import grid
from tests.support.device_models import checkpoint, prefer_searches
from tests.support.scans import bits

import sigmascope as ss
from sigmascope._running.run_options import RunKeywords
from sigmascope._running.tasks import Options
from sigmascope._running.thread_budget import ThreadBudget
from sigmascope.comparing.matrix_pairs import StoredPair
from sigmascope.comparing.pair_plan import PairPlan, device_share
from sigmascope.errors import DeviceError

pytestmark = [pytest.mark.unsanitized, pytest.mark.usefixtures("simulated")]

MIB = 2**20
OPTIONS: dict[str, Any] = {"k": 4, "memory_limit": "2GiB"}


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return checkpoint(tmp_path, "before"), checkpoint(tmp_path, "after", change=1e-2)


def agree(result: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """Assert that values differ by no more than both errors, and sums by rounding."""
    for one, other in zip(result, expected, strict=True):
        for name in ("name", "status", "reason", "effort", "changed_entries", "changed_rows"):
            assert one[name] == other[name]
        for name in ("relative_change", "cosine", "update_sparsity", "delta_kurtosis"):
            if other[name] is not None:
                assert one[name] == pytest.approx(other[name], rel=1e-10), name
        for group in ("before", "after", "delta"):
            if other[f"{group}_top"] is not None:
                tops = (np.array(row[f"{group}_top"]) for row in (one, other))
                errors = (np.array(row[f"{group}_top_errors"]) for row in (one, other))
                assert np.all(np.abs(np.subtract(*tops)) <= sum(errors, start=np.array(1e-13)))
            for name in (f"{group}_effective_rank", f"{group}_stable_rank"):
                if other[name] is not None:
                    bound = one[f"{name}_error"] + other[f"{name}_error"]
                    assert one[name] == pytest.approx(other[name], rel=1e-9, abs=bound), name


@grid(searched={"every value": False, "searched": True}, effort=["top", "density"])
def test_the_rows_are_those_of_the_cpu(
    pair: tuple[Path, Path],
    effort: str,
    searched: bool,
    simulated: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if searched:
        prefer_searches(monkeypatch)
    # With a finer tolerance, the processor's search of these small matrices gives up.
    options = OPTIONS | {"effort": effort, "tol": 3e-2, "include": ["w.1", "w.4", "bad"]}
    host, result = (ss.compare(*pair, device=device, **options) for device in ("cpu", "cuda"))
    agree(result.rows, host.rows)
    assert {row["device"] for row in result.analysed} == {"cuda:0"}
    assert {row["device"] for row in host.analysed} == {"cpu"}
    assert ("Krylov" in result.analysed[0]["method"]) == searched
    assert "device_kind" in result.engine
    assert result.options["device"] == "cuda:0"
    assert simulated.simulator.violation() == ""
    assert simulated.simulator.objects_in_use() == 0


@pytest.mark.nightly
def test_no_row_depends_on_threads_memory_or_device(
    pair: tuple[Path, Path], tmp_path: Path, simulated: ModuleType
) -> None:
    options = OPTIONS | {"include": ["w.*"], "exclude": ["w.[3-5]"]}
    journal = tmp_path / "x.jsonl"
    expected = bits(ss.compare(*pair, device="cuda", num_threads=1, resume=journal, **options))
    simulated.simulator.restart(devices=2, order="backward", timing="random", seed=1)
    comparison = ss.compare(*pair, device="cuda:all", num_threads=4, **options)
    assert bits(comparison) == expected
    assert {row["device"] for row in comparison.analysed} == {"cuda:0", "cuda:1"}
    with ThreadPoolExecutor(2) as pool:
        comparison = ss.compare(*pair, device="cuda:all", executor=pool, workers=2, **options)
    assert bits(comparison) == expected
    assert bits(ss.compare(*pair, device="cuda:1", resume=journal, **options)) == expected
    with pytest.raises(ValueError, match="device_kind was 'simulated"):
        ss.compare(*pair, resume=journal, **options)


def test_a_change_of_an_adapter_agrees_with_the_cpu(tmp_path: Path) -> None:
    both = written(tmp_path / "base", llama("F32"), "F32"), adapter(tmp_path / "lora", Q, UP)
    options = OPTIONS | {"include": [f"{Q}.weight", f"{UP}.weight"]}
    host, result = (ss.compare(*both, device=device, **options) for device in ("cpu", "cuda"))
    agree(result.rows, host.rows)
    assert {row["device"] for row in result.analysed} == {"cuda:0; cpu"}


def test_measures_on_request_agree_with_the_cpu(tmp_path: Path) -> None:
    """Products with vectors are computed on the device, in float64."""
    rng = np.random.default_rng(3)
    w = rng.standard_normal((48, 40))
    base = write_file(tmp_path / "a.safetensors", of_array("w", "F64", w))
    moved = w + 1e-2 * rng.standard_normal(w.shape)
    after = write_file(tmp_path / "b.safetensors", of_array("w", "F64", moved))
    measures = ("update_shares", "update_masks")
    host, result = (
        ss.compare(base, after, measures=measures, device=device, **OPTIONS)
        for device in ("cpu", "cuda")
    )
    for name in ("share_left", "share_both", "principal_overlap", "low_overlap"):
        assert result.rows[0][name] == pytest.approx(host.rows[0][name], rel=1e-6), name


def test_spectra_at_once_have_shares_of_the_device(simulated: ModuleType) -> None:
    rng = np.random.default_rng(0)
    stored = StoredPair(*(ss.matrix(rng.standard_normal((96, 64))) for _ in range(2)))

    def planned(memory: int) -> tuple[PairPlan, Options]:
        simulated.simulator.restart(memory=memory * MIB)
        shared = RunKeywords(seed=0, num_threads=4, memory_limit=2**32, device="cuda")
        options = Options.of("density", 4, 1e-3, "reference", **shared)
        return PairPlan.of(stored, options), options

    for memory, workers in ((400, 4), (200, 2), (100, 1)):
        plan, options = planned(memory)
        assert plan.workers == workers
        share = device_share(options, plan.workers)
        assert share.nbytes == options.device.nbytes // workers
        with ThreadBudget(4).threads(workers) as fraction:
            assert share.nbytes <= fraction * options.device.nbytes


def test_a_device_that_is_too_small_is_the_reason(
    pair: tuple[Path, Path], simulated: ModuleType
) -> None:
    simulated.simulator.restart(memory=32 * MIB)
    comparison = ss.compare(*pair, device="cuda", include="w.1", **OPTIONS)
    (row,) = comparison.failed
    assert row["failure"] == "environment"
    assert "MiB on cuda:0, where a call may use 28.8 MiB" in row["reason"]


def test_a_device_that_is_not_there_is_named(pair: tuple[Path, Path]) -> None:
    with pytest.raises(DeviceError, match=r"'cuda:3' is not available \(available: cuda:0"):
        ss.compare(*pair, device="cuda:3")


def test_series_scan_on_a_device(pair: tuple[Path, Path]) -> None:
    options = {"effort": "exact", "measures": "fro_norm", "include": "norm", "device": "cuda"}
    trajectory = ss.series.trajectory({1: pair[0], 2: pair[1]}, **options)
    assert trajectory.steps == (1, 2)
    with pytest.raises(DeviceError, match="'cuda:3' is not available"):
        ss.series.reference([pair[0]], **options | {"device": "cuda:3"})
