# SPDX-License-Identifier: BSD-3-Clause
"""Pages as files: written beside other outputs, and made of saved scans."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.support.checkpoints import of_array, write_file
from tests.support.html_pages import data_of

import sigmascope as ss
from sigmascope.results import Scan


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A checkpoint of three matrices."""
    rng = np.random.default_rng(0)
    tensors = [
        of_array(f"layers.{i}.mlp.up_proj.weight", "F32", rng.standard_normal((40, 30), np.float32))
        for i in range(3)
    ]
    return write_file(tmp_path / "model.safetensors", *tensors)


def test_a_scan_is_saved_as_a_page(tmp_path: Path, checkpoint: Path) -> None:
    out = tmp_path / "r.html"
    scan = ss.scan(checkpoint, effort="top", k=4, out=out)
    text = out.read_text(encoding="utf-8")
    assert data_of(text)["matrices"]["name"] == [row["name"] for row in scan.analysed]
    assert "model.safetensors" in text
    scan.save(tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == text
    with pytest.raises(ValueError, match="an HTML page cannot be loaded"):
        Scan.load(out)
    with pytest.raises(FileNotFoundError, match=r"nowhere") as caught:
        scan.save(tmp_path / "nowhere" / "r.html")
    assert caught.value.filename == str(tmp_path / "nowhere" / "r.html")


def test_a_saved_scan_becomes_a_page(tmp_path: Path, checkpoint: Path) -> None:
    ss.scan(checkpoint, effort="exact", out=[tmp_path / "s.jsonl", tmp_path / "s.csv"])
    for name in ("s.jsonl", "s.csv"):
        Scan.load(tmp_path / name).save(tmp_path / "r.html")
        assert "up_proj" in (tmp_path / "r.html").read_text(encoding="utf-8")
