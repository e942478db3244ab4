# SPDX-License-Identifier: BSD-3-Clause
"""Backends of a CUDA device: peers by libraries with NumPy's arithmetic, ours by a simulated one.

The adapters run as they are; the libraries in their place refuse what the real ones refuse.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tests.support import fake_cupy

import sigmascope as ss
from sigmascope.bench import BACKENDS, Backend, BenchmarkPlan, compare, synthetic
from sigmascope.bench.accuracy import worst_relative_error, worst_residual
from sigmascope.bench.comparing import stage
from sigmascope.bench.cuda import cusolver, libraries
from sigmascope.bench.solvers import Source
from sigmascope.bench.worker import BackendTask, capture_call, probe

pytestmark = pytest.mark.nightly

K = 6
ON_DEVICE = [backend for backend in BACKENDS if backend.library is not None]
BY_CUPY = [b.name for b in ON_DEVICE if b.library in (libraries.CUPY, libraries.CUML)]
BY_TORCH = [b.name for b in ON_DEVICE if b.library is libraries.TORCH]
OURS = [b.name for b in ON_DEVICE if b.library is libraries.OURS]


def named(name: str) -> Backend:
    return next(backend for backend in BACKENDS if backend.name == name)


@pytest.fixture(params=["float32", "bfloat16"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    return Source(synthetic("decay", 120, 90, request.param).make(0), tmp_path / "a.npy", 1)


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    made = fake_cupy.modules()
    for name, module in made.items():
        monkeypatch.setitem(sys.modules, name, module)
    return made["cupy"]


@pytest.fixture
def routines(monkeypatch: pytest.MonkeyPatch) -> fake_cupy.Cusolver:
    made = fake_cupy.Cusolver()
    monkeypatch.setattr(cusolver, "_library", lambda: made)
    return made


@pytest.fixture
def torch_device(monkeypatch: pytest.MonkeyPatch) -> Any:
    """PyTorch whose device is the host; it takes drivers, which it has for devices alone."""
    torch = pytest.importorskip("torch")
    svdvals = torch.linalg.svdvals

    def by_driver(A: Any, driver: str | None = None) -> Any:
        assert driver in (None, "gesvd", "gesvdj", "gesvda")
        return svdvals(A)

    monkeypatch.setattr(libraries.TORCH, "device", "cpu")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"Chip {index}")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (1 << 20, 1 << 21))
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    monkeypatch.setattr(torch.linalg, "svdvals", by_driver)
    return torch


def check_settings(backend: Backend, source: Source, bound: float, last: int = 1) -> None:
    """The most accurate settings of every ladder, from the host and from the device."""
    assert backend.library is not None
    exact = np.linalg.svd(source.array.astype(np.float64), compute_uv=False)
    placed = backend.library.place(source.array)
    for array in [source.array] if placed is None else [source.array, placed]:
        for ladder in backend.ladders(K):
            for setting in ladder[-last:]:
                there = replace(source, array=array)
                answer, message = capture_call(lambda: backend.solve(there, K, 1, **setting))  # noqa: B023
                assert answer is not None, message
                assert answer.s.shape == (K,)
                assert worst_relative_error(answer.s, exact) < bound
                assert (answer.U is not None) == (answer.Vt is not None) == backend.vectors
                if answer.U is not None and answer.Vt is not None:
                    assert type(answer.U) is type(answer.Vt) is np.ndarray
                    residual = worst_residual(source.array, answer.U, answer.s, answer.Vt)
                    assert residual < 3e-3


@pytest.mark.parametrize("name", BY_CUPY)
def test_answers_by_cupy(
    name: str, source: Source, cupy: ModuleType, routines: fake_cupy.Cusolver
) -> None:
    check_settings(named(name), source, 1e-5, last=2)
    check_settings(named(name), replace(source, array=source.array.T.copy()), 1e-5, last=1)
    assert routines.calls == [] or set(routines.calls) == {name.removeprefix("cusolver-")}


@pytest.mark.parametrize("name", BY_TORCH)
def test_answers_by_torch(name: str, source: Source, torch_device: Any) -> None:
    check_settings(named(name), source, 1e-5, last=2)


@pytest.fixture
def wide(tmp_path: Path) -> Source:
    return Source(np.random.default_rng(0).standard_normal((40, 30)), tmp_path / "a.npy", 1)


@pytest.mark.parametrize("name", ["cupy", "cusolver-gesvdp", "cuml"])
@pytest.mark.usefixtures("cupy", "routines")
def test_a_matrix_in_float64_keeps_its_digits_by_cupy(name: str, wide: Source) -> None:
    check_settings(named(name), wide, 1e-12, last=2)


@pytest.mark.usefixtures("torch_device")
def test_a_matrix_in_float64_keeps_its_digits_by_torch(wide: Source) -> None:
    check_settings(named("torch-cuda-svdvals"), wide, 1e-12, last=2)


@pytest.mark.unsanitized
@pytest.mark.parametrize(("name", "bound"), [*zip(OURS, [1e-4, 1e-6, 1e-4], strict=True)])
def test_answers_of_ours(name: str, bound: float, source: Source, simulated: ModuleType) -> None:
    small = replace(source, array=np.ascontiguousarray(source.array[:60, :45]))
    check_settings(named(name), small, bound)
    assert simulated.simulator.violation() == ""


@pytest.mark.unsanitized
def test_ours_takes_arrays_that_another_library_placed(
    simulated: ModuleType, torch_device: Any, monkeypatch: pytest.MonkeyPatch, source: Source
) -> None:
    """The tensor lies on the host here, where a simulated device reads it from."""
    placed = libraries.OURS.place(source.array)
    assert isinstance(placed, torch_device.Tensor)
    assert placed.dtype == getattr(torch_device, source.array.dtype.name)
    answer = named("ours-cuda").solve(replace(source, array=placed), K, 0, tol=1e-4)
    residual = worst_residual(source.array, answer.U, answer.s, answer.Vt)  # type: ignore[arg-type]
    assert residual < 1e-3


def test_ours_places_by_cupy_where_torch_is_for_the_host(
    cupy: ModuleType, monkeypatch: pytest.MonkeyPatch, source: Source
) -> None:
    monkeypatch.setattr(libraries.TORCH, "missing", lambda: "no device")
    placed = libraries.OURS.place(source.array)
    assert isinstance(placed, fake_cupy.DeviceArray)
    assert placed.dtype == source.array.dtype
    np.testing.assert_array_equal(placed.host, source.array)
    monkeypatch.setattr(libraries.CUPY, "missing", lambda: "no device")
    assert libraries.OURS.place(source.array) is None


def test_routines_that_fail_say_so(
    cupy: ModuleType, routines: fake_cupy.Cusolver, tmp_path: Path
) -> None:
    square = cupy.asarray(np.eye(8, dtype=np.float32))
    routines.info = 2
    with pytest.raises(RuntimeError, match="cusolverDnXgesvdp did not converge: info = 2"):
        cusolver.gesvdp(square)
    routines.status = 7
    with pytest.raises(RuntimeError, match="cusolverDnXgesvdr returned status 7"):
        cusolver.gesvdr(square, 2, 2, 1)
    with pytest.raises(TypeError, match="takes float32 and float64, not float16"):
        cusolver.gesvdp(square.astype(np.float16))


@pytest.mark.parametrize("name", BY_CUPY + BY_TORCH)
def test_the_probe_tries_every_library(
    name: str, cupy: ModuleType, routines: fake_cupy.Cusolver, torch_device: Any
) -> None:
    result = probe(named(name))
    assert result["can"].keys() >= {"bfloat16", "float16"}
    assert result["device"].startswith("Chip 0, CUDA ")
    if name == "cusolver-gesvdp":
        assert result["can"]["bfloat16"] == ""


@pytest.mark.unsanitized
def test_the_probe_of_ours(simulated: ModuleType) -> None:
    for name, can in zip(OURS, ["float32", "float64", "float64"], strict=True):
        result = probe(named(name))
        assert result["can"]["bfloat16"] == can
        assert result["device"] == f"sigmascope {ss.__version__}, {ss.show_config()['cuda']}"


# ----------------------------------------------------------------------------------- the timing


INSTALLED = """
import importlib.util, sys
import sigmascope
spec = importlib.util.spec_from_file_location("simulated._cuda", {path!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
sys.modules["sigmascope._cuda"] = sigmascope._cuda = module
"""
"""A package whose import gives a process the simulated device."""


@pytest.mark.unsanitized
def test_a_comparison_on_the_simulated_device(
    simulated: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "installed_cuda.py").write_text(INSTALLED.format(path=simulated.__file__))
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.syspath_prepend(str(tmp_path))  # type: ignore[no-untyped-call]
    backends = [replace(named("ours-cuda"), module="installed_cuda"), named("cuml")]
    plan = BenchmarkPlan(k=3, accuracies=[1e-2], turns=1, threads=1, timeout=600)
    result = compare(synthetic("decay", 40, 30), plan, backends)
    ours, other = result.entries
    assert ours.status == "done", ours.message
    assert ours.stands(1e-2)
    assert ours.device == libraries.OURS.description()
    assert ours.can["bfloat16"] == "float32"
    assert other.absent or other.device
    assert result.limits == {} or "device" in result.limits
    assert result.record()["entries"][0]["device"] == ours.device


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    staged = stage(synthetic("decay", 60, 40), BenchmarkPlan(k=4), 0, tmp_path / "a.npy")
    return {**staged, "threads": 1, "kind": "time", "seed": 0, "seconds": 0.0}


def test_both_rules_are_timed_and_judged(job: dict[str, Any], cupy: ModuleType) -> None:
    lines: list[dict[str, Any]] = []
    BackendTask(named("cupy"), {**job, "settings": [{}]}).time(lines.append)
    (run,) = lines
    assert len(run["seconds"]) == len(run["device_seconds"]) == 5
    assert run["seconds"] != run["device_seconds"]
    assert run["error"] < 1e-5
    assert run["residual"] < 1e-5


def test_a_wrong_answer_from_the_device_is_noticed(
    job: dict[str, Any], cupy: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = libraries.CUPY.place
    monkeypatch.setattr(libraries.CUPY, "place", lambda A: place(2 * A))
    lines: list[dict[str, Any]] = []
    BackendTask(named("cupy"), {**job, "settings": [{}]}).time(lines.append)
    assert lines[0]["error"] == pytest.approx(1.0, rel=1e-3)
    assert lines[0]["residual"] > 0.5


def test_values_alone_have_no_residual(job: dict[str, Any], torch_device: Any) -> None:
    lines: list[dict[str, Any]] = []
    settings = [{"driver": "gesvdj"}]
    BackendTask(named("torch-cuda-svdvals"), {**job, "settings": settings}).time(lines.append)
    assert lines[0]["error"] < 1e-5
    assert lines[0]["residual"] is None
    assert lines[0]["device_seconds"]
