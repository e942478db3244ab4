# SPDX-License-Identifier: BSD-3-Clause
"""Files that are saved: who may read them, and that they are whole when they have their name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sigmascope as ss
from sigmascope.streaming import Sketch

NAME = "model.layers.0.self_attn.q_proj.weight"
SAVED = {
    "scan.csv",
    "scan.jsonl",
    "scan.html",
    "pairs.jsonl",
    "places.csv",
    "places.jsonl",
    "sketch.npz",
    "adapter_config.json",
    "adapter_model.safetensors",
    "extraction.jsonl",
}


def save_all(folder: Path) -> dict[str, Path]:
    """Save a file of every kind; the files by name."""
    rng = np.random.default_rng(0)
    before, after = ({NAME: rng.standard_normal((20, 12)).astype(np.float32)} for _ in range(2))
    how: dict[str, Any] = {"effort": "exact", "k": 2}
    scan = ss.scan(before, **how)
    for suffix in (".csv", ".jsonl", ".html"):
        scan.save(folder / f"scan{suffix}")
    ss.compare(before, after, **how).save(folder / "pairs.jsonl")
    places = ss.series.reference([scan, ss.scan(after, **how)], measures="effective_rank", bands=1)
    for suffix in (".csv", ".jsonl"):
        places.save(folder / f"places{suffix}")
    Sketch(12, 2).update(before[NAME]).save(folder / "sketch.npz")
    ss.extract(before, after, folder / "adapter", rank=2)
    return {path.name: path for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(params=[0o022, 0o027, 0o077], ids=["022", "027", "077"])
def mask(request: pytest.FixtureRequest) -> Iterator[int]:
    """Bits of permissions that the user takes from every new file."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_a_saved_file_has_the_permissions_of_any_new_file(mask: int, tmp_path: Path) -> None:
    saved = save_all(tmp_path)
    assert saved.keys() >= SAVED
    modes = {name: oct(path.stat().st_mode & 0o777) for name, path in saved.items()}
    assert modes == dict.fromkeys(saved, oct(0o666 & ~mask))


def test_a_saved_file_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loss of power leaves the old file or the new one, never an empty one."""
    written: dict[int, int] = {}
    named: set[str] = set()
    sync, replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        sync(descriptor)
        status = os.fstat(descriptor)
        written[status.st_ino] = status.st_size

    def replaced(source: str | Path, target: str | Path) -> None:
        status = os.stat(source)
        assert written[status.st_ino] == status.st_size, target
        named.add(Path(target).name)
        replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replaced)
    save_all(tmp_path)
    assert named >= SAVED - {"extraction.jsonl"}  # which grows, line by line
