# SPDX-License-Identifier: BSD-3-Clause
"""Scans: a row for every tensor, whatever becomes of it; journals, tables, early ends."""

from __future__ import annotations

import csv
import json
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.checkpoints import Stored, encoded, of_array, opened, write_file

import sigmascope as ss
from sigmascope._tables.journal import Journal, sealed_line
from sigmascope.scanning import OutputError, ScanEvent, ScanInterrupted
from sigmascope.scanning.rows import ADDED, COLUMNS, MEASURES

UP = "model.layers.0.mlp.up_proj.weight"
DOWN = "model.layers.1.mlp.down_proj.weight"

HEADER = sealed_line({"schema": "sigmascope.scan", "version": 3})


def normal(name: str, *shape: int, seed: int = 0) -> Stored:
    return of_array(
        name, "F32", np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    )


def mixed(folder: Path) -> Path:
    """Something of every kind."""
    bad = np.ones((5, 4), np.float32)
    bad[2, 3], bad[4, 0] = np.nan, np.inf
    write_file(
        folder / "model.safetensors",
        normal("model.norm.weight", 8),
        normal(UP, 24, 16),
        of_array("bad", "F32", bad),
        normal("experts", 2, 6, 5),
        normal("conv.weight", 4, 3, 2, 2),
        Stored("ids", "I64", (4,)),
        Stored("codes", "F4", (4, 4)),
        Stored("empty", "F32", (0, 4)),
        normal(DOWN, 16, 24, seed=1),
    )
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return mixed(tmp_path)


def column(rows: Sequence[dict[str, Any]], name: str) -> list[Any]:
    return [row[name] for row in rows]


# --------------------------------------------------------------------------------------- rows


