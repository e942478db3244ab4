# SPDX-License-Identifier: BSD-3-Clause
"""Files that PyTorch saved, against PyTorch: tensors, containers, folders."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.checkpoints import numbers, record
from tests.support.torch_files import normal, saved, torch

import sigmascope as ss
from sigmascope.checkpoint import Checkpoint, open_checkpoint
from sigmascope.errors import CheckpointError

DTYPES = ("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")


def assert_same(checkpoint: Checkpoint, tensors: dict[str, Any]) -> None:
    """Every matrix of it, to the bit."""
    for name, matrix in checkpoint.items():
        assert not matrix.in_memory
        truth = tensors[name].detach().to(torch.float64).numpy()
        np.testing.assert_array_equal(np.asarray(matrix, np.float64), truth)


# ---------------------------------------------------------------------------- tensors


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".pth", ".ckpt"])
def test_every_dtype(suffix: str, tmp_path: Path) -> None:
    tensors = {name: normal(7, 5, seed=i, dtype=name) for i, name in enumerate(DTYPES)}
    path = saved(tmp_path, tensors, f"model{suffix}")
    checkpoint = open_checkpoint(path)
    assert list(checkpoint) == list(tensors)
    assert_same(checkpoint, torch.load(path, weights_only=True))
    for name, result in zip(tensors, checkpoint.info(), strict=True):
        assert (result["name"], result["shape"]) == (name, (7, 5))
        assert result["nbytes"] == 35 * tensors[name].element_size()
        raw = path.read_bytes()[result["offset"] :][: result["nbytes"]]
        assert raw == tensors[name].view(torch.uint8).numpy().tobytes()


def test_pytorch_is_not_needed_and_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path, {"w": normal(3, 4)})
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it fails
    assert list(open_checkpoint(path)) == ["w"]


def test_state_dict_of_a_module_with_parameters_and_buffers(tmp_path: Path) -> None:
    layer = torch.nn.Sequential(torch.nn.Linear(5, 3), torch.nn.BatchNorm1d(3))
    state = layer.state_dict()
    for value in (state, {name: torch.nn.Parameter(layer[0].weight) for name in ("0.weight",)}):
        checkpoint = open_checkpoint(saved(tmp_path, value))
        assert list(checkpoint) == ["0.weight"]
        assert_same(checkpoint, state)
    kinds = {r["name"]: r["status"] for r in open_checkpoint(saved(tmp_path, state)).info()}
    assert kinds == {
        "0.weight": "matrix",
        "0.bias": "vector",
        "1.weight": "vector",
        "1.bias": "vector",
        "1.running_mean": "vector",
        "1.running_var": "vector",
        "1.num_batches_tracked": "integer",
    }


def test_views_with_offsets_and_strides(tmp_path: Path) -> None:
    base = normal(12, 10)
    tensors = {
        "rows": base[2:7],
        "corner": base[3:, 2:8],
        "turned": base.t(),
        "turned corner": base[1:4, 5:].t(),
        "column": base[:, 3:4],
        "one row": base[4:5],
        "every other row": base[::2],
        "stack": normal(3, 4, 5),
    }
    path = saved(tmp_path, tensors)
    checkpoint = open_checkpoint(path)
    expected = {name: value for name, value in tensors.items() if name != "stack"}
    expected |= {f"stack[{i}]": tensors["stack"][i] for i in range(3)}
    assert set(checkpoint) == set(expected)
    assert_same(checkpoint, expected)
    assert record(checkpoint, "turned")["view"] == "stored transposed"


def test_strides_that_no_row_or_column_has_are_unreadable(tmp_path: Path) -> None:
    tensors = {
        "columns apart": normal(6, 8)[:, ::2],
        "one row for all": normal(1, 8).expand(6, 8),
        "windows": normal(20).unfold(0, 5, 2),
        "stack": normal(4, 3, 2).transpose(0, 1),
        "whole": normal(2, 2),
    }
    checkpoint = open_checkpoint(saved(tmp_path, tensors))
    assert list(checkpoint) == ["whole"]
    assert set(checkpoint.unreadable) == set(tensors) - {"whole"}
    assert checkpoint.unreadable["columns apart"].endswith("contiguous: strides [8, 2]")
    assert checkpoint.unreadable["windows"] == "elements overlap: strides [2, 1]"


def test_one_storage_under_two_names_counts_once(tmp_path: Path) -> None:
    embedding = normal(9, 4)
    tensors = {
        "lm_head.weight": embedding,
        "model.embed_tokens.weight": embedding,
        "half": embedding[:4],
        "bias": embedding[0],
        "again": embedding[0],
    }
    checkpoint = open_checkpoint(saved(tmp_path, tensors))
    assert list(checkpoint) == ["lm_head.weight", "half"]
    result = record(checkpoint, "model.embed_tokens.weight")
    assert (result["status"], result["reason"]) == ("tied", "shares storage with lm_head.weight")
    assert record(checkpoint, "again")["status"] == "tied"
    with pytest.raises(KeyError, match="shares storage with lm_head"):
        checkpoint["model.embed_tokens.weight"]
    assert_same(checkpoint, tensors)
    assert checkpoint.unreadable == {}
    scan = ss.scan(checkpoint, effort="exact", k=1)
    assert {row["name"]: row["status"] for row in scan.rows} == {
        name: "analysed" if name in checkpoint else "not analysed" for name in tensors
    } | {"bias": "entrywise"}


def test_a_matrix_and_its_transpose_in_one_storage_are_two(tmp_path: Path) -> None:
    square = normal(5, 5)
    tensors = {"a": square, "turned": square.t(), "again": square}
    checkpoint = open_checkpoint(saved(tmp_path, tensors))
    assert list(checkpoint) == ["a", "turned"]
    assert_same(checkpoint, tensors)
    assert record(checkpoint, "again")["reason"] == "shares storage with a"


def test_equal_numbers_in_two_storages_are_not_tied(tmp_path: Path) -> None:
    tensors = {"a": normal(3, 3), "b": normal(3, 3)}
    assert list(open_checkpoint(saved(tmp_path, tensors))) == ["a", "b"]


# ---------------------------------------------------------------------------- containers


@pytest.mark.parametrize(
    "key", ["state_dict", "model_state_dict", "model_state", "model", "module"]
)
def test_weights_beside_other_things(key: str, tmp_path: Path) -> None:
    weights = OrderedDict({"layer.weight": normal(3, 4)})
    value = {"epoch": 3, key: weights, "optimizer": {"state": {0: {"exp_avg": normal(3, 4)}}}}
    path = saved(tmp_path, value)
    checkpoint = open_checkpoint(path)
    assert list(checkpoint) == ["layer.weight"]
    assert checkpoint.notes == (f"{path.name}: the tensors of {key!r}, named without it",)
    assert {r["name"]: (r["status"], r["reason"]) for r in checkpoint.info()} == {
        "layer.weight": ("matrix", None),
        "epoch": ("other", f"int next to {key!r}, not read"),
        "optimizer": ("other", f"dict next to {key!r}, not read"),
    }


def test_nested_dicts_are_flattened_and_the_rest_is_listed(tmp_path: Path) -> None:
    deep = {"encoder": {"layers": [normal(2, 3), normal(3, 2)], "size": 7}, "args": ["a", 1.5]}
    checkpoint = open_checkpoint(saved(tmp_path, {**deep, "empty": {}, "none": None}))
    assert list(checkpoint) == ["encoder.layers.0", "encoder.layers.1"]
    others = {r["name"]: r["reason"] for r in checkpoint.info() if r["status"] == "other"}
    assert others == {
        "encoder.size": "int, not a tensor",
        "args": "list, not a tensor",
        "empty": "dict, not a tensor",
        "none": "NoneType, not a tensor",
    }
    assert checkpoint.unreadable == {}


def test_a_tensor_alone_is_named_as_its_file(tmp_path: Path) -> None:
    assert list(open_checkpoint(saved(tmp_path, normal(2, 3), "delta.pt"))) == ["delta"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1, 2], "holds a list, not tensors by name"),
        ({"a.b": 1, "a": {"b": 2}}, "two entries are named 'a.b'"),
    ],
)
def test_what_has_no_names(value: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=rf"pytorch_model\.bin: {message}"):
        open_checkpoint(saved(tmp_path, value))


# ---------------------------------------------------------------------------- folders


def sharded(folder: Path) -> dict[str, Any]:
    shards = [{"a": normal(3, 4)}, {"b": normal(4, 2), "bias": normal(4)}]
    names = [f"pytorch_model-0000{i}-of-00002.bin" for i in (1, 2)]
    for name, shard in zip(names, shards, strict=True):
        saved(folder, shard, name)
    where = {key: name for name, shard in zip(names, shards, strict=True) for key in shard}
    index = {"metadata": {"total_size": 4 * (12 + 8 + 4)}, "weight_map": where}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    return shards[0] | shards[1]


def test_shards_with_an_index(tmp_path: Path) -> None:
    tensors = sharded(tmp_path)
    for path in (tmp_path, tmp_path / "pytorch_model.bin.index.json"):
        checkpoint = open_checkpoint(path)
        assert list(checkpoint) == ["a", "b"]
        assert checkpoint.notes == ()
        assert_same(checkpoint, tensors)


def test_shards_without_an_index(tmp_path: Path) -> None:
    sharded(tmp_path)
    (tmp_path / "pytorch_model.bin.index.json").unlink()
    assert list(open_checkpoint(tmp_path)) == ["a", "b"]
    (tmp_path / "pytorch_model-00002-of-00002.bin").unlink()
    with pytest.raises(CheckpointError, match="1 of the 2 shards"):
        open_checkpoint(tmp_path)


def test_the_whole_is_read_and_the_rest_noted(tmp_path: Path) -> None:
    saved(tmp_path, {"w": normal(2, 3)})
    saved(tmp_path, {"lr": 0.1}, "optimizer.pt")
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    (tmp_path / "x.npz").write_bytes(b"")
    assert open_checkpoint(tmp_path).notes == (
        "files not part of the checkpoint: 'model.gguf', 'optimizer.pt', 'x.npz' "
        "(save the arrays as .npy files)",
    )


def test_changed_file_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, {"w": normal(2, 3)})
    checkpoint = open_checkpoint(path)
    os.utime(path, ns=(1, 1))
    with pytest.raises(CheckpointError, match="the file changed since"):
        checkpoint["w"]


class Net(torch.nn.Module):
    """A module with what TorchScript saves: modules without tensors, buffers, lists, flags."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = torch.nn.Linear(4, 3)
        self.layers = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Linear(3, 2))
        self.register_buffer("scale", torch.ones(3))
        self.sizes = [1, 2]
        self.threshold = 0.5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(self.fc1(x) * self.scale)


def test_modules_of_torchscript(tmp_path: Path) -> None:
    net = Net()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(net).save(str(tmp_path / "net.pt"))
    opened = ss.open_checkpoint(tmp_path / "net.pt")
    state = net.state_dict()
    assert {each["name"] for each in opened.info()} == set(state)
    for name in ("fc1.weight", "layers.1.weight"):
        np.testing.assert_array_equal(np.asarray(opened[name]), state[name].numpy())
    np.testing.assert_array_equal(numbers(opened, "scale"), np.ones(3))
