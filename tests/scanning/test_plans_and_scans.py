# SPDX-License-Identifier: BSD-3-Clause
"""A plan beside the scan of the same arguments: what is refused, of which part, with what to do."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.checkpoints import of_array, write_file
from tests.support.command_line import invoke
from tests.support.coverings import grid
from tests.support.machine_speeds import assume_any
from tests.support.planned_commands import options_of, options_of_its_plan
from tests.support.scans import model as small_model
from tests.support.scans import normal
from tests.support.screens import screen, shown

import sigmascope as ss
from sigmascope import report
from sigmascope.errors import ScanInterrupted
from sigmascope.results import Scan, ScanEvent, ScanPlan

LIMITS = ["20kB", "100kB", "200kB", "400kB", "1MB", "19.1MiB", "70MiB", "200MiB"]


@pytest.fixture(autouse=True)
def no_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    """Estimates of time are not what is looked at here, and take a third of a second each."""
    assume_any(monkeypatch)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Matrices of several shapes, and a vector."""
    folder = tmp_path_factory.mktemp("model")
    sizes = [(200, 150), (40, 900), (70, 60), (1500, 30), (300, 280), (9, 1), (64, 64)]
    tensors = [normal(f"w.{i}", *shape, seed=i) for i, shape in enumerate(sizes)]
    norm = of_array("norm", "F32", np.ones(7, np.float32))
    return write_file(folder / "model.safetensors", norm, *tensors).parent


def reasons(scan: Scan) -> dict[str, str]:
    return {row["name"]: row["reason"] for row in scan.failed}


def refusals(plan: ScanPlan) -> dict[str, str | None]:
    return {tensor.name: tensor.refused for tensor in plan.refused}


def check_text(plan: ScanPlan) -> None:
    """Check that the text counts and names refused tensors, and is true of the limit."""
    out = screen(400)
    report.show_plan(out, plan)
    text = shown(out)
    for tensor in plan.refused:
        assert f"{tensor.name}: {tensor.refused}" in text
    counted = re.search(r"(\d+) matri(?:x|ces) refused, with the reasons? above", text)
    assert int(counted[1] if counted else 0) == len(plan.refused)
    assert ("At most " in text) == bool(plan.accepted)
    if plan.peak_bytes > plan.memory_limit:
        assert plan.peak_bytes <= plan.floor_bytes
        assert "whatever the limit is" in text
        assert "; the limit is" not in text


@grid(limit=LIMITS, effort=("top", "density", "exact"))
def test_what_is_refused_and_what_would_do(model: Path, effort: str, limit: str) -> None:
    options: dict[str, Any] = {"effort": effort, "k": 8, "num_threads": 2}
    plan = ss.scan(model, memory_limit=limit, **options, plan=True)
    assert refusals(plan) == reasons(ss.scan(model, memory_limit=limit, **options))
    check_text(plan)
    if not plan.refused:
        assert plan.sufficient_limit == plan.memory_limit
        return
    enough = plan.sufficient_limit
    assert not ss.scan(model, memory_limit=enough, **options, plan=True).refused
    assert not ss.scan(model, memory_limit=enough, **options).failed
    assert ss.scan(model, memory_limit=enough - 1, **options, plan=True).refused


@pytest.mark.parametrize("limit", ["150kB", "600kB", "150MiB"])
def test_the_plan_of_workers(model: Path, limit: str) -> None:
    options: dict[str, Any] = {"k": 8, "num_threads": 4, "workers": 3}
    plan = ss.scan(model, memory_limit=limit, **options, plan=True)
    with ThreadPoolExecutor(3) as pool:
        scan = ss.scan(model, memory_limit=limit, executor=pool, **options)
    assert refusals(plan) == reasons(scan)
    assert (plan.workers, plan.processes, plan.rates.threads) == (3, True, 1)
    peaks = sorted(tensor.peak_bytes for tensor in plan.accepted)
    assert plan.peak_bytes == sum(peaks[-3:])
    check_text(plan)
    enough = ss.scan(model, memory_limit=plan.sufficient_limit, **options, plan=True)
    assert not enough.refused
    with pytest.raises(ValueError, match="workers must be at least 1, not 0"):
        ss.scan(model, workers=0, plan=True)


def test_the_plan_of_a_part(model: Path) -> None:
    whole = [tensor.name for tensor in ss.scan(model, k=8, plan=True)]
    results = []
    for index in range(3):
        plan = ss.scan(model, k=8, shard=(index, 3), plan=True)
        assert [tensor.name for tensor in plan] == [
            row["name"] for row in ss.scan(model, k=8, shard=(index, 3)).analysed
        ]
        results += [tensor.name for tensor in plan]
        assert plan.totals()["shard"] == f"{index}/3"
        out = screen(200)
        report.show_plan(out, plan)
        assert f"Part {index}/3 of the scan: " in shown(out)
    assert sorted(results) == sorted(whole)
    with pytest.raises(ValueError, match="shard 3/3"):
        ss.scan(model, shard=(3, 3), plan=True)


