# SPDX-License-Identifier: BSD-3-Clause
"""Comparisons as runs: journals, tables, executors and progress."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.support.analyses import after_each_spectrum
from tests.support.changed import written
from tests.support.comparisons import OPTIONS, UP, model, tuned
from tests.support.scans import bits

import sigmascope as ss
from sigmascope.errors import ScanInterrupted
from sigmascope.results import Comparison, Scan, ScanEvent


def stop_at(name: str) -> Any:
    def listener(event: ScanEvent) -> None:
        if event.kind == "row" and event.name == name:
            raise KeyboardInterrupt

    return listener


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model, and the same after a change."""
    base, folder = model(), tmp_path_factory.mktemp("pair")
    return written(folder / "a", base), written(folder / "b", tuned(base))


class Run(NamedTuple):
    """A comparison, the files that it wrote, and the events that it sent."""

    comparison: Comparison
    paths: dict[str, Path]
    events: list[ScanEvent]


@pytest.fixture(scope="module")
def run(folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A comparison that was written to a file of every kind."""
    folder = tmp_path_factory.mktemp("tables")
    events: list[ScanEvent] = []
    paths = {suffix: folder / f"pair{suffix}" for suffix in (".jsonl", ".csv", ".parquet")}
    comparison = ss.compare(*folders, out=[*paths.values()], progress=events.append, **OPTIONS)
    return Run(comparison, paths, events)


def test_an_interrupted_comparison_goes_on(
    folders: tuple[Path, Path], run: Run, tmp_path: Path
) -> None:
    journal = tmp_path / "pair.jsonl"
    stop = "model." + UP.format(0)
    with pytest.raises(ScanInterrupted) as caught:
        ss.compare(*folders, resume=journal, progress=stop_at(stop), **OPTIONS)
    assert isinstance(caught.value.scan, Comparison)
    done = Comparison.load(journal)
    assert not done.complete
    assert done.rows[-1]["name"] == stop
    comparison = ss.compare(*folders, resume=journal, **OPTIONS)
    assert comparison.complete
    assert bits(comparison) == bits(run.comparison)
    assert bits(Comparison.load(journal)) == bits(comparison)


def test_the_journal_of_another_comparison_is_refused(
    folders: tuple[Path, Path], run: Run, tmp_path: Path
) -> None:
    journal = Path(shutil.copy(run.paths[".jsonl"], tmp_path))
    with pytest.raises(ValueError, match=r"the journal of another comparison: after/model"):
        ss.compare(folders[0], folders[0], resume=journal, **OPTIONS)
    with pytest.raises(ValueError, match="k was 8, is 9"):
        ss.compare(*folders, resume=journal, **OPTIONS | {"k": 9})
    with pytest.raises(ValueError, match=r"not a scan, its schema is 'sigmascope.comparison'"):
        ss.scan(folders[0], resume=journal, **OPTIONS)
    with pytest.raises(ValueError, match="not a scan"):
        Scan.load(journal)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_tables_keep_every_row(folders: tuple[Path, Path], run: Run, suffix: str) -> None:
    comparison = run.comparison
    loaded = Comparison.load(run.paths[suffix])
    assert loaded.rows == comparison.rows
    if suffix != ".csv":
        assert loaded.header() == comparison.header()
        assert (loaded.before, loaded.after) == tuple(map(str, folders))
    frame = comparison.to_pandas()
    assert list(frame.columns) == list(Comparison.schema.columns)
    assert comparison.to_arrow().num_rows == len(comparison)


def test_every_measure_of_a_scan_has_its_columns() -> None:
    """Those that a scan computes on request only have none."""
    of_scans, columns = Scan.schema.columns, Comparison.schema.columns
    requested = {"alpha_farms", "randomized_distance", "correlation_traps"}
    measures = {name for name in of_scans if f"{name}_error" in of_scans} - requested
    assert len(measures) == 35
    for measure in measures:
        for group in ("before", "after", "delta", "projected", "change"):
            assert columns[f"{group}_{measure}"] == columns[f"{group}_{measure}_error"] == "float"
    assert (Comparison.schema.name, Comparison.schema.version) == ("sigmascope.comparison", 4)


def test_an_executor_changes_no_bit(folders: tuple[Path, Path], run: Run) -> None:
    with ThreadPoolExecutor(2) as pool:
        comparison = ss.compare(*folders, executor=pool, workers=2, **OPTIONS)
    assert bits(comparison) == bits(run.comparison)


def test_a_file_replaced_while_it_is_compared_fails_its_row(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers of two states of a file are not a result."""
    path = Path(shutil.copy(folders[1] / "model.safetensors", tmp_path))
    content = path.read_bytes()

    def replaced() -> None:
        other = path.with_suffix(".new")
        other.write_bytes(content)
        other.replace(path)

    after_each_spectrum(monkeypatch, replaced)
    name = f"model.{UP.format(0)}"
    row = ss.compare(folders[0], path, include=name, **OPTIONS | {"num_threads": 1})[name]
    assert row["status"] == "failed"
    assert "the file changed" in row["reason"]


def test_rows_are_plain_json(run: Run) -> None:
    comparison = run.comparison
    for row in comparison.rows:
        assert json.loads(json.dumps(row, allow_nan=False)) == row
    assert repr(comparison).startswith("Comparison(")
    assert "5 pairs analysed" in repr(comparison)


def test_progress_counts_what_is_read(run: Run) -> None:
    comparison = run.comparison
    rows = [event for event in run.events if event.kind == "row"]
    assert [event.name for event in rows] == [row["name"] for row in comparison.rows]
    assert rows[-1].done_bytes == rows[-1].total_bytes == comparison.bytes
    assert all(event.read_bytes > 0 for event in rows if event.stored_bytes)
