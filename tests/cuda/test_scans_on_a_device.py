# SPDX-License-Identifier: BSD-3-Clause
"""Spectra and scans on simulated devices: the CPU's rows, shares of memory, resumed journals."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tests.support import known_spectra
from tests.support.device_models import COUNT, checkpoint
from tests.support.scans import bits

import sigmascope as ss
from sigmascope._execution import several_devices
from sigmascope._execution.devices import Device
from sigmascope._execution.memory_plan import CallMemory
from sigmascope._execution.options import CallOptions
from sigmascope._execution.reading import layout_of
from sigmascope._running.device_slots import DeviceSlots, most_on_device
from sigmascope._running.run_options import RunKeywords
from sigmascope._running.tasks import Options
from sigmascope.analysis.admission import SpectrumRequest
from sigmascope.analysis.spectrum import analysed
from sigmascope.errors import DeviceError, MemoryLimitError, ScanInterrupted
from sigmascope.results import ScanEvent
from sigmascope.scanning.concurrency import ConcurrencyPlan
from sigmascope.scanning.items import list_items
from sigmascope.solvers.gram import GramTriplets
from sigmascope.solvers.krylov import KrylovSettings

pytestmark = [pytest.mark.unsanitized, pytest.mark.usefixtures("simulated")]

MIB = 2**20
OPTIONS: dict[str, Any] = {"k": 4, "memory_limit": "2GiB"}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return checkpoint(tmp_path)


@pytest.fixture(params=["every value", "search"])
def method(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let matrices as small as these be searched, too."""
    if request.param == "search":
        monkeypatch.setattr("sigmascope._execution.costs.prefers_values", lambda *_, **__: False)
    return str(request.param)


