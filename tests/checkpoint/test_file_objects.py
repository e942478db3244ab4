# SPDX-License-Identifier: BSD-3-Clause
"""File objects and files of fsspec as checkpoints."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.checkpoints import encoded, of_array
from tests.support.scans import bits, model

import sigmascope as ss
from sigmascope.errors import CheckpointError

HOW: dict[str, Any] = {"effort": "top", "k": 2}
ONE = "model-00001-of-00002.safetensors"


class ShortReads(io.BytesIO):
    """A file that gives at most 100 bytes at once, as raw files and sockets may."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(100 if size is None else min(size, 100))


def test_a_file_object_is_one_file(tmp_path: Path) -> None:
    folder = model(tmp_path)
    with (folder / ONE).open("rb") as file:
        scan = ss.scan(ss.open_checkpoint(file), **HOW)
        assert bits(scan.rows) == bits(ss.scan(folder / ONE, **HOW).rows)
        assert scan.checkpoint == f"file object/{ONE}"
        far = ss.open_checkpoint(file)
        with pytest.raises(TypeError, match="cannot be sent to another process"):
            pickle.dumps(far["w.0"])


def test_bytes_in_memory_are_one_file(tmp_path: Path) -> None:
    content = (model(tmp_path) / ONE).read_bytes()
    far = ss.open_checkpoint(io.BytesIO(content))
    here = ss.open_checkpoint(tmp_path / ONE)
    assert list(far) == list(here)
    np.testing.assert_array_equal(np.asarray(far["w.0"]), np.asarray(here["w.0"]))


def test_a_file_object_that_gives_fewer_bytes_than_were_asked_for(tmp_path: Path) -> None:
    content = (model(tmp_path) / ONE).read_bytes()
    far, here = ss.open_checkpoint(ShortReads(content)), ss.open_checkpoint(tmp_path / ONE)
    assert list(far) == list(here)
    assert here["w.0"].nbytes > 100
    np.testing.assert_array_equal(np.asarray(far["w.0"]), np.asarray(here["w.0"]))


def test_a_file_object_that_ends_early(tmp_path: Path) -> None:
    content = io.BytesIO((model(tmp_path) / ONE).read_bytes())
    far = ss.open_checkpoint(content)
    content.truncate(2000)
    with pytest.raises(CheckpointError, match=r"tensor 'w.8', bytes .*: 0 bytes could be read"):
        far["w.8"].load()


@pytest.mark.parametrize("rows", [slice(None), slice(3, 4990, 2)], ids=["all", "every other"])
def test_few_columns_of_more_rows_than_are_read_together(rows: slice) -> None:
    """Every number names its place; 8 MiB, which are read at once, have 2097 of the rows."""
    numbers = np.arange(5_000_000, dtype=np.float32).reshape(5000, 1000)
    far = ss.open_checkpoint(io.BytesIO(encoded([of_array("w", "F32", numbers)])))["w"]
    np.testing.assert_array_equal(np.asarray(far[rows, :100]), numbers[rows, :100])


def test_a_scan_of_a_file_of_fsspec_that_was_written_again_is_not_resumed(tmp_path: Path) -> None:
    memory = pytest.importorskip("fsspec").filesystem("memory")
    content = bytearray((model(tmp_path) / ONE).read_bytes())
    memory.pipe("/again.safetensors", bytes(content))
    try:
        file = memory.open("/again.safetensors")
        first = ss.scan(ss.open_checkpoint(file), resume=tmp_path / "run.jsonl", **HOW)
        same = ss.scan(ss.open_checkpoint(file), resume=tmp_path / "run.jsonl", **HOW)
        assert bits(same.rows) == bits(first.rows)
        content[-1] ^= 1
        memory.pipe("/again.safetensors", bytes(content))
        file = memory.open("/again.safetensors")
        with pytest.raises(
            ValueError, match=r"again\.safetensors has different content of the same"
        ):
            ss.scan(ss.open_checkpoint(file), resume=tmp_path / "run.jsonl", **HOW)
    finally:
        memory.rm("/again.safetensors")


@pytest.mark.parametrize("name", ["model.safetensors.index.json", ""])
def test_files_of_fsspec_are_read_with_their_neighbours(name: str, tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    folder = model(tmp_path)
    memory = fsspec.filesystem("memory")
    memory.put(f"{folder}/", "/weights/", recursive=True)
    try:
        far = ss.open_checkpoint(fsspec.open(f"memory://weights/{name}"))
        scan = ss.scan(far, **HOW)
        assert bits(scan.rows) == bits(ss.scan(folder, **HOW).rows)
        again = pickle.loads(pickle.dumps(far["w.0"]))
        np.testing.assert_array_equal(np.asarray(again), np.asarray(far["w.0"]))
    finally:
        memory.rm("/weights", recursive=True)
