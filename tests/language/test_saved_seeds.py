# SPDX-License-Identifier: BSD-3-Clause
"""Every saved form of every result states the seed that repeats its bits, by the file alone."""

from __future__ import annotations

import csv
import inspect
import json
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.checkpoints import of_array, write_file
from tests.support.public_names import PUBLIC

import sigmascope as ss
from sigmascope.diagnosis import Calibration
from sigmascope.results import Comparison
from sigmascope.series import Monitor
from sigmascope.series.saved import load_series
from sigmascope.streaming import LinearSketch, Sketch

NAMES = [
    f"model.layers.{i}.{part}.weight"
    for i in (0, 1)
    for part in ("self_attn.q_proj", "mlp.up_proj")
]
RNG = np.random.default_rng(0)
WEIGHTS = {name: RNG.standard_normal((34, 26)).astype(np.float32) for name in NAMES}
STEPS = 7
"""Checkpoints of a run: a split of its increments needs six of them."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Checkpoints of a run, whose names have its steps."""
    folder, rng = tmp_path_factory.mktemp("run"), np.random.default_rng(1)
    paths, weights = [], WEIGHTS
    for step in range(STEPS):
        paths.append(folder / f"step-{step}.safetensors")
        write_file(paths[-1], *(of_array(name, "F32", x) for name, x in weights.items()))
        noise = {name: rng.standard_normal(x.shape) for name, x in weights.items()}
        weights = {n: (x + 0.1 * noise[n]).astype(np.float32) for n, x in weights.items()}
    return paths


Saved = tuple[list[Path], Any]
"""The files that a call has written, and numbers that its seed decides."""

HOW: dict[str, Any] = {"effort": "density", "k": 3}


def table(result: Any, out: Path, *suffixes: str) -> list[Path]:
    paths = [out / f"table{suffix}" for suffix in suffixes]
    for path in paths:
        result.save(path)
    return paths


def numbers(rows: Any) -> list[dict[str, Any]]:
    return [{name: x for name, x in row.items() if name != "seconds"} for row in rows]


def of_scan(seed: Any, models: list[Path], out: Path) -> Saved:
    scan = ss.scan(models[0], vectors=out / "v", seed=seed, **HOW)
    files = table(scan, out, ".csv", ".jsonl", ".parquet", ".html")
    return [*files, *(out / "v").iterdir()], numbers(scan)


def of_comparison(seed: Any, models: list[Path], out: Path) -> Saved:
    pair = ss.compare(*models[:2], vectors=out / "v", seed=seed, **HOW)
    files = table(pair, out, ".csv", ".jsonl", ".parquet", ".html")
    return [*files, *(out / "v").iterdir()], numbers(pair)


def of_extraction(seed: Any, models: list[Path], out: Path) -> Saved:
    rows = ss.extract(models[0], models[1], out / "adapter", rank=2, seed=seed)
    weights = out / "adapter" / "adapter_model.safetensors"
    adapter = ss.open_checkpoint(weights)
    factors = {name: np.asarray(adapter[name]).tolist() for name in adapter}
    more = table(rows, out, ".csv", ".jsonl", ".parquet")
    return [weights, out / "adapter" / "extraction.jsonl", *more], factors


def of_monitor(seed: Any, _: list[Path], out: Path) -> Saved:
    file = out / "run.jsonl"
    monitor = Monitor(WEIGHTS, every=1, budget=None, out=file, seed=seed, **HOW)
    monitor.step(1)
    return [file, *table(monitor, out, ".csv", ".jsonl")], numbers(monitor.trajectory)


def of_sketch(sketch: Any, out: Path) -> Saved:
    sketch.save(out / "sketch.npz")
    return [out / "sketch.npz"], sketch.svd().s.tolist()


def compared(seed: Any, models: list[Path]) -> list[Comparison]:
    """Compare each checkpoint with the next one, all with one seed."""
    pairs: list[Comparison] = []
    for before, after in pairwise(models):
        again = pairs[0].options["seed"] if pairs else seed
        pairs.append(ss.compare(before, after, effort="density", k=3, seed=again))
    return pairs


def of_diagnosis(seed: Any, models: list[Path], out: Path) -> Saved:
    (pair,) = compared(seed, models[:2])
    diagnosis = ss.diagnosis.diagnose(pair)
    diagnosis.save(out / "pair.html", comparison=pair)
    return [out / "pair.html", *table(diagnosis, out, ".json", ".html")], diagnosis.to_dict()


