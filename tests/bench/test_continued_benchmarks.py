# SPDX-License-Identifier: BSD-3-Clause
"""Benchmarks that are stopped and continued, and what is said of times that cannot be trusted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.benchmark_processes import (
    Job,
    Lines,
    Processes,
    comparison_record,
    entry_record,
    printed,
    timed,
    timing_record,
)
from tests.support.command_line import invoke

from sigmascope.bench import (
    BackendComparison,
    BenchmarkPlan,
    ProcessJournal,
    compare,
    select,
    synthetic,
)

OPTIONS = ["bench", "--shape", "30x20", "-k", "2", "--threads", "1", "--turns", "2"]
OPTIONS += ["--accuracy", "1e-2", "--backends", "ours,numpy"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def finished(job: Job) -> Lines:
    """Reports of the processes of these benchmarks."""
    setting = {"tol": 1e-3}
    lines: dict[str, Lines] = {
        "probe": [{"can": {"tells": True}, "device": ""}],
        "climb": [{"rung": {"setting": setting, "seconds": 0.5, "error": 1e-4}}],
        "check": [{"accuracy": 1e-2, "setting": setting}],
        "time": [{"import_seconds": 0.1}, {"number": 0, **timed()}],
    }
    return lines[job["kind"]]


def comparison_of(path: Path, plan: BenchmarkPlan) -> tuple[BackendComparison, ProcessJournal]:
    kept = ProcessJournal(path)
    chosen = select(["ours", "numpy"])
    workload = synthetic("decay", 30, 20)
    return compare(workload, replace(plan, run=kept.run), chosen), kept


PLAN = BenchmarkPlan(k=2, accuracies=[1e-2], turns=2, threads=1)


@pytest.mark.parametrize("stop", range(14))
def test_a_stopped_benchmark_goes_on(
    stop: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped at any process, it measures each once in all, and ends with the same record."""
    path, whole = tmp_path / "x.jsonl", Processes(monkeypatch, finished)
    expected, _ = comparison_of(tmp_path / "whole.jsonl", PLAN)
    assert len(whole.jobs) == 15  # 3 backends, each probed, climbed, checked, and timed twice
    first = Processes(monkeypatch, finished, stop)
    with pytest.raises(KeyboardInterrupt):
        comparison_of(path, PLAN)
    assert len(path.read_text().splitlines()) == stop == len(first.jobs)
    with open(path, "a") as file:
        file.write('{"backend": "ou')  # a line that a kill cut off
    second = Processes(monkeypatch, finished)
    again, kept = comparison_of(path, PLAN)
    assert first.steps + second.steps == whole.steps
    assert (kept.reused, kept.added) == (stop, 15 - stop)
    names = [entry.name for entry in expected.entries]
    assert [entry.name for entry in again.entries] == names
    assert [len(t.seconds) for e in again.entries for t in e.timings] == [2] * len(names)


