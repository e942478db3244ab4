# SPDX-License-Identifier: BSD-3-Clause
"""Malformed GGUF files are refused with an error that names the file and the values at fault."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.support.malformed_gguf import FILES, TOO_LONG, Case

import sigmascope as ss
from sigmascope.errors import CheckpointError


@pytest.mark.parametrize("case", FILES, ids=[case.name for case in FILES])
def test_malformed_files_are_refused(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(case.content)
    with pytest.raises(CheckpointError) as raised:
        ss.open_checkpoint(path)
    assert str(path) in str(raised.value)
    assert case.message in str(raised.value)
    assert len(str(raised.value)) < 1000


def test_there_are_many_cases_and_none_twice() -> None:
    assert len(FILES) >= 60
    assert len({case.content for case in FILES}) == len(FILES)


def test_a_header_above_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(TOO_LONG)
    os.truncate(path, 400_000_000)
    with pytest.raises(CheckpointError, match="above the limit of 200000000 bytes"):
        ss.open_checkpoint(path)
