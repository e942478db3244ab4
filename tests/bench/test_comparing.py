# SPDX-License-Identifier: BSD-3-Clause
"""Comparisons from one end to the other: records, table, plot, and the growth figure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.benchmark_processes import (
    Job,
    Lines,
    Processes,
    comparison_record,
    entry_record,
    printed,
    reports,
    run_here,
    timing_record,
)
from tests.support.command_line import invoke

from sigmascope.bench import (
    BACKENDS,
    Backend,
    BackendComparison,
    BenchmarkPlan,
    Growth,
    compare,
    given,
    grow,
    select,
    synthetic,
)

INF = float("inf")
PLAN = BenchmarkPlan(k=5, accuracies=[1e-3, 1e-1, 1e-15], turns=2, threads=1, seed=3)
WORKLOAD = synthetic("decay", 150, 120, "bf16")
COMPARED = ["ours", "numpy", "cupy"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of singular values for each test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackendComparison]:
    """A comparison whose processes ran in this one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        run_here(patch)
        yield compare(WORKLOAD, PLAN, select(COMPARED))


@pytest.mark.nightly
def test_every_backend_reaches_its_accuracies_in_processes_of_its_own() -> None:
    check_accuracies(compare(WORKLOAD, PLAN, select(COMPARED)))


def test_every_backend_reaches_its_accuracies(compared: BackendComparison) -> None:
    check_accuracies(compared)


def check_accuracies(compared: BackendComparison) -> None:
    """Check that every backend reached what can be reached, and what was measured of it."""
    assert compared.accuracies == [1e-1, 1e-3, 1e-15]
    assert (*compared.shape, compared.dtype) == (150, 120, "bfloat16")
    assert compared.checked_on_another_matrix
    for entry in compared.entries:
        if entry.status == "not installed":
            continue
        assert entry.status == "done", entry
        assert entry.stands(1e-1)
        assert entry.stands(1e-3)
        assert len(entry.import_seconds) == 2
        for timing in entry.timings:
            assert len(timing.seconds) == len(timing.busy) >= 2
            assert len(timing.errors) == len(timing.residuals) == 2
            assert timing.residual < 1
            low, high = timing.quartiles
            assert 0 < low <= timing.median <= high