@pytest.mark.parametrize(
    "change", [{"k": 3}, {"seed": 5}, {"turns": 3}, {"accuracies": [0.5]}], ids="+".join
)
def test_another_benchmark_takes_nothing_that_is_not_its_own(
    change: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, processes = tmp_path / "x.jsonl", Processes(monkeypatch, finished)
    comparison_of(path, PLAN)
    before = len(processes.jobs)
    _, kept = comparison_of(path, replace(PLAN, **change))
    # Probes depend on none of these; with another turn the first two are the same.
    assert kept.reused <= (12 if "turns" in change else 3)
    assert len(processes.jobs) == before + kept.added
    _, same = comparison_of(path, PLAN)
    assert same.added == 0


def test_an_outcome_of_another_version_processor_or_number_of_threads_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Processes(monkeypatch, finished)
    kept = ProcessJournal(tmp_path / "x.jsonl")
    (backend,) = select(["numpy"])

    def added(cores: list[int]) -> int:
        before = kept.added
        kept.run(backend, {"kind": "probe"}, cores=cores, timeout=9.0)
        return kept.added - before

    assert [added([0]), added([1]), added([0, 1]), added([0, 1])] == [1, 0, 1, 0]
    read = Path.read_text

    def read_of_another(path: Path, **how: Any) -> str:
        return "model name : another" if path == Path("/proc/cpuinfo") else read(path, **how)

    monkeypatch.setattr(Path, "read_text", read_of_another)
    assert [added([0]), added([0])] == [1, 0]
    monkeypatch.setattr(type(backend), "version", "0.1")
    assert [added([0]), added([0])] == [1, 0]


def test_settings_are_not_chosen_on_the_matrix_on_which_they_are_timed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    processes, contents = Processes(monkeypatch, finished), dict[str, set[str]]()
    compare(synthetic("decay", 30, 20), PLAN, select(["numpy"]))
    for job in processes.jobs:
        contents.setdefault(job["kind"], set()).add(job.get("content", ""))
    assert len(contents["time"]) == 1
    assert contents["check"] == contents["time"] != contents["climb"]


def test_a_process_that_ran_out_of_time_gets_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = ProcessJournal(tmp_path / "x.jsonl")
    (backend,) = select(["numpy"])
    ends: Iterator[Lines | None] = iter([None, []])
    Processes(monkeypatch, lambda job: next(ends))
    for timeout, status in ((5.0, "did not finish"), (5.0, "did not finish"), (9.0, "done")):
        assert kept.run(backend, {"kind": "climb"}, cores=[0], timeout=timeout).status == status


def test_the_command_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, out = tmp_path / "x.jsonl", tmp_path / "x.json"
    arguments = [*OPTIONS, "--resume", str(path), "--json", str(out)]
    monkeypatch.setattr("sys.argv", ["sigmascope", *arguments])
    Processes(monkeypatch, finished, 4)
    status, _, err = invoke(*arguments)
    assert status == 130
    assert "To continue, run:" in err
    assert f"--resume {path}" in err
    processes = Processes(monkeypatch, finished)
    status, _, err = invoke(*arguments)
    assert status == 0, err
    assert len(processes.jobs) == 11
    assert len(json.loads(out.read_text())["entries"]) == 3


@pytest.mark.parametrize("more", [[], ["--growth"]], ids=["comparison", "growth"])
def test_the_matrices_of_the_command_are_made_from_its_seed(
    more: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Processes(monkeypatch, finished)
    for seed, options in ((0, []), (7, ["--seed", "7"])):
        paths = ["--resume", str(tmp_path / f"{seed}.jsonl"), "--json", str(tmp_path / "x.json")]
        status, _, err = invoke(*OPTIONS, *more, *options, *paths, "--quiet")
        assert status == 0, err
        assert json.loads((tmp_path / "x.json").read_text())["seed"] == seed


def test_a_file_of_something_else_stays_as_it_is(tmp_path: Path) -> None:
    for text in ('{"a": 1}\n', "[1]\n", "words\n"):
        (tmp_path / "x.jsonl").write_text(text)
        with pytest.raises(
            ValueError, match=r"x\.jsonl: line 1 does not describe a process of a benchmark"
        ):
            ProcessJournal(tmp_path / "x.jsonl")
        assert (tmp_path / "x.jsonl").read_text() == text
    with pytest.raises(ValueError, match=r"resumed from a \.jsonl, not '\.json'"):
        ProcessJournal(tmp_path / "x.json")


def test_steps_are_counted_and_the_time_left_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Processes(monkeypatch, finished)
    texts: list[str] = []
    comparison_of(tmp_path / "x.jsonl", replace(PLAN, tell=texts.append))
    numbers = [text.split(" of ")[0] for text in texts]
    assert numbers == [str(i) for i in range(1, len(texts) + 1)]
    assert {text.split(" of ")[1].split(",")[0].split(":")[0] for text in texts} == {"14"}
    assert all(" left: " in text for text in texts[2:])


@pytest.mark.parametrize(
    ("tried", "turns", "said"),
    [(0.4, 3, False), (0.03, 3, True), (0.4, 1, True), (1e-5, 3, True)],
    ids=["as tried", "13 times as long", "one turn", "far longer"],
)
def test_times_that_cannot_be_trusted(
    tried: float, turns: int, said: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung = {"setting": {"n": 2}, "seconds": tried, "error": 1e-4, "message": ""}
    timing = timing_record([0.1], seconds=[0.4] * turns)
    record = comparison_record([entry_record(rungs=[rung], timings=[timing])], turns=turns)
    text = printed(record, tmp_path, monkeypatch)
    remarks = text.partition("Settings, and their")[2].partition("\n\n")[2]
    assert ("do not trust the time" in remarks) == (tried < 0.04)
    assert ("One turn" in remarks) == (turns == 1)
    assert said == bool(remarks.strip())