def of_calibration(seed: Any, models: list[Path], out: Path) -> Saved:
    one, two, *_ = compared(seed, models[:3])
    made = Calibration.fit([(one, "narrow", "a"), (two, "broad", "a")])
    made.save(out / "calibration.json")
    assert Calibration.load(out / "calibration.json").runs == made.runs
    return [out / "calibration.json"], [run.update for run in made.runs]


CALLS: dict[str, Callable[[Any, list[Path], Path], Saved]] = {
    "Scan": of_scan,
    "Comparison": of_comparison,
    "Extraction": of_extraction,
    "Monitor": of_monitor,
    "Trajectory": lambda seed, models, out: (
        table(x := ss.series.trajectory(models[:2], seed=seed, **HOW), out, ".csv", ".jsonl"),
        numbers(x),
    ),
    "Reference": lambda seed, models, out: (
        table(x := ss.series.reference(models[:2], seed=seed, **HOW), out, ".csv", ".jsonl"),
        numbers(x),
    ),
    "place": lambda seed, models, out: (
        table(
            x := (others := ss.series.reference(models[:2], seed=seed, **HOW)).place(
                models[2], seed=others.seed, **HOW
            ),
            out,
            ".csv",
            ".jsonl",
        ),
        numbers(x),
    ),
    "Sketch": lambda seed, _, out: of_sketch(
        Sketch(26, 3, seed=seed).update(WEIGHTS[NAMES[0]]), out
    ),
    "LinearSketch": lambda seed, _, out: of_sketch(
        LinearSketch((34, 26), 3, seed=seed).update(WEIGHTS[NAMES[0]]), out
    ),
    "Calibration": of_calibration,
    "Diagnosis": of_diagnosis,
    "PairedDiagnosis": lambda seed, models, out: (
        table(
            x := ss.diagnosis.diagnose((two := compared(seed, models[:3]))[0], against=two[1]),
            out,
            ".json",
            ".html",
        ),
        x.to_dict(),
    ),
    "RunDiagnosis": lambda seed, models, out: (
        table(x := ss.diagnosis.diagnose_increments(compared(seed, models)), out, ".json", ".html"),
        x.to_dict(),
    ),
}
WITHOUT_START = {"GramAccumulator", "MomentsAccumulator"}
"""Accumulators that are saved and do not depend on random numbers."""

WITH_A_FIXED_SEED = {"Fingerprint", "Lineage", "Lineages"}
"""Results whose seed is chosen before a weight is read: see provenance/lineages/test_results.py."""

WITHOUT_RANDOM_NUMBERS = {"Application", "Check", "Verification"}
"""Results that follow from the stored numbers alone."""


def test_the_table_has_every_result_that_is_saved() -> None:
    saved = {name for name, kind in PUBLIC.items() if hasattr(kind, "save")}
    fixed = WITHOUT_START | WITHOUT_RANDOM_NUMBERS | WITH_A_FIXED_SEED
    assert saved - fixed == CALLS.keys() - {"place"}
    assert not any(hasattr(PUBLIC[name](3), "seed") for name in WITHOUT_START)
    for name in WITHOUT_RANDOM_NUMBERS:
        assert "seed" not in inspect.signature(PUBLIC[name]).parameters


def members(record: Any) -> Iterator[int]:
    """Every seed in JSON, at any depth."""
    if isinstance(record, list):
        for each in record:
            yield from members(each)
    elif isinstance(record, dict):
        for name, each in record.items():
            if name in ("seed", "seeds", "reference_seed"):
                flat = np.array(each, dtype=object).ravel()
                yield from (seed for seed in flat if seed is not None)
            else:
                yield from members(each)


def seeds_in(path: Path) -> set[int]:
    """The seeds that a file states, read without the package."""
    if path.suffix == ".csv":
        rows = csv.DictReader(path.read_text().splitlines())
        cells = [row[name] for row in rows for name in row if name in ("seed", "reference_seed")]
        return {int(cell) for cell in cells if cell}
    if path.suffix == ".jsonl":
        return set(members([json.loads(line) for line in path.read_text().splitlines()]))
    if path.suffix == ".json":
        return set(members(json.loads(path.read_text())))
    if path.suffix == ".parquet":
        column = pytest.importorskip("pyarrow.parquet").read_table(path)["seed"]
        return {seed for seed in column.to_pylist() if seed is not None}
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return set(members(json.loads(str(arrays["head"]))))
    if path.suffix == ".html":
        stated = re.findall(r"seed(?: of each matrix)?(?: |</dt><dd>)(\d+)", path.read_text())
        return {int(seed) for seed in stated}
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return {int(header["__metadata__"]["seed"])}


