# SPDX-License-Identifier: BSD-3-Clause
"""The option --device: results, plans within 80 columns, and messages where there is no device."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import ModuleType

import pytest
from tests.support.command_line import invoke
from tests.support.device_models import checkpoint

import sigmascope as ss

pytestmark = [pytest.mark.unsanitized, pytest.mark.usefixtures("simulated")]

QUICK = ("--effort", "top", "-k", 3, "--memory", "1GiB")


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the terminal 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return checkpoint(tmp_path)


@pytest.mark.parametrize(
    "device", ["cuda", pytest.param("cuda:1", marks=pytest.mark.slow), "cuda:all"]
)
def test_scan_computes_on_a_device(model: Path, device: str, simulated: ModuleType) -> None:
    simulated.simulator.restart(devices=2)
    options = ("--device", device, "--json", "--quiet", "--exclude", "bad")
    status, out, _ = invoke("scan", model, *QUICK, *options)
    assert status == 0
    used = {row["device"] for row in map(json.loads, out.splitlines())}
    assert used - {"cpu", None} <= {"cuda:0", "cuda:1"}
    assert ("cuda:1" in used) >= (device == "cuda:1")
    assert simulated.simulator.counts()["launches"] > 0


def test_compare_computes_on_a_device(model: Path, tmp_path: Path) -> None:
    after = checkpoint(tmp_path, "after", change=1e-2)
    options = ("--device", "cuda", "--include", "w.0", "--json", "--quiet")
    status, out, _ = invoke("compare", model, after, *QUICK, *options)
    assert status == 0
    assert "cuda:0" in {json.loads(line)["device"] for line in out.splitlines()}


@pytest.mark.parametrize("command", ["trajectory", "reference"])
def test_series_scan_on_a_device(model: Path, tmp_path: Path, command: str) -> None:
    numbered = model.rename(tmp_path / "step-1.safetensors")
    options = ("--device", "cuda:3", "--measure", "fro_norm")
    status, _, err = invoke(command, numbered, *options)
    assert status == 2
    assert "'cuda:3' is not available (available: cuda:0" in err


def test_a_plan_shows_the_memory_of_the_device(model: Path, simulated: ModuleType) -> None:
    simulated.simulator.restart(devices=2)
    options = ("--plan", "--device", "cuda:all", "--threads", 2)
    status, out, _ = invoke("scan", model, *QUICK, *options)
    assert status == 0
    lines = out.splitlines()
    assert max(map(len, lines[1:])) <= 80
    assert re.search(r"^role .* copied +device +memory$", out, re.MULTILINE)
    assert re.search(
        r"^On each of cuda:0, cuda:1 at most \d+ MiB; the scan may take 922 MiB there\.$",
        out,
        re.MULTILINE,
    )
    assert "7 matrices are copied there once." in lines
    assert "The speed of a CUDA device is not measured: no time is estimated." in lines
    assert simulated.simulator.counts()["launches"] == 0


def test_a_plan_says_what_every_pass_copies(model: Path, simulated: ModuleType) -> None:
    how = {"effort": "top", "k": 3, "num_threads": 1, "memory_limit": "1GiB"}
    plan = ss.scan(model, include="w.5", device="cuda", **how, plan=True)["w.5"]
    assert plan.stays_on_device
    simulated.simulator.restart(memory=int((plan.device_bytes - plan.nbytes // 2) / 0.9))
    options = ("--plan", "--device", "cuda", "--include", "w.5", "--threads", 1)
    status, out, _ = invoke("scan", model, *QUICK, *options)
    assert status == 0
    assert re.search(r"^other +88 x 48 .* each pass ", out, re.MULTILINE)
    assert "1 matrix is copied there at every pass." in out.splitlines()
    (row,) = ss.scan(model, include="w.5", device="cuda", **how).analysed
    assert row["device"] == "cuda:0"


def test_a_plan_as_json_has_the_device(model: Path) -> None:
    status, out, _ = invoke("scan", model, *QUICK, "--plan", "--json", "--device", "cuda")
    assert status == 0
    *tensors, totals = map(json.loads, out.splitlines())
    assert all(tensor["device_bytes"] > 0 and tensor["stays_on_device"] for tensor in tensors)
    assert totals["totals"]["options"]["device"] == "cuda:0"
    assert 0 < totals["totals"]["device_peak_bytes"] <= totals["totals"]["options"]["device_memory"]


def test_a_plan_names_what_the_device_has_no_memory_for(model: Path, simulated: ModuleType) -> None:
    simulated.simulator.restart(memory=32 * 2**20)
    status, out, _ = invoke("scan", model, *QUICK, "--plan", "--device", "cuda")
    assert status == 1
    assert "on cuda:0, where a call may use 28.8 MiB; device='cpu'" in out
    assert "The smallest limit at which" not in out  # no limit of the host's memory helps


@pytest.mark.parametrize("plan", [(), ("--plan",)])
def test_without_a_device_the_exit_is_clear(
    model: Path, plan: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SIGMASCOPE_SIMULATED")
    status, out, err = invoke("scan", model, *plan, "--device", "cuda")
    assert (status, out) == (2, "")
    assert err.startswith(
        "sigmascope: device 'cuda' is not available: built only for simulated devices"
    )
    assert len(err.splitlines()) == 1
    status, _, err = invoke("scan", model, *plan, "--device", "gpu")
    assert status == 2
    assert "not 'gpu'" in err


@pytest.mark.parametrize("command", ["scan", "compare", "demo", "trajectory", "reference"])
def test_help_explains_the_devices(command: str) -> None:
    status, out, _ = invoke(command, "--help")
    assert status == 0
    assert max(map(len, out.splitlines())) <= 80
    text = " ".join(out.split())
    assert "--device NAME" in text
    assert "Where to compute: cpu, or an NVIDIA GPU as cuda (the first one)" in text
    assert "`sigmascope config` lists the devices." in text
