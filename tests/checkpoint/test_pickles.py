# SPDX-License-Identifier: BSD-3-Clause
"""Files that PyTorch saved, against PyTorch; and pickles that ask for more than tensors."""

from __future__ import annotations

import json
import os
import pickle
import pickletools
import sys
import zipfile
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.checkpoints import record

import sigmascope as ss
from sigmascope.checkpoint import Checkpoint, open_checkpoint
from sigmascope.checkpoint.formats.pickles import SUFFIXES
from sigmascope.errors import CheckpointError

torch: Any = pytest.importorskip("torch")

DTYPES = ("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")


def normal(*shape: int, seed: int = 0, dtype: str = "float32") -> Any:
    numbers = np.random.default_rng(seed).standard_normal(shape)
    return torch.from_numpy(numbers).to(getattr(torch, dtype))


def saved(folder: Path, value: object, name: str = "pytorch_model.bin") -> Path:
    torch.save(value, folder / name)
    return folder / name


def assert_same(checkpoint: Checkpoint, tensors: dict[str, Any]) -> None:
    """Every matrix of it, to the bit."""
    for name, matrix in checkpoint.items():
        assert not matrix.in_memory
        truth = tensors[name].detach().to(torch.float64).numpy()
        np.testing.assert_array_equal(np.asarray(matrix, np.float64), truth)


# ---------------------------------------------------------------------------- tensors


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_dtype(suffix: str, tmp_path: Path) -> None:
    tensors = {name: normal(7, 5, seed=i, dtype=name) for i, name in enumerate(DTYPES)}
    path = saved(tmp_path, tensors, f"model{suffix}")
    checkpoint = open_checkpoint(path)
    assert list(checkpoint) == list(tensors)
    assert_same(checkpoint, torch.load(path, weights_only=True))
    for name, found in zip(tensors, checkpoint.info(), strict=True):
        assert (found["name"], found["shape"]) == (name, (7, 5))
        assert found["nbytes"] == 35 * tensors[name].element_size()
        raw = path.read_bytes()[found["offset"] :][: found["nbytes"]]
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
    assert record(checkpoint, "turned")["view"] == "stored turned"


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
    assert checkpoint.unreadable["columns apart"].endswith("together: strides [8, 2]")
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
    found = record(checkpoint, "model.embed_tokens.weight")
    assert (found["status"], found["reason"]) == ("tied", "shares storage with lm_head.weight")
    assert record(checkpoint, "again")["status"] == "tied"
    with pytest.raises(KeyError, match="shares storage with lm_head"):
        checkpoint["model.embed_tokens.weight"]
    assert_same(checkpoint, tensors)
    assert checkpoint.unreadable == {}
    scan = ss.scan(checkpoint, effort="exact", k=1)
    assert {row["name"]: row["status"] for row in scan.rows} == {
        name: "analysed" if name in checkpoint else "not analysed" for name in tensors
    } | {"bias": "entrywise"}


def test_equal_numbers_in_two_storages_are_not_tied(tmp_path: Path) -> None:
    tensors = {"a": normal(3, 3), "b": normal(3, 3)}
    assert list(open_checkpoint(saved(tmp_path, tensors))) == ["a", "b"]


# ---------------------------------------------------------------------------- containers


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model", "module"])
def test_weights_beside_other_things(key: str, tmp_path: Path) -> None:
    weights = OrderedDict({"layer.weight": normal(3, 4)})
    value = {"epoch": 3, key: weights, "optimizer": {"state": {0: {"exp_avg": normal(3, 4)}}}}
    path = saved(tmp_path, value)
    checkpoint = open_checkpoint(path)
    assert list(checkpoint) == ["layer.weight"]
    assert checkpoint.notes == (f"{path.name}: the tensors of {key!r}, named without it",)
    assert {r["name"]: (r["status"], r["reason"]) for r in checkpoint.info()} == {
        "layer.weight": ("matrix", None),
        "epoch": ("other", f"int beside {key!r}, not read"),
        "optimizer": ("other", f"dict beside {key!r}, not read"),
    }


def test_nested_dicts_are_flattened_and_the_rest_is_listed(tmp_path: Path) -> None:
    deep = {"encoder": {"layers": [normal(2, 3), normal(3, 2)], "size": 7}, "args": ["a", 1.5]}
    checkpoint = open_checkpoint(saved(tmp_path, {**deep, "empty": {}, "none": None}))
    assert list(checkpoint) == ["encoder.layers.0", "encoder.layers.1"]
    others = {r["name"]: r["reason"] for r in checkpoint.info() if r["status"] == "other"}
    assert others == {
        "encoder.size": "int, no tensor",
        "args": "list, no tensor",
        "empty": "dict, no tensor",
        "none": "NoneType, no tensor",
    }
    assert checkpoint.unreadable == {}


