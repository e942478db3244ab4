# SPDX-License-Identifier: BSD-3-Clause
"""Malformed ONNX models are refused with an error that names the file and the values at fault."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from tests.support.malformed_onnx import FILES, Case
from tests.support.onnx_files import RAW, content, elsewhere, number, tensor, write_onnx

import sigmascope as ss
from sigmascope.errors import CheckpointError


@pytest.mark.parametrize("case", FILES, ids=[case.name for case in FILES])
def test_malformed_models_are_refused(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(case.content)
    (tmp_path / "data").write_bytes(bytes(24))
    (tmp_path / "folder").mkdir()
    with pytest.raises(CheckpointError) as raised:
        ss.open_checkpoint(path)
    assert str(tmp_path) in str(raised.value)
    assert case.message in str(raised.value)
    assert len(str(raised.value)) < 1000


def test_there_are_many_cases_and_none_twice() -> None:
    assert len(FILES) >= 60
    assert len({case.content for case in FILES}) == len(FILES)


def test_every_start_of_a_model_is_refused_or_whole(tmp_path: Path) -> None:
    """A model that is cut anywhere lacks its tensor, or is refused; none is read wrongly."""
    path = write_onnx(tmp_path / "x.onnx", tensor("w", "F32", (2, 3), content(RAW, bytes(24))))
    raw = path.read_bytes()
    results = []
    for stop in range(len(raw)):
        path.write_bytes(raw[:stop])
        with suppress(CheckpointError):
            results.append(list(ss.open_checkpoint(path)))
    assert 0 < len(results) <= 2  # the graph is whole, and what follows is cut between fields
    assert all(names == ["w"] for names in results)


def test_fields_above_the_limit_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(content(7, b"") + number(1, 1) * 9)
    monkeypatch.setattr("sigmascope.formats.onnx.protobuf.MAX_FIELDS", 10)
    assert len(ss.open_checkpoint(path).info()) == 0
    path.write_bytes(content(7, b"") + number(1, 1) * 10)
    with pytest.raises(CheckpointError, match=r"x\.onnx: more than 10 fields"):
        ss.open_checkpoint(path)


def test_initialisers_above_the_limit_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_onnx(tmp_path / "x.onnx", *(tensor(str(n), "F32", [0]) for n in range(4)))
    monkeypatch.setattr("sigmascope.formats.onnx.model.MAX_TENSORS", 3)
    with pytest.raises(CheckpointError, match=r"x\.onnx: more than 3 initialisers"):
        ss.open_checkpoint(path)


def test_a_long_list_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_onnx(tmp_path / "x.onnx", tensor("n", "I32", [5], content(5, bytes(5))))
    monkeypatch.setattr("sigmascope.formats.onnx.tensors.MAX_VARINT_BYTES", 4)
    (result,) = ss.open_checkpoint(path).info()
    assert result["reason"] == "varints of 5 bytes, above the limit of 4"


def test_a_link_in_the_folder_may_lead_anywhere(tmp_path: Path) -> None:
    """Download caches keep their files elsewhere, as for shards of safetensors."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "blobs" / "0").write_bytes(bytes(24))
    os.symlink(tmp_path / "blobs" / "0", tmp_path / "model" / "data")
    path = write_onnx(
        tmp_path / "model" / "x.onnx", tensor("w", "F32", (2, 3), elsewhere(location="data"))
    )
    assert list(ss.open_checkpoint(path)) == ["w"]
