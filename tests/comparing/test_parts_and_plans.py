# SPDX-License-Identifier: BSD-3-Clause
"""Comparisons in parts, and plans compared with the comparisons of the same arguments."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from inspect import signature
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tests.support.adapters import factors, lora, write_adapter
from tests.support.changed import written
from tests.support.command_line import invoke
from tests.support.comparisons import OPTIONS, model, tuned
from tests.support.machine_speeds import assume_any
from tests.support.planned_commands import options_of, options_of_its_plan
from tests.support.scans import bits
from tests.support.screens import screen, shown
from tests.support.tiers import short

import sigmascope as ss
from sigmascope import report
from sigmascope.results import Comparison, ComparisonPlan

LIMITS = ["20kB", "100kB", "400kB", "19.1MiB", "70MiB", "1GiB"]


@pytest.fixture(autouse=True)
def no_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    """Estimates of time are not what is looked at here, and take a third of a second each."""
    assume_any(monkeypatch)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model, and the same after a change."""
    base, folder = model(), tmp_path_factory.mktemp("pair")
    return written(folder / "a", base), written(folder / "b", tuned(base))


# ------------------------------------------------------------------------------------- parts


@pytest.mark.parametrize("count", [pytest.param(1, marks=pytest.mark.slow), 3, 9])
def test_parts_make_the_whole(folders: tuple[Path, Path], tmp_path: Path, count: int) -> None:
    paths = [tmp_path / f"part-{index}.jsonl" for index in range(count)]
    for index, path in enumerate(paths):
        part = ss.compare(*folders, shard=(index, count), resume=path, **OPTIONS)
        assert part.shard is not None
        assert bits(Comparison.load(path)) == bits(part)
    whole = ss.compare(*folders, **OPTIONS)
    scan = ss.merge(reversed(paths))
    assert isinstance(scan, Comparison)
    assert scan.complete
    assert bits(scan) == bits(whole)
    assert scan.verdict == whole.verdict
    assert scan.header() | {"options": None} == whole.header() | {"options": None}


def test_a_part_of_a_scan_is_not_a_part_of_a_comparison(folders: tuple[Path, Path]) -> None:
    one = ss.compare(*folders, shard=(0, 2), **OPTIONS)
    two = ss.scan(folders[0], shard=(1, 2), k=4)
    with pytest.raises(ValueError, match="is a scan, not a part of a comparison"):
        ss.merge([one, two])
    with pytest.raises(ValueError, match="shards missing: 1/2"):
        ss.merge([one])
    with pytest.raises(ValueError, match="shard 2/2: the first number"):
        ss.compare(*folders, shard=(2, 2))


def test_parts_on_the_command_line(folders: tuple[Path, Path], tmp_path: Path) -> None:
    paths = [tmp_path / f"{index}.jsonl" for index in range(2)]
    for index, path in enumerate(paths):
        how = ("--shard", f"{index}/2", "--resume", path, "-k", 8, "--seed", 0, "-q")
        status, text, _ = invoke("compare", *folders, *how)
        assert status in (0, 1)
        part = Comparison.load(path)
        assert f"part {index}/2, with {len(part)} of " in " ".join(text.split())
    out = tmp_path / "whole.parquet"
    status, text, _ = invoke("merge", *paths, "--out", out)
    assert status in (0, 1)
    assert "; part " not in text
    assert bits(Comparison.load(out)) == bits(ss.compare(*folders, k=8))


# ------------------------------------------------------------------------------------- plans


def reasons(result: Comparison) -> dict[str, str]:
    return {row["name"]: row["reason"] for row in result.failed}


def refusals(plan: ComparisonPlan) -> dict[str, str | None]:
    return {pair.name: pair.refused for pair in plan.refused}


@pytest.mark.parametrize(
    ("limit", "effort"),
    short(
        ["20kB-top", "400kB-exact", "70MiB-density"],
        {
            f"{limit}-{effort}": (limit, effort)
            for limit in LIMITS
            for effort in ("top", "density", "exact")
        },
    ),
)
def test_what_is_refused(folders: tuple[Path, Path], effort: str, limit: str) -> None:
    options: dict[str, Any] = {"effort": effort, "k": 8, "num_threads": 2, "memory_limit": limit}
    plan = ss.compare(*folders, **options, plan=True)
    assert refusals(plan) == reasons(ss.compare(*folders, **options))
    out = screen(400)
    report.show_plan(out, plan)
    text = shown(out)
    for pair in plan.refused:
        assert str(pair.refused) in text
    if plan.accepted:
        assert f"{len(plan.accepted)} pairs" in text
        assert plan.peak_bytes <= max(plan.memory_limit, plan.floor_bytes)


