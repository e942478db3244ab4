# SPDX-License-Identifier: BSD-3-Clause
"""The module for CUDA devices: its configuration, its devices, and why there is none."""

from __future__ import annotations

import ast
import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.sources import PACKAGE

import sigmascope as ss
from sigmascope.errors import DeviceError

pytestmark = pytest.mark.unsanitized

WITHOUT = [
    ({"driver": 0}, "there is no NVIDIA driver, CUDA 13.0 is needed: driver 580 or newer"),
    (
        {"driver": 12040},
        "driver 12.4 is too old, CUDA 13.0 is needed: driver 580 or newer; update it",
    ),
    ({"devices": 0}, "the driver (CUDA 13.0) finds no device; see what nvidia-smi"),
    ({"failing_call": 0, "failure": 719}, "CUDA does not start: cudaErrorLaunchFailure"),
]
"""Settings of machines without a device, and what is said there."""


def test_the_configuration(cuda_module: Any) -> None:
    wanted = {"runtime": "13.0", "driver": "13.0", "simulated": True, "architectures": []}
    assert cuda_module.config() == wanted
    cuda_module.simulator.restart(driver=13020)
    assert cuda_module.config()["driver"] == "13.2"
    cuda_module.simulator.restart(driver=0)
    assert cuda_module.config()["driver"] is None


def test_two_modules_in_one_process(cuda_module: Any, tmp_path: Path) -> None:
    """A build with CUDA and the simulated one: the types of each are its own."""
    other = tmp_path / Path(cuda_module.__file__).name
    shutil.copy(cuda_module.__file__, other)
    spec = importlib.util.spec_from_file_location("second._cuda", other)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.simulator.restart(devices=2)
    assert (module.usable_devices(), cuda_module.usable_devices()) == ([0, 1], [0])
    assert module.Batch is not cuda_module.Batch


def test_each_device_is_described(cuda_module: Any) -> None:
    cuda_module.simulator.restart(devices=2, memory=1 << 20, capability=86)
    one = {
        "index": 0,
        "name": "simulated device",
        "capability": (8, 6),
        "memory": 1 << 20,
        "multiprocessors": 132,
    }
    assert cuda_module.devices() == [one, one | {"index": 1}]
    assert cuda_module.usable_devices() == [0, 1]
    assert cuda_module.simulator.objects_in_use() == 0


@pytest.mark.parametrize(("settings", "message"), WITHOUT)
@pytest.mark.parametrize(
    "ask",
    [lambda m: m.devices(), lambda m: m.usable_devices(), lambda m: m.free_memory(0)],
    ids=["devices", "usable_devices", "free_memory"],
)
def test_without_a_device_the_error_says_what_helps(
    settings: dict[str, int], message: str, ask: Callable[[Any], object], cuda_module: Any
) -> None:
    cuda_module.simulator.restart(**settings)
    with pytest.raises(DeviceError, match=f"^{re.escape(message)}.*device='cpu'$"):
        ask(cuda_module)


@pytest.mark.parametrize("index", [-1, 2, 2**31 - 1])
def test_a_device_that_is_not_there_is_refused(index: int, cuda_module: Any) -> None:
    cuda_module.simulator.restart(devices=2)
    wanted = f"there is no cuda:{index}: the index must be below the number of devices, 2"
    with pytest.raises(DeviceError, match=wanted):
        cuda_module.free_memory(index)
    assert cuda_module.free_memory(1) == cuda_module.free_memory(0) == 1 << 30


def test_free_memory_is_that_of_the_device_which_is_asked(cuda_module: Any) -> None:
    cuda_module.simulator.restart(devices=2)
    cuda_module.simulator.allocate(1 << 20, device=1)
    assert cuda_module.free_memory(1) == (1 << 30) - (1 << 20)
    assert cuda_module.free_memory(0) == 1 << 30


def test_a_device_without_bf16_is_refused(cuda_module: Any) -> None:
    cuda_module.simulator.restart(capability=75)
    wanted = r"cuda:0 \(simulated device\) has compute capability 7\.5, 8\.0 or newer is needed"
    for ask in (cuda_module.usable_devices, lambda: cuda_module.free_memory(0)):
        with pytest.raises(DeviceError, match=wanted):
            ask()


def test_a_device_that_does_not_start_says_so(cuda_module: Any) -> None:
    cuda_module.free_memory(0)
    last = cuda_module.simulator.counts()["calls"] - 1
    for call in (last - 1, last):  # choosing the device, and asking it
        cuda_module.simulator.restart(failing_call=call)
        with pytest.raises(DeviceError, match=r"cuda:0 \(simulated device\) cannot be used"):
            cuda_module.free_memory(0)


def test_a_wrong_setting_of_the_simulator_is_an_error(cuda_module: Any) -> None:
    with pytest.raises(TypeError, match=r"no such setting: .*colour"):
        cuda_module.simulator.restart(colour=1)
    with pytest.raises(ValueError, match="order is forward, backward or random, not sideways"):
        cuda_module.simulator.restart(order="sideways")


def test_the_package_lists_simulated_devices_when_asked(
    cuda_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SIGMASCOPE_SIMULATED", raising=False)
    assert ss.available_devices() == ["cpu"]
    assert ss.show_config()["cuda"].startswith("built only for simulated devices")
    monkeypatch.setenv("SIGMASCOPE_SIMULATED", "1")
    cuda_module.simulator.restart(devices=2)
    assert ss.available_devices() == ["cpu", "cuda:0", "cuda:1"]
    assert ss.show_config()["cuda"] == (
        "runtime 13.0, driver 13.0, cuBLAS 13.1.0, cuSOLVER 12.0.4: "
        "simulated device, simulated device"
    )
    cuda_module.simulator.restart(driver=12040)
    assert ss.available_devices() == ["cpu"]
    assert ss.show_config()["cuda"].startswith("driver 12.4 is too old")


def test_a_build_without_cuda_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sigmascope._cuda", None)  # which makes the import fail
    assert ss.available_devices() == ["cpu"]
    assert ss.show_config()["cuda"] == "built without CUDA"


def test_the_package_alone_does_not_import_it() -> None:
    code = "import sigmascope, sys; sigmascope.svds; assert 'sigmascope._cuda' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_stub_names_what_the_module_has(cuda_module: Any) -> None:
    stub = ast.parse((PACKAGE / "_cuda.pyi").read_text(encoding="utf-8"))
    for node in stub.body:
        if isinstance(node, ast.FunctionDef):
            signature = getattr(cuda_module, node.name).__doc__.split("\n")[0]
            for argument in [*node.args.args, *node.args.kwonlyargs]:
                assert f"{argument.arg}: " in signature or "**kwargs" in signature, node.name
