# SPDX-License-Identifier: BSD-3-Clause
"""A few hundred strange files for every reader; `python -m tests.fuzz` reads more of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fuzz import read
from tests.support.fuzzing import READERS, make


@pytest.mark.parametrize("reader", READERS)
def test_strange_files_are_refused_or_read(reader: str, tmp_path: Path) -> None:
    found = set()
    for seed in range(60):
        folder = tmp_path / str(seed)
        folder.mkdir()
        found.add(read(reader, make(reader, seed, folder)))
    assert "read" in found


def test_one_seed_is_one_file(tmp_path: Path) -> None:
    for reader in READERS:
        for number in range(2):
            (tmp_path / f"{reader}{number}").mkdir()
        first, second = (make(reader, 7, tmp_path / f"{reader}{number}") for number in range(2))
        files = [sorted(p.rglob("*")) if p.is_dir() else [p] for p in (first, second)]
        if reader not in ("table", "pickle"):  # zip archives and scans hold times
            assert [f.read_bytes() for f in files[0]] == [f.read_bytes() for f in files[1]]