def agree(result: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """Assert that measures and values differ by no more than both errors."""
    for one, other in zip(result, expected, strict=True):
        same = ("name", "status", "reason", "effort", "method", "passes", "zeros", "structure")
        assert [one[name] for name in same] == [other[name] for name in same]
        for name in one:
            if f"{name}_error" in one and one[name] is not None:
                bound = one[f"{name}_error"] + other[f"{name}_error"]
                assert one[name] == pytest.approx(other[name], rel=1e-9, abs=bound), name
        for name in ("min", "max", "mean", "std", "skewness", "kurtosis"):
            if other[name] is not None:
                assert one[name] == pytest.approx(other[name], rel=1e-12, abs=1e-14), name
        bounds = np.array(one["top_errors"] or 0) + np.array(other["top_errors"] or 0)
        assert np.all(np.abs(np.subtract(one["top"] or 0, other["top"] or 0)) <= bounds + 1e-13)


# ------------------------------------------------------------------------------------ one matrix


@pytest.mark.parametrize("effort", ["top", "density", "exact"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_spectrum_is_that_of_the_cpu(
    effort: str, dtype: type, method: str, simulated: ModuleType
) -> None:
    A, _ = known_spectra.exponential(96, 64)
    a = A.astype(dtype)
    sigma = np.linalg.svd(a.astype(np.float64), compute_uv=False)
    host = ss.spectrum(a, effort=effort, k=4)
    spectrum = ss.spectrum(a, effort=effort, k=4, device="cuda", vectors=True)
    assert (host.device, spectrum.device) == ("cpu", "cuda:0")
    assert (spectrum.method, spectrum.precision) == (host.method, host.precision)
    assert spectrum.method.startswith("block Krylov") == (method == "search" and effort != "exact")
    assert np.all(np.abs(spectrum.top - sigma[:4]) <= spectrum.top_errors + 1e-14 * sigma[0])
    assert np.all(np.abs(spectrum.top - host.top) <= spectrum.top_errors + host.top_errors)
    assert spectrum.measures.keys() == host.measures.keys()
    for name, measure in spectrum.measures.items():
        error = measure.error + host[name].error
        assert measure.value == pytest.approx(host[name].value, rel=1e-6, abs=error), name
    assert spectrum.moments is not None
    assert host.moments is not None
    assert spectrum.moments.fro_norm == pytest.approx(host.moments.fro_norm, rel=1e-13)
    assert spectrum.svd is not None
    assert not any("cuda" in note for note in spectrum.notes)
    assert simulated.simulator.violation() == ""
    assert simulated.simulator.objects_in_use() == 0


def test_measures_on_request_agree_with_the_cpu() -> None:
    A, _ = known_spectra.polynomial(64, 48)
    names = ("alpha_farms", "randomized_distance", "correlation_traps")
    host, result = (
        ss.spectrum(A, effort="exact", k=4, measures=names, device=device)
        for device in ("cpu", "cuda")
    )
    for name in names:
        assert result[name].value == pytest.approx(host[name].value, rel=1e-9), name


def test_the_cpu_decomposes_a_product_of_low_rank(simulated: ModuleType) -> None:
    B, A = np.ones((20, 2)), np.ones((2, 15))
    spectrum = ss.spectrum(ss.LowRank(B, A, 1.0), k=2, device="cuda")
    assert spectrum.device == "cpu"
    assert simulated.simulator.counts()["launches"] == 0


def test_a_refusal_has_both_numbers_and_what_helps(simulated: ModuleType) -> None:
    simulated.simulator.restart(memory=32 * MIB)
    with pytest.raises(
        MemoryLimitError,
        match=r"needs [\d.]+ MiB on cuda:0, where a call may use 28.8 MiB; device='cpu' "
        r".*no smaller call fits",
    ):
        ss.spectrum(np.ones((96, 64)), k=4, device="cuda")
    assert simulated.simulator.counts()["launches"] == 0


@pytest.mark.parametrize("effort", ["top", "density"])
def test_a_spectrum_takes_the_memory_of_a_search_and_of_its_parts(effort: str) -> None:
    """Tensor cores multiply parts of a block, whose width the need has to tell."""
    a = ss.matrix(np.ones((4000, 3000), np.float32))
    options = {"tol": 1e-3, "accuracy": "reference", "device": "cuda"}
    result, memory = SpectrumRequest.of(effort=effort, k=40, **options).chosen(a)
    search = result.search
    assert search is not None
    needed = result.need_of(memory)(layout_of(a, memory.options))
    assert needed.columns == max(search.block, search.k)
    in_parts = memory.planned_on_device(lambda _: needed)[0]
    assert in_parts - memory.planned_on_device(lambda _: replace(needed, columns=0))[0] > (
        6 * 7000 * needed.columns
    )


def test_a_smaller_effort_that_fits_the_device_is_named(
    simulated: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sigmascope._execution.costs.prefers_values", lambda *_, **__: False)
    a = ss.matrix(np.ones((4000, 3000), np.float32))
    simulated.simulator.restart(memory=280 * MIB)
    with pytest.raises(MemoryLimitError, match=r"on cuda:0, .*; this fits .*: k = \d+"):
        ss.spectrum(a, k=900, effort="top", device="cuda")
    assert simulated.simulator.counts()["launches"] == 0


def test_a_basis_is_no_longer_than_the_device_allows() -> None:
    a = ss.matrix(np.ones((3000, 2500), np.float32))
    settings = KrylovSettings(a.shape, 60, 1e-3, 32, "float32", vectors=True, density=False)

    def columns(nbytes: int) -> int:
        device = Device("cuda:0", 0).share(nbytes)
        call = CallOptions.of(a, device=device, memory_limit="4GiB")
        memory = CallMemory(a, call)
        result = settings.columns_that_fit(memory)
        assert memory.fits_device(settings.need(result))
        return result

    assert columns(2**30) == settings.columns
    assert 3 * 60 + 2 * 32 < columns(139 * MIB) < settings.columns


def test_a_share_of_a_device_does_not_grow(simulated: ModuleType) -> None:
    """The rest of its free memory belongs to other matrices."""
    A = np.ones((960, 640))
    (share,) = several_devices.with_memory(several_devices.devices_of("cuda"), 30 * MIB)
    with pytest.raises(MemoryLimitError, match="where a call may use 30 MiB"):
        analysed(
            A,
            SpectrumRequest("density", 4, 1e-3, "reference", (), False, {"device": share}),
            seed=0,
        )
    call = CallOptions.of(ss.matrix(A), device=share)
    assert not GramTriplets(A.shape, 4, 1e-4, 0).fits(CallMemory(ss.matrix(A), call))
    assert simulated.simulator.counts()["launches"] == 0


# ----------------------------------------------------------------------------------------- scans


def test_the_rows_of_a_scan_are_those_of_the_cpu(
    model: Path, method: str, simulated: ModuleType
) -> None:
    host, result = (ss.scan(model, device=device, **OPTIONS) for device in ("cpu", "cuda"))
    agree(result.rows, host.rows)
    devices = {row["status"]: row["device"] for row in result}
    assert devices == {"analysed": "cuda:0", "entrywise": "cpu", "failed": None}
    assert {row["device"] for row in host} == {"cpu", None}
    assert "device" not in host.options
    assert result.options["device"] == "cuda:0"
    assert result.options["device_memory"] == int(0.9 * 1024 * MIB)
    assert result.engine["device_kind"].startswith("simulated device, compute capability 9.0")
    assert result.engine.keys() - host.engine.keys() == {"device_kind"}
    assert simulated.simulator.objects_in_use() == 0


@pytest.mark.slow
def test_no_row_depends_on_threads_devices_shards_or_memory(
    model: Path, method: str, simulated: ModuleType
) -> None:
    expected = bits(ss.scan(model, device="cuda", num_threads=1, **OPTIONS))
    for threads, device, restart in (
        (3, "cuda", {"memory": 100 * MIB, "order": "backward"}),
        (4, "cuda:all", {"devices": 2, "timing": "random", "seed": 3}),
    ):
        simulated.simulator.restart(**restart)
        scan = ss.scan(model, device=device, num_threads=threads, **OPTIONS)
        assert bits(scan) == expected
        assert simulated.simulator.violation() == ""
    parts = [ss.scan(model, device="cuda", shard=(i, 2), **OPTIONS) for i in range(2)]
    assert bits(ss.merge(parts)) == expected


def test_several_devices_share_the_matrices(model: Path, simulated: ModuleType) -> None:
    simulated.simulator.restart(devices=3)
    scan = ss.scan(model, device="cuda:all", num_threads=3, **OPTIONS)
    assert {row["device"] for row in scan.analysed} <= {"cuda:0", "cuda:1", "cuda:2"}
    assert scan.options["device"] == "cuda:0, cuda:1, cuda:2"


@pytest.mark.slow
def test_an_executor_takes_the_devices_in_turn(model: Path, simulated: ModuleType) -> None:
    expected = bits(ss.scan(model, device="cuda", **OPTIONS))
    simulated.simulator.restart(devices=2)
    with ThreadPoolExecutor(2) as pool:
        scan = ss.scan(model, device="cuda:all", executor=pool, workers=2, **OPTIONS)
    assert bits(scan) == expected
    assert {row["device"] for row in scan.analysed} == {"cuda:0", "cuda:1"}


def test_shares_of_a_device_decide_how_many_matrices_run_at_once(
    model: Path, simulated: ModuleType
) -> None:
    opened = ss.open_checkpoint(model)
    items = [item for item in list_items(opened, [], ["bad"]) if item.matrix]

    def planned(memory: int, device: str = "cuda", devices: int = 1) -> ConcurrencyPlan:
        simulated.simulator.restart(memory=memory * MIB, devices=devices)
        shared = RunKeywords(seed=0, num_threads=3, memory_limit=2**31, device=device)
        options = Options.of("density", 4, 1e-3, "reference", **shared)
        return ConcurrencyPlan.of(opened, items, options)

    assert planned(1024).workers == 3
    assert planned(1024).each.device.nbytes == int(0.9 * 1024 * MIB) // 3
    assert planned(60).workers == 1
    assert planned(60).each.device.nbytes == int(0.9 * 60 * MIB)
    assert planned(60, "cuda:all", devices=3).workers == 3
    plan = ss.scan(model, device="cuda", num_threads=3, **OPTIONS, plan=True)
    assert 0 < plan.device_peak_bytes <= plan.device_memory


def test_a_scan_takes_no_more_of_a_device_than_planned(model: Path, simulated: ModuleType) -> None:
    plan = ss.scan(model, device="cuda", num_threads=4, **OPTIONS, plan=True)
    taken = []

    def look(_: ScanEvent) -> None:
        taken.append(simulated.simulator.bytes_in_use())

    ss.scan(model, device="cuda", num_threads=4, progress=look, **OPTIONS)
    assert max(taken) <= plan.device_peak_bytes <= plan.device_memory


def test_a_device_that_is_too_small_is_the_reason_in_the_rows(
    model: Path, simulated: ModuleType
) -> None:
    simulated.simulator.restart(memory=32 * MIB)
    scan = ss.scan(model, device="cuda", include="w.*", num_threads=2, **OPTIONS)
    assert len(scan.failed) == COUNT
    for row in scan.failed:
        assert row["failure"] == "environment"
        assert "on cuda:0, where a call may use 28.8 MiB" in row["reason"]
    plan = ss.scan(model, device="cuda", include="w.*", num_threads=2, **OPTIONS, plan=True)
    assert [each.refused for each in plan] == [row["reason"] for row in scan.failed]
    assert plan.refused_for_memory == []  # no limit of the host's memory would help


# --------------------------------------------------------------------------------------- resumed


def interrupted(model: Path, journal: Path, **options: Any) -> None:
    """Begin a scan, and stop it after three rows."""

    def stop(event: ScanEvent) -> None:
        if event.row is not None and event.row["name"] == "w.1":
            raise KeyboardInterrupt

    with pytest.raises(ScanInterrupted):
        ss.scan(model, resume=journal, progress=stop, **options, **OPTIONS)


def test_a_scan_is_resumed_on_a_device_of_the_same_kind(
    model: Path, tmp_path: Path, simulated: ModuleType
) -> None:
    expected = bits(ss.scan(model, device="cuda", **OPTIONS))
    journal = tmp_path / "x.jsonl"
    simulated.simulator.restart(memory=600 * MIB)
    interrupted(model, journal, device="cuda")
    simulated.simulator.restart(devices=2)
    scan = ss.scan(model, resume=journal, device="cuda:1", **OPTIONS)
    assert bits(scan) == expected
    assert {row["device"] for row in scan.analysed} == {"cuda:0", "cuda:1"}
    plan = ss.scan(model, resume=journal, device="cuda", **OPTIONS, plan=True)
    assert plan.kept == COUNT + 1
    assert plan.device_memory == int(0.9 * 600 * MIB)  # that of the journal


def test_another_kind_of_device_is_refused(
    model: Path, tmp_path: Path, simulated: ModuleType
) -> None:
    journal, on_cpu = tmp_path / "x.jsonl", tmp_path / "cpu.jsonl"
    interrupted(model, journal, device="cuda")
    with pytest.raises(ValueError, match=r"device_kind was 'simulated .*, is 'cpu'"):
        ss.scan(model, resume=journal, **OPTIONS)
    interrupted(model, on_cpu)
    with pytest.raises(ValueError, match=r"device_kind was 'cpu', is 'simulated device"):
        ss.scan(model, resume=on_cpu, device="cuda", **OPTIONS, plan=True)
    simulated.simulator.restart(capability=80)
    with pytest.raises(ValueError, match=r"device_kind was '.* 9\.0, .*, is '.* 8\.0, "):
        ss.scan(model, resume=journal, device="cuda", **OPTIONS)


def test_parts_of_two_kinds_are_merged_with_a_note(model: Path) -> None:
    parts = [
        ss.scan(model, device=device, shard=(i, 2), **OPTIONS)
        for i, device in enumerate(("cuda", "cpu"))
    ]
    scan = ss.merge(parts)
    assert scan.complete
    assert any("different engines" in note and "simulated" in note for note in scan.notes)


# --------------------------------------------------------------------------------------- devices


@pytest.mark.parametrize("call", [ss.scan, partial(ss.scan, plan=True)], ids=["scan", "plan"])
def test_a_device_that_is_not_there_is_named(call: Callable[..., Any], model: Path) -> None:
    with pytest.raises(DeviceError, match=r"'cuda:3' is not available \(available: cuda:0"):
        call(model, device="cuda:3")
    with pytest.raises(DeviceError, match="not 'gpu'"):
        call(model, device="gpu")


def test_without_devices_the_reason_is_named(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIGMASCOPE_SIMULATED")
    for device in ("cuda", "cuda:all"):
        with pytest.raises(DeviceError, match=f"'{device}' is not available: built only for"):
            ss.scan(model, device=device)


def test_devices_of_several_kinds_are_not_mixed(
    simulated: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulated.simulator.restart(devices=2)
    monkeypatch.setattr(several_devices, "_kind", lambda device: f"chip {device.index}")
    with pytest.raises(
        DeviceError, match="the same kind, but cuda:0 is chip 0; cuda:1 is chip 1; choose"
    ):
        several_devices.devices_of("cuda:all")


def test_the_least_used_device_is_lent() -> None:
    slots = DeviceSlots([Device("cuda:0", 0, 1), Device("cuda:1", 1, 1)])
    with slots.lent() as first, slots.lent() as second:
        assert {first, second} == {"cuda:0", "cuda:1"}
        with slots.lent() as third, slots.lent() as fourth:
            assert {third, fourth} == {"cuda:0", "cuda:1"}
    using, most, lock = {"cuda:0": 0, "cuda:1": 0}, [0], threading.Lock()

    def use(_: int) -> None:
        with slots.lent() as name:
            with lock:
                using[name] += 1
                most[0] = max(most[0], *using.values())
            with lock:
                using[name] -= 1

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(use, range(200)))
    assert most[0] <= most_on_device(5, 2) == 3