def test_a_tensor_alone_is_named_as_its_file(tmp_path: Path) -> None:
    assert list(open_checkpoint(saved(tmp_path, normal(2, 3), "delta.pt"))) == ["delta"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1, 2], "holds a list, no tensors by name"),
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
    assert open_checkpoint(tmp_path).notes == (
        "files not part of the checkpoint: 'model.gguf', 'optimizer.pt' (GGUF is not read yet)",
    )


def test_changed_file_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, {"w": normal(2, 3)})
    checkpoint = open_checkpoint(path)
    os.utime(path, ns=(1, 1))
    with pytest.raises(CheckpointError, match="the file changed since"):
        checkpoint["w"]


# ---------------------------------------------------------------------------- refused


class Calls:
    """Pickles as the call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def crafted(path: Path, program: bytes, key: str = "0", data: bytes = bytes(64)) -> Path:
    """An archive of any pickle, with one storage."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/byteorder", b"little")
        archive.writestr(f"archive/data/{key}", data)
    return path


@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (os.system, ("touch {}",), "posix.system"),
        (os.mkdir, ("{}",), "posix.mkdir"),
        (eval, ("open({!r}, 'w')",), r"builtin\w*\.eval"),
        (getattr, ("", "format"), r"builtin\w*\.getattr"),
        (torch.load, ("{}",), "torch.serialization.load"),
        (torch.hub.load, ("{}", "x"), "torch.hub.load"),
    ],
)
def test_nothing_that_a_pickle_names_is_run(
    function: Callable[..., Any], arguments: tuple[str, ...], name: str, tmp_path: Path
) -> None:
    witness = tmp_path / "witness"
    texts = [argument.format(str(witness)) for argument in arguments]
    for value in ({"w": normal(2, 2), "x": Calls(function, *texts)}, Calls(function, *texts)):
        path = saved(tmp_path, value)
        with pytest.raises(CheckpointError, match=rf"pytorch_model\.bin: refused, .*{name}"):
            open_checkpoint(path)
    assert not witness.exists()


def test_names_by_every_opcode_are_refused(tmp_path: Path) -> None:
    programs = [
        b"cposix\nsystem\n(S'x'\ntR.",  # GLOBAL, REDUCE
        b"(S'x'\niposix\nsystem\n.",  # INST
        b"(cposix\nsystem\nS'x'\no.",  # OBJ
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93.",  # STACK_GLOBAL
        b"ctorch\nFloatStorage\n(tR.",  # a name that is known, but no function
        b"ccollections\nOrderedDict\n)R}S'a'\nI1\nsb(S'x'\nccollections\nos\n.",
    ]
    for program in programs:
        with pytest.raises(CheckpointError, match=r"refused|is called"):
            open_checkpoint(crafted(tmp_path / "x.pt", program))


def test_training_arguments_are_refused_by_name(tmp_path: Path) -> None:
    path = saved(tmp_path, {"args": Namespace(lr=1.0), "w": normal(2, 2)})
    with pytest.raises(CheckpointError, match=r"asks for 'argparse.Namespace', which is no part"):
        open_checkpoint(path)


@pytest.mark.parametrize(
    ("offset", "shape", "strides", "message"),
    [
        (0, (4, 5), (5, 1), r"tensor 'w': 80 bytes of storage '0', which has 64"),
        (1, (4, 4), (4, 1), r"tensor 'w': 68 bytes of storage '0', which has 64"),
        (0, (4, 4), (2**62, 1), r"tensor 'w': \d+ bytes of storage '0'"),
        (-1, (4, 4), (4, 1), r"shape, strides or offset \[-1, 4, 4, 4, 1\]"),
        (0, (4, -4), (4, 1), r"shape, strides or offset"),
        (0, (4, 4), (-4, 1), r"shape, strides or offset"),
        (0, (4, 4.0), (4, 1), r"shape, strides or offset"),
        (0, (4, True), (4, 1), r"shape, strides or offset"),
        (0, (2**64, 0), (1, 1), r"shape, strides or offset"),
        (0, (4, 4), (4,), r"has no storage, or no stride"),
        (0, 4, (4,), r"no readable pickle: TypeError"),
    ],
)
def test_numbers_that_do_not_fit(
    offset: object, shape: object, strides: object, message: str, tmp_path: Path
) -> None:
    good = saved(tmp_path, {"w": normal(4, 4)}, "good.pt")
    with zipfile.ZipFile(good) as archive:
        program = pickletools.optimize(archive.read("good/data.pkl"))
    # The arguments of the one tensor, replaced where PyTorch wrote them.
    old = arguments_of(0, (4, 4), (4, 1))
    assert program.count(old) == 1
    new = program.replace(old, arguments_of(offset, shape, strides))
    path = crafted(tmp_path / "x.pt", new)
    with pytest.raises(CheckpointError, match=rf"x\.pt: .*{message}"):
        open_checkpoint(path)


