# SPDX-License-Identifier: BSD-3-Clause
"""Checkpoints: files and folders, what every tensor becomes, and values against the oracle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
from tests.support.checkpoints import (
    Stored,
    looked_up,
    of_array,
    opened,
    record,
    recorded_calls,
    write_file,
    write_index,
    write_sharded,
)
from tests.support.stored_types import STORED_FLOATS

from sigmascope.checkpoint import open_checkpoint
from sigmascope.errors import CheckpointError

deserialize: Any = safetensors.deserialize  # untyped

A, B = Stored("a", "F32", (2, 3)), Stored("b", "F32", (3, 2))
UP = "model.layers.0.mlp.up_proj.weight"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    return recorded_calls(monkeypatch)


# ---------------------------------------------------------------------------- files and folders


def test_one_file(tmp_path: Path) -> None:
    path = write_file(tmp_path / "x.safetensors", B, A)
    checkpoint = open_checkpoint(path)
    assert list(checkpoint) == ["b", "a"]
    assert len(checkpoint) == 2
    assert "a" in checkpoint
    assert "c" not in checkpoint
    assert checkpoint.path == path
    assert checkpoint.files == (path,)
    assert checkpoint.notes == ()
    assert repr(checkpoint) == f"<Checkpoint {str(path)!r}: 2 matrices, 2 tensors in 1 files>"


def test_indexed_folder_comes_in_shard_order(tmp_path: Path) -> None:
    shards = {
        "model-00002-of-00002.safetensors": [A],
        "model-00001-of-00002.safetensors": [B, Stored("c", "F32", (2, 2))],
    }
    folder = write_sharded(tmp_path / "model", shards)
    for path in (folder, folder / "model.safetensors.index.json", str(folder)):
        checkpoint = open_checkpoint(path)
        assert list(checkpoint) == ["b", "c", "a"]
        assert [file.name for file in checkpoint.files] == sorted(shards)
        assert checkpoint.notes == ()


def test_index_under_another_name(tmp_path: Path) -> None:
    folder = write_sharded(tmp_path, {"diffusion-1.safetensors": [A]})
    (folder / "model.safetensors.index.json").rename(folder / "diffusion.safetensors.index.json")
    assert list(open_checkpoint(folder)) == ["a"]


def test_folder_without_index(tmp_path: Path) -> None:
    write_file(tmp_path / "model-00001-of-00002.safetensors", A)
    write_file(tmp_path / "model-00002-of-00002.safetensors", B)
    write_file(tmp_path / "._model.safetensors")
    assert list(open_checkpoint(tmp_path)) == ["a", "b"]
    assert open_checkpoint(tmp_path).notes == ()


def test_files_left_out_are_noted(tmp_path: Path) -> None:
    write_file(tmp_path / "consolidated.safetensors", A)
    write_file(tmp_path / "model.safetensors", A)
    checkpoint = open_checkpoint(tmp_path)
    assert [file.name for file in checkpoint.files] == ["model.safetensors"]
    assert checkpoint.notes == ("files not part of the checkpoint: 'consolidated.safetensors'",)
    write_index(tmp_path, {"weight_map": {"a": "consolidated.safetensors"}})
    checkpoint = open_checkpoint(tmp_path)
    assert [file.name for file in checkpoint.files] == ["consolidated.safetensors"]
    assert checkpoint.notes == ("files not part of the checkpoint: 'model.safetensors'",)


@pytest.mark.parametrize("total", [47, "48", -1, None, 48.0, 48])
def test_wrong_total_size_is_a_note(total: object, tmp_path: Path) -> None:
    write_sharded(tmp_path, {"a.safetensors": [A, B]}, metadata={"total_size": total})
    notes = open_checkpoint(tmp_path).notes
    if total in (48, None):
        assert notes == ()
    else:
        claim = f"model.safetensors.index.json: total_size {total!r}"
        assert notes == (f"{claim}, but the tensors take 48 bytes",)


def test_shards_may_be_links_into_a_cache(tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "main"
    write_sharded(blobs, {"a.safetensors": [A]})
    snapshot.mkdir(parents=True)
    for name in ("a.safetensors", "model.safetensors.index.json"):
        (snapshot / name).symlink_to(Path("../../blobs") / name)
    assert list(open_checkpoint(snapshot)) == ["a"]


def test_relative_path_survives_a_change_of_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: list[dict[str, Any]]
) -> None:
    write_file(tmp_path / "x.safetensors", A)
    monkeypatch.chdir(tmp_path)
    checkpoint = open_checkpoint("x.safetensors")
    monkeypatch.chdir("/")
    assert looked_up(checkpoint, "a") is calls[0]


# ---------------------------------------------------------------------------- what tensors become

BECOMES = [
    (Stored("t", "F32", (2, 3)), "matrix", None),
    (Stored("t", "BF16", (1, 3)), "matrix", None),
    (Stored("t", "F32", ()), "scalar", "scalar, no spectrum"),
    (Stored("t", "BF16", (5,)), "vector", "vector, no spectrum"),
    (Stored("t", "F32", (0, 3)), "empty", "no elements: shape [0, 3]"),
    (Stored("t", "F4", (3, 0)), "empty", "no elements: shape [3, 0]"),
    (Stored("t", "I64", (1, 512)), "integer", "I64 holds no real numbers"),
    (Stored("t", "U8", (4, 4)), "integer", "U8 holds no real numbers"),
    (Stored("t", "BOOL", (4, 4)), "integer", "BOOL holds no real numbers"),
    (Stored("t", "F4", (4, 4)), "unreadable", "dtype F4 is not decoded"),
    (Stored("t", "F6_E2M3", (4, 4)), "unreadable", "dtype F6_E2M3 is not decoded"),
    (Stored("t", "F8_E8M0", (4, 4)), "unreadable", "dtype F8_E8M0 is not decoded"),
    (Stored("t", "F8_E4M3FNUZ", (4, 4)), "unreadable", "dtype F8_E4M3FNUZ is not decoded"),
    (Stored("t", "C64", (4, 4)), "unreadable", "dtype C64 is not decoded"),
    (
        Stored("t", "F32", (2, 2, 2, 2, 2, 2)),
        "unreadable",
        "6 dimensions: a matrix view is not defined",
    ),
    (Stored("t", "F16", (4097, 2, 2)), "unreadable", "stack of 4097 slices, above 4096"),
    (Stored("t", "F32", (1, 1, 4, 4)), "vector", "vector of shape [1, 1, 4, 4], no spectrum"),
]


@pytest.mark.parametrize(
    ("tensor", "status", "reason"), BECOMES, ids=lambda value: getattr(value, "dtype", None)
)
def test_every_tensor_appears_with_its_reason(
    tensor: Stored, status: str, reason: str | None, tmp_path: Path
) -> None:
    checkpoint = opened(tmp_path, tensor)
    row = record(checkpoint, "t")
    assert (row["status"], row["reason"]) == (status, reason)
    assert row["shape"] == tensor.shape
    assert row["nbytes"] == tensor.nbytes
    assert row["file"] == "model.safetensors"
    assert row["matrices"] == (("t",) if status == "matrix" else ())
    assert dict(checkpoint.unreadable) == ({"t": reason} if status == "unreadable" else {})
    if reason is not None:
        with pytest.raises(KeyError, match="t: "):
            checkpoint["t"]
    with pytest.raises(KeyError, match="absent"):
        checkpoint["absent"]


def test_records_carry_roles(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, Stored(UP, "F32", (2, 3)))
    row = record(checkpoint, UP)
    place = {key: row[key] for key in ("layer", "role", "tower", "expert")}
    assert place == {"layer": 0, "role": "up", "tower": "text", "expert": None}
    assert checkpoint.roles[UP].role == "up"


def test_stacked_experts_are_matrices(tmp_path: Path, calls: list[dict[str, Any]]) -> None:
    name = "model.layers.1.mlp.experts.gate_up_proj"
    checkpoint = opened(tmp_path, Stored("odd", "U8", (3,)), Stored(name, "BF16", (2, 3, 4)))
    assert list(checkpoint) == [f"{name}[0]", f"{name}[1]"]
    row = record(checkpoint, name)
    assert row["view"] == "stack of 2 matrices 3 x 4"
    assert row["matrices"] == tuple(checkpoint)
    assert [checkpoint.roles[key].expert for key in checkpoint] == [0, 1]
    assert checkpoint.roles[name].expert is None
    for key in checkpoint:
        assert looked_up(checkpoint, key) is calls[-1]
    assert [call["offset"] - row["offset"] for call in calls] == [0, 24]
    assert {call["shape"] for call in calls} == {(3, 4)}
    with pytest.raises(KeyError, match="stack of 2 matrices"):
        checkpoint[name]


@pytest.mark.parametrize(
    ("name", "shape", "flat"),
    [
        ("patch_embed.proj.weight", (4, 3, 2, 2), (4, 12)),
        ("patch_embed.proj.weight", (4, 3, 2, 2, 2), (4, 24)),
        ("conv1d.weight", (4, 3, 2), (4, 6)),
        ("mixer.weight", (4, 1, 3), (4, 3)),
    ],
)
def test_kernels_are_flattened(
    name: str,
    shape: tuple[int, ...],
    flat: tuple[int, int],
    tmp_path: Path,
    calls: list[dict[str, Any]],
) -> None:
    checkpoint = opened(tmp_path, Stored(name, "F16", shape))
    row = record(checkpoint, name)
    assert row["status"] == "kernel"
    text = " x ".join(map(str, shape))
    assert row["view"] == f"kernel {text} read as {flat[0]} x {flat[1]}"
    assert looked_up(checkpoint, name) is calls[0]
    assert calls[0]["shape"] == flat


# ---------------------------------------------------------------------------- changed files


def _touch(path: Path) -> None:
    os.utime(path, ns=(1, 1))


def _grow(path: Path) -> None:
    os.truncate(path, path.stat().st_size + 1)


def _replace(path: Path) -> None:
    status = path.stat()
    copy = path.with_suffix(".copy")
    copy.write_bytes(path.read_bytes())
    os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
    copy.replace(path)


@pytest.mark.parametrize("change", [_touch, _grow, _replace])
def test_changed_file_is_refused(change: Any, tmp_path: Path, calls: list[dict[str, Any]]) -> None:
    checkpoint = opened(tmp_path, A)
    assert looked_up(checkpoint, "a") is calls[0]
    change(tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"model\.safetensors: the file changed since"):
        checkpoint["a"]


def test_removed_file_is_named(tmp_path: Path, calls: list[dict[str, Any]]) -> None:
    checkpoint = opened(tmp_path, A)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors: cannot be read: No such file"):
        checkpoint["a"]
    assert calls == []


# ---------------------------------------------------------------------------- values


def _random_file(path: Path, pad: int) -> Path:
    rng = np.random.default_rng(0)
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {
        name: (name, (7, 5)) for name in STORED_FLOATS
    }
    shapes |= {"stack": ("BF16", (3, 4, 5)), "conv": ("F32", (3, 2, 4, 4))}
    tensors = [Stored("pad", "U8", (pad,), bytes(pad))]
    for name, (dtype, shape) in shapes.items():
        tensors.append(
            of_array(name, dtype, rng.standard_normal(shape).astype(STORED_FLOATS[dtype]))
        )
    return write_file(path, *tensors)


def _official(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    return {
        name: np.frombuffer(bytes(result["data"]), STORED_FLOATS[result["dtype"]])
        .reshape(result["shape"])
        .astype(np.float64)
        for name, result in deserialize(path.read_bytes())
        if name != "pad"
    }


@pytest.mark.parametrize("pad", [0, 1, 2, 3, 8])
def test_values_agree_with_the_official_package_at_any_address(pad: int, tmp_path: Path) -> None:
    path = _random_file(tmp_path / "x.safetensors", pad)
    expected = _official(path)
    expected |= {f"stack[{i}]": values for i, values in enumerate(expected.pop("stack"))}
    expected["conv"] = expected["conv"].reshape(3, 32)
    checkpoint = open_checkpoint(path)
    assert set(checkpoint) == set(expected)
    for name, matrix in checkpoint.items():
        np.testing.assert_array_equal(np.asarray(matrix), expected[name], strict=False)
