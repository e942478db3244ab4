# SPDX-License-Identifier: BSD-3-Clause
"""Comparisons from one end to the other: records, table, plot, and the growth figure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from sigmascope.bench import (
    BACKENDS,
    BackendComparison,
    BenchmarkPlan,
    compare,
    comparing,
    grow,
    select,
    synthetic,
)
from sigmascope.bench.comparing import candidates
from sigmascope.bench.machine import busy_note
from sigmascope.bench.plot import front, save_plot
from sigmascope.bench.results import BackendResult, Rung, Timing, finite_record, slope
from sigmascope.bench.table import cell, notes, show_comparison, show_growth

INF = float("inf")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackendComparison]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        names = ["ours", "numpy", "cupy"]
        plan = BenchmarkPlan(k=5, accuracies=[1e-3, 1e-1, 1e-15], turns=2, threads=1, seed=3)
        yield compare(synthetic("decay", 150, 120, "bf16"), plan, select(names))


def printed(show: object, found: object, width: int = 140) -> str:
    out = StringIO()
    show(Console(file=out, width=width), found)  # type: ignore[operator]
    return out.getvalue()


@pytest.mark.slow
def test_every_backend_reaches_its_accuracies(found: BackendComparison) -> None:
    assert found.accuracies == [1e-1, 1e-3, 1e-15]
    assert (found.shape, found.dtype, found.checked_on_another_matrix) == (
        [150, 120],
        "bfloat16",
        True,
    )
    for entry in found.entries:
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


def test_a_library_that_is_missing_is_listed(found: BackendComparison) -> None:
    entry = found.entries[-1]
    if entry.status != "not installed":
        pytest.skip("cupy is installed")
    assert "cupy.linalg.svd: not installed; pip install 'cupy-cuda13x[ctk]'" in notes(found)
    assert found.limits == {}


def test_the_record_is_json_of_a_known_shape(found: BackendComparison) -> None:
    record = json.loads(json.dumps(found.record(), allow_nan=False))
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
def test_the_table_fits_and_names_all(found: BackendComparison, width: int) -> None:
    text = printed(show_comparison, found, width)
    assert "decay, 150 x 120, bfloat16, k = 5" in text
    assert "Fastest to 0.1: " in text
    for title in ("sigmascope svds", "numpy.linalg.svd"):
        assert title[-12:] in text
    assert "as float32" in text or width == 60


def test_the_plot_has_a_curve_for_every_backend(
    found: BackendComparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = pytest.importorskip("matplotlib.figure")
    drawn = []
    monkeypatch.setattr(figure.Figure, "savefig", lambda self, path, **_: drawn.append(self))
    save_plot(found, tmp_path / "x.png")
    ran = [entry.title for entry in found.entries if entry.rungs]
    labels = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert labels == ran
    monkeypatch.undo()
    for name, start in [("x.png", b"\x89PNG"), ("x.svg", b"<?xml")]:
        save_plot(found, tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(start)


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
)
def test_bad_plans(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BenchmarkPlan(**options)  # type: ignore[arg-type]


# ---------------------------------------------------------------------------- single figures


def test_candidates_are_those_that_reach_it_from_the_fastest_on() -> None:
    rungs = [
        Rung({"tol": 1}, 1.0, 0.5),
        Rung({"tol": 2}, 3.0, 1e-3),
        Rung({"tol": 3}, 2.0, 1e-2),
        Rung({"tol": 4}, message="failed"),
    ]
    assert candidates(rungs, 1e-2) == [{"tol": 3}, {"tol": 2}]
    assert candidates(rungs, 1e-4) == []
    assert [rung.error for rung in front(rungs)] == [0.5, 1e-2, 1e-3]


def entry(status: str = "done", message: str = "", **timing: list[float]) -> BackendResult:
    timings = [Timing([0.1], {"n": 2}, **timing)] if timing else []  # type: ignore[arg-type]
    return BackendResult("x", "X", None, "pip install x", status, message, timings=timings)


def test_what_stands_in_a_cell() -> None:
    ran = {"seconds": [1.0, 2.0, 3.0], "busy": [1.0] * 3}
    assert cell(entry(**ran, errors=[0.05, 0.1]), 0.1) == "2 (1.5-2.5)"
    assert cell(entry(**ran, errors=[0.05, 0.11]), 0.1) == "missed: 1.1e-01"
    assert cell(entry(**ran, errors=[0.05]), 0.01) == "not reached"
    assert cell(entry("did not finish"), 0.1) == "did not finish"
    assert cell(entry("crashed", "killed by SIGSEGV", errors=[]), 0.1) == "crashed"
    assert cell(entry(errors=[]), 0.1) == "failed"


def test_an_accuracy_that_was_missed_in_one_turn_is_not_reached() -> None:
    ran = {"seconds": [1.0, 1.0], "busy": [1.0] * 2}
    reached, missed = entry(**ran, errors=[0.1, 0.05]), entry(**ran, errors=[0.05, 0.11])
    assert reached.stands(0.1)
    assert not missed.stands(0.1)
    machine = {"processor": "P", "threads": 1, "cores": 1, "load_average": 0.0}
    for each, fastest in ((reached, "X"), (missed, "none")):
        whole = BackendComparison("w", (9, 9), "float32", 3, [0.1], 2, False, machine, [each])
        assert f"Fastest to 0.1: {fastest}\n" in printed(show_comparison, whole)


def test_what_is_noted() -> None:
    missed = entry(seconds=[1.0], busy=[1.0], errors=[0.2])
    failed = entry("did not finish", "did not finish in 9 s")
    failed.rungs = [Rung({}, message="ValueError: no")]
    whole = BackendComparison("w", (9, 9), "float32", 3, [0.1], 1, False, {}, [missed, failed])
    assert notes(whole) == [
        "One turn: nothing shows whether a time was disturbed; --turns 3 does",
        "X: the setting for 0.1 gave 2.0e-01 on other seeds",
        "X: did not finish in 9 s",
        "X: ValueError: no",
    ]
    for_two = entry(seconds=[1.0], busy=[1.0], errors=[0.05])
    for_two.timings[0].accuracies = [0.1, 0.01]
    whole = BackendComparison("w", (9, 9), "float32", 3, [0.1, 0.01], 3, True, {}, [for_two])
    assert notes(whole) == ["X: the setting for 0.01 gave 5.0e-02 on the timed matrix"]


def test_figures_of_turns() -> None:
    timing = Timing([0.1], {})
    assert (timing.median, timing.error, timing.peak) == (INF, INF, None)
    run = {"seconds": [2.0, 4.0], "busy": [0.5, 1.5], "peak": 5, "error": 0.1, "residual": 0.2}
    run["device_seconds"] = [0.25]
    timing.add({**run, "passes": 7, "message": "slow"})
    timing.add({**run, "peak": None, "error": 0.3, "passes": None, "message": "slow again"})
    assert timing.device_median == 0.25
    assert (timing.median, timing.processor_seconds) == (3.0, 3.5)
    assert (timing.peak, timing.error, timing.passes) == (5, 0.3, 7)
    assert timing.messages == ["slow"]
    assert finite_record({"a": [INF, (1.0, float("nan"))]}) == {"a": [None, [1.0, None]]}


# ------------------------------------------------------------------------------------ growth


def test_slope() -> None:
    assert slope([1, 2, 4, 8], [3, 12, 48, 192]) == pytest.approx(2)
    assert slope([1, 2, 4, 8], [3, 6, INF, 24]) == pytest.approx(1)
    assert np.isnan(slope([1, 2], [INF, 1]))


def test_growth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    plan = BenchmarkPlan(k=3, turns=1, threads=1)
    found = grow("decay", (128, 96), "f16", tol=1e-2, plan=plan, factors=(1, 4))
    assert [(line.series, line.backend) for line in found.lines] == [
        ("both sides", "ours"),
        ("both sides", "ours-file"),
        ("rows", "ours"),
        ("rows", "ours-file"),
    ]
    assert [point.shape for point in found.lines[0].points] == [(128, 96), (256, 192)]
    assert [point.shape for point in found.lines[3].points] == [(128, 96), (512, 96)]
    for line in found.lines:
        assert np.isfinite(line.time_slope)
        assert all(point.timing.passes for point in line.points)
        assert line.points[0].stored == pytest.approx(128 * 96 * 2, abs=256)
    record = json.loads(json.dumps(found.record(), allow_nan=False))
    assert record["kind"] == "growth"
    assert record["lines"][0]["points"][0]["timing"]["median"] > 0
    text = printed(show_growth, found)
    assert "Growing in both sides, from its file" in text
    assert text.count("log-log slope over m n: time") == 4


def test_all_backends_have_a_curve_of_their_own_look() -> None:
    from sigmascope.bench.plot import _COLOURS, _MARKERS

    looks = {
        (_COLOURS[i % len(_COLOURS)], _MARKERS[i % len(_MARKERS)]) for i in range(len(BACKENDS))
    }
    assert len(looks) == len(BACKENDS)


def test_times_that_vary_are_measured_again_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = iter([1.0, 3.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])

    def once(backend: object, entry: BackendResult, *_: object) -> None:
        entry.timings[0].seconds.append(next(runs) if entry.name == "numpy" else 1.0)

    monkeypatch.setattr(comparing, "time_once", once)
    chosen = [b for b in BACKENDS if b.name in ("numpy", "ours")]
    entries = [BackendResult(b.name, b.title, b.version, b.install) for b in chosen]
    for entry in entries:
        entry.timings.append(Timing([1e-2], {}))
    plan = BenchmarkPlan(turns=2, repeats=3)
    comparing._take_turns(chosen, entries, {}, plan, [0])
    assert {e.name: len(e.timings[0].seconds) for e in entries} == {"numpy": 6, "ours": 2}
    assert all(entry.timings[0].is_steady for entry in entries)
    assert not Timing([1e-2], {}, [1.0, 2.0]).is_steady
    assert Timing([1e-2], {}, [0.001, 0.002]).is_steady


def test_a_busy_machine_is_told() -> None:
    assert busy_note(0.1, 2) == busy_note(0.49, 2) == ""
    assert busy_note(0.5, 2)  # a quarter of the cores
    assert busy_note(3.0, 2).startswith("The machine was busy when the benchmark began (load 3 on")
