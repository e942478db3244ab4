# SPDX-License-Identifier: BSD-3-Clause
"""Scans: a row for every tensor, whatever becomes of it; selection and progress."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from tests.support.analyses import before_each_spectrum_of_a_scan
from tests.support.checkpoints import opened, write_file
from tests.support.mixed_checkpoint import DOWN, UP, column, mixed
from tests.support.scans import normal

import sigmascope as ss
from sigmascope.errors import ScanInterrupted
from sigmascope.results import Scan, ScanEvent

MEASURES = {name for name in Scan.schema.columns if f"{name}_error" in Scan.schema.columns}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint with something of every kind."""
    return mixed(tmp_path)


# --------------------------------------------------------------------------------------- rows


def test_every_tensor_has_its_row_in_file_order(folder: Path) -> None:
    scan = ss.scan(folder, k=4)
    assert column(scan.rows, "name") == [
        "model.norm.weight",
        UP,
        "bad",
        "experts[0]",
        "experts[1]",
        "conv.weight",
        "ids",
        "codes",
        "empty",
        DOWN,
    ]
    assert column(scan.rows, "status") == [
        "entrywise",
        "analysed",
        "failed",
        *["analysed"] * 3,
        "entrywise",
        *["not analysed"] * 2,
        "analysed",
    ]
    assert all(row["reason"] for row in scan if row["status"] != "analysed")
    assert all(row["reason"] is None for row in scan.analysed)
    assert all(list(row) == list(Scan.schema.columns) for row in scan)
    assert scan.complete
    assert len(scan) == scan.expected == 10
    assert column(scan.failed, "name") == ["bad"]
    assert column(scan.unreadable, "name") == ["codes"]
    assert scan.unconverged == []
    json.dumps(scan.rows, allow_nan=False)


def test_a_row_says_what_the_spectrum_says(folder: Path) -> None:
    row = ss.scan(folder, effort="exact", k=4)[UP]
    spectrum = ss.spectrum(ss.open_checkpoint(folder)[UP], effort="exact", k=4)
    assert row["top"] == spectrum.top.tolist()
    assert row["top_errors"] == spectrum.top_errors.tolist()
    for name, measure in spectrum.measures.items():
        assert (row[name], row[f"{name}_error"]) == (measure.value, measure.error), name
    assert (row["layer"], row["role"], row["expert"]) == (0, "up", None)
    assert (row["rows"], row["columns"], row["shape"], row["nbytes"]) == (24, 16, [24, 16], 1536)
    assert (row["effort"], row["k"], row["method"], row["converged"]) == (
        "exact",
        4,
        spectrum.method,
        True,
    )
    assert spectrum.moments is not None
    assert (row["mean"], row["kurtosis"], row["zeros"]) == (
        spectrum.moments.mean,
        spectrum.moments.kurtosis,
        0,
    )


def test_slices_and_kernels_say_what_they_are(folder: Path) -> None:
    scan = ss.scan(folder, k=2)
    second, kernel = scan["experts[1]"], scan["conv.weight"]
    assert (second["tensor"], second["expert"], second["nbytes"]) == ("experts", 1, 120)
    assert (second["shape"], second["rows"], second["columns"]) == ([2, 6, 5], 6, 5)
    assert (kernel["kind"], kernel["shape"], kernel["columns"]) == ("kernel", [4, 3, 2, 2], 12)
    assert "4 x 12" in kernel["view"]


def test_nonfinite_values_are_counted_and_placed_and_the_scan_goes_on(folder: Path) -> None:
    row = ss.scan(folder)["bad"]
    assert (row["status"], row["nan"], row["inf"]) == ("failed", 1, 1)
    assert row["first_nonfinite"] == [2, 3]
    assert "1 NaN and 1 infinite" in row["reason"]
    assert row["effective_rank"] is None
    assert row["converged"] is False


MASKS = {
    "causal": np.triu(np.full((9, 9), -np.inf), 1),
    "heads": np.broadcast_to(np.triu(np.full((6, 6), -np.inf), 1), (1, 2, 6, 6)),
    "of one row": np.where(np.arange(8) < 3, 0, -np.inf),
    "signed zero": np.where(np.eye(4) == 1, -0.0, -np.inf),
}