# --------------------------------------------------------------------------- journals and outputs


def stop_after(name: str) -> Callable[[ScanEvent], None]:
    def listener(event: ScanEvent) -> None:
        if event.kind == "row" and event.name == name:
            raise KeyboardInterrupt

    return listener


@pytest.mark.parametrize("shard", [None, (1, 2)], ids=["whole", "part"])
def test_the_plan_of_what_is_left(tmp_path: Path, shard: tuple[int, int] | None) -> None:
    """It is what goes on then, row for row; and nothing is made, locked or changed for it."""
    folder, path = small_model(tmp_path / "model"), tmp_path / "x.jsonl"
    options: dict[str, Any] = {"k": 4, "num_threads": 1, "shard": shard, "resume": path}
    begin = {**options, "memory_limit": 400_000}
    before = ss.scan(folder, **begin, plan=True)
    assert not path.exists()
    assert before.kept == 0
    stop = before.tensors[2].name
    with pytest.raises(ScanInterrupted):
        ss.scan(folder, progress=stop_after(stop), **begin)
    content, stamp = path.read_bytes(), path.stat().st_mtime_ns
    left = ss.scan(folder, **options, plan=True)
    assert left.kept == 3
    assert [t.name for t in left] == [t.name for t in before][3:]
    assert left.memory_limit == 400_000  # as the scan that goes on
    out = screen(200)
    report.show_plan(out, left)
    assert "The journal already has the rows of 3 matrices." in shown(out)
    with pytest.raises(ValueError, match=r"x\.jsonl: the journal of another scan: k was 4, is 5"):
        ss.scan(folder, **options | {"k": 5}, plan=True)
    with open(path) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError, match="another scan"):
            ss.scan(folder, **options, plan=True)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (content, stamp)
    started: list[str | None] = []
    ss.scan(
        folder,
        progress=lambda event: started.append(event.name) if event.kind == "started" else None,
        **options,
    )
    assert started == [tensor.name for tensor in left]
    done = ss.scan(folder, **options, plan=True)
    assert (len(done), done.kept) == (0, len(before))


def test_rows_that_failed_for_want_of_memory_are_planned_again(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    options: dict[str, Any] = {"k": 8, "effort": "exact", "resume": path}
    failed = [row["name"] for row in ss.scan(model, memory_limit="100kB", **options).failed]
    assert 0 < len(failed) < 7
    plan = ss.scan(model, memory_limit="1GiB", **options, plan=True)
    assert [tensor.name for tensor in plan.accepted] == failed


def test_outputs_are_checked_and_left_alone(model: Path, tmp_path: Path) -> None:
    there = tmp_path / "there.jsonl"
    there.write_text("what was there\n")
    fine = [tmp_path / "x.jsonl", tmp_path / "x.csv", tmp_path / "x.html", there]
    ss.scan(model, k=8, out=fine, plan=True)
    assert [path.name for path in tmp_path.iterdir()] == ["there.jsonl"]
    assert there.read_text() == "what was there\n"
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "folder.jsonl").mkdir()
    wrong = ["x.txt", "nowhere/x.jsonl", "nowhere/x.csv", "folder.csv", "folder.jsonl"]
    for name in wrong:
        messages = []
        for call in (partial(ss.scan, plan=True), ss.scan):
            with pytest.raises((ValueError, OSError)) as error:
                call(model, k=8, out=tmp_path / name)
            messages.append((type(error.value), str(error.value)))
        assert messages[0] == messages[1]
    with pytest.raises(ValueError, match=r"x\.csv: a scan is resumed from a \.jsonl file"):
        ss.scan(model, resume=tmp_path / "x.csv", plan=True)
    with pytest.raises(ValueError, match=r"there\.jsonl: "):
        ss.scan(model, resume=there, plan=True)


# ------------------------------------------------------------------------------- the command line


def test_no_option_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every option of `scan` reaches the plan, or has nothing to do with what is done."""
    options = options_of_its_plan(monkeypatch, "scan", tmp_path, "--workers", 2)
    assert options_of("scan") - {"path", "plan", "quiet", "as_json"} == set(options)
    assert options["workers"] == 2


def test_options_of_parts_on_the_command_line(model: Path, tmp_path: Path) -> None:
    def planned(*options: object) -> tuple[int, str, str]:
        return invoke("scan", model, "-k", 8, "--plan", *options)

    status, text, _ = planned("--shard", "0/2", "--memory", "1GiB")
    assert status == 0
    assert re.search(r"^Part 0/2 of the scan: \d of 8 rows\.$", text, re.MULTILINE)
    _, text, _ = planned("--workers", "2", "--memory", "1GiB")
    assert " of memory in 2 processes; the limit is 1 GiB." in text
    for options in (
        ["--shard", "x"],
        ["--shard", "2/2"],
        ["--out", tmp_path / "x.txt"],
        ["--out", tmp_path / "nowhere" / "x.csv"],
        ["--resume", tmp_path / "x.csv"],
    ):
        assert planned(*options)[0] == 2, options
    assert os.listdir(tmp_path) == []
