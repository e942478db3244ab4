# SPDX-License-Identifier: BSD-3-Clause
"""Folders of orbax: arrays in OCDBT stores or in folders, of both versions of zarr."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tests.support.checkpoints import numbers, record
from tests.support.orbax_folders import leaf, write_folder

import sigmascope as ss
from sigmascope.errors import CheckpointError

tensorstore = pytest.importorskip("tensorstore")

RNG = np.random.default_rng(0)
W = RNG.standard_normal((7, 9)).astype(np.float32)
STACK = RNG.standard_normal((4, 6, 5)).astype(np.float32)
LAYOUTS = [(True, False), (True, True), (False, False), (False, True)]


@pytest.mark.parametrize(("ocdbt", "zarr3"), LAYOUTS)
@pytest.mark.parametrize("chunk", [[7, 9], [3, 4], [1, 9], [7, 1]])
def test_chunks_are_joined(ocdbt: bool, zarr3: bool, chunk: list[int], tmp_path: Path) -> None:
    folder = write_folder(tmp_path, {("w",): (W, chunk)}, ocdbt=ocdbt, zarr3=zarr3)
    opened = ss.open_checkpoint(folder)
    assert opened.notes == ()
    again = pickle.loads(pickle.dumps(opened))
    for each in (opened, again, ss.open_checkpoint(folder / "_METADATA")):
        np.testing.assert_array_equal(np.asarray(each["w"]), W)
        np.testing.assert_array_equal(np.asarray(each["w"][2:5]), W[2:5])
    row = record(opened, "w")
    assert (row["shape"], row["dtype"], row["nbytes"]) == ((7, 9), "F32", W.nbytes)


@pytest.mark.parametrize(("ocdbt", "zarr3"), LAYOUTS)
def test_arrays_of_every_rank_and_dtype_are_read(ocdbt: bool, zarr3: bool, tmp_path: Path) -> None:
    half = W.astype(ml_dtypes.bfloat16)
    arrays: dict[tuple[str, ...], tuple[Any, list[int]]] = {
        ("layers", "0", "kernel"): (STACK, [2, 4, 5]),
        ("half",): (half, [2, 9]),
        ("bias",): (STACK[0, 0].astype(np.float64), [2]),
        ("step",): (np.array(3, np.int32), []),
        ("zeros",): (np.zeros((3, 4), np.float32), [3, 4]),
        ("long",): (np.arange(60, dtype=np.int64).reshape(3, 4, 5), [1, 3, 2]),
    }
    more = (leaf("empty", kind="Dict"), leaf("text", kind="string"))
    opened = ss.open_checkpoint(
        write_folder(tmp_path, arrays, ocdbt=ocdbt, zarr3=zarr3, leaves=more)
    )
    for index in range(4):
        matrix = opened[f"layers.0.kernel[{index}]"]
        np.testing.assert_array_equal(np.asarray(matrix), STACK[index])
        np.testing.assert_array_equal(np.asarray(matrix[1:4]), STACK[index, 1:4])
    np.testing.assert_array_equal(np.asarray(opened["half"]), half.astype(np.float64))
    np.testing.assert_array_equal(np.asarray(opened["zeros"]), np.zeros((3, 4)))
    np.testing.assert_array_equal(numbers(opened, "bias"), STACK[0, 0])
    np.testing.assert_array_equal(numbers(opened, "step"), [3])
    np.testing.assert_array_equal(numbers(opened, "long"), np.arange(60))
    reasons = {each["name"]: each["reason"] for each in opened.info()}
    assert reasons["empty"] == "an empty leaf (Dict), not a tensor"
    assert reasons["text"] == "text, not read"


def test_dtypes_that_are_not_read_are_named(tmp_path: Path) -> None:
    codes = np.ones((3, 4), ml_dtypes.int4)
    opened = ss.open_checkpoint(write_folder(tmp_path, {("codes",): (codes, [3, 4])}))
    assert record(opened, "codes")["reason"] == "a tensor of int4, not read"


def test_spectra_are_those_of_the_arrays(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, {("w",): (W, [3, 4])})
    row = ss.scan(folder, effort="exact").rows[0]
    np.testing.assert_allclose(row["spectral_norm"], np.linalg.svd(W)[1][0], rtol=1e-6)


def test_weights_are_named_without_their_key(tmp_path: Path) -> None:
    arrays: dict[tuple[str, ...], tuple[Any, list[int]]] = {
        ("params", "up", "kernel"): (W, [7, 9]),
        ("opt_state", "mu", "kernel"): (W, [7, 9]),
    }
    opened = ss.open_checkpoint(write_folder(tmp_path, arrays))
    assert list(opened) == ["up.kernel"]
    assert opened.notes == ("the tensors of 'params', named without it",)
    reason = record(opened, "opt_state.mu.kernel")["reason"]
    assert reason == "a leaf next to 'params', not read"


def test_the_item_with_tensors_is_found(tmp_path: Path) -> None:
    write_folder(tmp_path / "7" / "state", {("w",): (W, [7, 9])})
    (tmp_path / "7" / "_CHECKPOINT_METADATA").write_text('{"item_handlers": {}}')
    np.testing.assert_array_equal(np.asarray(ss.open_checkpoint(tmp_path / "7")["w"]), W)
    with pytest.raises(CheckpointError, match="these sub-folders have some: '7'"):
        ss.open_checkpoint(tmp_path)
    write_folder(tmp_path / "7" / "ema", {("w",): (W, [7, 9])})
    with pytest.raises(CheckpointError, match="several items; open one of them: 'ema', 'state'"):
        ss.open_checkpoint(tmp_path / "7")


def changed(**members: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "_METADATA"
        path.write_text(json.dumps({**json.loads(path.read_text()), **members}))

    return change


def node(**members: Any) -> Callable[[Path], None]:
    return changed(tree_metadata={"w": {**leaf("w"), **members}})


DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no JSON": (lambda folder: (folder / "_METADATA").write_text("{"), "_METADATA is not JSON"),
    "no tree": (lambda folder: (folder / "_METADATA").write_text("{}"), "no tree_metadata"),
    "a list": (changed(tree_metadata=[]), r"tree_metadata is \[\], not an object"),
    "flags": (changed(use_zarr3=2), "use_zarr3 is 2, not true or false"),
    "no keys": (node(key_metadata=[]), r"key_metadata is \[\], not a list of keys"),
    "key types": (node(key_metadata=[{"key": 3}]), r"the keys \[3\] are not all strings"),
    "no name": (node(key_metadata=[{"key": ""}]), "a leaf without a name"),
    "no value": (node(value_metadata=None), "value_metadata is None, not an object"),
    "no kind": (node(value_metadata={}), "value_type is None, not a string"),
    "long": (node(key_metadata=[{"key": "x" * 1001}]), "a name of 1001 letters"),
    "twice": (changed(tree_metadata={"a": leaf("w"), "b": leaf("w")}), "two leaves have the name"),
    "absent": (changed(tree_metadata={"x": leaf("x")}), "tensor 'x' cannot be opened"),
    "other zarr": (changed(use_zarr3=True), "tensor 'w' cannot be opened"),
    "no store": (lambda folder: (folder / "manifest.ocdbt").unlink(), "no manifest.ocdbt, and use"),
    "store": (lambda folder: (folder / "manifest.ocdbt").write_bytes(b"x"), "cannot be opened"),
    "no tree file": (lambda folder: (folder / "_METADATA").unlink(), "without _METADATA, which"),
    "unfinished": (
        lambda folder: (folder / "_CHECKPOINT_METADATA").write_text(
            '{"commit_timestamp_nsecs": null}'
        ),
        "did not finish this checkpoint",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_metadata_have_named_errors(kind: str, tmp_path: Path) -> None:
    damage, message = DAMAGE[kind]
    damage(write_folder(tmp_path, {("w",): (W, [3, 4])}))
    with pytest.raises(CheckpointError, match=message):
        ss.open_checkpoint(tmp_path)


def test_names_lead_to_no_other_folder(tmp_path: Path) -> None:
    write_folder(tmp_path / "other", {("w",): (W, [7, 9])}, ocdbt=False)
    folder = write_folder(tmp_path / "made", {("w",): (W, [7, 9])}, ocdbt=False)
    changed(tree_metadata={"x": leaf("../other/w")})(folder)
    with pytest.raises(CheckpointError, match="a name that is not a path below the folder"):
        ss.open_checkpoint(folder)


def test_unfinished_folders_are_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "7.orbax-checkpoint-tmp-12", {("w",): (W, [7, 9])})
    with pytest.raises(CheckpointError, match="its name says that orbax did not finish this"):
        ss.open_checkpoint(folder)
    single = write_folder(tmp_path / "8" / "ocdbt.process_0", {("w",): (W, [7, 9])})
    (single / "_METADATA").rename(tmp_path / "8" / "_METADATA")
    (tmp_path / "8" / "_METADATA").write_text(json.dumps({"tree_metadata": {"w": leaf("w")}}))
    with pytest.raises(CheckpointError, match=r"stores of single processes, and no manifest"):
        ss.open_checkpoint(tmp_path / "8")


@pytest.mark.parametrize("zarr3", [False, True])
def test_missing_and_damaged_chunks_are_not_zeros(zarr3: bool, tmp_path: Path) -> None:
    folder = write_folder(tmp_path, {("w",): (W, [3, 9])}, ocdbt=False, zarr3=zarr3)
    opened = ss.open_checkpoint(folder)
    chunk = folder / "w" / ("c/1/0" if zarr3 else "1.0")
    chunk.write_bytes(chunk.read_bytes()[:-3])
    with pytest.raises(CheckpointError, match="tensor 'w' cannot be read"):
        np.asarray(opened["w"])
    chunk.unlink()
    with pytest.raises(CheckpointError, match=r"tensor 'w' cannot be read: .*missing"):
        np.asarray(opened["w"])
    np.testing.assert_array_equal(np.asarray(opened["w"][:3]), W[:3])


def test_checkpoints_that_change_are_noticed(tmp_path: Path) -> None:
    opened = ss.open_checkpoint(write_folder(tmp_path, {("w",): (W, [3, 4])}))
    write_folder(tmp_path, {("x",): (W + 1, [3, 4])})
    with pytest.raises(CheckpointError, match="the file changed since it was opened"):
        np.asarray(opened["w"])


def test_the_extra_is_named_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_folder(tmp_path, {("w",): (W, [7, 9])})
    monkeypatch.setitem(sys.modules, "tensorstore", None)
    with pytest.raises(ImportError, match=r"pip install 'sigmascope\[tensorstore\]'"):
        ss.open_checkpoint(folder)


@pytest.mark.parametrize(("ocdbt", "zarr3"), LAYOUTS)
def test_checkpoints_of_orbax_are_read(ocdbt: bool, zarr3: bool, tmp_path: Path) -> None:
    orbax = pytest.importorskip("orbax.checkpoint")
    tree = {"layers": [{"kernel": W}, {"kernel": 2 * W}], "b": STACK, "none": None, "n": 3}
    handler = orbax.PyTreeCheckpointHandler(use_ocdbt=ocdbt, use_zarr3=zarr3)
    with orbax.Checkpointer(handler) as saver:
        saver.save(tmp_path / "made", tree)
    opened = ss.open_checkpoint(tmp_path / "made")
    assert opened.notes == ()
    assert {each["name"] for each in opened.info()} == {
        *("layers.0.kernel", "layers.1.kernel", "b", "none", "n")
    }
    np.testing.assert_array_equal(np.asarray(opened["layers.1.kernel"]), 2 * W)
    np.testing.assert_array_equal(np.asarray(opened["b[2]"]), STACK[2])
    np.testing.assert_array_equal(numbers(opened, "n"), [3])
