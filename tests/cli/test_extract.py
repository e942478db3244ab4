# SPDX-License-Identifier: BSD-3-Clause
"""`sigmascope extract` and `sigmascope resize` as their users meet them."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.changed import written
from tests.support.command_line import invoke
from tests.support.tuned_models import CARRIED, EMBEDDING, NORM, SHAPES, base_model, tuned_model

import sigmascope as ss
from sigmascope.adapters import open_adapter

Q = "model.layers.0.self_attn.q_proj.weight"


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two models, and a terminal in which their names are not shortened."""
    monkeypatch.setenv("COLUMNS", "160")
    base = base_model()
    models = {"base": base, "tuned": tuned_model(base)}
    results = [written(tmp_path / name, model, "F32") for name, model in models.items()]
    return results[0], results[1]


def test_extract_and_resize(folders: tuple[Path, Path], tmp_path: Path) -> None:
    status, text, _ = invoke("extract", *folders, "--out", tmp_path / "a", "--edge", "-q")
    assert status == 0
    for name in CARRIED:
        assert name in text
    assert "|dW - B A| / |dW|" in text
    assert EMBEDDING in text
    assert f"{NORM} (|dW| " in text
    assert "5 changes in the adapter" in text
    assert "1 unchanged" in text
    adapter = open_adapter(tmp_path / "a")
    assert list(adapter) == CARRIED
    base, tuned = (ss.open_checkpoint(folder)[Q] for folder in folders)
    product = np.asarray(adapter[Q].B, float) @ np.asarray(adapter[Q].A, float)
    rest = np.asarray(tuned, float) - np.asarray(base, float) - product
    assert np.linalg.norm(rest) < 0.05 * np.linalg.norm(np.asarray(tuned - base))

    status, text, _ = invoke("resize", tmp_path / "a", "--out", tmp_path / "b", "--rank", 2)
    assert status == 0
    assert "-> 2" in text
    small = open_adapter(tmp_path / "b")
    assert {small[name].rank for name in SHAPES} == {2}
    assert small[EMBEDDING].rank == adapter[EMBEDDING].rank == 1  # every number changed by 0.5


def test_an_error_that_no_rank_reaches_is_status_1(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    arguments = "extract", *folders, "--out", tmp_path / "a", "--error", "1e-18", "-q"
    status, text, _ = invoke(*arguments)
    assert status == 1
    assert "Search or criterion not reached" in text
    assert set(open_adapter(tmp_path / "a")) == set(CARRIED)


def test_rows_as_json_and_a_second_run(folders: tuple[Path, Path], tmp_path: Path) -> None:
    arguments = "extract", *folders, "--out", tmp_path / "a", "-r", 2, "-q"
    status, text, _ = invoke(*arguments, "--json", "--dtype", "bfloat16")
    assert status == 0
    assert text.count('"status": "extracted"') == len(CARRIED)
    status, _, message = invoke(*arguments)
    assert status == 2
    assert "already holds an adapter; overwrite (--overwrite) replaces it" in message
    status, text, _ = invoke(*arguments, "--overwrite")
    assert status == 0
    resized = "resize", tmp_path / "a", "--out", tmp_path / "a", "--rank", 1, "-q", "--overwrite"
    assert invoke(*resized)[0] == 0
    assert set(open_adapter(tmp_path / "a")) == set(CARRIED)


@pytest.mark.parametrize("rank", [1, 2, 3, 6, 24])
def test_advice_holds(rank: int, folders: tuple[Path, Path], tmp_path: Path) -> None:
    """The size by --energy 0.9 is between those that the last line says."""
    status, text, _ = invoke("extract", *folders, "--out", tmp_path / "a", "--rank", rank, "-q")
    assert status == 0
    match = re.search(
        r"The adapter holds ([\d.]+) % of the energy \|dW\|\^2 of all its changes, in (.*) of "
        r"factors; with --energy 0\.9 for each change they would take "
        r"(?:between (.*) and )?(.*)\.$",
        " ".join(text.split()),
    )
    assert match is not None, text
    held, now, low, high = match.groups()
    rows = [row for row in ss.extract(*folders, tmp_path / "b", rank=rank) if row["rank"]]
    whole = sum(row["delta_fro_norm"] ** 2 for row in rows)
    lost = sum(row["remaining"] ** 2 for row in rows)
    assert float(held) == pytest.approx(100 * (1 - lost / whole), rel=2e-3)
    assert _bytes(now) == pytest.approx(_weights(tmp_path / "a"), rel=0.02)
    status, text, _ = invoke("extract", *folders, "--out", tmp_path / "c", "--energy", 0.9, "-q")
    assert "would take" not in text
    assert 0.98 * _bytes(low or high) <= _weights(tmp_path / "c") <= 1.02 * _bytes(high)


def _bytes(text: str) -> float:
    number, unit = text.split()
    return float(number) * {"B": 1, "kB": 1e3, "MB": 1e6}[unit]


def _weights(folder: Path) -> int:
    adapter = open_adapter(folder)
    return sum(adapter[name].nbytes for name in adapter if adapter.record_of(name)["status"])


def test_norms_in_full(folders: tuple[Path, Path], tmp_path: Path) -> None:
    options = "--out", tmp_path / "a", "--rank", 2, "--whole", "-q"
    status, text, _ = invoke("extract", *folders, *options)
    assert status == 0
    assert "1 saved whole; 1 unchanged" in text
    assert "not in the adapter" not in text
    record = open_adapter(tmp_path / "a").record_of(NORM)
    assert record["status"] == "whole"


@pytest.mark.parametrize("options", [(), ("--edge", "--rank", 3), ("--energy", 0.5, "--error", 1)])
def test_one_option_decides_the_rank(
    options: tuple[object, ...], folders: tuple[Path, Path], tmp_path: Path
) -> None:
    status, _, message = invoke("extract", *folders, "--out", tmp_path / "a", *options)
    assert status == 2
    assert "--rank, --energy, --error or --edge" in message
    assert not (tmp_path / "a").exists()


class Threads(ThreadPoolExecutor):
    """Threads instead of processes, which would import the package first."""

    pools: list[Threads]

    def __init__(self, count: int, **of_processes: Any) -> None:
        super().__init__(count)
        self.count, self.tasks = count, 0
        self.pools.append(self)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.tasks += fn is not int  # by which each process is started
        return super().submit(fn, *args, **kwargs)


def test_workers_compute_the_changes_and_change_no_bit(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = "--rank", 2, "--seed", 7, "-q"
    assert invoke("extract", *folders, "--out", tmp_path / "a", *options)[0] == 0
    monkeypatch.setattr(Threads, "pools", [], raising=False)
    monkeypatch.setattr("sigmascope.cli.scan.ProcessPoolExecutor", Threads)
    status, text, _ = invoke("extract", *folders, "--out", tmp_path / "b", *options, "--workers", 3)
    assert status == 0
    assert "5 changes in the adapter" in text
    (pool,) = Threads.pools
    assert (pool.count, pool.tasks) == (3, len(CARRIED) + 1)  # and the one that is unchanged
    weights = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in "ab"]
    assert weights[0] == weights[1]
