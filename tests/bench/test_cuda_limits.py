# SPDX-License-Identifier: BSD-3-Clause
"""Libraries of CUDA devices: what they lack, the limits that they measure, and the table."""

from __future__ import annotations

import builtins
import sys
from io import StringIO
from itertools import count
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from tests.support import fake_cupy

from sigmascope.bench import BackendComparison, select
from sigmascope.bench.cuda import libraries, limits
from sigmascope.bench.cuda.limits import CupyWork, TorchWork, device_work, measure_limits
from sigmascope.bench.machine import nvidia_driver
from sigmascope.bench.results import BackendResult, Timing
from sigmascope.bench.table import limits_text, show_comparison


def install(monkeypatch: pytest.MonkeyPatch, made: dict[str, ModuleType]) -> ModuleType:
    for name, module in made.items():
        monkeypatch.setitem(sys.modules, name, module)
    return made["cupy"]


# ------------------------------------------------------------------------------- what is missing


def refuse_imports(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    real = builtins.__import__

    def imported(name: str, *others: Any, **named: Any) -> Any:
        if name in names:
            raise ImportError(f"No module named {name!r}\nmore")
        return real(name, *others, **named)

    monkeypatch.setattr(builtins, "__import__", imported)


def test_cupy_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, fake_cupy.modules())
    assert libraries.CUPY.missing() == libraries.CUML.missing() == ""
    cuda = sys.modules["cupy.cuda"]
    monkeypatch.delattr(cuda, "cusolver")
    assert "CuPy finds no cuSOLVER" in libraries.CUPY.missing()
    assert "pip install 'cupy-cuda13x[ctk]'" in libraries.CUPY.missing()
    install(monkeypatch, fake_cupy.modules(device_count=0))
    assert libraries.CUML.missing() == (
        "cudaErrorInsufficientDriver: the driver is insufficient; driver 580 or newer is needed; "
        "nvidia-smi shows the driver and the devices"
    )
    refuse_imports(monkeypatch, "cupy")
    assert libraries.CUPY.missing() == (
        "CuPy cannot be imported (No module named 'cupy'); pip install 'cupy-cuda13x[ctk]'"
    )


def test_torch_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "is built without CUDA; pip install torch --index-url" in libraries.TORCH.missing()
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "torch finds no device; driver 580" in libraries.TORCH.missing()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert libraries.TORCH.missing() == ""
    refuse_imports(monkeypatch, "torch")
    assert "PyTorch cannot be imported (No module named 'torch');" in libraries.TORCH.missing()


@pytest.mark.unsanitized
def test_ours_says_what_it_lacks(cuda_module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIGMASCOPE_SIMULATED", raising=False)
    assert "only for simulated devices" in libraries.OURS.missing()
    backend = select(["ours-cuda"])[0]
    assert backend.absence == ("no device", libraries.OURS.missing())
    monkeypatch.setattr(libraries, "show_config", lambda: {"cuda": "built without CUDA"})
    assert libraries.OURS.missing() == f"built without CUDA; {libraries.BUILD}"
    monkeypatch.setenv("SIGMASCOPE_SIMULATED", "1")
    assert libraries.OURS.missing() == ""
    assert backend.absence == ("", "")


def test_the_version_of_the_driver(tmp_path: Path) -> None:
    path = tmp_path / "version"
    assert nvidia_driver(path) is None
    path.write_text(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.82.07  Wed Aug\nGCC 12.2.0\n"
    )
    assert nvidia_driver(path) == "580.82.07"
    path.write_text("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release\n")
    assert nvidia_driver(path) == "580.95.05"


# ---------------------------------------------------------------------------------------- limits


def test_limits_by_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = install(monkeypatch, fake_cupy.modules())
    products: list[tuple[Any, Any]] = []
    multiply = cupy.cuda.cublas.gemmEx

    def recorded(*arguments: Any) -> None:
        multiply(*arguments)
        products.append((arguments[3:6], arguments))

    cupy.cuda.cublas.gemmEx = recorded
    seconds = count()  # everything takes one by this clock
    monkeypatch.setattr(limits, "time", SimpleNamespace(perf_counter=lambda: next(seconds)))
    result = measure_limits(CupyWork())
    assert (result["copied_bytes"], result["bf16_order"]) == (1 << 17, 256)
    assert 3 * 2 * 256**2 <= (1 << 20) // 2
    assert result["copy_bytes_per_second"] == 2 << 17  # read and written
    assert result["host_to_device_bytes_per_second"] == 1 << 17
    assert result["bf16_flops_per_second"] == 2 * 256**3
    assert {sizes for sizes, _ in products} == {(256, 256, 256)}
    assert cupy.waits >= 2 * 3 * 11
    assert (
        result["device"] == "Chip 0, CUDA driver 13.0, runtime 13.2, cuSOLVER 12.4.1, cupy 14.2.0"
    )


def test_operations_by_cupy_do_what_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = install(monkeypatch, fake_cupy.modules())
    made: list[fake_cupy.DeviceArray] = []
    empty = cupy.empty
    cupy.empty = lambda *shape: made.append(empty(*shape)) or made[-1]
    CupyWork().upload(64)()
    assert len(np.unique(made[-1].host)) > 16
    CupyWork().product(32)()
    C = (made[-1].host.astype(np.uint32) << 16).view(np.float32)
    assert np.isfinite(C).all()
    assert C.std() == pytest.approx(32**0.5, rel=0.2)


def test_limits_by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(libraries.TORCH, "device", "cpu")
    waits: list[int] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waits.append(1))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "Chip")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (1 << 18, 1 << 19))
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    result = measure_limits(TorchWork())
    assert (result["copied_bytes"], result["bf16_order"]) == (1 << 15, 128)
    assert min(value for name, value in result.items() if name.endswith("second")) > 0
    assert len(waits) == 2 * 3 * 11
    assert result["device"].startswith("Chip, CUDA runtime ")


