# SPDX-License-Identifier: BSD-3-Clause
"""Folders of torch.distributed.checkpoint: whole tensors, and those that are cut along axes."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.checkpoints import numbers, record
from tests.support.distributed_files import Bytes, Folder, cuts, size
from tests.support.torch_files import normal, torch

import sigmascope as ss
from sigmascope.errors import CheckpointError

dcp: Any = pytest.importorskip("torch.distributed.checkpoint")

RNG = np.random.default_rng(0)
W = RNG.standard_normal((7, 9)).astype(np.float32)
STACK = RNG.standard_normal((4, 6, 5)).astype(np.float32)
CUTS = {
    "whole": (cuts(7), cuts(9)),
    "rows": (cuts(7, 2, 5), cuts(9)),
    "columns": (cuts(7), cuts(9, 4)),
    "grid": (cuts(7, 1, 4), cuts(9, 3, 5, 8)),
    "single entries": (cuts(7, *range(1, 7)), cuts(9, *range(1, 9))),
    "empty chunks": (cuts(7, 4, 4, 7), cuts(9, 0, 5)),
}


@pytest.mark.parametrize("kind", CUTS)
def test_chunks_are_joined(kind: str, tmp_path: Path) -> None:
    made = Folder()
    made.add("w", W, *CUTS[kind])
    opened = ss.open_checkpoint(made.write(tmp_path))
    np.testing.assert_array_equal(np.asarray(opened["w"]), W)
    again = pickle.loads(pickle.dumps(opened))
    np.testing.assert_array_equal(np.asarray(again["w"][2:5]), W[2:5])
    assert record(opened, "w")["shape"] == (7, 9)
    assert record(opened, "w")["nbytes"] == W.nbytes
    assert record(opened, "w")["file"] == ("__0_0.distcp" if kind == "whole" else ".metadata")


@pytest.mark.parametrize(
    "axes",
    [
        (cuts(4, 1), cuts(6), cuts(5)),
        (cuts(4), cuts(6, 2, 4), cuts(5)),
        (cuts(4, 2), cuts(6, 5), cuts(5, 1, 2)),
    ],
)
def test_slices_of_a_stack_are_gathered(axes: Any, tmp_path: Path) -> None:
    made = Folder()
    made.add("w", STACK, *axes)
    made.add("b", STACK[0, 0], cuts(5, 2))
    made.add("n", np.arange(8).reshape(2, 4), cuts(2, 1), cuts(4, 3), dtype="I64")
    opened = ss.open_checkpoint(made.write(tmp_path))
    for index in range(4):
        np.testing.assert_array_equal(np.asarray(opened[f"w[{index}]"]), STACK[index])
        np.testing.assert_array_equal(np.asarray(opened[f"w[{index}]"][1:4]), STACK[index, 1:4])
    np.testing.assert_array_equal(numbers(opened, "b"), STACK[0, 0])
    np.testing.assert_array_equal(numbers(opened, "n"), np.arange(8))


def test_spectra_do_not_depend_on_the_cut(tmp_path: Path) -> None:
    results = []
    for kind in ("whole", "grid"):
        made = Folder()
        made.add("w", W, *CUTS[kind])
        results.append(ss.scan(made.write(tmp_path / kind), effort="exact").rows[0])
    for column in ("spectral_norm", "fro_norm", "stable_rank"):
        assert results[0][column] == results[1][column]
    np.testing.assert_allclose(results[0]["spectral_norm"], np.linalg.svd(W)[1][0], rtol=1e-6)


def test_torch_reads_the_same(tmp_path: Path) -> None:
    """The folders that tests write by hand are those of torch."""
    made = Folder()
    made.add("w", W, *CUTS["grid"])
    made.add("stack", STACK, cuts(4, 2), cuts(6, 5), cuts(5, 1, 2))
    made.write(tmp_path)
    state = {"w": torch.zeros(7, 9), "stack": torch.zeros(4, 6, 5)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.load(state, checkpoint_id=tmp_path)
    np.testing.assert_array_equal(state["w"].numpy(), W)
    np.testing.assert_array_equal(state["stack"].numpy(), STACK)


def save(state: Any, folder: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.save(state, checkpoint_id=folder)
    return folder


def test_checkpoints_of_torch_are_read(tmp_path: Path) -> None:
    state = {f"layers.{i}.q_proj.weight": normal(6, 4, seed=i) for i in range(3)}
    state["half"] = normal(4, 3, dtype="bfloat16")
    state["codes"] = normal(4, 3).to(torch.float8_e4m3fn)
    state["transposed"] = normal(4, 3).T
    state["bias"] = normal(5, dtype="float64")
    state["empty"] = torch.zeros(0, 3)
    state["scalar"] = torch.tensor(3.0)
    opened = ss.open_checkpoint(save(state, tmp_path))
    assert {each["name"] for each in opened.info()} == set(state)
    for name in opened:
        np.testing.assert_array_equal(np.asarray(opened[name]), state[name].double().numpy())
    assert len(opened) == 6
    np.testing.assert_array_equal(numbers(opened, "bias"), state["bias"].numpy())
    assert numbers(opened, "scalar") == [3.0]
    assert opened.roles["layers.1.q_proj.weight"].role == "q"
    assert set(ss.open_checkpoint(tmp_path / "__0_0.distcp")) == set(opened)


def test_weights_are_named_without_their_key(tmp_path: Path) -> None:
    weights = {"a.weight": normal(3, 4), "b.weight": normal(4, 3)}
    state = {"model": weights, "optimizer": {"state": {0: {"exp_avg": normal(3, 4)}}}, "step": 3}
    opened = ss.open_checkpoint(save(state, tmp_path))
    assert set(opened) == set(weights)
    assert opened.notes == ("the tensors of 'model', named without it",)
    reasons = {each["name"]: each["reason"] for each in opened.info() if each["reason"]}
    assert reasons == {
        "optimizer.state.0.exp_avg": "a tensor next to 'model', not read",
        "step": "bytes next to 'model', not read",
    }


def test_what_is_not_read_is_named_with_a_reason(tmp_path: Path) -> None:
    made = Folder()
    for name in ("overlap", "hole", "no start", "nothing", "dimensions", "compressed", "dtype"):
        made.add(name, W, *CUTS["rows"])
    made.add("w", W, *CUTS["grid"])
    made.add("transposed", W, cuts(7, 3), cuts(9), transposed=True)
    made.entries["step"] = Bytes()
    entries = made.entries
    entries["overlap"].chunks[1] = entries["overlap"].chunks[0]
    del entries["hole"].chunks[1]
    del entries["no start"].chunks[0]
    entries["nothing"].chunks = []
    entries["dimensions"].size = size([63])
    for index, place in made.places.items():
        if index.fqn == "compressed":
            place.transform_descriptors = ["zstd"]
    entries["dtype"].properties.state[0].name = "torch.int1"
    raw = made.write(tmp_path)
    results = {each["name"]: each["reason"] for each in ss.open_checkpoint(raw).info()}
    assert results == {
        "overlap": "a tensor whose chunks do not cover it as a grid, not read",
        "hole": "a tensor whose chunks do not cover it as a grid, not read",
        "no start": "a tensor whose chunks do not cover it as a grid, not read",
        "nothing": "a tensor whose chunks do not cover it as a grid, not read",
        "dimensions": "a tensor whose chunks have other dimensions, not read",
        "compressed": "a tensor whose chunks are compressed, not read",
        "dtype": "a tensor of int1, not read",
        "transposed": "a tensor whose chunks are transposed, not read",
        "w": None,
        "step": "bytes, not read",
    }


def test_files_that_change_are_noticed(tmp_path: Path) -> None:
    made = Folder()
    made.add("w", W, *CUTS["grid"])
    opened = ss.open_checkpoint(made.write(tmp_path))
    matrix = opened["w"]
    path = tmp_path / "__1_0.distcp"
    path.write_bytes(path.read_bytes() + b"0")
    with pytest.raises(CheckpointError, match=r"__1_0\.distcp: the file changed"):
        np.asarray(matrix)