@pytest.mark.parametrize("name", CALLS)
def test_a_file_states_the_seed_that_repeats_its_bits(
    name: str, models: list[Path], tmp_path: Path
) -> None:
    for part in ("drawn", "again"):
        (tmp_path / part).mkdir()
    files, drawn = CALLS[name](None, models, tmp_path / "drawn")
    stated = {path.relative_to(tmp_path / "drawn"): seeds_in(path) for path in files}
    (seed,) = set().union(*stated.values())
    assert all(seeds == {seed} for seeds in stated.values()), stated
    again, repeated = CALLS[name](seed, models, tmp_path / "again")
    assert repeated == drawn
    assert all(seeds_in(path) == {seed} for path in again)


def test_rows_of_several_seeds_state_each_where_it_holds(
    models: list[Path], tmp_path: Path
) -> None:
    """Scans that each drew a seed, in one series: a row states one only if all its numbers do."""
    scans = [ss.scan(path, seed=seed, **HOW) for path, seed in zip(models, (5, 6), strict=False)]
    run = ss.series.trajectory(scans, steps=[1, 2])
    assert {(row["step"], row["seed"]) for row in run} == {(1, 5), (2, 6)}
    assert run.seed is None
    experts = [row | {"name": f"{row['name']}.{i}"} for i, scan in enumerate(scans) for row in scan]
    assert {(row["count"], row["seed"]) for row in ss.series.trajectory([experts], steps=[1])} == {
        (2, None)
    }
    assert {row["seed"] for row in ss.series.reference([experts, scans[0]])} == {None}
    family = ss.series.reference(scans)
    assert {row["seed"] for row in family} == {None}
    assert {row["seed"] for row in ss.series.reference(scans[:1])} == {5}
    rows = ss.series.reference(scans[:1]).place(scans[1])
    assert {(row["seed"], row["reference_seed"]) for row in rows} == {(6, 5)}


@pytest.mark.parametrize("seed", [2**53 - 1, 2**64 - 1])
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_series_keeps_every_bit_of_a_seed(
    suffix: str, seed: int, models: list[Path], tmp_path: Path
) -> None:
    run = ss.series.trajectory(models[:1], seed=seed, **HOW)
    run.save(tmp_path / f"run{suffix}")
    read = load_series(tmp_path / f"run{suffix}")
    assert read is not None
    assert read.seed == seed
    assert [row["seed"] for row in read] == [row["seed"] for row in run]
    assert set(run.to_pandas()["seed"].dropna()) == {seed}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_files_of_versions_without_seeds_are_read(
    suffix: str, models: list[Path], tmp_path: Path
) -> None:
    family = ss.series.reference(models[:2], seed=3, **HOW)
    run = ss.series.trajectory(models[:2], seed=3, **HOW)
    for number, series in enumerate((run, family, family.place(models[2], seed=3, **HOW))):
        path = tmp_path / f"{number}{suffix}"
        series.save(path)
        write_without_seeds(path)
        assert seeds_in(path) == set()
        old = load_series(path)
        assert old is not None
        assert old.columns == series.columns
        assert old.seed is None
        gone = {"seed": None} | ({"reference_seed": None} if number == 2 else {})
        assert list(old) == [row | gone for row in series]


def write_without_seeds(path: Path) -> None:
    """Write a saved series again as versions without a column for seeds did."""
    lines = path.read_text().splitlines()
    if path.suffix == ".csv":
        kept = [name for name in lines[0].split(",") if "seed" not in name]
        lines = [",".join(line.split(",")[: len(kept)]) for line in lines]
    else:
        rows = [json.loads(line) for line in lines]
        lines = [json.dumps({n: x for n, x in row.items() if "seed" not in n}) for row in rows]
    path.write_text("\n".join(lines) + "\n")


def test_a_monitor_continues_a_file_without_seeds(tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    Monitor(WEIGHTS, every=1, budget=None, out=file, seed=3, **HOW).step(1)
    write_without_seeds(file)
    Monitor(WEIGHTS, every=1, budget=None, out=file, seed=4, **HOW).step(2)
    run = load_series(file)
    assert run is not None
    assert {(row["step"], row["seed"]) for row in run} == {(1, None), (2, 4)}
    assert {row["change"] for row in run} == {0.0}
