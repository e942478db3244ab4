# SPDX-License-Identifier: BSD-3-Clause
"""A process for every measurement: its protocol, its end, and the memory it counts."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.benchmark_processes import Processes, reports, run_here

from sigmascope.bench import Backend, BenchmarkPlan, compare, select, synthetic
from sigmascope.bench.backend import Answer
from sigmascope.bench.solvers import Source

STRANGE = """
import dataclasses, os, time
import numpy as np
from sigmascope.bench import backends

numpy = next(backend for backend in backends.BACKENDS if backend.name == "numpy")

def solve(source, k, seed, n=0):
    {act}
    return numpy.solve(source, k, seed)

def ladders(k):
    return [[{{}}, {{"n": 1}}, {{"n": 2}}, {{"n": 3}}]]

backends.BACKENDS = (dataclasses.replace(numpy, solve=solve, ladders=ladders),)
"""
"""A library whose settings but the first misbehave."""

PATIENCE = 600
"""Seconds in which a process surely ends, on a machine that is busy with ten others too."""

THREADS = ["OMP", "OPENBLAS", "MKL", "BLIS", "NUMEXPR"]
"""Libraries that take their number of threads from a variable."""

RUN = BenchmarkPlan().run
"""The function that runs a job in a process of its own."""

FIRST = min(os.sched_getaffinity(0))


def run(backend: Backend, job: dict[str, Any], timeout: float = PATIENCE) -> Any:
    return RUN(backend, job, cores=[FIRST], timeout=timeout)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The job of finding 4 values of a matrix in float32, whose kind is still to be named."""
    folder = tmp_path_factory.mktemp("job")
    A = synthetic("decay", 60, 40).make(0)
    paths = {name: folder / f"{name}.npy" for name in ("matrix", "reference")}
    np.save(paths["matrix"], A)
    np.save(paths["reference"], np.linalg.svd(A.astype(np.float64), compute_uv=False))
    how = {"dtype": "float32", "k": 4, "accuracies": [1e-2, 1e-12], "shape": [60, 40]}
    return {name: str(path) for name, path in paths.items()} | how


