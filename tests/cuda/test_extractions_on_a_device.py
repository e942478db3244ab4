# SPDX-License-Identifier: BSD-3-Clause
"""Extractions on simulated devices: the CPU's changes, and the same bits on every device."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from tests.support.changed import written
from tests.support.command_line import invoke
from tests.support.scans import bits
from tests.support.tuned_models import CARRIED, base_model, tuned_model

import sigmascope as ss
from sigmascope.adapters import open_adapter

pytestmark = [pytest.mark.unsanitized, pytest.mark.usefixtures("simulated")]


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    base = base_model()
    models = {"base": base, "tuned": tuned_model(base)}
    results = [written(tmp_path / name, model, "F32") for name, model in models.items()]
    return results[0], results[1]


def test_the_changes_are_those_of_the_cpu(
    folders: tuple[Path, Path], tmp_path: Path, simulated: ModuleType
) -> None:
    host = ss.extract(*folders, tmp_path / "a", rank="edge", memory_limit="1GiB")
    assert simulated.simulator.counts()["launches"] == 0
    extraction = ss.extract(
        *folders, tmp_path / "b", rank="edge", memory_limit="1GiB", device="cuda"
    )
    assert simulated.simulator.counts()["launches"] > 0
    assert extraction.written
    assert extraction.options["device"] == "cuda:0"
    one, other = open_adapter(tmp_path / "a"), open_adapter(tmp_path / "b")
    for name in CARRIED:
        assert extraction[name]["rank"] == host[name]["rank"]
        bound = extraction[name]["remaining_error"] + host[name]["remaining_error"]
        near = pytest.approx(host[name]["remaining"], rel=1e-3, abs=bound)
        assert extraction[name]["remaining"] == near
        first, second = (np.asarray(each[name].matrix(), float) for each in (one, other))
        assert np.linalg.norm(first - second) <= 1e-3 * np.linalg.norm(first)


@pytest.mark.slow
def test_any_number_of_devices_gives_the_same_bits(
    folders: tuple[Path, Path], tmp_path: Path, simulated: ModuleType
) -> None:
    simulated.simulator.restart(devices=2)
    one = ss.extract(*folders, tmp_path / "a", rank=3, memory_limit="1GiB", device="cuda")
    both = ss.extract(*folders, tmp_path / "b", rank=3, memory_limit="1GiB", device="cuda:all")
    assert both.options["device"] == "cuda:0, cuda:1"
    assert {row["device"] for row in both.analysed} <= {"cuda:0", "cuda:1"}
    assert bits(one) == bits(both)
    name = "adapter_model.safetensors"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_command_computes_on_a_device(
    folders: tuple[Path, Path], tmp_path: Path, simulated: ModuleType
) -> None:
    options = ("--out", tmp_path / "a", "--rank", 2, "--memory", "1GiB", "--json", "--quiet")
    status, out, _ = invoke("extract", *folders, *options, "--device", "cuda")
    assert status == 0
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["name"] for row in rows if row["status"] == "extracted"] == CARRIED
    assert simulated.simulator.counts()["launches"] > 0
    status, _, err = invoke(
        "extract", *folders, "--out", tmp_path / "b", "--rank", 2, "--device", "cuda:3"
    )
    assert status == 2
    assert "'cuda:3' is not available" in err