def test_a_library_with_a_device_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries.TORCH, "missing", lambda: "none")
    monkeypatch.setattr(libraries.CUPY, "missing", lambda: "")
    assert isinstance(device_work(), CupyWork)
    monkeypatch.setattr(libraries.CUPY, "missing", lambda: "none")
    assert device_work() is None


# ----------------------------------------------------------------------------------------- table


LIMITS = {
    "device": "Chip 0, torch 3",
    "copy_bytes_per_second": 2.9e12,
    "host_to_device_bytes_per_second": 53e9,
    "bf16_flops_per_second": 7e14,
    "bf16_order": 8192,
}


def entry(name: str, seconds: float, there: list[float], vectors: bool) -> BackendResult:
    timing = Timing([0.1], {"n": 2}, seconds=[seconds], busy=[1.0], errors=[0.01])
    timing.device_seconds = there
    result = BackendResult(
        name, f"the {name}", None, "", timings=[timing], device="Chip 0, cupy 14"
    )
    result.can = {"vectors": vectors}
    return result


def test_the_table_has_both_rules_the_chip_and_the_limits() -> None:
    entries = [entry("a", 0.25, [0.125], True), entry("b", 0.01, [], False)]
    machine = {"processor": "P", "threads": 1, "cores": 1, "load_average": 0.0}
    machine["nvidia_driver"] = "580.82.07"
    whole = BackendComparison("w", (9, 9), "f32", 3, [0.1], 1, False, machine, entries, LIMITS)
    out = StringIO()
    show_comparison(Console(file=out, width=140), whole)
    text = out.getvalue()
    assert "Fastest to 0.1: the a" in text  # the other one finds values alone
    assert "the a, the b: Chip 0, cupy 14" in text
    assert "NVIDIA driver 580.82.07" in text
    assert limits_text(LIMITS) in text
    section = text[text.index("On the CUDA device") : text.index("the a, the b:")]
    first, second = (line.split() for line in section.splitlines() if line.strip()[:3] == "the")
    assert ("250" in first, "125" in first) == (True, True)
    assert second[-2:] == ["-", "values"]
    assert "10" in second


def test_limits_in_words() -> None:
    assert limits_text(LIMITS) == (
        "Limits of Chip 0, torch 3: copy in its memory 2.9e+03 GB/s read and written, bf16 product "
        "of order 8192 700 TFLOP/s, pinned host memory to device 53 GB/s"
    )
    assert limits_text({}) == "Limits of the device: not measured; that needs torch or CuPy"
    assert limits_text({"message": "killed"}) == "Limits of the device: not measured; killed"


def test_fetched_takes_arrays_of_every_library() -> None:
    numbers = np.arange(3.0)
    assert type(libraries.fetched(numbers)) is np.ndarray
    assert libraries.fetched(fake_cupy.DeviceArray(numbers)).tolist() == [0, 1, 2]
    tensor = SimpleNamespace(cpu=lambda: SimpleNamespace(numpy=lambda: numbers))
    assert libraries.fetched(tensor).tolist() == [0, 1, 2]