def strange(act: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """Return a backend whose process does this, too, before it answers."""
    (folder / "strange.py").write_text(STRANGE.format(act=act), encoding="utf-8")
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    return replace(select(["numpy"])[0], module="strange")


def test_what_a_climb_reports(job: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    run_here(monkeypatch)
    climb = run(select(["numpy"])[0], {**job, "kind": "climb"})
    assert (climb.status, climb.message) == ("done", "")
    assert climb.every("import_seconds")[0] > 0
    single, double = climb.every("rung")
    assert (single["setting"], double["setting"]) == ({}, {"dtype": "float64"})
    assert 1e-9 < single["error"] < 1e-4
    assert double["error"] < 1e-12
    assert single["seconds"] > 0


def test_what_is_timed_is_checked(job: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    run_here(monkeypatch)
    both = {"kind": "time", "settings": [{}, {"dtype": "float64"}], "seed": 1, "seconds": 0.0}
    done = run(select(["numpy"])[0], {**job, **both})
    runs = {line["number"]: line for line in done.lines if "number" in line}
    assert list(runs) == [1, 0]  # an odd turn goes backwards
    assert runs[0]["residual"] > 1e-9 > runs[1]["residual"]
    assert len(runs[0]["seconds"]) == len(runs[0]["busy"]) == 5
    assert runs[0]["message"] == ""


def test_a_check_takes_the_fastest_that_holds(
    job: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where none does, it takes the one that comes closest."""
    run_here(monkeypatch)
    settings: list[dict[str, Any]] = [{}, {"dtype": "float64"}]
    candidates = [[accuracy, settings] for accuracy in (1e-2, 1e-12, 1e-30)]
    check = {**job, "kind": "check", "turns": 2, "candidates": candidates}
    done = run(select(["numpy"])[0], check)
    assert [line for line in done.lines if "accuracy" in line] == [
        {"accuracy": 1e-2, "setting": {}},
        {"accuracy": 1e-12, "setting": {"dtype": "float64"}},
        {"accuracy": 1e-30, "setting": {"dtype": "float64"}},
    ]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        pytest.param("os.abort()", "killed by SIGABRT", id="signal"),
        pytest.param("os._exit(3)", "exit status 3", id="status", marks=pytest.mark.slow),
        pytest.param(
            "raise SystemExit('out of luck')", "out of luck", id="text", marks=pytest.mark.slow
        ),
    ],
)
def test_a_bad_end_keeps_what_was_found(
    act: str,
    message: str,
    job: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backend = strange(f"if n: {act}", tmp_path, monkeypatch)
    climb = run(backend, {**job, "kind": "climb"})
    assert (climb.status, climb.message) == ("crashed", message)
    assert [rung["setting"] for rung in climb.every("rung")] == [{}]


@pytest.mark.slow
def test_what_does_not_end_keeps_what_was_found(
    job: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long a busy machine takes to the first rung: that one ends, the next does not."""
    backend = strange(f"if n: time.sleep({10 * PATIENCE})", tmp_path, monkeypatch)
    timeout = 2
    while True:
        climb = run(backend, {**job, "kind": "climb"}, timeout)
        assert climb.status == "did not finish"
        assert climb.message == f"did not finish in {timeout} s"
        if climb.every("rung") or timeout > PATIENCE:
            break
        timeout *= 4
    assert [rung["setting"] for rung in climb.every("rung")] == [{}]


def test_a_library_that_cannot_be_imported(job: dict[str, Any]) -> None:
    backend = replace(select(["numpy"])[0], module="surely_not_there")
    climb = run(backend, {**job, "kind": "climb"})
    assert climb.status == "crashed"
    assert climb.message == "ModuleNotFoundError: No module named 'surely_not_there'"
    assert climb.lines == []


THREE_WAYS = f"""if n == 1: raise ArithmeticError('no  ' + chr(10) + ' luck')
    if n == 2:
        threads = {{os.environ[f"{{name}}_NUM_THREADS"] for name in {THREADS}}}
        raise ValueError(threads, os.sched_getaffinity(0))
    if n == 3: return numpy.solve(source, k - 1, seed, dtype="float64")"""


@pytest.fixture(scope="module")
def rungs(job: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Outcomes of a good setting, of two that fail, and of one whose answer lacks a value."""
    with pytest.MonkeyPatch.context() as patch:
        backend = strange(THREE_WAYS, tmp_path_factory.mktemp("strange"), patch)
        climb = run(backend, {**job, "kind": "climb"})
    assert (climb.status, climb.message) == ("done", "")
    return climb.every("rung")


def test_a_failing_setting_is_one_rung(rungs: list[dict[str, Any]]) -> None:
    assert [rung["setting"] for rung in rungs] == [{}, {"n": 1}, {"n": 2}, {"n": 3}]
    assert rungs[1]["message"] == "ArithmeticError: no luck"
    assert rungs[1]["error"] == rungs[1]["seconds"] == float("inf")


def test_threads_are_pinned(rungs: list[dict[str, Any]]) -> None:
    assert rungs[2]["message"] == f"ValueError: ({{'1'}}, {{{FIRST}}})"


def test_an_answer_that_lacks_values_has_no_accuracy(rungs: list[dict[str, Any]]) -> None:
    assert rungs[0]["error"] < 1e-4
    assert (rungs[3]["error"], rungs[3]["message"]) == (float("inf"), "")


@pytest.mark.slow
@pytest.mark.unsanitized
def test_memory_is_the_peak_above_the_level_before(
    job: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory that a run has freed does not count again."""
    act = "kept = np.ones(2**20); block = np.ones((2 + 2 * n) * 2**20); del block"
    backend = strange(act, tmp_path, monkeypatch)
    settings = {"settings": [{"n": 3}, {"n": 1}], "seed": 0, "seconds": 0.0}
    done = run(backend, {**job, "kind": "time", **settings})
    peaks = [line["peak"] for line in done.lines if "peak" in line]
    assert peaks == pytest.approx([2**26 + 2**23, 2**25 + 2**23], rel=0.1)


@pytest.mark.unsanitized
def test_the_peak_of_a_run_is_in_its_result(
    job: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first run of a setting that counts takes 64 MiB, the later ones take half of it."""
    numpy = select(["numpy"])[0]
    calls: list[float] = []

    def solve(source: Source, k: int, seed: int) -> Answer:
        calls.append(float(np.ones(2**23 if len(calls) < 2 else 2**22).sum()))
        return numpy.solve(source, k, seed)

    stand_in = (replace(numpy, solve=solve),)
    monkeypatch.setattr("sigmascope.bench.worker.known_backends", lambda: stand_in)
    run_here(monkeypatch)
    settings = {"settings": [{}], "seed": 0, "seconds": 0.0}
    done = run(numpy, {**job, "kind": "time", **settings})
    (peak,) = (line["peak"] for line in done.lines if "peak" in line)
    assert len(calls) > 2
    assert peak == pytest.approx(2**26, rel=0.1)


# ------------------------------------------------------------------------------- the machine


def test_cores() -> None:
    """One processor of each core, as many as are wanted, and at most all."""
    cores: dict[str, int] = {}
    for cpu in sorted(os.sched_getaffinity(0)):
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        cores.setdefault(siblings.read_text() if siblings.exists() else str(cpu), cpu)
    mine = list(cores.values())
    for threads, expected in ((None, mine), (10**6, mine), (1, mine[:1])):
        with pytest.raises(StopIteration) as stopped:
            compare(synthetic("decay", 9, 9), stopping(threads), select(["numpy"]))
        assert stopped.value.value == expected


def stopping(threads: int | None) -> BenchmarkPlan:
    """Return a plan whose first process ends it with the cores that it gets."""

    def stop(backend: Backend, job: dict[str, Any], *, cores: list[int], timeout: float) -> Any:
        raise StopIteration(cores)

    return BenchmarkPlan(k=3, threads=threads, run=stop)


def test_description_has_versions_and_no_host_name(monkeypatch: pytest.MonkeyPatch) -> None:
    Processes(monkeypatch, reports(lambda job: [], lambda job: []))
    numpy = select(["numpy"])[0]
    backends = [numpy, replace(numpy, distribution="surely-not-there")]
    machine = compare(synthetic("decay", 9, 9), BenchmarkPlan(k=3), backends).machine
    assert machine["versions"]["numpy"] == np.__version__
    assert "surely-not-there" not in machine["versions"]
    assert os.uname().nodename not in str(machine)
