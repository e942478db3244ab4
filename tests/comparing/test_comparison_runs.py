# SPDX-License-Identifier: BSD-3-Clause
"""Comparisons as runs: journals, tables, executors and progress."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.support.changed import written
from tests.support.comparisons import OPTIONS, UP, model, tuned
from tests.support.scans import bits

import sigmascope as ss
from sigmascope.comparing import pair_spectra
from sigmascope.comparing.rows import COLUMNS, COMPARISON, GROUPS
from sigmascope.scanning import ScanEvent, ScanInterrupted
from sigmascope.scanning.rows import MEASURES


def stop_at(name: str) -> Any:
    def listener(event: ScanEvent) -> None:
        if event.kind == "row" and event.name == name:
            raise KeyboardInterrupt

    return listener


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    base = model()
    return written(tmp_path / "a", base), written(tmp_path / "b", tuned(base))


def test_an_interrupted_comparison_goes_on(folders: tuple[Path, Path], tmp_path: Path) -> None:
    journal = tmp_path / "pair.jsonl"
    stop = "model." + UP.format(0)
    with pytest.raises(ScanInterrupted) as caught:
        ss.compare(*folders, resume=journal, progress=stop_at(stop), **OPTIONS)
    assert isinstance(caught.value.scan, ss.Comparison)
    done = ss.Comparison.load(journal)
    assert not done.complete
    assert done.rows[-1]["name"] == stop
    found = ss.compare(*folders, resume=journal, **OPTIONS)
    assert found.complete
    assert bits(found) == bits(ss.compare(*folders, **OPTIONS))
    assert bits(ss.Comparison.load(journal)) == bits(found)


def test_the_journal_of_another_comparison_is_refused(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    journal = tmp_path / "pair.jsonl"
    ss.compare(*folders, resume=journal, **OPTIONS)
    with pytest.raises(ValueError, match=r"the journal of another comparison: after/model"):
        ss.compare(folders[0], folders[0], resume=journal, **OPTIONS)
    with pytest.raises(ValueError, match="k was 8, is 9"):
        ss.compare(*folders, resume=journal, **OPTIONS | {"k": 9})
    with pytest.raises(ValueError, match=r"not a scan, its schema is 'sigmascope.comparison'"):
        ss.scan(folders[0], resume=journal, **OPTIONS)
    with pytest.raises(ValueError, match="not a scan"):
        ss.Scan.load(journal)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_tables_keep_every_row(folders: tuple[Path, Path], tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"pair{suffix}"
    found = ss.compare(*folders, out=path, **OPTIONS)
    loaded = ss.Comparison.load(path)
    assert loaded.rows == found.rows
    if suffix != ".csv":
        assert loaded.header() == found.header()
        assert (loaded.before, loaded.after) == tuple(map(str, folders))
    frame = found.to_pandas()
    assert list(frame.columns) == list(COLUMNS)
    assert found.to_arrow().num_rows == len(found)


def test_every_measure_of_a_scan_has_its_columns() -> None:
    for measure in MEASURES:
        for group in (*GROUPS, "change"):
            assert COLUMNS[f"{group}_{measure}"] == COLUMNS[f"{group}_{measure}_error"] == "float"
    assert (COMPARISON.name, COMPARISON.version) == ("sigmascope.comparison", 4)


def test_an_executor_changes_no_bit(folders: tuple[Path, Path]) -> None:
    expected = bits(ss.compare(*folders, **OPTIONS))
    with ThreadPoolExecutor(2) as pool:
        found = ss.compare(*folders, executor=pool, workers=2, **OPTIONS)
    assert bits(found) == expected


def test_a_file_replaced_while_it_is_compared_fails_its_row(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers of two states of a file are no result."""
    path = folders[1] / "model.safetensors"
    content = path.read_bytes()
    real = pair_spectra.analysed

    def replacing(*args: Any, **how: Any) -> Any:
        other = path.with_suffix(".new")
        other.write_bytes(content)
        other.replace(path)
        return real(*args, **how)

    monkeypatch.setattr(pair_spectra, "analysed", replacing)
    name = f"model.{UP.format(0)}"
    row = ss.compare(*folders, include=name, **OPTIONS | {"num_threads": 1})[name]
    assert row["status"] == "failed"
    assert "the file changed" in row["reason"]


def test_rows_are_plain_json(folders: tuple[Path, Path]) -> None:
    found = ss.compare(*folders, **OPTIONS)
    for row in found.rows:
        assert json.loads(json.dumps(row, allow_nan=False)) == row
    assert repr(found).startswith("Comparison(")
    assert "5 pairs analysed" in repr(found)


def test_progress_counts_what_is_read(folders: tuple[Path, Path]) -> None:
    events: list[ScanEvent] = []
    found = ss.compare(*folders, progress=events.append, **OPTIONS)
    rows = [event for event in events if event.kind == "row"]
    assert [event.name for event in rows] == [row["name"] for row in found.rows]
    assert rows[-1].done_bytes == rows[-1].total_bytes == found.bytes
    assert all(event.read_bytes > 0 for event in rows if event.stored_bytes)
