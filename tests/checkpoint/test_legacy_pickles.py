# SPDX-License-Identifier: BSD-3-Clause
"""Files of PyTorch of before 1.6, against PyTorch, and damaged ones."""

from __future__ import annotations

import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.checkpoints import numbers, record
from tests.support.torch_files import normal, torch

import sigmascope as ss
from sigmascope.errors import CheckpointError

DTYPES = ("float64", "float32", "float16", "bfloat16")
INTEGERS = ("int64", "int32", "int16", "int8", "uint8", "bool")


def legacy(path: Path, value: object, protocol: int = 2) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=False, pickle_protocol=protocol)
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_dtype_lies_where_pytorch_reads_it(protocol: int, tmp_path: Path) -> None:
    """Numbers of 8 bits, too, which PyTorch writes, and cannot load."""
    tensors = {name: normal(7, 5, seed=k, dtype=name) for k, name in enumerate(DTYPES)}
    for name in INTEGERS:
        tensors[name] = (normal(7, 5, seed=9) * 9).to(getattr(torch, name))
    tensors["complex64"] = torch.view_as_complex(normal(7, 5, 2))
    path = legacy(tmp_path / "model.pt", tensors, protocol)
    truth = torch.load(path, weights_only=False)
    for name in ("float8_e4m3fn", "float8_e5m2"):
        tensors[name] = truth[name] = normal(7, 5, dtype=name)
    path = legacy(tmp_path / "model.pt", tensors, protocol)
    result, raw = ss.open_checkpoint(path), path.read_bytes()
    assert {each["name"] for each in result.info()} == set(tensors)
    for each in result.info():
        wanted = truth[each["name"]].contiguous().view(torch.uint8).numpy().tobytes()
        assert raw[each["offset"] :][: each["nbytes"]] == wanted
    for name in (*DTYPES, "float8_e4m3fn"):
        wanted = truth[name].to(torch.float64).numpy()
        np.testing.assert_array_equal(np.asarray(result[name], np.float64), wanted)
        assert not result[name].in_memory


def test_views_share_their_storages(tmp_path: Path) -> None:
    base, other = normal(12, 10), normal(9, 4, seed=1)
    tensors = {
        "rows": base[2:7],
        "corner": base[3:, 2:8],
        "transposed": base.t(),
        "other": other,
        "again": other,
        "vector": base[0],
        "scalar": torch.tensor(3.0),
        "empty": torch.zeros(0, 4),
    }
    path = legacy(tmp_path / "model.pt", tensors)
    assert path.stat().st_size < 4 * (120 + 36 + 1) + 3000
    checkpoint = ss.open_checkpoint(path)
    assert set(checkpoint) == {"rows", "corner", "transposed", "other"}
    for name, matrix in checkpoint.items():
        np.testing.assert_array_equal(np.asarray(matrix), tensors[name].numpy())
    np.testing.assert_array_equal(numbers(checkpoint, "vector"), base[0].numpy())
    assert record(checkpoint, "again")["status"] == "tied"


def test_a_scan_is_that_of_the_archive(tmp_path: Path) -> None:
    value = {"state_dict": OrderedDict({"fc.weight": normal(8, 6)}), "epoch": 3}
    torch.save(value, tmp_path / "new.pt")
    rows = [
        ss.scan(path, effort="exact").rows
        for path in (tmp_path / "new.pt", legacy(tmp_path / "old.pt", value))
    ]
    for new, old in zip(*rows, strict=True):
        assert (new["name"], new["spectral_norm"]) == (old["name"], old["spectral_norm"])


MACHINE = {"protocol_version": 1001, "little_endian": True}
STORAGE = struct.pack("<q", 16) + np.arange(16, dtype=np.float32).tobytes()
TEXT = b"X\x01\x00\x00\x00"


def tensor(view: bytes = b"N", storage: bytes = b"FloatStorage", offset: int = 0) -> bytes:
    """The instructions of a tensor of 2 x 4 in a storage of 16 numbers."""
    kind = b"X\x07\x00\x00\x00storagectorch\n" + storage + b"\n"
    place = TEXT + b"0X\x03\x00\x00\x00cpuK\x10" + view
    shape = b"K%cK\x02K\x04\x86K\x04K\x01\x86\x89" % offset
    head = b"ctorch._utils\n_rebuild_tensor_v2\n(("
    return head + kind + place + b"tQ" + shape + b"ccollections\nOrderedDict\n)RtR"


def crafted(
    path: Path,
    program: bytes | None = None,
    storages: bytes = STORAGE,
    *,
    version: object = 1001,
    machine: object = MACHINE,
    keys: object = ("0",),
) -> Path:
    head = (0x1950A86A20F9469CFC6C, version, machine)
    pickles = [pickle.dumps(each, 2) for each in head]
    pickles += [program or b"\x80\x02}" + TEXT + b"w" + tensor() + b"s."]
    names = list(keys) if isinstance(keys, tuple) else keys
    path.write_bytes(b"".join([*pickles, pickle.dumps(names, 2), storages]))
    return path


def test_what_is_crafted_here_is_what_pytorch_reads(tmp_path: Path) -> None:
    path = crafted(tmp_path / "x.pt")
    truth = torch.load(path, weights_only=True)["w"].numpy()
    np.testing.assert_array_equal(np.asarray(ss.open_checkpoint(path)["w"]), truth)


