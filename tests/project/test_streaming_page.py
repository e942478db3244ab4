# SPDX-License-Identifier: BSD-3-Clause
"""docs/streaming.md: its Python runs as a reader would type it, its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "streaming.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_python_blocks_run_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 6
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "streaming.md", "exec"), names)
    printed = capsys.readouterr().out
    assert "Sketch(5300 rows x 200, k=8, width=64)" in printed
    assert "Moments(5000 x 200" in printed


def test_links_lead_to_files() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT)
    assert targets
    for target in targets:
        assert (PAGE.parent / target).exists(), target
