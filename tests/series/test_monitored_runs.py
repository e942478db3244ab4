# SPDX-License-Identifier: BSD-3-Clause
"""The trajectory of a monitored run and its file; modules of torch, and arrays on devices."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.support.command_line import invoke
from tests.support.scans import bits

import sigmascope as ss
from sigmascope.matrices.device_bytes import DeviceBytes
from sigmascope.series import Monitor

UP, DOWN = "layers.{}.mlp.up_proj.weight", "layers.{}.mlp.down_proj.weight"


def normal(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape)


def weights() -> dict[str, Any]:
    names = [name.format(i) for i in range(2) for name in (UP, DOWN)]
    return {name: normal(12, 8, seed=i) for i, name in enumerate(names)}


def grown(model: dict[str, Any]) -> None:
    for x in model.values():
        x *= 1.5


def without(rows: Any) -> list[dict[str, Any]]:
    """Rows without the step, and the name of the type that held the tensors."""
    return [{key: row[key] for key in row if key not in ("step", "file")} for row in bits(rows)]


# ------------------------------------------------------------------------------------ trajectory


def test_the_trajectory_is_that_of_scans(tmp_path: Path) -> None:
    model = weights() | {"layers.0.mlp.experts": normal(3, 6, 5)}
    monitor = Monitor(model, every=10, budget=None, out=tmp_path / "run.jsonl")
    scans = {}
    for step in (10, 20, 30):
        scans[step] = ss.scan(model)
        monitor.step(step)
        grown(model)
    expected = ss.series.trajectory(scans)
    assert sorted(map(str, monitor.trajectory)) == sorted(map(str, expected))
    assert (monitor.trajectory.steps, monitor.trajectory.measures) == (
        expected.steps,
        expected.measures,
    )
    monitor.save(tmp_path / "saved.jsonl")
    assert (tmp_path / "saved.jsonl").read_text() == (tmp_path / "run.jsonl").read_text()


def test_the_commands_read_the_file(tmp_path: Path) -> None:
    model, path = weights(), tmp_path / "run.jsonl"
    part = {name: x for name, x in model.items() if ".0." in name}
    now, measures = [model], ["stable_rank", "spectral_norm"]
    monitor = Monitor(lambda: now[0], every=1, budget=None, measures=measures, out=path)
    for step in range(5):
        grown(model)
        now[0] = part if step % 2 else model
        monitor.step(step)
    run = monitor.trajectory
    assert [len(run.where(step=step)) for step in run.steps] == [8, 4, 8, 4, 8]
    for name in ("show", "trajectory"):
        status, text, _ = invoke(name, path)
        assert status == 0
        assert "text up" in text
        assert "Some layers were not analysed at every step" in text
    status, text, _ = invoke("trajectory", path, "--measure", "stable_rank", "--json")
    rows = [json.loads(line) for line in text.splitlines()]
    assert rows == run.where(measure="stable_rank")
    for options, message in (
        (("--step", 1), "has its own steps"),
        (("--measure", "alpha"), "no 'alpha'; its measures are stable_rank, spectral_norm"),
    ):
        status, _, error = invoke("trajectory", path, *options)
        assert status != 0
        assert message in " ".join(error.split())


def test_a_file_is_continued(tmp_path: Path) -> None:
    model, path = weights(), tmp_path / "run.jsonl"
    how: dict[str, Any] = {"every": 1, "budget": None, "measures": "spectral_norm"}
    whole = Monitor(model, **how)
    first = Monitor(model, out=path, **how)
    for step in (1, 2, 3):
        for monitor in (whole, first):
            monitor.step(step)
        grown(model)
    with open(path, "a") as file:
        file.write('{"step": 4, "tow')  # a line that a killed run did not finish
    second = Monitor(model, out=path, **how)
    for step in (4, 5):
        for monitor in (whole, second):
            monitor.step(step)
        grown(model)
    assert second.decision["replaced"] == []
    whole.save(tmp_path / "whole.jsonl")
    assert path.read_text() == (tmp_path / "whole.jsonl").read_text()
    third = Monitor(model, out=path, **how)
    third.step(5)  # from the checkpoint of step 4
    assert third.decision["replaced"] == [5]
    assert third.trajectory.steps == (1, 2, 3, 4, 5)
    assert path.read_text() != (tmp_path / "whole.jsonl").read_text()
    assert len(path.read_text().splitlines()) == 20


def test_a_run_from_its_beginning_has_changes_of_its_own(tmp_path: Path) -> None:
    model, path = weights(), tmp_path / "run.jsonl"
    how: dict[str, Any] = {"every": 1, "budget": None, "measures": "fro_norm", "out": path}
    first = Monitor(model, **how)
    for step in (1, 2, 3):
        first.step(step)
    grown(model)
    again = Monitor(model, **how)
    again.step(1)
    assert again.decision["replaced"] == [1, 2, 3]
    assert again.trajectory.steps == (1,)
    assert {row["change"] for row in again.trajectory} == {0.0}


def test_files_that_are_not_trajectories_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    for text in ('{"a": 1}\n', '{"a": 1}\n{"b"', "a text"):
        path.write_text(text)
        with pytest.raises(ValueError, match="not a trajectory, so no row is appended"):
            Monitor(weights(), out=path)
        assert path.read_text() == text
    with pytest.raises(ValueError, match=r"appended to a \.jsonl file, not to '\.csv'"):
        Monitor(weights(), out=tmp_path / "x.csv")
    with pytest.raises(FileNotFoundError, match=r"none/x\.jsonl"):
        Monitor(weights(), out=tmp_path / "none" / "x.jsonl")
    run = tmp_path / "run.jsonl"
    Monitor(weights(), every=1, budget=None, out=run, measures="fro_norm").step(1)
    with pytest.raises(ValueError, match=r"its measures are fro_norm, not stable_rank"):
        Monitor(weights(), out=run, measures="stable_rank")


def test_a_place_whose_matrices_are_others_is_left_out() -> None:
    model = {f"layers.0.mlp.experts.{i}.up_proj.weight": normal(6, 5, seed=i) for i in range(3)}
    monitor = Monitor(model, every=1, budget=None, measures="fro_norm")
    monitor.step(1)
    (first,) = monitor.trajectory
    assert first["count"] == 3
    model["layers.0.mlp.experts.1.up_proj.weight"][2, 2] = np.nan
    rows = monitor.step(2) or []
    assert [row["status"] for row in rows] == ["analysed", "failed", "analysed"]
    assert monitor.decision["left_out"] == list(model)
    assert list(monitor.trajectory) == [first]


# ----------------------------------------------------------------------------------------- torch


def test_modules_of_torch() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    layers = {"embed_tokens": torch.nn.Embedding(30, 8), "lm_head": torch.nn.Linear(8, 30)}
    layers["up_proj"] = torch.nn.Linear(8, 12).to(torch.bfloat16)
    model = torch.nn.ModuleDict(layers)
    model["lm_head"].weight = model["embed_tokens"].weight
    model["up_proj"].weight.requires_grad_(False)
    monitor = Monitor(model, every=1, budget=None, k=3)
    result = monitor.step(1) or []
    assert without(sorted(result, key=lambda row: row["name"])) == without(
        sorted(ss.scan(model, k=3), key=lambda row: row["name"])
    )
    model["lm_head"](model["embed_tokens"](torch.arange(5))).square().sum().backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= 0.1 * parameter.grad
    for each in (model.state_dict(), lambda: dict(model.named_parameters(remove_duplicate=False))):
        assert Monitor(each, every=1, budget=None, k=3).step(1) is not None
    monitor.step(2)
    assert monitor.decision["analysed"] == ["embed_tokens.weight", "lm_head.bias"]
    assert monitor.decision["unchanged"] == ["up_proj.weight", "up_proj.bias"]
    with torch.no_grad():
        model["embed_tokens"].weight[3, 3] = torch.nan
    rows = {row["name"]: row for row in monitor.step(3) or ()}
    assert rows["embed_tokens.weight"]["status"] == "failed"
    assert "NaN" in rows["embed_tokens.weight"]["reason"]


def test_shards_are_refused_or_named() -> None:
    torch = pytest.importorskip("torch")

    class FullyShardedDataParallel(torch.nn.Linear):  # type: ignore[misc, name-defined]
        """A module by that name."""

    class Named(FullyShardedDataParallel):
        """A module of a class of its own."""

    class DTensor(torch.Tensor):  # type: ignore[misc, name-defined]
        """A tensor that has a part of its numbers here."""

    for kind in (FullyShardedDataParallel, Named):
        with pytest.raises(
            ValueError, match=f"a {kind.__name__} holds flat shards .*; pass a func"
        ):
            Monitor(torch.nn.Sequential(kind(3, 2)))
    empty = torch.nn.Linear(3, 2)
    empty.weight.data = torch.empty(0)
    empty.weight.ds_id = 0
    with pytest.raises(ValueError, match=r"weight is partitioned by ZeRO and empty in .*; pass"):
        Monitor(empty)
    named = {"w": torch.ones(3, 2).as_subclass(DTensor), "v": torch.ones(3, 2)}
    first, second = Monitor(named, every=1, budget=None).step(1) or ()
    assert first["name"] == "w"
    assert "convert it to a plain Tensor" in first["reason"]
    assert second["status"] == "analysed"


# --------------------------------------------------------------------------------------- devices


class _Device:
    """An array that NumPy cannot read, as those of CuPy on a GPU, and counts what leaves it."""

    copied = 0

    def __init__(self, host: Any) -> None:
        self.host = host
        self.dtype, self.shape, self.nbytes = host.dtype, host.shape, host.nbytes
        self.data = SimpleNamespace(ptr=host.ctypes.data)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def __getitem__(self, key: Any) -> _Device:
        return _Device(self.host[key])

    def reshape(self, *shape: int) -> _Device:
        return _Device(self.host.reshape(*shape))

    def view(self, dtype: Any) -> _Device:
        return _Device(self.host.view(dtype))

    def get(self) -> Any:
        _Device.copied += self.nbytes
        return self.host.copy()


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("cupy")
    module.ascontiguousarray = lambda x: _Device(np.ascontiguousarray(x.host))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setattr(_Device, "__module__", "cupy")
    monkeypatch.setattr(_Device, "copied", 0)


@pytest.mark.usefixtures("cupy")
def test_arrays_on_a_device_are_copied_when_they_are_analysed() -> None:
    hosts = weights() | {
        "layers.0.mlp.experts": normal(3, 6, 5).astype(np.float32),
        "layers.0.self_attn.o_proj.weight": normal(9, 7)[::2, ::-1],
        "layers.0.input_layernorm.weight": normal(5).astype(np.float16),
    }
    model = {name: _Device(x) for name, x in hosts.items()}
    model["lm_head.weight"] = model[UP.format(0)]
    monitor = Monitor(model, every=1, budget=None, k=3)
    assert _Device.copied == 0
    rows = monitor.step(1)
    assert _Device.copied < 2 * sum(x.nbytes for x in hosts.values())
    hosts["lm_head.weight"] = hosts[UP.format(0)]
    expected = {row["name"]: row for row in without(ss.scan(hosts, k=3))}
    assert {row["name"]: row for row in without(rows)} == expected
    assert expected["lm_head.weight"]["reason"] == f"shares storage with {UP.format(0)}"
    hosts[DOWN.format(1)][0, 0] += 1
    monitor.step(2)
    assert monitor.decision["analysed"] == [DOWN.format(1)]


@pytest.mark.usefixtures("cupy")
def test_a_copy_that_does_not_fit_is_not_made() -> None:
    monitor = Monitor({"w": _Device(normal(400, 400))}, every=1, budget=None, memory_limit="1MB")
    (row,) = monitor.step(1) or ()
    assert _Device.copied == 0
    assert "its copy on the host does not fit into memory_limit" in row["reason"]


def test_parts_of_tensors_of_torch_are_copied() -> None:
    """The class for devices, on tensors of the host, since there is no other device."""
    torch = pytest.importorskip("torch")
    from sigmascope.matrices.array_libraries import library_of

    numbers = torch.from_numpy(normal(3, 6, 5))
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        for x in (numbers.to(dtype), numbers.to(dtype).transpose(0, 2)):
            library = library_of(x)
            assert library is not None
            stored = DeviceBytes(x, library)
            for i, matrix in enumerate(ss.open_checkpoint({"w": stored}).values()):
                np.testing.assert_array_equal(np.asarray(matrix, np.float64), x[i].double().numpy())


# ------------------------------------------------------------------------- models without roles


def modules() -> dict[str, Any]:
    torch = pytest.importorskip("torch")
    nn = torch.nn
    return {
        "perceptron": nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 5)),
        "convolutions": nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Conv2d(6, 4, 1)),
        "blocks": nn.ModuleDict(
            {"layers": nn.ModuleList([nn.Sequential(nn.Linear(6, 6), nn.Tanh()) for _ in range(2)])}
        ),
        "one layer": nn.Linear(7, 5),
        "recurrent": nn.LSTM(5, 6),
    }


@pytest.mark.parametrize("kind", modules())
def test_models_without_roles_are_followed_by_name(kind: str, tmp_path: Path) -> None:
    """No tensor is lost in silence: it is in the trajectory, or named among those left out."""
    model, path = modules()[kind], tmp_path / "run.jsonl"
    monitor = Monitor(model, every=10, budget=None, out=path)
    rows = [row for step in (0, 10, 20) for row in monitor.step(step) or ()]
    read = {row["name"] for row in rows if row["status"] in ("analysed", "entrywise")}
    assert read == {row["role"] for row in monitor.trajectory} | {*monitor.decision["left_out"]}
    assert read >= {name for name, _ in model.named_parameters()}
    assert monitor.trajectory.steps == (0, 10, 20)
    for command in ("show", "trajectory"):
        status, text, _ = invoke(command, path)
        assert status == 0
        assert all(row["role"] in text for row in monitor.trajectory)


def test_what_has_no_value_is_named() -> None:
    bad = normal(4, 3)
    bad[0, 0] = np.nan
    model = {"0.weight": normal(6, 5), "0.bias": normal(6), "bad": bad}
    monitor = Monitor(model, every=1, budget=None, measures="stable_rank")
    monitor.step(1)
    assert [row["role"] for row in monitor.trajectory] == ["0.weight"]
    assert set(monitor.decision["left_out"]) == {"0.bias", "bad"}
