# SPDX-License-Identifier: BSD-3-Clause
"""A process for every measurement: its protocol, its end, and the memory it counts."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sigmascope.bench import Backend, BenchmarkPlan, select, synthetic
from sigmascope.bench.comparing import stage
from sigmascope.bench.machine import (
    THREAD_VARIABLES,
    chosen_cores,
    describe,
    physical_cores,
    thread_environment,
)
from sigmascope.bench.memory import AddedMemory
from sigmascope.bench.processes import run_worker
from sigmascope.bench.solvers import Answer, Source
from sigmascope.bench.worker import BackendTask

STRANGE = """
import dataclasses, os, time
from sigmascope.bench import backends

numpy = next(backend for backend in backends.BACKENDS if backend.name == "numpy")

def solve(source, k, seed, **setting):
    if setting:
        {act}
    return numpy.solve(source, k, seed)

backends.BACKENDS = (dataclasses.replace(numpy, solve=solve),)
"""
"""A library whose second setting misbehaves."""


PATIENCE = 600
"""Seconds in which a process surely ends, on a machine that is busy with ten others too."""


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    plan = BenchmarkPlan(k=4, accuracies=[1e-2, 1e-12])
    return stage(synthetic("decay", 60, 40), plan, 0, tmp_path / "a.npy")


@pytest.fixture
def cores() -> list[int]:
    return chosen_cores(1)


def strange(act: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Backend:
    (tmp_path / "strange.py").write_text(STRANGE.format(act=act), encoding="utf-8")
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    return replace(select(["numpy"])[0], module="strange")


def test_what_a_climb_reports(job: dict[str, Any], cores: list[int]) -> None:
    found = run_worker(
        select(["numpy"])[0], {**job, "kind": "climb"}, cores=cores, timeout=PATIENCE
    )
    assert (found.status, found.message) == ("done", "")
    assert found.every("import_seconds")[0] > 0
    single, double = found.every("rung")
    assert (single["setting"], double["setting"]) == ({}, {"dtype": "float64"})
    assert 1e-9 < single["error"] < 1e-4
    assert double["error"] < 1e-12
    assert single["seconds"] > 0


def test_what_is_timed_is_checked(job: dict[str, Any], cores: list[int]) -> None:
    asked = {**job, "kind": "time", "settings": [{}, {"dtype": "float64"}], "seed": 1}
    numpy = select(["numpy"])[0]
    found = run_worker(numpy, {**asked, "seconds": 0.0}, cores=cores, timeout=PATIENCE)
    runs = {line["number"]: line for line in found.lines if "number" in line}
    assert list(runs) == [1, 0]  # an odd turn goes backwards
    assert runs[0]["residual"] > 1e-9 > runs[1]["residual"]
    assert len(runs[0]["seconds"]) == len(runs[0]["busy"]) == 5
    assert runs[0]["message"] == ""


def test_a_check_takes_the_fastest_that_holds(job: dict[str, Any], cores: list[int]) -> None:
    settings = [{}, {"dtype": "float64"}]
    asked = {
        **job,
        "kind": "check",
        "turns": 2,
        "candidates": [[1e-2, settings], [1e-12, settings]],
    }
    found = run_worker(select(["numpy"])[0], asked, cores=cores, timeout=PATIENCE)
    assert [line for line in found.lines if "accuracy" in line] == [
        {"accuracy": 1e-2, "setting": {}},
        {"accuracy": 1e-12, "setting": {"dtype": "float64"}},
    ]
    hopeless = {**job, "kind": "check", "turns": 2, "candidates": [[1e-30, settings]]}
    found = run_worker(select(["numpy"])[0], hopeless, cores=cores, timeout=PATIENCE)
    assert found.lines[-1] == {"accuracy": 1e-30, "setting": {"dtype": "float64"}}


@pytest.mark.parametrize(
    ("act", "message"),
    [
        ("os.abort()", "killed by SIGABRT"),
        ("os._exit(3)", "exit status 3"),
        ("raise SystemExit('out of luck')", "out of luck"),
    ],
)
def test_a_bad_end_keeps_what_was_found(
    act: str,
    message: str,
    job: dict[str, Any],
    cores: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backend = strange(act, tmp_path, monkeypatch)
    found = run_worker(backend, {**job, "kind": "climb"}, cores=cores, timeout=PATIENCE)
    assert (found.status, found.message) == ("crashed", message)
    assert [rung["setting"] for rung in found.every("rung")] == [{}]


def test_what_does_not_end_keeps_what_was_found(
    job: dict[str, Any], cores: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long a busy machine takes to the first rung: that one ends, the next does not."""
    backend = strange(f"time.sleep({10 * PATIENCE})", tmp_path, monkeypatch)
    timeout = 3
    while True:
        found = run_worker(backend, {**job, "kind": "climb"}, cores=cores, timeout=timeout)
        assert found.status == "did not finish"
        assert found.message == f"did not finish in {timeout} s"
        if found.every("rung") or timeout > PATIENCE:
            break
        timeout *= 4
    assert [rung["setting"] for rung in found.every("rung")] == [{}]