def test_parts_of_storages_of_the_first_versions(tmp_path: Path) -> None:
    view = TEXT + b"vK\x04K\x0c\x87"  # name, first element and length
    path = crafted(tmp_path / "x.pt", b"\x80\x02}" + TEXT + b"w" + tensor(view, offset=2) + b"s.")
    wanted = np.arange(6, 14, dtype=np.float32).reshape(2, 4)
    np.testing.assert_array_equal(np.asarray(ss.open_checkpoint(path)["w"]), wanted)
    np.testing.assert_array_equal(torch.load(path, weights_only=False)["w"].numpy(), wanted)


def in_dict(tensor: bytes) -> bytes:
    return b"\x80\x02}" + TEXT + b"w" + tensor + b"s."


MALFORMED: dict[str, tuple[dict[str, Any], str]] = {
    "no storages": ({"storages": b""}, "storage '0' begins at byte .*, where the file ends"),
    "cut in a number": ({"storages": STORAGE[:5]}, "storage '0' begins at byte"),
    "cut in a storage": ({"storages": STORAGE[:-1]}, r"has 16 elements, and reaches byte \d+ of"),
    "a huge storage": ({"storages": struct.pack("<q", 2**62)}, "has 4611686018427387904 elements"),
    "a negative storage": ({"storages": struct.pack("<q", -1) + bytes(64)}, "has -1 elements"),
    "a storage of fewer": (
        {"storages": struct.pack("<q", 7) + bytes(28)},
        "32 bytes of storage '0', which has 28",
    ),
    "another version": ({"version": 1002}, "version 1002 of PyTorch's files, not 1001"),
    "big-endian": ({"machine": {"little_endian": False}}, "its numbers are big-endian"),
    "no machine": ({"machine": 3}, "version 1001 of PyTorch's files"),
    "no keys": ({"keys": ()}, "storage '0' has no record"),
    "keys that are numbers": ({"keys": (1,)}, "the keys of its storages are not a list of strings"),
    "keys that are a text": ({"keys": "0"}, "the keys of its storages are not a list of strings"),
    "a key twice": ({"keys": ("0", "0")}, "2 storages, some of them twice"),
    "a key of nothing": ({"keys": ("1", "0")}, "storage '1' belongs to no tensor"),
    "a storage of a new type": (
        {"program": in_dict(tensor(storage=b"NewStorage"))},
        "storage '0' has elements of no known size",
    ),
    "a view of nothing": (
        {"program": in_dict(tensor(b"K\x01"))},
        "has a view that is not a part of it",
    ),
    "a view beyond": (
        {"program": in_dict(tensor(TEXT + b"vK\x0cK\x08\x87"))},
        "80 bytes of storage '0', which has 64",
    ),
    "a view before": (
        {"program": in_dict(tensor(TEXT + b"vJ\xff\xff\xff\xffK\x08\x87"))},
        "has a view that is not a part of it",
    ),
    "a short reference": ({"program": b"\x80\x02K\x01Q."}, "a reference to 1 is not a storage"),
    "a pickle of many bytes": (
        {"program": b"\x80\x02T\xff\xff\xff\x7f."},
        "its pickle has bytes .* it is cut short or damaged",
    ),
    "a list": (
        {"program": b"\x80\x02].", "keys": (), "storages": b""},
        "holds a list, not tensors by name",
    ),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_malformed_files_are_refused_by_name(what: str, tmp_path: Path) -> None:
    options, message = MALFORMED[what]
    with pytest.raises(CheckpointError, match=rf"x\.pt: .*{message}"):
        ss.open_checkpoint(crafted(tmp_path / "x.pt", **options))


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    raw = legacy(tmp_path / "good.pt", {"w": normal(4, 6), "n": 3}).read_bytes()
    path = tmp_path / "cut.pt"
    for length in range(1, len(raw)):
        path.write_bytes(raw[:length])
        with pytest.raises(CheckpointError, match=r"cut\.pt: "):
            ss.open_checkpoint(path)


def test_the_limit_of_pickles_is_that_of_all_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = legacy(tmp_path / "x.pt", {"w": normal(4, 6), "text": "x" * 100_000})
    monkeypatch.setattr("sigmascope.checkpoint.formats.legacy_pickles.MAX_PICKLE_BYTES", 50_000)
    with pytest.raises(CheckpointError, match="the limit is 50000"):
        ss.open_checkpoint(path)


@settings(max_examples=120, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(0, 9999), st.integers(0, 255)), min_size=1, max_size=3)
)
def test_a_file_with_bytes_changed_is_refused_or_stays_within_itself(
    changes: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = crafted(tmp_path_factory.mktemp("changed") / "x.pt")
    raw = bytearray(path.read_bytes())
    for place, byte in changes:
        raw[place % len(raw)] = byte
    path.write_bytes(raw)
    try:
        checkpoint = ss.open_checkpoint(path)
    except CheckpointError:
        return
    for name, matrix in checkpoint.items():
        each = record(checkpoint, name)
        assert 0 <= each["offset"] <= each["offset"] + each["nbytes"] <= len(raw)
        assert np.asarray(matrix).shape == matrix.shape