def test_a_reshaped_matrix_has_its_own_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache of reference values tells apart two matrices of the same bytes."""
    run_here(monkeypatch)
    A = np.random.default_rng(0).standard_normal((60, 40))
    plan = BenchmarkPlan(k=3, accuracies=[1e-3], turns=1, threads=1)
    for name, shape in (("a", (60, 40)), ("b", (80, 30))):
        np.save(tmp_path / f"{name}.npy", A.reshape(shape))
        entries = compare(given(tmp_path / f"{name}.npy"), plan, select(["ours"])).entries
        assert all(entry.stands(1e-3) for entry in entries), shape


def test_a_library_that_is_missing_is_listed(
    compared: BackendComparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = compared.entries[-1]
    if entry.status != "not installed":
        pytest.skip("cupy is installed")
    text = printed(compared.record(), tmp_path, monkeypatch)
    assert "cupy.linalg.svd: not installed; pip install 'cupy-cuda13x[ctk]'" in text.splitlines()
    assert compared.limits == {}


def test_the_record_is_json_of_a_known_shape(compared: BackendComparison) -> None:
    record = json.loads(json.dumps(compared.record(), allow_nan=False))
    assert (record["schema"], record["kind"]) == (1, "comparison")
    assert {"workload", "shape", "dtype", "k", "accuracies", "turns", "machine"} <= record.keys()
    assert record["seed"] == 3  # of the matrix
    assert {"processor", "cores", "threads", "versions", "load_average"} <= record["machine"].keys()
    ours = record["entries"][0]
    assert ours["can"] == {
        "out_of_core": True,
        "error_bound": "every value",
        "stops_itself": True,
        "vectors": True,
        "bfloat16": "float32",
        "float16": "float32",
        "tells": True,
    }
    assert {"setting", "seconds", "error", "message"} == ours["rungs"][0].keys()
    figures = {"median", "quartiles", "processor_seconds", "peak", "error", "residual"}
    assert figures | {"accuracies", "setting", "seconds"} <= ours["timings"][0].keys()


@pytest.mark.parametrize("width", [60, 140])
def test_the_table_fits_and_names_all(
    compared: BackendComparison, width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = printed(compared.record(), tmp_path, monkeypatch, width)
    assert "decay, 150 x 120, bfloat16, k = 5" in text
    assert "Fastest to 0.1: " in text
    for title in ("sigmascope svds", "numpy.linalg.svd"):
        assert title[-12:] in text
    assert "as float32" in text or width == 60


def plotted(
    names: str, figures: list[Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[str], list[Any]]:
    """Compare backends, and return the names of the curves and the curves of the plot."""
    figure = pytest.importorskip("matplotlib.figure")
    monkeypatch.setattr(figure.Figure, "savefig", lambda self, path, **_: figures.append(self))
    options = ["--shape", "30x20", "-k", 2, "--accuracy", "1e-2", "--turns", 1, "--quiet"]
    status, _, err = invoke("bench", *options, "--backends", names, "--plot", folder / "x.png")
    assert status == 0, err
    (drawn,) = figures
    labels = [text.get_text() for text in drawn.legends[0].get_texts()]
    curves = [line for line in drawn.axes[0].lines if line.get_label() in labels]
    return labels, curves


def test_the_plot_has_a_curve_of_its_own_look_for_every_backend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the settings that no other one beats in both time and accuracy."""
    rungs = [(1.0, 0.5), (3.0, 1e-3), (2.0, 1e-2), (4.0, 5e-3), (INF, INF)]
    tried = [{"setting": {"tol": i}, "seconds": s, "error": e} for i, (s, e) in enumerate(rungs)]
    Processes(monkeypatch, reports(lambda job: tried, lambda job: [{}]))
    monkeypatch.setattr(Backend, "absence", ("", ""))  # as if all were installed
    labels, curves = plotted("all", [], tmp_path, monkeypatch)
    assert labels == [backend.title for backend in BACKENDS]
    for curve in curves:
        assert curve.get_xydata().tolist() == [[0.5, 1.0], [1e-2, 2.0], [1e-3, 3.0]]
    looks = {(curve.get_color(), curve.get_marker()) for curve in curves}
    assert len(looks) == len(curves) == len(BACKENDS)