def test_the_plan_of_an_adapter(folders: tuple[Path, Path], tmp_path: Path) -> None:
    tensors = lora("model.layers.0.self_attn.q_proj", *factors(24, 24))
    adapter = write_adapter(tmp_path / "adapter", tensors)
    for limit in LIMITS:
        options: dict[str, Any] = {"k": 8, "num_threads": 2, "memory_limit": limit}
        plan = ss.compare(folders[0], adapter, **options, plan=True)
        assert refusals(plan) == reasons(ss.compare(folders[0], adapter, **options))
        two = ss.compare(adapter, adapter, **options, plan=True)
        assert refusals(two) == reasons(ss.compare(adapter, adapter, **options))
        assert {pair.effort for pair in two.accepted} <= {"exact"}


def test_the_plan_of_workers_and_of_parts(folders: tuple[Path, Path]) -> None:
    options: dict[str, Any] = {"k": 8, "num_threads": 4, "memory_limit": "150MiB"}
    plan = ss.compare(*folders, workers=3, **options, plan=True)
    with ThreadPoolExecutor(3) as pool:
        comparison = ss.compare(*folders, executor=pool, workers=3, **options)
    assert refusals(plan) == reasons(comparison)
    assert (plan.workers, plan.processes) == (3, True)
    assert plan.peak_bytes == sum(sorted(pair.peak_bytes for pair in plan.accepted)[-3:])
    names = []
    for index in range(3):
        part = ss.compare(*folders, shard=(index, 3), **options, plan=True)
        assert part.totals()["shard"] == f"{index}/3"
        names += [pair.name for pair in part]
    whole = ss.compare(*folders, **options, plan=True)
    assert sorted(names) == sorted(pair.name for pair in whole)
    assert whole.totals()["pairs"] == len(whole.accepted)


def test_the_next_pair_is_planned_beside_the_one_that_runs(folders: tuple[Path, Path]) -> None:
    """It is read meanwhile, if there is memory for both; a worker of an executor has one pair."""
    plan = ss.compare(*folders, **OPTIONS, plan=True)
    largest = max(pair.peak_bytes for pair in plan)
    assert len(plan) > 1
    assert plan.peak_bytes >= largest + min(pair.nbytes for pair in plan)
    assert ss.compare(*folders, workers=1, **OPTIONS, plan=True).peak_bytes == largest
    (alone,) = one = ss.compare(*folders, include="*embed*", **OPTIONS, plan=True)
    assert one.peak_bytes == alone.peak_bytes


def test_a_plan_has_shapes_bytes_and_what_is_kept(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    comparison = ss.compare(*folders, **OPTIONS)
    plan = ss.compare(*folders, **OPTIONS, plan=True)
    assert [pair.name for pair in plan] == [row["name"] for row in comparison.analysed]
    for pair in plan:
        row = comparison[pair.name]
        assert [pair.rows, pair.columns] == row["before_shape"]
        assert pair.nbytes == row["nbytes"]
        assert pair.held
        assert pair.read_bytes == pair.nbytes
    journal = tmp_path / "part.jsonl"
    ss.compare(*folders, resume=journal, shard=(0, 2), **OPTIONS)
    left = ss.compare(*folders, resume=journal, shard=(0, 2), **OPTIONS, plan=True)
    assert (len(left), left.kept) == (0, len(Comparison.load(journal).analysed))
    with pytest.raises(ValueError, match="the journal of another comparison"):
        ss.compare(*folders, resume=journal, **OPTIONS, plan=True)


def test_the_plan_on_the_command_line(folders: tuple[Path, Path]) -> None:
    status, text, _ = invoke("compare", *folders, "--plan", "--memory", "1GiB")
    assert status == 0
    assert all(str(folder) in text for folder in folders)
    assert " pairs" in text
    assert "Measured just now" in text
    status, text, _ = invoke("compare", *folders, "--plan", "--json", "--shard", "0/2")
    *pairs, totals = (json.loads(line) for line in text.splitlines())
    assert totals["totals"]["pairs"] == len(pairs) > 0
    assert totals["totals"]["before"] == str(folders[0])
    assert np.isfinite(totals["totals"]["seconds"])


def test_no_option_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every option of `compare` reaches the plan, or has nothing to do with what is done."""
    reached = set(options_of_its_plan(monkeypatch, "compare", tmp_path, tmp_path))
    shown_alone = {"before", "after", "plan", "quiet", "as_json", "reference", "recipe"}
    assert options_of("compare") - shown_alone == reached
    of_the_run = shown_alone | {"resources", "executor", "progress"}
    assert set(signature(ss.compare).parameters) - of_the_run <= reached


@pytest.mark.unsanitized
def test_one_thread_has_the_memory_for_every_value_of_a_change(tmp_path: Path) -> None:
    """With tiles, the sparse remainder of a change takes memory next to its Gram matrix."""
    rng = np.random.default_rng(3)
    bf16 = ml_dtypes.bfloat16
    before = rng.standard_normal((640, 512), dtype=np.float32).astype(bf16)
    after = (before.astype(np.float32) * np.float32(1.01) + np.float32(2e-3)).astype(bf16)
    folders = (
        written(tmp_path / name, {"w": each}) for name, each in (("a", before), ("b", after))
    )
    (row,) = ss.compare(*folders, effort="exact", k=16, num_threads=1).rows
    assert row["status"] == "analysed", row["reason"]