def test_every_tensor_has_its_row_in_file_order(folder: Path) -> None:
    found = ss.scan(folder, k=4)
    assert column(found.rows, "name") == [
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
    assert column(found.rows, "status") == [
        "entrywise",
        "analysed",
        "failed",
        *["analysed"] * 3,
        "entrywise",
        *["not analysed"] * 2,
        "analysed",
    ]
    assert all(row["reason"] for row in found if row["status"] != "analysed")
    assert all(row["reason"] is None for row in found.analysed)
    assert all(list(row) == list(COLUMNS) for row in found)
    assert found.complete
    assert len(found) == found.expected == 10
    assert column(found.failed, "name") == ["bad"]
    assert column(found.unreadable, "name") == ["codes"]
    assert found.unconverged == []
    json.dumps(found.rows, allow_nan=False)


def test_a_row_says_what_the_spectrum_says(folder: Path) -> None:
    row = ss.scan(folder, effort="exact", k=4)[UP]
    found = ss.spectrum(ss.open_checkpoint(folder)[UP], effort="exact", k=4)
    assert row["top"] == found.top.tolist()
    assert row["top_errors"] == found.top_errors.tolist()
    for name, measure in found.measures.items():
        assert (row[name], row[f"{name}_error"]) == (measure.value, measure.error), name
    assert (row["layer"], row["role"], row["expert"]) == (0, "up", None)
    assert (row["rows"], row["columns"], row["shape"], row["nbytes"]) == (24, 16, [24, 16], 1536)
    assert (row["effort"], row["k"], row["method"], row["converged"]) == (
        "exact",
        4,
        found.method,
        True,
    )
    assert found.moments is not None
    assert (row["mean"], row["kurtosis"], row["zeros"]) == (
        found.moments.mean,
        found.moments.kurtosis,
        0,
    )


def test_slices_and_kernels_say_what_they_are(folder: Path) -> None:
    found = ss.scan(folder, k=2)
    second, kernel = found["experts[1]"], found["conv.weight"]
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


@pytest.mark.parametrize("effort", ["top", "density", "exact"])
def test_every_measure_of_every_effort_has_a_column(tmp_path: Path, effort: str) -> None:
    """A small k and a wide tolerance keep the exact route from being the cheaper one."""
    path = write_file(tmp_path / "x.safetensors", normal("a", 640, 600))
    row = ss.scan(path, effort=effort, k=1, tol=0.5)["a"]
    found = ss.spectrum(ss.open_checkpoint(path)["a"], effort=effort, k=1, tol=0.5)
    assert row["effort"] == found.effort == effort
    assert {name for name in MEASURES if row[name] is not None} == set(found.measures)


def test_a_memory_limit_that_is_too_small_is_the_reason(tmp_path: Path) -> None:
    path = write_file(tmp_path / "x.safetensors", normal("a", 400, 300), normal("b", 2, 2))
    found = ss.scan(path, memory_limit=100_000)
    assert found["a"]["status"] == "failed"
    assert "memory limit" in found["a"]["reason"]
    assert found["b"]["status"] == "analysed"


def test_a_file_that_vanishes_is_the_reason(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, normal("a", 4, 4))
    checkpoint.files[0].unlink()
    row = ss.scan(checkpoint)["a"]
    assert row["status"] == "failed"
    assert "model.safetensors" in row["reason"]


def test_threads_and_order_change_nothing(folder: Path) -> None:
    def numbers(threads: int) -> list[Any]:
        found = ss.scan(folder, k=4, num_threads=threads)
        return [[row[name] for name in (*MEASURES, "top", "top_errors")] for row in found]

    assert numbers(1) == numbers(3)


def test_what_does_not_converge_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_file(tmp_path / "x.safetensors", normal("a", 1100, 1000))
    real = ss.spectrum
    monkeypatch.setattr(
        "sigmascope.scanning.tasks.spectrum", lambda a, **options: real(a, **options, max_passes=2)
    )
    found = ss.scan(path, effort="top", k=8, tol=1e-5)
    assert column(found.unconverged, "name") == ["a"]
    assert found["a"]["status"] == "analysed"


# ---------------------------------------------------------------------------------- selection


@pytest.mark.parametrize(
    ("include", "exclude", "names"),
    [
        ("*.mlp.*", None, [UP, DOWN]),
        (["*.mlp.*", "experts[1]"], "*down*", [UP, "experts[1]"]),
        ("experts", "experts[0]", ["experts[1]"]),
        (None, ["*.mlp.*", "conv*", "bad"], ["experts[0]", "experts[1]"]),
    ],
)
def test_patterns(folder: Path, include: Any, exclude: Any, names: list[str]) -> None:
    found = ss.scan(folder, include=include, exclude=exclude)
    assert column(found.analysed, "name") == names
    assert len(found) == 10
    assert all(row["reason"] for row in found if row["status"] == "excluded")


def test_an_excluded_tensor_is_no_problem(folder: Path) -> None:
    assert ss.scan(folder, exclude=["codes", "bad"]).unreadable == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"include": ["*.mlp.*", "nothing*"]}, r"no tensor matches 'nothing\*'"),
        ({"effort": "all"}, "effort is one of top, density, exact, not 'all'"),
        ({"k": 0}, "k must be positive, not 0"),
        ({"tol": float("nan")}, "tol must be positive, not nan"),
        ({"seed": -1}, "seed must be between"),
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
    found = ss.scan(folder, k=4, progress=events.append)
    rows = [event.row for event in events if event.kind == "row"]
    assert rows == found.rows
    started = [event for event in events if event.kind == "started"]
    assert [event.index for event in started] == [1, 2, 3, 4, 5, 6]
    assert {event.count for event in events} == {6}
    last = events[-1]
    assert last.done_bytes == last.total_bytes == sum(event.stored_bytes for event in started)
    assert [event.seconds for event in events] == sorted(event.seconds for event in events)
    assert any(event.kind == "reading" and event.read_bytes >= 0 for event in events)


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
    """What was begun for later rows ends too, and its rows are not kept."""
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
    assert column(ss.Scan.load(folder / "x.csv").rows, "name") == ["model.norm.weight"]


# ------------------------------------------------------------------------------------- saving


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_saved_and_loaded(folder: Path, suffix: str) -> None:
    path = folder / f"x{suffix}"
    found = ss.scan(folder, k=4, exclude="conv*", out=path)
    again = ss.Scan.load(path)
    assert again.rows == found.rows
    if suffix != ".csv":
        assert (again.checkpoint, again.options) == (found.checkpoint, found.options)
        assert (again.expected, again.notes) == (found.expected, found.notes)
        assert repr(again) == repr(found)
    found.save(path)
    assert ss.Scan.load(path).rows == found.rows
    assert [child.name for child in folder.iterdir() if child.name.startswith(".")] == []