def test_k_is_checked_before_anything_runs() -> None:
    with pytest.raises(ValueError, match=r"k = 9 > min\(m, n\) = 8"):
        compare(synthetic("flat", 12, 8), BenchmarkPlan(k=9), select(["ours"]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k = 0 and turns = 3 must be at least 1"),
        ({"accuracies": []}, "between 0 and 1"),
        ({"accuracies": [0.1, 2.0]}, "between 0 and 1"),
        ({"timeout": 0}, "timeout must be positive, not 0"),
    ],
    ids=["k", "no accuracy", "accuracy of 2", "timeout"],
)
def test_bad_plans(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BenchmarkPlan(**options)  # type: ignore[arg-type]


# ---------------------------------------------------------------------------- single figures


def test_settings_that_reach_it_are_checked_from_the_fastest_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rungs = [(1.0, 0.5), (3.0, 1e-3), (2.0, 1e-2), (INF, INF)]
    tried = [{"setting": {"n": i}, "seconds": s, "error": e} for i, (s, e) in enumerate(rungs)]
    processes = Processes(monkeypatch, reports(lambda job: tried, lambda job: [{}]))
    plan = BenchmarkPlan(k=3, accuracies=[1e-2, 1e-4], turns=1, threads=1)
    compare(synthetic("decay", 30, 20), plan, select(["numpy"]))
    (check,) = (job for job in processes.jobs if job["kind"] == "check")
    assert check["candidates"] == [[1e-2, [{"n": 2}, {"n": 1}]]]


def test_what_stands_in_a_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    three: dict[str, Any] = {"seconds": [1.0, 2.0, 3.0]}
    none: dict[str, Any] = {"seconds": []}
    crashed = {"status": "crashed", "message": "killed by SIGSEGV"}
    cells = {
        "2 (1.5-2.5)": entry_record("a", timings=[timing_record([0.1], **three, errors=[0.1])]),
        "missed: 1.1e-01": entry_record(
            "b", timings=[timing_record([0.1], **three, errors=[0.05, 0.11])]
        ),
        "not reached": entry_record("c", timings=[timing_record([0.2], **three, errors=[0.05])]),
        "did not finish": entry_record("d", status="did not finish"),
        "crashed": entry_record("e", timings=[timing_record([0.1], **none)], **crashed),
        "failed": entry_record("f", timings=[timing_record([0.1], **none)]),
    }
    text = printed(comparison_record([*cells.values()]), tmp_path, monkeypatch)
    lines = [line.strip() for line in text.partition("Fastest to")[0].splitlines()]
    for cell, entry in cells.items():
        (line,) = (line for line in lines if line.startswith(f"{entry['title']} "))
        assert line.removeprefix(entry["title"]).strip().startswith(cell), line


def test_an_accuracy_that_was_missed_in_one_turn_is_not_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for errors, fastest in (([0.1, 0.05], "X"), ([0.05, 0.11], "none")):
        timing = timing_record([0.1], seconds=[1.0, 1.0], errors=errors)
        record = comparison_record([entry_record("x", timings=[timing])])
        assert f"Fastest to 0.1: {fastest}\n" in printed(record, tmp_path, monkeypatch)


def remarks(record: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the lines below the last table."""
    text = printed(record, folder, monkeypatch)
    return text.partition("Settings, and their")[2].partition("\n\n")[2].splitlines()


def test_what_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missed = entry_record("x", timings=[timing_record([0.1], seconds=[1.0], errors=[0.2])])
    failed = entry_record("y", status="did not finish", message="did not finish in 9 s")
    no: dict[str, Any] = {
        "setting": {},
        "seconds": None,
        "error": None,
        "message": "ValueError: no",
    }
    both = [missed, failed | {"rungs": [no]}]
    record = comparison_record(both, turns=1, checked_on_another_matrix=False)
    assert remarks(record, tmp_path, monkeypatch) == [
        "One turn cannot show whether a time was disturbed; --turns 3 can",
        "X: the setting for 0.1 gave 2.0e-01 on other seeds",
        "Y: did not finish in 9 s",
        "Y: ValueError: no",
    ]
    for_two = entry_record("x", timings=[timing_record([0.1, 0.01], seconds=[1.0], errors=[0.05])])
    record = comparison_record([for_two], [0.1, 0.01])
    assert remarks(record, tmp_path, monkeypatch) == [
        "X: the setting for 0.01 gave 5.0e-02 on the timed matrix"
    ]


def test_figures_of_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    rung = {"setting": {"n": 2}, "seconds": 0.1, "error": 1e-3}
    first: dict[str, Any] = {
        "seconds": [2.0],
        "busy": [0.5],
        "peak": 5,
        "error": 0.1,
        "residual": 0.2,
    }
    first |= {"device_seconds": [0.25], "passes": 7, "message": "slow"}
    second: dict[str, Any] = {
        "seconds": [4.0],
        "busy": [1.5],
        "peak": None,
        "error": 0.3,
        "residual": 0.2,
    }
    second |= {"passes": None, "message": "slow again"}
    turns = [first, second]
    Processes(monkeypatch, reports(lambda job: [rung], lambda job: [turns[job["seed"]]]))
    plan = BenchmarkPlan(k=3, accuracies=[1e-2], turns=2, threads=1)
    whole = compare(synthetic("decay", 30, 20), plan, select(["numpy"]))
    (timing,) = whole.record()["entries"][0]["timings"]
    assert (timing["median"], timing["processor_seconds"]) == (3.0, 3.5)
    assert (timing["peak"], timing["error"], timing["passes"]) == (5, 0.3, 7)
    assert (timing["device_median"], timing["messages"]) == (0.25, ["slow"])


def test_a_setting_without_a_run_has_no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are infinite, for which JSON has no number."""
    rungs = [{"setting": {"n": 2}, "seconds": 0.1, "error": 1e-3}]
    rungs += [{"setting": {"n": 3}, "seconds": INF, "error": INF}]
    Processes(monkeypatch, reports(lambda job: rungs, lambda job: []))
    plan = BenchmarkPlan(k=3, accuracies=[1e-2], turns=1, threads=1)
    (entry,) = compare(synthetic("decay", 30, 20), plan, select(["numpy"])).record()["entries"]
    (timing,) = entry["timings"]
    assert [timing[name] for name in ("median", "error", "peak")] == [None] * 3
    assert timing["quartiles"] == [None, None]
    assert entry["rungs"][1]["seconds"] is entry["rungs"][1]["error"] is None


# ------------------------------------------------------------------------------------ growth


def grown(monkeypatch: pytest.MonkeyPatch, **seconds: float) -> Growth:
    """Measure matrices whose rows grow from 64 on; those of a size take these seconds."""

    def runs(job: Job) -> Lines:
        taken = seconds[f"m{job['shape'][0]}"] if job["shape"][1] == 8 else 1.0
        return [{"seconds": [] if taken == INF else [taken]}]

    Processes(monkeypatch, reports(lambda job: [], runs))
    return grow("flat", (64, 8), plan=BenchmarkPlan(k=3, turns=1, threads=1))


def test_slope(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the line through the sizes whose runs ended, if there are at least two of them."""
    for seconds, slope in (
        ((3.0, 12.0, 48.0, 192.0), 2.0),
        ((3.0, 6.0, INF, 24.0), 1.0),
        ((INF, 1.0, INF, INF), float("nan")),
    ):
        named = {f"m{64 * 2**i}": taken for i, taken in enumerate(seconds)}
        slopes = [x.time_slope for x in grown(monkeypatch, **named).lines if x.series == "rows"]
        assert slopes == [pytest.approx(slope, nan_ok=True)] * 2


def test_growth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_here(monkeypatch)
    plan = BenchmarkPlan(k=3, turns=1, threads=1)
    growth = grow("decay", (128, 96), "f16", tol=1e-2, plan=plan, factors=(1, 4))
    assert [(line.series, line.backend) for line in growth.lines] == [
        ("both sides", "ours"),
        ("both sides", "ours-file"),
        ("rows", "ours"),
        ("rows", "ours-file"),
    ]
    assert [point.shape for point in growth.lines[0].points] == [(128, 96), (256, 192)]
    assert [point.shape for point in growth.lines[3].points] == [(128, 96), (512, 96)]
    for line in growth.lines:
        assert np.isfinite(line.time_slope)
        assert all(point.timing.passes for point in line.points)
        assert line.points[0].stored == pytest.approx(128 * 96 * 2, abs=256)
    record = json.loads(json.dumps(growth.record(), allow_nan=False))
    assert record["kind"] == "growth"
    assert record["lines"][0]["points"][0]["timing"]["median"] > 0
    text = printed(growth.record(), tmp_path, monkeypatch)
    assert "Growing in both sides, from its file" in text
    assert text.count("log-log slope over m n: time") == 4


def test_times_that_vary_are_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = {
        "numpy": iter([1.0, 3.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
        "ours": iter([1.0, 1.0]),
        "ours-file": iter([0.001, 0.002]),  # so short that a difference does not count
    }
    rung = {"setting": {"n": 2}, "seconds": 1.0, "error": 1e-3}
    report = reports(lambda job: [rung], lambda job: [{"seconds": [next(runs[job["backend"]])]}])
    Processes(monkeypatch, report)
    plan = BenchmarkPlan(k=3, accuracies=[1e-2], turns=2, threads=1, repeats=3)
    entries = compare(synthetic("decay", 30, 20), plan, select([*runs])).entries
    counts = {entry.name: len(entry.timings[0].seconds) for entry in entries}
    assert counts == {"numpy": 6, "ours": 2, "ours-file": 2}


@pytest.mark.parametrize(("seconds", "varies"), [([1.0, 1.0], False), ([1.0, 2.0], True)])
def test_times_that_vary_are_told(
    seconds: list[float], varies: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timing = timing_record([0.1], seconds=seconds, errors=[0.05])
    record = comparison_record([entry_record("x", timings=[timing])])
    text = "X, n=2: times vary, quartiles 1.25 and 1.75 s of 2 runs"
    assert remarks(record, tmp_path, monkeypatch) == ([text] if varies else [])


@pytest.mark.parametrize(("load", "busy"), [(0.1, False), (0.49, False), (0.5, True), (3.0, True)])
def test_a_busy_machine_is_told(
    load: float, busy: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a quarter of its cores on."""
    record = comparison_record([entry_record()], machine={"load_average": load, "cores": 2})
    note = f"The machine was busy when the benchmark began (load {load:.3g} on 2 cores)"
    assert (note in printed(record, tmp_path, monkeypatch)) == busy
