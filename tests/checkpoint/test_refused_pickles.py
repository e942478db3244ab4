# SPDX-License-Identifier: BSD-3-Clause
"""Pickles that ask for more than tensors, and damaged archives: refused, and nothing is run."""

from __future__ import annotations

import os
import pickle
import pickletools
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.checkpoints import record
from tests.support.lowered_limits import lower
from tests.support.torch_files import crafted, normal, saved, torch

from sigmascope.checkpoint import open_checkpoint
from sigmascope.errors import CheckpointError


class Calls:
    """Pickles as the call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (os.system, ("touch {}",), "posix.system"),
        (os.mkdir, ("{}",), "posix.mkdir"),
        (eval, ("open({!r}, 'w')",), r"\w*builtin\w*\.eval"),
        (getattr, ("", "format"), r"\w*builtin\w*\.getattr"),
        (torch.load, ("{}",), "torch.serialization.load"),
        (torch.hub.load, ("{}", "x"), "torch.hub.load"),
    ],
)
def test_nothing_that_a_pickle_names_is_run(
    function: Callable[..., Any], arguments: tuple[str, ...], name: str, tmp_path: Path
) -> None:
    """Their names are listed, and a file of nothing else is refused."""
    witness = tmp_path / "witness"
    texts = [argument.format(str(witness)) for argument in arguments]
    path = tmp_path / "x.pt"
    for archive in (True, False):
        call = Calls(function, *texts)
        torch.save({"w": normal(2, 2), "x": call}, path, _use_new_zipfile_serialization=archive)
        checkpoint = open_checkpoint(path)
        assert list(checkpoint) == ["w"]
        row = record(checkpoint, "x")
        assert row["status"] == "other"
        assert re.fullmatch(rf"{name}, not a tensor", str(row["reason"]))
        torch.save(call, path, _use_new_zipfile_serialization=archive)
        with pytest.raises(CheckpointError, match=rf"x\.pt: holds a {name}, not tensors by name"):
            open_checkpoint(path)
    assert not witness.exists()


def test_names_by_every_opcode_are_inert(tmp_path: Path) -> None:
    programs = [
        b"cposix\nsystem\n(S'x'\ntR.",  # GLOBAL, REDUCE
        b"(S'x'\niposix\nsystem\n.",  # INST
        b"(cposix\nsystem\nS'x'\no.",  # OBJ
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93.",  # STACK_GLOBAL
        b"ctorch\nFloatStorage\n(tR.",  # a name that is known, but no function
        b"ccollections\nOrderedDict\n)R}S'a'\nI1\nsb(S'x'\nccollections\nos\n.",
        b"\x80\x02cposix\nsystem\nX\x01\x00\x00\x00x\x85\x81.",  # NEWOBJ
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x01x\x85}\x92.",  # NEWOBJ_EX
    ]
    for program in programs:
        with pytest.raises(
            CheckpointError, match=r"holds a (posix.system|collections.os)|is called"
        ):
            open_checkpoint(crafted(tmp_path / "x.pt", program))


@pytest.mark.parametrize(
    ("offset", "shape", "strides", "message"),
    [
        (0, (4, 5), (5, 1), r"tensor 'w': it needs 80 bytes of storage '0', which has 64"),
        (1, (4, 4), (4, 1), r"tensor 'w': it needs 68 bytes of storage '0', which has 64"),
        (0, (4, 4), (2**62, 1), r"tensor 'w': it needs \d+ bytes of storage '0'"),
        (-1, (4, 4), (4, 1), r"shape, strides or offset \[-1, 4, 4, 4, 1\]"),
        (0, (4, -4), (4, 1), r"shape, strides or offset"),
        (0, (4, 4), (-4, 1), r"shape, strides or offset"),
        (0, (4, 4.0), (4, 1), r"shape, strides or offset"),
        (0, (4, True), (4, 1), r"shape, strides or offset"),
        (0, (2**64, 0), (1, 1), r"shape, strides or offset"),
        (0, (4, 4), (4,), r"has no storage or no strides"),
        (0, 4, (4,), r"not a readable pickle: TypeError"),
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
        with pytest.raises(
            CheckpointError, match=r"cut\.pt: not a (readable zip archive|PyTorch file)"
        ):
            open_checkpoint(tmp_path / "cut.pt")
    with zipfile.ZipFile(good) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    cases: list[tuple[dict[str, bytes], int, str]] = [
        (held, zipfile.ZIP_DEFLATED, "is compressed"),
        ({n: d for n, d in held.items() if not n.endswith("/0")}, 0, "storage '0' has no record"),
        ({n: d[:-4] if n.endswith("/0") else d for n, d in held.items()}, 0, "has 3596"),
        ({n: d for n, d in held.items() if "pkl" not in n}, 0, "with 0 files data.pkl"),
        ({**held, "b/data.pkl": b"."}, 0, "with 2 files data.pkl"),
        ({**held, "good/byteorder": b"big"}, 0, "big-endian"),
        ({**held, "good/data.pkl": b"not a pickle"}, 0, "not a readable pickle"),
        ({**held, "good/data.pkl": held["good/data.pkl"][:-9]}, 0, "not a readable pickle"),
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


@settings(max_examples=150, deadline=None)
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
        row = record(checkpoint, name)
        assert 0 <= row["offset"] <= row["offset"] + row["nbytes"] <= len(raw)
        assert np.asarray(matrix).shape == matrix.shape


@pytest.mark.parametrize("limit", [50_000, pytest.param(1_000_000, marks=pytest.mark.nightly)])
def test_a_pickle_that_holds_itself_or_one_thing_very_often(
    limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if limit < 1_000_000:  # which is the limit
        lower(monkeypatch, "MAX_TENSORS", limit)
    endless: dict[str, object] = {}
    endless["again"] = endless
    often: dict[str, object] = {"x": 1}
    for _ in range(40):
        often = {"a": often, "b": often}
    for value, message in ((endless, "nested too deeply"), (often, f"more than {limit} entries")):
        with pytest.raises(CheckpointError, match=message):
            open_checkpoint(crafted(tmp_path / "x.pt", pickle.dumps(value, 2)))


def test_a_short_pickle_cannot_ask_for_much_memory(tmp_path: Path) -> None:
    program = b"\x80\x02}r\xff\xff\xff\xff."  # remembered under the number 2**32 - 1
    assert list(open_checkpoint(crafted(tmp_path / "x.pt", program))) == []


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (b"]", "a module of TorchScript has a state of list"),
        (b"}K\x01K\x02s", "a module of TorchScript has a state of dict"),
    ],
)
def test_states_of_torchscript_modules_are_attributes(
    state: bytes, why: str, tmp_path: Path
) -> None:
    program = b"\x80\x02c__torch__.net\nNet\n)\x81" + state + b"b."
    path = crafted(tmp_path / "x.pt", program)
    with pytest.raises(CheckpointError, match=why):
        open_checkpoint(path)
    called = b"\x80\x02c__torch__.net\nNet\nK\x01\x85R."
    with pytest.raises(CheckpointError, match="a module of TorchScript is called"):
        open_checkpoint(crafted(tmp_path / "y.pt", called))


@pytest.mark.parametrize("limit", [500_000, pytest.param(10_000_000, marks=pytest.mark.nightly)])
def test_one_state_of_many_torchscript_modules_is_bounded(
    limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time is that of all entries together, not of the bytes of the pickle."""
    if limit < 10_000_000:  # which is the limit
        lower(monkeypatch, "MAX_PICKLE_STEPS", limit)
    entries = b"".join(b"X\x05\x00\x00\x00%05dN" % n for n in range(limit // 250))
    modules = b"c__torch__.net\nNet\n)\x81h\x00b0" * 300  # of which each takes the memoised state
    program = b"\x80\x02]}(" + entries + b"uq\x000" + modules + b"."
    with pytest.raises(CheckpointError, match=f"its pickle has more than {limit} instructions"):
        open_checkpoint(crafted(tmp_path / "x.pt", program))


def test_the_message_on_a_damaged_archive_is_short(tmp_path: Path) -> None:
    """That of `zipfile` quotes a name of the length that a header states."""
    path = crafted(tmp_path / "x.pt", b"\x80\x02}.", data=bytes(30_000))
    raw = bytearray(path.read_bytes())
    assert raw[26:28] == len("archive/data.pkl").to_bytes(2, "little")
    raw[26:28] = (20_000).to_bytes(2, "little")
    path.write_bytes(raw)
    with pytest.raises(CheckpointError, match="not a readable zip archive") as caught:
        open_checkpoint(path)
    assert len(str(caught.value)) < len(str(path)) + 300
