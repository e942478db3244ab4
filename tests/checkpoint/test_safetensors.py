# SPDX-License-Identifier: BSD-3-Clause
"""Headers of safetensors files: malformed ones, random ones, and the official package as oracle."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import safetensors
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.checkpoints import (
    BITS,
    Stored,
    encoded,
    entry,
    framed,
    header_of,
    write_file,
)
from tests.support.malformed import FILES, Case
from tests.support.malformed_folders import FOLDERS, INDEXES

from sigmascope.checkpoint import Header, open_checkpoint
from sigmascope.errors import CheckpointError, SigmascopeError

deserialize: Any = safetensors.deserialize  # untyped

CASES = [*FILES, *INDEXES, *FOLDERS]


def open_below(folder: Path) -> int:
    """Count this process's descriptors of files in the folder."""
    links = Path("/proc/self/fd").iterdir()
    return sum(os.path.realpath(link).startswith(os.path.realpath(folder)) for link in links)


@contextmanager
def stored(content: bytes) -> Iterator[Path]:
    """A file for hypothesis, which cannot use the tmp_path fixture."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.safetensors"
        path.write_bytes(content)
        yield path


def official(content: bytes) -> dict[str, dict[str, Any]]:
    return dict(deserialize(content))


def assert_agrees(content: bytes, header: Header) -> None:
    """Same tensors, dtypes, shapes and bytes as the official reader."""
    theirs = official(content)
    assert {ours.name for ours in header.entries} == set(theirs)
    for ours in header.entries:
        their = theirs[ours.name]
        assert (ours.dtype, list(ours.shape)) == (their["dtype"], their["shape"])
        assert content[ours.offset : ours.offset + ours.nbytes] == bytes(their["data"])
    with stored(content) as path, safetensors.safe_open(path, framework="np") as opened:
        assert (opened.metadata() or {}) == header.metadata


# ---------------------------------------------------------------------------- malformed


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_malformed_is_refused_with_its_reason(case: Case, tmp_path: Path) -> None:
    path = case.build(tmp_path)
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(path)
    message = str(caught.value)
    assert case.message in message
    assert str(tmp_path) in message
    assert len(message) < 600 + len(str(tmp_path))
    assert open_below(tmp_path) == 0


def test_malformed_cases_are_many_and_distinct() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 45


def test_error_is_both_a_sigmascope_error_and_a_value_error() -> None:
    assert issubclass(CheckpointError, SigmascopeError)
    assert issubclass(CheckpointError, ValueError)


@pytest.mark.parametrize("error", [PermissionError(errno.EACCES, "Permission denied")])
def test_unreadable_file_is_named(
    error: OSError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By a patch, because root may read everything.
    path = write_file(tmp_path / "x.safetensors", Stored("w", "F32", (2, 3)))

    def refuse(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(CheckpointError, match=r"x\.safetensors: cannot be read: Permission denied"):
        header_of(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_without_permission(tmp_path: Path) -> None:
    path = write_file(tmp_path / "x.safetensors", Stored("w", "F32", (2, 3)))
    path.chmod(0)
    with pytest.raises(CheckpointError, match="Permission denied"):
        header_of(path)


def test_file_cut_while_its_header_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_file(tmp_path / "x.safetensors", Stored("w", "F32", (2, 3)))
    real = os.fstat

    def cut_after(descriptor: int) -> os.stat_result:
        status = real(descriptor)
        if stat.S_ISREG(status.st_mode) and status.st_size > 20:
            os.truncate(path, 20)
        return status

    monkeypatch.setattr(os, "fstat", cut_after)
    with pytest.raises(CheckpointError, match=r"ended \d+ bytes early while it was read"):
        header_of(path)


def test_file_changed_while_its_header_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_file(tmp_path / "x.safetensors", Stored("w", "F32", (2, 3)))
    size, real = path.stat().st_size, os.fstat

    def grow_after(descriptor: int) -> os.stat_result:
        status = real(descriptor)
        if stat.S_ISREG(status.st_mode) and status.st_size == size:
            os.truncate(path, size + 1)
        return status

    monkeypatch.setattr(os, "fstat", grow_after)
    with pytest.raises(CheckpointError, match="the file changed while its header was read"):
        header_of(path)


# ---------------------------------------------------------------------------- accepted


def test_every_dtype_of_the_official_package_is_known() -> None:
    for dtype in BITS:
        content = encoded([Stored("w", dtype, (4, 8))])
        with stored(content) as path:
            assert_agrees(content, header_of(path))


def test_entries_come_in_file_order(tmp_path: Path) -> None:
    header = {
        "late": entry("U8", [3], (2, 5)),
        "empty": entry("F32", [0, 7], (2, 2)),
        "early": entry("U8", [2], (0, 2)),
    }
    path = tmp_path / "x.safetensors"
    path.write_bytes(framed(header, b"abcde"))
    assert [e.name for e in header_of(path).entries] == ["early", "empty", "late"]


@pytest.mark.parametrize("pad", range(8))
def test_data_at_any_address_is_read(pad: int, tmp_path: Path) -> None:
    content = encoded([Stored("byte", "U8", (1,)), Stored("w", "F64", (2, 3))], pad=pad)
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    header = header_of(path)
    assert header.entries[1].offset == len(content) - 48
    assert_agrees(content, header)


def test_file_without_tensors(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(framed({"__metadata__": {"format": "pt"}}))
    header = header_of(path)
    assert header.entries == ()
    assert header.metadata == {"format": "pt"}


@pytest.mark.parametrize("name", ["", "\U0001f600", "a b", "a/../b", "\\", "'", '"', "a\n"])
def test_odd_names_are_names(name: str, tmp_path: Path) -> None:
    content = encoded([Stored(name, "F32", (2, 3))])
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    assert_agrees(content, header_of(path))


def test_opening_reads_the_header_alone(tmp_path: Path) -> None:
    # A sparse file of 64 GB: to read a hundredth of it would take the memory or the time away.
    rows = 2**22
    path = tmp_path / "x.safetensors"
    content = framed({"w": entry("F32", [rows, 4096], (0, rows * 4096 * 4))})
    path.write_bytes(content)
    os.truncate(path, len(content) + rows * 4096 * 4)
    tracemalloc.start()
    checkpoint = open_checkpoint(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert list(checkpoint) == ["w"]
    assert peak < 4_000_000
    assert open_below(tmp_path) == 0


# ---------------------------------------------------------------------------- random files

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(
    lambda name: name != "__metadata__"
)


@st.composite
def tensors(draw: st.DrawFn) -> Stored:
    dtype = draw(st.sampled_from(sorted(BITS)))
    shape = draw(st.lists(st.integers(0, 5), max_size=5))
    if BITS[dtype] < 8 and shape:
        shape[-1] *= 4
    elif BITS[dtype] < 8:
        shape = [4]
    return Stored(draw(names), dtype, tuple(shape))


files = st.lists(tensors(), max_size=5, unique_by=lambda tensor: tensor.name)


@given(files, st.none() | st.dictionaries(names, names, max_size=3), st.integers(0, 9))
@settings(max_examples=80, deadline=None)
def test_valid_files_read_as_the_official_package_reads_them(
    tensors: list[Stored], metadata: dict[str, str] | None, pad: int
) -> None:
    content = encoded(tensors, metadata, pad)
    with stored(content) as path:
        assert_agrees(content, header_of(path))


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_mutated_files_are_refused_or_read_as_the_official_package_reads_them(
    data: st.DataObject,
) -> None:
    valid = encoded(data.draw(files), {"a": "b"}, data.draw(st.integers(0, 3)))
    content = bytearray(valid)
    length = int.from_bytes(content[:8], "little")
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, min(8 + length, len(content)) - 1))
        # Bytes of JSON's own alphabet reach further into the parser than any others.
        byte = data.draw(st.sampled_from(b'{}[]",:0123456789-.eE\\ ') | st.integers(0, 255))
        match data.draw(st.sampled_from(["replace", "insert", "delete"])):
            case "replace":
                content[place] = byte
            case "insert":
                content.insert(place, byte)
            case "delete" if len(content) > 1:
                del content[place]
    if data.draw(st.booleans()) and len(content) >= 8:
        fixed = len(content) - (len(valid) - 8 - length) - 8
        content[:8] = max(fixed, 0).to_bytes(8, "little")
    with stored(bytes(content)) as path:
        try:
            header = header_of(path)
        except CheckpointError:
            return
        assert_agrees(bytes(content), header)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            framed(
                '{"w":%s,"w":%s}' % (2 * ('{"dtype":"U8","shape":[1],"data_offsets":[0,1]}',)), b"1"
            ),
            "duplicate key",
        ),
        (framed('{"__metadata__":{"a":"1","a":"2"}}'), "duplicate key"),
        (framed('{"__metadata__":null}'), "not an object"),
        (framed({"w": ["U8", [1], [0, 1]]}, b"1"), "not an object"),
        (framed({"w": {**entry("U8", [1], [0, 1]), "strides": [1]}}, b"1"), "unknown key"),
        (framed(" {}"), "starts with"),
        (framed({"w": entry("U8", [0, 2**63], [0, 0])}), "not in 0"),
        (framed({"w": entry("U8", [0, 2**40, 2**40], [0, 0])}), "overflows"),
    ],
)
def test_stricter_than_the_official_package(content: bytes, reason: str) -> None:
    """Deliberate differences: each of these says two things at once, or nothing clear."""
    official(content)
    with stored(content) as path, pytest.raises(CheckpointError, match=reason):
        header_of(path)