def arguments_of(offset: object, shape: object, strides: object) -> bytes:
    """The opcodes of (offset, shape, strides), without those that remember."""
    return b"".join(
        pickletools.optimize(pickle.dumps(value, 2))[2:-1] for value in (offset, shape, strides)
    )


def test_an_archive_cut_short_compressed_or_without_its_records(tmp_path: Path) -> None:
    good = saved(tmp_path, {"w": normal(30, 30)}, "good.pt")
    raw = good.read_bytes()
    for length in (0, 3, 100, len(raw) // 2, len(raw) - 1):
        (tmp_path / "cut.pt").write_bytes(raw[:length])
        with pytest.raises(CheckpointError, match=r"cut\.pt: no (readable )?zip archive"):
            open_checkpoint(tmp_path / "cut.pt")
    with zipfile.ZipFile(good) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    cases: list[tuple[dict[str, bytes], int, str]] = [
        (held, zipfile.ZIP_DEFLATED, "is compressed"),
        ({n: d for n, d in held.items() if not n.endswith("/0")}, 0, "no record of storage '0'"),
        ({n: d[:-4] if n.endswith("/0") else d for n, d in held.items()}, 0, "has 3596"),
        ({n: d for n, d in held.items() if "pkl" not in n}, 0, "with 0 pickles"),
        ({**held, "b/data.pkl": b"."}, 0, "with 2 pickles"),
        ({**held, "good/byteorder": b"big"}, 0, "big-endian"),
        ({**held, "good/data.pkl": b"not a pickle"}, 0, "no readable pickle"),
        ({**held, "good/data.pkl": held["good/data.pkl"][:-9]}, 0, "no readable pickle"),
    ]
    for files, compression, message in cases:
        with zipfile.ZipFile(tmp_path / "bad.pt", "w", compression) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        with pytest.raises(CheckpointError, match=rf"bad\.pt: .*{message}"):
            open_checkpoint(tmp_path / "bad.pt")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    base = normal(4, 6)
    folder = tmp_path_factory.mktemp("sound")
    return saved(folder, {"w": base, "turned": base.t(), "n": 3}, "x.pt").read_bytes()


@settings(max_examples=400, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(0, 9999), st.integers(0, 255)), min_size=1, max_size=3)
)
def test_a_file_with_bytes_changed_is_refused_or_stays_within_itself(
    changes: list[tuple[int, int]], sound: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("changed") / "x.pt"
    raw = bytearray(sound)
    for place, byte in changes:
        raw[place % len(raw)] = byte
    path.write_bytes(raw)
    try:
        checkpoint = open_checkpoint(path)
    except CheckpointError:
        return
    for name, matrix in checkpoint.items():
        found = record(checkpoint, name)
        assert 0 <= found["offset"] <= found["offset"] + found["nbytes"] <= len(raw)
        assert np.asarray(matrix).shape == matrix.shape


def test_files_of_before_the_archive_are_refused_unread(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    path = tmp_path / "old.bin"
    torch.save({"w": Calls(os.mkdir, str(witness))}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match=r"old\.bin: no zip archive, as PyTorch writes since"):
        open_checkpoint(path)
    assert not witness.exists()


def test_a_pickle_that_holds_itself_or_one_thing_very_often(tmp_path: Path) -> None:
    endless: dict[str, object] = {}
    endless["again"] = endless
    often: dict[str, object] = {"x": 1}
    for _ in range(40):
        often = {"a": often, "b": often}
    for value, message in ((endless, "nested too deeply"), (often, "more than 1000000 entries")):
        with pytest.raises(CheckpointError, match=message):
            open_checkpoint(crafted(tmp_path / "x.pt", pickle.dumps(value, 2)))


def test_a_short_pickle_cannot_ask_for_much_memory(tmp_path: Path) -> None:
    program = b"\x80\x02}r\xff\xff\xff\xff."  # remembered under the number 2**32 - 1
    assert list(open_checkpoint(crafted(tmp_path / "x.pt", program))) == []
