# SPDX-License-Identifier: BSD-3-Clause
"""Files of .npy as a checkpoint: each an array, named as its file is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.checkpoints import record

from sigmascope.checkpoint import open_checkpoint
from sigmascope.errors import CheckpointError


def normal(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape)


def saved(folder: Path, **arrays: Any) -> Path:
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return folder


def test_a_folder_and_a_file(tmp_path: Path) -> None:
    arrays = {
        "c": normal(5, 4),
        "fortran": np.asfortranarray(normal(5, 4)).astype(np.float32),
        "half": normal(3, 7).astype(np.float16),
        "stack": normal(2, 3, 4),
        "bias": normal(3),
        "one": normal(1, 4),
    }
    checkpoint = open_checkpoint(saved(tmp_path, **arrays))
    arrays |= {f"stack[{i}]": layer for i, layer in enumerate(arrays.pop("stack"))}
    assert list(checkpoint) == ["c", "fortran", "half", "one", "stack[0]", "stack[1]"]
    for name, matrix in checkpoint.items():
        assert not matrix.in_memory
        np.testing.assert_array_equal(np.asarray(matrix), arrays[name])
    assert record(checkpoint, "fortran")["view"] == "stored transposed"
    alone = open_checkpoint(tmp_path / "c.npy")
    assert list(alone) == ["c"]
    np.testing.assert_array_equal(np.asarray(alone["c"]), arrays["c"])


@settings(max_examples=40, deadline=None)
@given(
    shape=st.lists(st.integers(0, 5), max_size=4),
    dtype=st.sampled_from(["f8", "f4", "f2", "i4", "u1", "?", "c8", ">f4"]),
    fortran=st.booleans(),
)
def test_every_array_is_accounted_for(
    shape: list[int], dtype: str, fortran: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    array = np.zeros(shape, dtype, order="F" if fortran else "C")
    checkpoint = open_checkpoint(saved(tmp_path_factory.mktemp("npy"), x=array) / "x.npy")
    (result,) = checkpoint.info()
    assert result["shape"] == array.shape
    assert result["nbytes"] == array.nbytes
    assert bool(result["matrices"]) == (result["reason"] is None)
    for matrix in checkpoint.values():
        assert not np.asarray(matrix).any()


@pytest.mark.parametrize(
    ("array", "status", "reason"),
    [
        (np.zeros((2, 2), ">f8"), "unreadable", "dtype >f8 is not decoded"),
        (np.zeros((2, 2), np.complex128), "unreadable", "dtype C128 is not decoded"),
        (np.zeros((2, 2), ml_dtypes.bfloat16), "unreadable", "dtype V2 is not decoded"),
        (np.zeros((2, 2), np.int16), "integer", "I16 holds no real numbers"),
        (np.zeros((2, 2), "U3"), "other", "an array of <U3, not a tensor"),
        (np.asfortranarray(np.zeros((2, 3, 4))), "unreadable", "strides [1, 2, 6]"),
    ],
    ids=str,
)
def test_what_has_no_matrix(array: Any, status: str, reason: str, tmp_path: Path) -> None:
    row = record(open_checkpoint(saved(tmp_path, x=array)), "x")
    assert row["status"] == status
    assert row["reason"].endswith(reason)


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{}, []], object), allow_pickle=True)
    row = record(open_checkpoint(tmp_path), "x")
    assert (row["status"], row["reason"]) == ("other", "an array of object, not a tensor")


def test_broken_files(tmp_path: Path) -> None:
    raw = (saved(tmp_path, x=normal(4, 4)) / "x.npy").read_bytes()
    for content, message in [
        (b"", "is not a readable .npy file"),
        (b"PK\3\4" + bytes(100), "is not a readable .npy file"),
        (raw[:60], "is not a readable .npy file"),
        (raw[:-1], r"takes 128 bytes from byte 128 on, but the file ends at 255"),
        (raw.replace(b"(4, 4)", b"(4,-4)"), "holds a negative size"),
    ]:
        (tmp_path / "x.npy").write_bytes(content)
        with pytest.raises(CheckpointError, match=rf"x\.npy.*{message}"):
            open_checkpoint(tmp_path)
    np.savez(tmp_path / "x.npz", w=normal(4, 4))
    with pytest.raises(CheckpointError, match=r"x\.npz: not a checkpoint but a \.npz archive"):
        open_checkpoint(tmp_path / "x.npz")


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("arrays.npz", "save the arrays as .npy files"),
    ],
)
def test_files_of_other_frameworks_are_named_with_what_helps(
    name: str, advice: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(CheckpointError, match=advice) as caught:
        open_checkpoint(tmp_path)
    assert name in str(caught.value)
    saved(tmp_path, x=normal(4, 4))
    (note,) = open_checkpoint(tmp_path).notes
    assert note.startswith(f"files not part of the checkpoint: '{name}' ({advice}")
