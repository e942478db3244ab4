# SPDX-License-Identifier: BSD-3-Clause
"""`sigmascope bench` as its users meet it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.benchmark_processes import (
    Processes,
    comparison_record,
    entry_record,
    printed,
    reports,
    run_here,
    timing_record,
)
from tests.support.checkpoints import of_array, write_file
from tests.support.command_line import assert_defaults_are_those_of, commands, invoke

from sigmascope.bench import BACKENDS, BenchmarkPlan, select


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of singular values for each test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_tensor_of_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_here(monkeypatch)
    weight = np.random.default_rng(0).standard_normal((40, 30)).astype(np.float32)
    path = write_file(tmp_path / "m.safetensors", of_array("up.weight", "F32", weight))
    out, plot = tmp_path / "x.json", tmp_path / "x.svg"
    options = ["--tensor", "up.weight", "-k", 3, "--accuracy", "1e-2", "--turns", 1]
    options += ["--threads", 1, "--backends", "ours,numpy", "--json", out, "--plot", plot]
    status, text, progress = invoke("bench", path, *options)
    assert status == 0, progress
    assert "up.weight, 40 x 30, float32, k = 3" in text
    assert "turn 1 of 1: numpy.linalg.svd" in progress
    record = json.loads(out.read_text(encoding="utf-8"))
    assert [entry["name"] for entry in record["entries"]] == ["ours", "ours-file", "numpy"]
    assert not record["checked_on_another_matrix"]
    assert record["seed"] is None  # the matrix is given
    assert plot.read_bytes().startswith(b"<?xml")
    assert plot.stat().st_size > 1000
    assert invoke("show", out) == (0, text, "")


@pytest.mark.parametrize(
    ("suffix", "start"),
    [
        pytest.param(".png", b"\x89PNG", id="png"),
        pytest.param(".pdf", b"%PDF", id="pdf", marks=pytest.mark.slow),
    ],
)
def test_a_plot_has_the_format_of_its_suffix(
    suffix: str, start: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung = {"setting": {}, "seconds": 0.5, "error": 1e-3}
    Processes(monkeypatch, reports(lambda job: [rung], lambda job: [{}]))
    options = ["--shape", "30x20", "-k", 2, "--turns", 1, "--backends", "numpy", "--quiet"]
    plot = tmp_path / f"x{suffix}"
    assert invoke("bench", *options, "--plot", plot)[0] == 0
    assert plot.read_bytes().startswith(start)


def test_a_process_that_does_not_finish_is_status_1() -> None:
    options = ["--shape", "30x20", "-k", 2, "--timeout", "0.01", "--backends", "numpy", "--quiet"]
    status, text, progress = invoke("bench", *options)
    assert (status, progress) == (1, "")
    assert "did not finish in 0.01 s" in text


def test_list() -> None:
    status, text, _ = invoke("bench", "--list")
    assert status == 0
    for backend in BACKENDS:
        line = next(line for line in text.splitlines() if line.split()[0] == backend.name)
        assert backend.title in line
        assert backend.installed or backend.install in line
        assert backend.absence[1] in line


def test_backends_without_a_device_are_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each says what it lacks, which does not count as a failure. `all` leaves them out."""
    for library in {type(b.library): b.library for b in BACKENDS if b.library}.values():
        monkeypatch.setattr(library, "missing", lambda: "no driver; install one")
    options = ["--shape", "30x20", "-k", 2, "--threads", 1, "--quiet"]
    status, text, _ = invoke("bench", *options, "--backends", "cuda")
    assert status == 0
    for backend in select(["cuda"]):
        reason = "no device; no driver; install one"
        if not backend.installed:
            reason = f"not installed; {backend.install}"
        assert f"{backend.title}: {reason}" in text
    assert not [b for b in select(["all"]) if b.library]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.npy"], "nowhere.npy: No such file or directory"),
        (["--backends", "jax"], "unknown backend 'jax'; known: cuda, cuml, cupy"),
        (["--shape", "4096"], "shape '4096' is not of the form MxN, such as 4096x11008"),
        (["--spectrum", "steep"], "unknown spectrum 'steep'; known: llm, decay"),
        (["--dtype", "int8"], "unknown dtype 'int8'"),
        (["--accuracy", "high"], "accuracy 'high' is not a list of numbers such as 1e-2,1e-3"),
        (["--accuracy", "3"], "accuracies must lie between 0 and 1"),
        (["--shape", "20x10", "-k", "11"], "k = 11 > min(m, n) = 10"),
        (["--tensor", "x"], "--tensor needs MATRIX"),
        (["--plot", "x.gif"], "x.gif: a plot is saved as .png, .svg or .pdf"),
        (["--json", "no/x.json"], "no/x.json: No such file or directory"),
        (["{file}", "--shape", "4x4"], "--shape and --spectrum are for synthetic matrices"),
        (["{file}", "--growth"], "--growth makes its own matrices"),
        (["--growth", "--plot", "x.png"], "--plot is for comparisons"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    np.save(tmp_path / "a.npy", np.eye(4))
    filled = [argument.format(file=tmp_path / "a.npy") for argument in arguments]
    status, out, err = invoke("bench", "--quiet", *filled)
    assert (status, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_options_have_the_defaults_of_the_library() -> None:
    command = commands()["bench"]
    (option,) = (o for o in command.params if o.name == "accuracy")
    assert tuple(map(float, option.default.split(","))) == BenchmarkPlan().accuracies
    assert_defaults_are_those_of([BenchmarkPlan], command, {})


def growth_record(**parts: Any) -> dict[str, Any]:
    """Return the record of a growing matrix, with these parts."""
    times = {10: [0.5, 0.6], 20: [1.0, 1.2]}
    points = [
        {"shape": [n, n], "stored": 4 * n * n, "timing": timing_record([1e-3], seconds=seconds)}
        for n, seconds in times.items()
    ]
    line = {"series": "rows", "backend": "ours", "points": points}
    machine = {"processor": "P", "threads": 2, "cores": 2, "load_average": 0.0}
    whole = {"schema": 1, "kind": "growth", "spectrum": "llm", "dtype": "float32", "k": 4}
    whole |= {"tol": 1e-3, "turns": 2, "machine": machine, "lines": [line], "seed": 7}
    return whole | parts


def test_benchmarks_are_printed_from_their_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number that is infinite is null in JSON, and no number here."""
    figures = {"seconds": [0.5, 0.6], "peaks": [10**6], "errors": [1e-4, None]}
    timing = timing_record([1e-3], **figures, residuals=[1e-5])
    never = {"setting": {"n": 1}, "seconds": None, "error": None, "message": "ValueError: no"}
    entries = [entry_record("a", timings=[timing]), entry_record("b", rungs=[never])]
    text = printed(comparison_record(entries, [1e-3]), tmp_path, monkeypatch)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "A missed: inf 1 1.0" in lines
    assert "A n=2 0.001 inf 1.0e-05 1 0.55" in lines
    assert "B: ValueError: no" in lines
    text = printed(growth_record(), tmp_path, monkeypatch)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "llm, float32, tol = 0.001, k = 4" in lines
    assert "10 x 10 0.0004 0.55 (0.525-0.575) ?" in lines
    assert "20 x 20 0.0016 1.1 (1.05-1.15) ?" in lines
    assert "log-log slope over m n: time 0.50, memory added nan" in lines


@pytest.mark.parametrize(
    ("parts", "message"),
    [({"schema": 9}, "benchmark version 9"), ({"lines": [{}]}, "incomplete")],
    ids=["of another version", "without its points"],
)
def test_a_benchmark_that_cannot_be_read_is_named(
    parts: dict[str, Any], message: str, tmp_path: Path
) -> None:
    file = tmp_path / "x.json"
    file.write_text(json.dumps(growth_record(**parts)), encoding="utf-8")
    status, out, err = invoke("show", file)
    assert (status, out) == (2, "")
    assert message in err
