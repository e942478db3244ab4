# SPDX-License-Identifier: BSD-3-Clause
"""Promises of README.md: its Python runs as a reader would type it, its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from tests.support.checkpoints import of_array, write_file

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_python_blocks_run_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model").mkdir()
    weight = np.random.default_rng(0).standard_normal((96, 48)).astype(np.float32)
    write_file(
        tmp_path / "model" / "model.safetensors",
        of_array("layers.0.mlp.up_proj.weight", "F32", weight),
        of_array("layers.0.norm.weight", "F32", weight[0]),
    )
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    printed = capsys.readouterr().out
    assert "converged" in printed
    assert "layers.0.mlp.up_proj.weight (96, 48) f32" in printed


def test_links_lead_to_files() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert targets
    for target in targets:
        assert (ROOT / target).exists(), target


def test_the_two_commands_are_there() -> None:
    assert "    pip install '.[cli]' && sigmascope demo\n" in README
    assert "    pip install '.[test]' && python -m pytest\n" in README