@pytest.mark.parametrize("what", MASKS)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_masks_of_attention_are_not_errors(what: str, dtype: Any) -> None:
    numbers = np.ascontiguousarray(MASKS[what], dtype)
    scan = ss.scan({"mask": numbers, "w": np.eye(3, dtype=np.float32)})
    assert scan.failed == []
    rows = [row for row in scan if row["tensor"] == "mask"]
    assert {row["status"] for row in rows} == {"entrywise"}
    assert sum(row["inf"] for row in rows) == np.isinf(numbers).sum()
    assert sum(row["zeros"] for row in rows) == (numbers == 0).sum()
    assert all(row["reason"].startswith("a mask: ") for row in rows)
    assert all(row["converged"] for row in rows)


@pytest.mark.parametrize("shape", [(), (1,), (5,), (4, 5)])
def test_nothing_but_infinity_is_an_error(shape: tuple[int, ...]) -> None:
    (row,) = ss.scan({"w": np.full(shape, -np.inf, np.float32)}).failed
    assert "infinite entries" in row["reason"]


@pytest.mark.parametrize("other", [np.nan, np.inf, 1.0, 1e-30])
@pytest.mark.parametrize("shape", [(12,), (3, 4)])
def test_masks_with_any_other_number_are_errors(other: float, shape: tuple[int, ...]) -> None:
    numbers = np.zeros(shape, np.float32)
    numbers[-1] = -np.inf
    numbers.flat[1] = other
    (row,) = ss.scan({"mask": numbers}).failed
    assert "infinite" in row["reason"]


@pytest.mark.usefixtures("density_of_small_matrices")
@pytest.mark.parametrize("effort", ["top", "density", "exact"])
def test_every_measure_of_every_effort_has_a_column(tmp_path: Path, effort: str) -> None:
    """A small k and a wide tolerance keep the exact route from being the cheaper one."""
    path = write_file(tmp_path / "x.safetensors", normal("a", 640, 600))
    row = ss.scan(path, effort=effort, k=1, tol=0.5)["a"]
    spectrum = ss.spectrum(ss.open_checkpoint(path)["a"], effort=effort, k=1, tol=0.5)
    assert row["effort"] == spectrum.effort == effort
    assert {name for name in MEASURES if row[name] is not None} == set(spectrum.measures)


def test_a_memory_limit_that_is_too_small_is_the_reason(tmp_path: Path) -> None:
    path = write_file(tmp_path / "x.safetensors", normal("a", 400, 300), normal("b", 2, 2))
    scan = ss.scan(path, memory_limit=100_000)
    assert scan["a"]["status"] == "failed"
    assert "memory limit" in scan["a"]["reason"]
    assert scan["b"]["status"] == "analysed"


def test_a_file_that_vanishes_is_the_reason(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, normal("a", 4, 4))
    checkpoint.files[0].unlink()
    row = ss.scan(checkpoint)["a"]
    assert row["status"] == "failed"
    assert "model.safetensors" in row["reason"]


def test_threads_and_order_change_nothing(folder: Path) -> None:
    def numbers(threads: int) -> list[Any]:
        scan = ss.scan(folder, k=4, num_threads=threads)
        return [[row[name] for name in (*MEASURES, "top", "top_errors")] for row in scan]

    assert numbers(1) == numbers(3)


def test_what_does_not_converge_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_file(tmp_path / "x.safetensors", normal("a", 1100, 1000))
    before_each_spectrum_of_a_scan(monkeypatch, lambda: None, max_passes=2)
    scan = ss.scan(path, effort="top", k=8, tol=1e-5)
    assert column(scan.unconverged, "name") == ["a"]
    assert scan["a"]["status"] == "analysed"


# ---------------------------------------------------------------------------------- selection


@pytest.mark.parametrize(
    ("include", "exclude", "names"),
    [
        ("*.mlp.*", None, [UP, DOWN]),
        (["*.mlp.*", "experts[1]"], "*down*", [UP, "experts[1]"]),
        ("experts", "experts[0]", ["experts[1]"]),
        (None, ["*.mlp.*", "conv*", "bad"], ["experts[0]", "experts[1]"]),
    ],
    ids=["one", "several, less one", "slices of a stack", "all, less several"],
)
def test_patterns(folder: Path, include: Any, exclude: Any, names: list[str]) -> None:
    scan = ss.scan(folder, include=include, exclude=exclude)
    assert column(scan.analysed, "name") == names
    assert len(scan) == 10
    assert all(row["reason"] for row in scan if row["status"] == "excluded")


