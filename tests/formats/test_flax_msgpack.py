# SPDX-License-Identifier: BSD-3-Clause
"""The files of flax.serialization: arrays where they lie, in chunks, and malformed ones."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.checkpoints import record
from tests.support.flax_files import (
    CHUNKED,
    Raw,
    array,
    chunked,
    extension,
    packed,
    write_flax,
)
from tests.support.stored_types import STORED_FLOATS

import sigmascope as ss
from sigmascope.errors import CheckpointError

A = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)


@pytest.mark.parametrize("dtype", STORED_FLOATS)
def test_arrays_are_read_where_they_lie(dtype: str, tmp_path: Path) -> None:
    numbers = A.astype(STORED_FLOATS[dtype])
    path = write_flax(tmp_path / "flax_model.msgpack", {"a": {"w": numbers, "b": A[0]}})
    for opened in (ss.open_checkpoint(path), ss.open_checkpoint(tmp_path)):
        np.testing.assert_array_equal(np.asarray(opened["a/w"]), numbers.astype(np.float64))
        row = record(opened, "a/w")
        assert path.read_bytes()[row["offset"] :][: row["nbytes"]] == numbers.tobytes()
        assert (row["dtype"], record(opened, "a/b")["status"]) == (dtype, "vector")


def test_names_have_roles_and_kernels_are_turned(tmp_path: Path) -> None:
    kernel = np.random.default_rng(1).standard_normal((8, 6)).astype(np.float32)
    tree = {"model": {"layers": {"3": {"self_attn": {"q_proj": {"kernel": kernel}}}}}}
    opened = ss.open_checkpoint(write_flax(tmp_path / "m.msgpack", tree))
    (name,) = opened
    assert name == "model/layers/3/self_attn/q_proj/kernel"
    result = record(opened, name)
    assert (result["layer"], result["role"]) == (3, "q")
    np.testing.assert_array_equal(np.asarray(opened[name]), kernel.T)
    original = {"model.layers.3.self_attn.q_proj.weight": kernel.T.copy()}
    (row,) = ss.compare(original, tmp_path / "m.msgpack", effort="exact").rows
    assert (row["status"], row["relative_change"]) == ("analysed", 0)


@pytest.mark.parametrize("size", [1, 4, 7, 15])
def test_arrays_in_chunks_are_joined(size: int, tmp_path: Path) -> None:
    tree = {"w": chunked(A, size), "v": A, "s": chunked(np.stack([A, 2 * A]), size)}
    opened = ss.open_checkpoint(write_flax(tmp_path / "m.msgpack", tree))
    for each in (opened, pickle.loads(pickle.dumps(opened))):
        np.testing.assert_array_equal(np.asarray(each["w"]), A)
        np.testing.assert_array_equal(np.asarray(each["w"][1::2, 1:]), A[1::2, 1:])
        np.testing.assert_array_equal(np.asarray(each["s[1]"]), 2 * A)
    (tmp_path / "m.msgpack").write_bytes(b"0")
    with pytest.raises(CheckpointError, match="the file changed since it was opened"):
        np.asarray(opened["w"])


def test_the_state_of_an_optimiser_is_not_read(tmp_path: Path) -> None:
    moments = {"0": {"mu": {"w": {"kernel": A}}, "count": np.array(A[0, 0])}}
    tree = {"step": 7, "params": {"w": {"kernel": A}}, "opt_state": moments}
    opened = ss.open_checkpoint(write_flax(tmp_path / "m.msgpack", tree))
    assert list(opened) == ["w/kernel"]
    assert opened.notes == ("the tensors of 'params', named without it",)
    assert record(opened, "opt_state/0/mu/w/kernel")["status"] == "other"
    whole = ss.open_checkpoint(write_flax(tmp_path / "m.msgpack", {"params": tree["params"]}))
    assert list(whole) == ["params/w/kernel"]


def test_entries_that_are_not_tensors_are_named_with_a_reason(tmp_path: Path) -> None:
    tree = {
        "one": 1,
        "large": 2**64 - 1,
        "low": -(2**40),
        "half": 0.5,
        "yes": True,
        "none": None,
        "text": "t" * 40,
        "raw": b"\0" * 300,
        "list": [A, 2],
        "complex": Raw(extension(2, packed([1.0, 2.0]))),
        "strange": Raw(array(A, dtype="int4")),
        "scalar": Raw(array(np.array(A[0, 0]), code=3)),
    }
    opened = ss.open_checkpoint(write_flax(tmp_path / "m.msgpack", tree))
    results = {each["name"]: (each["status"], each["reason"]) for each in opened.info()}
    assert results == {
        "one": ("other", "an integer, not a tensor"),
        "large": ("other", "an integer, not a tensor"),
        "low": ("other", "an integer, not a tensor"),
        "half": ("other", "a number, not a tensor"),
        "yes": ("other", "a boolean, not a tensor"),
        "none": ("other", "nil, not a tensor"),
        "text": ("other", "a text, not a tensor"),
        "raw": ("other", "bytes, not a tensor"),
        "list/0": ("matrix", None),
        "list/1": ("other", "an integer, not a tensor"),
        "complex": ("other", "an extension, not a tensor"),
        "strange": ("other", "a tensor of 'int4', not read"),
        "scalar": ("scalar", results["scalar"][1]),
    }


def test_shards_have_an_index(tmp_path: Path) -> None:
    shards = {
        "a/w": "flax_model-00001-of-00002.msgpack",
        "b/w": "flax_model-00002-of-00002.msgpack",
    }
    for name, file in shards.items():
        write_flax(tmp_path / file, {name[0]: {"w": A}})
    (tmp_path / "part").mkdir()
    write_flax(tmp_path / "part" / shards["a/w"], {"a": {"w": A}})
    with pytest.raises(CheckpointError, match="1 of the 2 shards"):
        ss.open_checkpoint(tmp_path / "part")
    index = tmp_path / "flax_model.msgpack.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 120}, "weight_map": shards}))
    for path in (tmp_path, index):
        opened = ss.open_checkpoint(path)
        assert set(opened) == set(shards)
        assert opened.notes == ()


def nested(depth: int) -> Any:
    tree: Any = A
    for _ in range(depth):
        tree = {"a": tree}
    return tree


def chunks(**changes: Any) -> dict[str, Any]:
    return {"w": {key: each for key, each in (chunked(A, 8) | changes).items() if each != ""}}


W = array(A)
FLAT = A.ravel()
CASES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the tree takes 1 bytes from byte 0 on, but the file ends at 0"),
    "no map": (packed([A]), "the tree at byte 0 is a list, not a map"),
    "text": (b"hello", "not a flax msgpack file but text, which holds no tensors"),
    "HTML": (b"<!doctype html><html>", "not a flax msgpack file but an HTML page"),
    "zip": (b"PK\x03\x04" + bytes(40), "not a flax msgpack file but a zip archive"),
    "0xc1": (
        packed({"w": Raw(b"\xc1")}),
        "tensor 'w' at byte 3 begins with 0xc1, which is not a value",
    ),
    "more": (packed({"w": A}) + b"\0", "the tree ends at byte"),
    "few": (b"\x82" + packed({"w": A})[1:], "a key takes 1 bytes from byte"),
    "count": (
        b"\xdf\xff\xff\xff\xff",
        "a key takes 1 bytes from byte 5 on, but the file ends at 5",
    ),
    "number as key": (b"\x81\x01\x01", "a key at byte 1 is an integer, not a text"),
    "no text": (b"\x81\xa2\xff\xff\x01", "a key b'\\xff\\xff' is not UTF-8"),
    "twice": (b"\x82" + 2 * packed({"w": A})[1:], "tensor 'w' is in the file twice"),
    "two paths": (packed({"a": {"b": A}, "a/b": A}), "tensor 'a/b' is in the file twice"),
    "long name": (packed({"a" * 600: {"b" * 600: A}}), "a name of 1201 letters, above the limit"),
    "deep": (packed(nested(101)), "maps within 100 others, which is the limit"),
    "deep lists": (packed({"a": Raw(b"\x91" * 200)}), "lists within 100 others"),
    "long bytes": (b"\x81\xa1w\xc6\xff\xff\xff\xff", "tensor 'w' takes 4294967295 bytes"),
    "cut count": (b"\x81\xa1w\xc6\xff", "tensor 'w' takes 4 bytes from byte 4 on"),
    "no list": (packed({"w": Raw(extension(1, b"\x01"))}), "tensor 'w' at byte 5 is an integer"),
    "two parts": (
        packed({"w": Raw(extension(1, packed([[1], "float32"])))}),
        "tensor 'w': an array that is not a list of shape, dtype and bytes",
    ),
    "shape": (
        packed({"w": Raw(array(A, shape=5))}),
        "the shape of tensor 'w' at byte 7 is an integer, not a list",
    ),
    "size": (packed({"w": Raw(array(A, shape=[5.0, 3]))}), "is a number, not an integer"),
    "negative": (packed({"w": Raw(array(A, shape=(-5, 3)))}), "'w': dimension -5 is negative"),
    "less": (packed({"w": Raw(array(A, shape=(5, 2)))}), "float32 [5, 2] takes 40 bytes, 60 are"),
    "dtype": (packed({"w": Raw(array(A, dtype="float64"))}), "float64 [5, 3] takes 120 bytes, 60"),
    "dtype 1": (packed({"w": Raw(array(A, dtype=1))}), "tensor 'w' at byte 10 is an integer, not"),
    "overflow": (
        packed({"w": Raw(array(A[:0], shape=(2**40, 2**40, 0)))}),
        "shape [1099511627776, 1099511627776, 0] overflows 2**63 - 1 bits",
    ),
    "dimensions": (packed({"w": Raw(array(A, shape=(1,) * 65))}), "65 dimensions, above the limit"),
    "longer": (packed({"w": Raw(array(A, more=b"\0"))}), "tensor 'w': numbers end at byte"),
    "shorter": (packed({"w": Raw(W[:1] + bytes([W[1] - 1]) + W[2:])}), "'w': numbers end at byte"),
    "late mark": (packed({"w": {"shape": {}, CHUNKED: True}}), f"'w': {CHUNKED} after other keys"),
    "no chunks": (packed(chunks(chunks="")), "'w': an array of chunks without shape or chunks"),
    "none": (packed(chunks(chunks={})), "'w': an array of chunks without shape or chunks"),
    "no shape": (packed(chunks(shape="")), "'w': an array of chunks without shape or chunks"),
    "another key": (packed(chunks(more=1)), "'w': the key 'more' in an array of chunks"),
    "order": (
        packed(chunks(chunks={"1": FLAT[:8], "0": FLAT[8:]})),
        "tensor 'w': the key '1', where '0' should be",
    ),
    "a chunk less": (packed(chunks(chunks={"0": FLAT[:8]})), "float32 [5, 3] takes 60 bytes, 32"),
    "not flat": (packed(chunks(chunks={"0": A})), "'w': chunks that are not flat, or of several"),
    "two dtypes": (
        packed(chunks(chunks={"0": FLAT[:8], "1": FLAT[8:].astype(np.float64)})),
        "'w': chunks that are not flat, or of several dtypes",
    ),
    "no chunk": (packed(chunks(chunks={"0": 1})), "a chunk of tensor 'w' at byte"),
    "other chunk": (
        packed(chunks(chunks={"0": Raw(extension(2, b"a"))})),
        "'w': a chunk that is an extension of type 2",
    ),
    "shape of chunks": (
        packed(chunks(shape=[5, 3])),
        "the shape of tensor 'w' at byte 37 is a list",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_malformed_files_are_refused(case: str, tmp_path: Path) -> None:
    content, message = CASES[case]
    path = tmp_path / "x.msgpack"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as raised:
        ss.open_checkpoint(path)
    assert str(path) in str(raised.value)
    assert message in str(raised.value)
    assert len(str(raised.value)) < 1000


def test_every_start_of_a_file_is_refused(tmp_path: Path) -> None:
    path = write_flax(tmp_path / "x.msgpack", {"a": A, "w": chunked(A, 8)})
    raw = path.read_bytes()
    for stop in range(len(raw)):
        path.write_bytes(raw[:stop])
        with pytest.raises(CheckpointError, match=r"x\.msgpack"):
            ss.open_checkpoint(path)


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_flax(tmp_path / "x.msgpack", {"a": 1, "b": 1, "c": 1})
    for name in ("flax.MAX_TENSORS", "msgpack_values.MAX_FIELDS"):
        with monkeypatch.context() as patched:
            patched.setattr(f"sigmascope.formats.{name}", 2)
            with pytest.raises(CheckpointError, match=r"more than 2 (?:leaves|values), which"):
                ss.open_checkpoint(path)


def test_files_that_flax_writes(tmp_path: Path) -> None:
    """Its own functions, with its limit of a chunk as small as the arrays here."""
    serialization = pytest.importorskip("flax.serialization")
    tree = {
        "a": {name: A.astype(kind) for name, kind in STORED_FLOATS.items()},
        "n": np.arange(6).reshape(2, 3),
        "s": np.float32(2),
    }
    path = tmp_path / "x.msgpack"
    kept = serialization.MAX_CHUNK_SIZE
    for most in (kept, 16):
        serialization.MAX_CHUNK_SIZE = most
        try:
            path.write_bytes(serialization.to_bytes(tree))
        finally:
            serialization.MAX_CHUNK_SIZE = kept
        opened = ss.open_checkpoint(path)
        for name, kind in STORED_FLOATS.items():
            np.testing.assert_array_equal(np.asarray(opened[f"a/{name}"]), A.astype(kind))
        elements = opened.elements("n")
        assert elements is not None
        assert [*np.concatenate(list(elements))] == list(range(6))
        assert record(opened, "s")["status"] == "scalar"