def test_journal_line_by_line(folder: Path) -> None:
    path = folder / "x.jsonl"
    seen: list[int] = []

    def listener(event: ScanEvent) -> None:
        if event.kind == "row":
            seen.append(path.read_bytes().count(b"\n"))

    found = ss.scan(folder, out=[path], progress=listener)
    assert seen == list(range(2, 12))
    header, *rows = (json.loads(line) for line in path.read_text().splitlines())
    assert all(record.pop("checksum") for record in (header, *rows))
    assert header == found.header()
    assert header["schema"] == "sigmascope.scan"
    assert header["options"]["effort"] == "density"
    assert rows == found.rows


def test_csv_opens_elsewhere(folder: Path) -> None:
    found = ss.scan(folder, out=folder / "x.csv")
    with open(folder / "x.csv", newline="") as file:
        lines = list(csv.reader(file))
    assert lines[0] == list(COLUMNS)
    assert len(lines) == 1 + len(found)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_a_scan_of_version_2_is_read(folder: Path, suffix: str) -> None:
    """Its rows have none of the columns that came later, and its header another number."""
    path = folder / f"old{suffix}"
    found = ss.scan(folder, effort="exact")
    if suffix == ".jsonl":
        header = found.header() | {"version": 2}
        rows = [{name: row[name] for name in row.keys() - ADDED} for row in found]
        path.write_bytes(b"".join(map(sealed_line, (header, *rows))))
    elif suffix == ".csv":
        found.save(path)
        with open(path, newline="") as file:
            rows = [
                {k: v for k, v in row.items() if k not in ADDED} for row in csv.DictReader(file)
            ]
        with open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        parquet = pytest.importorskip("pyarrow.parquet")
        table = found.to_arrow().drop_columns(list(ADDED))
        metadata = {"sigmascope.scan": json.dumps(found.header() | {"version": 2})}
        parquet.write_table(table.replace_schema_metadata(metadata), path)
    old = ss.Scan.load(path)
    assert len(old) == len(found)
    for before, after in zip(old, found, strict=True):
        assert list(before) == list(COLUMNS)
        assert all(before[name] is None for name in ADDED)
        for name in ("name", "status", "effective_rank", "alpha", "stable_rank_error"):
            assert before[name] == after[name]


def test_rows_have_quantiles_of_the_whole_spectrum(folder: Path) -> None:
    row = ss.scan(folder, effort="exact")[UP]
    sigma = ss.svdvals(ss.open_checkpoint(folder)[UP]).values
    np.testing.assert_allclose(row["quantiles"], np.quantile(sigma, np.arange(33) / 32), rtol=1e-12)
    assert len(row["quantile_errors"]) == 33
    assert row["quantiles"][-1] == row["top"][0]
    assert min(row["quantile_errors"]) >= 0


def test_a_density_has_quantiles_and_the_top_alone_has_none(tmp_path: Path) -> None:
    path = write_file(tmp_path / "x.safetensors", normal("a", 640, 600))
    sigma = ss.svdvals(ss.open_checkpoint(path)["a"]).values
    row = ss.scan(path, effort="density", k=1, tol=0.5)["a"]
    assert row["effort"] == "density"
    miss = np.abs(np.array(row["quantiles"]) - np.quantile(sigma, np.arange(33) / 32))
    assert np.all(miss <= 4 * np.array(row["quantile_errors"]))
    assert np.all(np.diff(row["quantiles"]) >= -np.array(row["quantile_errors"][1:]))
    top = ss.scan(path, effort="top", k=1, tol=0.5)["a"]
    assert top["effort"] == "top"
    assert top["quantiles"] is top["quantile_errors"] is None


