# SPDX-License-Identifier: BSD-3-Clause
"""Malformed folders of torch.distributed.checkpoint are refused; nothing of a pickle is run."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.distributed_files import Folder, cuts
from tests.support.malformed_distributed import FOLDERS, Case, W, whole

import sigmascope as ss
from sigmascope.errors import CheckpointError


@pytest.mark.parametrize("case", FOLDERS, ids=[case.name for case in FOLDERS])
def test_malformed_folders_are_refused(case: Case, tmp_path: Path) -> None:
    made = case.made()
    metadata = case.change(made)
    made.write(tmp_path, metadata)
    (tmp_path / "folder").mkdir()
    with pytest.raises(CheckpointError) as raised:
        ss.open_checkpoint(tmp_path)
    assert str(tmp_path) in str(raised.value)
    assert case.message in str(raised.value)
    assert len(str(raised.value)) < 1000


def test_there_are_many_cases() -> None:
    assert len(FOLDERS) >= 60


def test_the_folder_that_is_changed_is_read(tmp_path: Path) -> None:
    assert list(ss.open_checkpoint(whole().write(tmp_path))) == ["w"]


def test_a_folder_without_metadata_is_refused(tmp_path: Path) -> None:
    (whole().write(tmp_path) / ".metadata").unlink()
    with pytest.raises(CheckpointError, match=r"\.metadata: cannot be read: No such file"):
        ss.open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("limit", "most", "message"),
    [
        ("distributed.MAX_PICKLE_BYTES", 20, r"bytes, above the limit of 20"),
        ("distributed_metadata.MAX_TENSORS", 11, "12 chunks, above the limit of 11"),
        ("inert.MAX_PICKLE_STEPS", 50, "its pickle has more than 50 instructions"),
    ],
)
def test_metadata_above_a_limit_are_refused(
    limit: str, most: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Folder()
    made.add("w", W, cuts(3, 1, 2), cuts(4, 1, 2, 3))
    made.write(tmp_path)
    assert len(ss.open_checkpoint(tmp_path)) == 1
    monkeypatch.setattr(f"sigmascope.checkpoint.formats.{limit}", most)
    with pytest.raises(CheckpointError, match=message):
        ss.open_checkpoint(tmp_path)
