# SPDX-License-Identifier: BSD-3-Clause
"""docs/monitoring.md: its Python runs, the callbacks with modules in place of their packages."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "monitoring.md"
TEXT = PAGE.read_text(encoding="utf-8")
FIRST, TRANSFORMERS, LIGHTNING = re.findall(
    r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL
)
UP = "layers.0.mlp.up_proj.weight"


def run(block: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(block, "monitoring.md", "exec"), names)
    return names


def offer(monkeypatch: pytest.MonkeyPatch, name: str, base: str) -> None:
    """Put a module with an empty class in the place of a package."""
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        monkeypatch.setitem(sys.modules, ".".join(parts[:count]), ModuleType(parts[count - 1]))
    setattr(sys.modules[name], base, type(base, (), {}))


def model() -> dict[str, Any]:
    return {UP: np.eye(8, 4)}


def test_the_first_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run(FIRST)
    printed = capsys.readouterr().out.splitlines()
    assert printed[:2] == ["0 8 rows 0 unchanged", "10 8 rows 7 unchanged"]
    assert printed[-1].startswith("Trajectory(4 steps, 8 places")
    assert len((tmp_path / "run.jsonl").read_text().splitlines()) == 4 * 8 * 4


def test_the_callback_of_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "transformers", "TrainerCallback")
    logged: list[Any] = []
    callback = run(TRANSFORMERS)["SpectrumCallback"](
        log=lambda *scalar: logged.append(scalar), every=2, budget=None, measures="stable_rank"
    )
    for zero in (False, True):
        state = SimpleNamespace(is_world_process_zero=zero, global_step=0)
        callback.on_train_begin(None, state, None, model=model())
        for step in range(1, 5):
            state.global_step = step
            callback.on_step_end(None, state, None, model=None)
    value = pytest.approx(4.0)
    assert logged == [(f"stable_rank/{UP}", value, step) for step in (0, 2, 4)]


def test_the_callback_of_lightning(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "lightning.pytorch", "Callback")
    logged: list[Any] = []
    logger = SimpleNamespace(log_metrics=lambda values, step: logged.append((step, values)))
    callback = run(LIGHTNING)["SpectrumMonitor"](every=2, budget=None, measures="stable_rank")
    for zero in (False, True):
        trainer = SimpleNamespace(is_global_zero=zero, global_step=0, logger=logger)
        callback.on_train_start(trainer, model())
        for batch in range(1, 9):
            trainer.global_step = batch // 2
            callback.on_train_batch_end(trainer, None, None, None, batch)
    values = {f"stable_rank/{UP}": pytest.approx(4.0)}
    assert logged == [(step, values) for step in (0, 2, 4)]


def test_links_lead_to_files() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT)
    assert targets
    for target in targets:
        assert (PAGE.parent / target).exists(), target