def test_a_failing_setting_is_one_rung(
    job: dict[str, Any], cores: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = strange("raise ArithmeticError('no  ' + chr(10) + ' luck')", tmp_path, monkeypatch)
    found = run_worker(backend, {**job, "kind": "climb"}, cores=cores, timeout=PATIENCE)
    assert found.status == "done"
    assert found.every("rung")[1]["message"] == "ArithmeticError: no luck"


def test_a_library_that_cannot_be_imported(cores: list[int], job: dict[str, Any]) -> None:
    backend = replace(select(["numpy"])[0], module="surely_not_there")
    found = run_worker(backend, {**job, "kind": "climb"}, cores=cores, timeout=PATIENCE)
    assert found.status == "crashed"
    assert found.message == "ModuleNotFoundError: No module named 'surely_not_there'"
    assert found.lines == []


def test_threads_are_pinned(
    cores: list[int], job: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = "os.environ['OPENBLAS_NUM_THREADS'], len(os.sched_getaffinity(0))"
    backend = strange(f"raise ValueError({told})", tmp_path, monkeypatch)
    found = run_worker(backend, {**job, "kind": "climb"}, cores=cores, timeout=PATIENCE)
    assert found.every("rung")[1]["message"] == "ValueError: ('1', 1)"


def test_an_answer_that_lacks_values_has_no_accuracy(job: dict[str, Any]) -> None:
    numpy = select(["numpy"])[0]

    def fewer(source: Source, k: int, seed: int, **setting: Any) -> Answer:
        return numpy.solve(source, k - 1, seed, dtype="float64")

    rungs: list[dict[str, Any]] = []
    BackendTask(replace(numpy, solve=fewer), {**job, "threads": 1}).climb(
        lambda line: rungs.append(line["rung"])
    )
    assert [rung["error"] for rung in rungs] == [float("inf")] * 2


# ------------------------------------------------------------------------------- the machine


def test_environment_names_the_threads_of_every_library() -> None:
    environment = thread_environment(3)
    assert {environment[name] for name in THREAD_VARIABLES} == {"3"}
    assert (
        environment.items() >= {k: v for k, v in os.environ.items() if "THREADS" not in k}.items()
    )


def test_cores() -> None:
    mine = physical_cores(os.sched_getaffinity(0))
    assert chosen_cores(None) == chosen_cores(10**6) == mine
    assert chosen_cores(1) == mine[:1]


def test_description_has_versions_and_no_host_name() -> None:
    found = describe(1, ["surely-not-there", "numpy"])
    assert found["versions"]["numpy"] == np.__version__
    assert "surely-not-there" not in found["versions"]
    assert os.uname().nodename not in str(found)


@pytest.mark.unsanitized
def test_memory_is_the_peak_above_the_level_before() -> None:
    warm = np.ones(2**22)
    del warm
    added = AddedMemory()
    block = np.ones(2**23)  # 64 MiB
    del block
    small = np.ones(2**10)
    assert added.bytes() == pytest.approx(2**26, rel=0.1)
    again = AddedMemory()  # what was freed does not count again
    block = np.ones(2**22)
    assert again.bytes() == pytest.approx(2**25, rel=0.1)
    assert small.sum() + block.sum() == 2**10 + 2**22
