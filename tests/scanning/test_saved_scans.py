# SPDX-License-Identifier: BSD-3-Clause
"""Scans as tables: saved and loaded, and kept when they end early."""

from __future__ import annotations

import csv
import json
import os
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from tests.support.checkpoints import encoded, write_file
from tests.support.journal_lines import sealed
from tests.support.mixed_checkpoint import UP, column, mixed
from tests.support.scans import normal

import sigmascope as ss
from sigmascope.errors import OutputError, ScanInterrupted
from sigmascope.results import Scan, ScanEvent

HEADER = sealed({"schema": "sigmascope.scan", "version": 3})
ADDED = Scan.schema.added
"""Columns that version 2 does not have."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return mixed(tmp_path)


# ------------------------------------------------------------------------------------- saving


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_saved_and_loaded(folder: Path, suffix: str) -> None:
    path = folder / f"x{suffix}"
    scan = ss.scan(folder, k=4, exclude="conv*", out=path)
    again = Scan.load(path)
    assert again.rows == scan.rows
    if suffix != ".csv":
        assert (again.checkpoint, again.options) == (scan.checkpoint, scan.options)
        assert (again.expected, again.notes) == (scan.expected, scan.notes)
        assert repr(again) == repr(scan)
    scan.save(path)
    assert Scan.load(path).rows == scan.rows
    assert [child.name for child in folder.iterdir() if child.name.startswith(".")] == []


def test_journal_line_by_line(folder: Path) -> None:
    path = folder / "x.jsonl"
    seen: list[int] = []

    def listener(event: ScanEvent) -> None:
        if event.kind == "row":
            seen.append(path.read_bytes().count(b"\n"))

    scan = ss.scan(folder, out=[path], progress=listener)
    assert seen == list(range(2, 12))
    header, *rows = (json.loads(line) for line in path.read_text().splitlines())
    assert all(record.pop("checksum") for record in (header, *rows))
    assert header == scan.header()
    assert header["schema"] == "sigmascope.scan"
    assert header["options"]["effort"] == "density"
    assert rows == scan.rows


def test_csv_opens_elsewhere(folder: Path) -> None:
    scan = ss.scan(folder, out=folder / "x.csv")
    with open(folder / "x.csv", newline="") as file:
        lines = list(csv.reader(file))
    assert lines[0] == list(Scan.schema.columns)
    assert len(lines) == 1 + len(scan)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_a_scan_of_version_2_is_read(folder: Path, suffix: str) -> None:
    """Its rows have none of the columns that came later, and its header another number."""
    path = folder / f"old{suffix}"
    scan = ss.scan(folder, effort="exact")
    if suffix == ".jsonl":
        header = scan.header() | {"version": 2}
        rows = [{name: row[name] for name in row.keys() - ADDED} for row in scan]
        path.write_bytes(b"".join(map(sealed, (header, *rows))))
    elif suffix == ".csv":
        scan.save(path)
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
        table = scan.to_arrow().drop_columns(list(ADDED))
        metadata = {"sigmascope.scan": json.dumps(scan.header() | {"version": 2})}
        parquet.write_table(table.replace_schema_metadata(metadata), path)
    old = Scan.load(path)
    assert len(old) == len(scan)
    for before, after in zip(old, scan, strict=True):
        assert list(before) == list(Scan.schema.columns)
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


@pytest.mark.usefixtures("density_of_small_matrices")
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
    scan = ss.scan(folder, out=path)
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"\n", 0, -1) + 40])
    torn = Scan.load(path)
    assert torn.rows == scan.rows[:-1]
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
        ("f.csv", b"name,status\na,b\n", "columns of one are missing"),
        ("g.parquet", b"PAR1", "not a Parquet file"),
        ("h.html", b"", "cannot be loaded"),
        ("h.xml", b"", "saved as"),
    ],
)
def test_files_that_are_not_scans_are_refused(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        Scan.load(tmp_path / name)
    assert name in str(caught.value)


def test_csv_with_a_broken_cell(folder: Path) -> None:
    path = folder / "x.csv"
    ss.scan(folder).save(path)
    path.write_text(path.read_text().replace(",24,16,", ",many,16,", 1))
    with pytest.raises(ValueError, match=r"x\.csv: line 3: rows is 'many', not int"):
        Scan.load(path)


def test_tables(folder: Path) -> None:
    scan = ss.scan(folder, k=4)
    frame = scan.to_pandas()
    assert list(frame.columns) == list(Scan.schema.columns)
    assert frame["layer"].dtype == "Int64"
    assert frame.loc[1, "top"] == scan[UP]["top"]
    table = scan.to_arrow()
    assert table.to_pylist() == scan.rows
    filled = scan.to_pandas(columns="filled")
    assert 20 < len(filled.columns) < len(Scan.schema.columns)
    assert list(filled.columns) == [name for name in frame if not frame[name].isna().all()]
    some = scan.to_pandas(columns=["stable_rank", "name"])
    assert list(some.columns) == ["stable_rank", "name"]
    assert some.equals(frame[["stable_rank", "name"]])
    with pytest.raises(ValueError, match=r"no column 'stable_rnk' \(similar: 'stable_rank'"):
        scan.to_pandas(columns="stable_rnk")


def test_missing_extras_are_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = ss.scan(folder, k=4)
    for name in ("pandas", "pyarrow"):
        monkeypatch.setitem(sys.modules, name, None)
    for call in (scan.to_pandas, scan.to_arrow):
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


def opened(descriptor: Path) -> Path | None:
    """Return the path of an open file; None if it was closed meanwhile."""
    with suppress(OSError):
        return descriptor.readlink()
    return None


def test_full_disk_loses_no_row(folder: Path) -> None:
    """The journal fails at its third row; what was done is in the exception and the other file."""
    path, other = folder / "x.jsonl", folder / "y.csv"

    def listener(event: ScanEvent) -> None:
        if event.kind == "row" and event.name == UP:
            (journal,) = (fd for fd in Path("/proc/self/fd").iterdir() if opened(fd) == path)
            with open("/dev/full", "wb") as full:
                os.dup2(full.fileno(), int(journal.name))

    with pytest.raises(OutputError, match=r"No space left on device: .*x\.jsonl") as caught:
        ss.scan(folder, out=[path, other], progress=listener)
    assert isinstance(caught.value, OSError)
    assert column(caught.value.scan.rows, "name") == ["model.norm.weight", UP, "bad"]
    assert Scan.load(other).rows == caught.value.scan.rows
    assert Scan.load(path).rows == caught.value.scan.rows[:2]


@pytest.mark.parametrize("lost", [["a"], ["b"], ["a", "b"]], ids=" and ".join)
def test_files_beside_those_that_cannot_be_written_are_saved(folder: Path, lost: list[str]) -> None:
    """The folders of some outputs vanish during the scan; the error names the first of these."""
    paths = [folder / name / "x.csv" for name in ("a", "b", "c")]
    for path in paths:
        path.parent.mkdir()

    def listener(event: ScanEvent) -> None:
        if event.kind == "row" and event.name == UP:
            for name in lost:
                (folder / name).rmdir()

    with pytest.raises(OutputError, match="No such file or directory") as caught:
        ss.scan(folder, out=paths, progress=listener)
    assert Path(caught.value.filename).parent == folder / lost[0]
    assert len(caught.value.scan) == 10
    for path in paths:
        if path.parent.name not in lost:
            assert Scan.load(path).rows == caught.value.scan.rows


def test_interrupted_scan_is_saved(folder: Path) -> None:
    def listener(event: ScanEvent) -> None:
        if event.kind == "started" and event.name == "experts[1]":
            raise KeyboardInterrupt

    paths = [folder / f"x{suffix}" for suffix in (".jsonl", ".csv", ".parquet")]
    with pytest.raises(ScanInterrupted, match="4 of 10 rows done") as caught:
        ss.scan(folder, out=paths, progress=listener)
    assert isinstance(caught.value, KeyboardInterrupt)
    for path in paths:
        assert Scan.load(path).rows == caught.value.scan.rows
    assert not Scan.load(paths[0]).complete


def test_a_failed_save_leaves_the_file_as_it_was(folder: Path) -> None:
    path = folder / "x.csv"
    path.write_text("before")
    scan = ss.scan(folder)
    scan.rows.append({})
    with pytest.raises(KeyError):
        scan.save(path)
    assert path.read_text() == "before"
    assert sorted(child.name for child in folder.iterdir()) == ["model.safetensors", "x.csv"]


def test_a_checkpoint_without_tensors(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(encoded([]))
    scan = ss.scan(path)
    assert scan.rows == []
    assert scan.complete