def test_an_excluded_tensor_is_not_a_problem(folder: Path) -> None:
    assert ss.scan(folder, exclude=["codes", "bad"]).unreadable == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"include": ["*.mlp.*", "nothing*"]}, r"no tensor matches 'nothing\*'"),
        ({"effort": "all"}, "effort must be one of top, density, exact, not 'all'"),
        ({"k": 0}, "k must be positive, not 0"),
        ({"tol": float("nan")}, "tol must be positive, not nan"),
        ({"seed": -1}, "seed must be an integer between .*, not -1"),
        ({"num_threads": 0}, "num_threads must be at least 1"),
        ({"memory_limit": "much"}, "memory_limit 'much'"),
        (
            {"out": "x.txt"},
            r"x\.txt: a scan is saved as \.jsonl, \.csv, \.parquet, \.html, not '\.txt'",
        ),
    ],
)
def test_bad_options(folder: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ss.scan(folder, **options)


# ----------------------------------------------------------------------------------- progress


def test_events_account_for_bytes_and_rows(folder: Path) -> None:
    events: list[ScanEvent] = []
    scan = ss.scan(folder, k=4, progress=events.append)
    rows = [event.row for event in events if event.kind == "row"]
    assert rows == scan.rows
    started = [event for event in events if event.kind == "started"]
    assert [event.index for event in started] == [1, 2, 3, 4, 5, 6]
    assert {event.count for event in events} == {6}
    last = events[-1]
    assert last.done_bytes == last.total_bytes == sum(event.stored_bytes for event in started)
    assert [event.seconds for event in events] == sorted(event.seconds for event in events)
    assert any(event.kind == "reading" and event.read_bytes >= 0 for event in events)


def test_a_resumed_scan_counts_the_matrices_that_it_keeps(tmp_path: Path) -> None:
    """Rows of vectors are kept too, and are not matrices: the last matrix is number 3 of 3."""
    rng = np.random.default_rng(0)
    shapes = {"a": (9, 6), "b": (5,), "c": (8, 7), "d": (4,), "e": (7, 6)}
    model = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    journal = tmp_path / "scan.jsonl"

    def stop(event: ScanEvent) -> None:
        if event.kind == "row" and event.name == "d":
            raise KeyboardInterrupt

    save_file(model, tmp_path / "model.safetensors")
    with pytest.raises(KeyboardInterrupt):
        ss.scan(tmp_path / "model.safetensors", out=journal, progress=stop, num_threads=1)
    events: list[ScanEvent] = []
    ss.scan(tmp_path / "model.safetensors", resume=journal, progress=events.append, num_threads=1)
    kept = [event.name for event in events if event.kind == "kept"]
    assert {"a", "b", "c"} <= {*kept}
    (started,) = (event for event in events if event.kind == "started")
    assert (started.name, started.index, started.count) == ("e", 3, 3)


def test_matrices_at_once_change_no_number(folder: Path) -> None:
    """At effort "exact" every thread has a matrix of its own, where the memory allows it."""
    alone = ss.scan(folder, effort="exact", num_threads=1)
    for threads, memory in ((2, "2GiB"), (5, "2GiB"), (2, "350kB")):
        events: list[ScanEvent] = []
        several = ss.scan(
            folder, effort="exact", num_threads=threads, memory_limit=memory, progress=events.append
        )
        for one, other in zip(alone.rows, several.rows, strict=True):
            timed = {"seconds": None, "num_threads": None}
            assert one | timed == other | timed
        assert [event.row for event in events if event.kind == "row"] == several.rows
        assert [event.index for event in events if event.kind == "started"] == [1, 2, 3, 4, 5, 6]


def test_an_end_stops_what_runs_ahead(tmp_path: Path) -> None:
    """Work that was begun for later rows ends too, and its rows are dropped."""
    write_file(
        tmp_path / "model.safetensors", *(normal(f"w{i}", 300, 200, seed=i) for i in range(12))
    )

    def listener(event: ScanEvent) -> None:
        if event.kind == "row":
            raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(ScanInterrupted) as stop:
        ss.scan(tmp_path, effort="exact", num_threads=3, progress=listener)
    assert len(stop.value.scan.rows) == 1
    assert threading.active_count() == before


def test_an_error_of_the_listener_is_not_the_tensors(folder: Path) -> None:
    def listener(event: ScanEvent) -> None:
        if event.kind == "reading":
            raise OSError("the listener broke")

    with pytest.raises(OSError, match="the listener broke"):
        ss.scan(folder, progress=listener, out=folder / "x.csv")
    assert column(Scan.load(folder / "x.csv").rows, "name") == ["model.norm.weight"]