def test_torn_journal_loads_up_to_its_last_whole_line(folder: Path) -> None:
    path = folder / "x.jsonl"
    found = ss.scan(folder, out=path)
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"\n", 0, -1) + 40])
    torn = ss.Scan.load(path)
    assert torn.rows == found.rows[:-1]
    assert not torn.complete
    assert "9 of 10 rows" in repr(torn)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b"", "no complete line"),
        ("b.jsonl", b'{"schema": "other"}\n', "its schema is 'other'"),
        ("c.jsonl", b'{"schema": "sigmascope.scan", "version": 9}\n', "version 9"),
        ("d.jsonl", HEADER + b"x\n" + HEADER, "line 2 is not JSON"),
        ("e.jsonl", b"[1]\n", "line 1 is not an object"),
        ("f.csv", b"name,status\na,b\n", "lacks columns"),
        ("g.parquet", b"PAR1", "not a Parquet file"),
        ("h.html", b"", "cannot be loaded"),
        ("h.xml", b"", "saved as"),
    ],
)
def test_files_that_are_no_scan(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        ss.Scan.load(tmp_path / name)
    assert name in str(caught.value)


def test_csv_with_a_broken_cell(folder: Path) -> None:
    path = folder / "x.csv"
    ss.scan(folder).save(path)
    path.write_text(path.read_text().replace(",24,16,", ",many,16,", 1))
    with pytest.raises(ValueError, match=r"x\.csv: line 3: rows is 'many', not int"):
        ss.Scan.load(path)


def test_tables(folder: Path) -> None:
    found = ss.scan(folder, k=4)
    frame = found.to_pandas()
    assert list(frame.columns) == list(COLUMNS)
    assert frame["layer"].dtype == "Int64"
    assert frame.loc[1, "top"] == found[UP]["top"]
    table = found.to_arrow()
    assert table.to_pylist() == found.rows


def test_missing_extras_are_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = ss.scan(folder, k=4)
    for name in ("pandas", "pyarrow"):
        monkeypatch.setitem(sys.modules, name, None)
    for call in (found.to_pandas, found.to_arrow):
        with pytest.raises(ImportError, match=r"pip install 'sigmascope\[table\]'"):
            call()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"x\.parquet: .*pip install 'sigmascope\[table\]'"):
        ss.scan(folder, out=folder / "x.parquet")


# ----------------------------------------------------------------------------- ends too early


@pytest.mark.parametrize("name", ["no/x.jsonl", "no/x.csv", "folder.csv", "folder.jsonl"])
def test_unwritable_outputs_are_found_before_the_work(folder: Path, name: str) -> None:
    path = folder / name
    if path.stem == "folder":
        path.mkdir()
    events: list[ScanEvent] = []
    with pytest.raises(OSError, match=name):
        ss.scan(folder, out=path, progress=events.append)
    assert events == []


def test_full_disk_loses_no_row(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal fails at its third row; what was done is in the exception and the other file."""
    path, other = folder / "x.jsonl", folder / "y.csv"
    journals: list[Any] = []

    class Full(Journal):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            journals.append(self)

    def listener(event: ScanEvent) -> None:
        if event.kind == "row" and event.name == UP:
            journals[0].close()
            journals[0]._file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115

    monkeypatch.setattr("sigmascope._tables.outputs.Journal", Full)
    with pytest.raises(OutputError, match=r"No space left on device: .*x\.jsonl") as caught:
        ss.scan(folder, out=[path, other], progress=listener)
    assert isinstance(caught.value, OSError)
    assert column(caught.value.scan.rows, "name") == ["model.norm.weight", UP, "bad"]
    assert ss.Scan.load(other).rows == caught.value.scan.rows
    assert ss.Scan.load(path).rows == caught.value.scan.rows[:2]


def test_interrupted_scan_is_saved(folder: Path) -> None:
    def listener(event: ScanEvent) -> None:
        if event.kind == "started" and event.name == "experts[1]":
            raise KeyboardInterrupt

    paths = [folder / f"x{suffix}" for suffix in (".jsonl", ".csv", ".parquet")]
    with pytest.raises(ScanInterrupted, match="4 of 10 rows done") as caught:
        ss.scan(folder, out=paths, progress=listener)
    assert isinstance(caught.value, KeyboardInterrupt)
    for path in paths:
        assert ss.Scan.load(path).rows == caught.value.scan.rows
    assert not ss.Scan.load(paths[0]).complete


def test_a_failed_save_leaves_the_file_as_it_was(folder: Path) -> None:
    path = folder / "x.csv"
    path.write_text("before")
    found = ss.scan(folder)
    found.rows.append({})
    with pytest.raises(KeyError):
        found.save(path)
    assert path.read_text() == "before"
    assert sorted(child.name for child in folder.iterdir()) == ["model.safetensors", "x.csv"]


def test_a_checkpoint_without_tensors(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(encoded([]))
    found = ss.scan(path)
    assert found.rows == []
    assert found.complete
