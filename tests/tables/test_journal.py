# SPDX-License-Identifier: BSD-3-Clause
"""Runs that are journals: sealed lines, what is resumed and what is refused."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.checkpoints import write_file
from tests.support.journal_lines import of_other_engine, sealed
from tests.support.scans import bits, model, normal

import sigmascope as ss
from sigmascope.errors import ScanInterrupted
from sigmascope.results import Scan, ScanEvent

FIRST, SECOND = (f"model-0000{i}-of-00002.safetensors" for i in (1, 2))
OPTIONS: dict[str, Any] = {"k": 4, "num_threads": 1, "memory_limit": "1GiB"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return model(tmp_path / "model")


def stop_at(name: str, kind: str = "row") -> Callable[[ScanEvent], None]:
    def listener(event: ScanEvent) -> None:
        if event.kind == kind and event.name == name:
            raise KeyboardInterrupt

    return listener


def interrupted(folder: Path, path: Path, name: str = "w.3", **options: Any) -> bytes:
    """A journal that ends with the row of a tensor."""
    with pytest.raises(ScanInterrupted):
        ss.scan(folder, resume=path, progress=stop_at(name), **OPTIONS | options)
    return path.read_bytes()


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The rows of every complete scan of such a folder."""
    return bits(ss.scan(model(tmp_path_factory.mktemp("whole")), **OPTIONS))


# ------------------------------------------------------------------------------- lines

RECORDS = st.dictionaries(
    st.text().map("no column: {}".format),  # those have types
    st.none() | st.text() | st.integers() | st.lists(st.integers()),
    min_size=1,
)


@settings(deadline=None)
@given(RECORDS, st.data())
def test_a_line_with_any_other_byte_is_not_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, record: dict[str, Any], data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "x.jsonl"
    header = sealed({"schema": "sigmascope.scan", "version": 3})
    row = sealed(record | {"name": "a"})
    text = header + row + sealed({"name": "last"})
    path.write_bytes(text)
    assert [line["name"] for line in Scan.load(path)] == ["a", "last"]
    place = data.draw(st.integers(0, len(row) - 2)) + len(header)
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte not in (text[place], 10)))
    path.write_bytes(text[:place] + bytes([other]) + text[place + 1 :])
    with pytest.raises(ValueError, match=r"x\.jsonl: line 2"):
        Scan.load(path)


def test_a_changed_digit_is_noticed(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    ss.scan(folder, out=path, **OPTIONS)
    text = path.read_text()
    path.write_text(text.replace('"nbytes": 2400', '"nbytes": 2401', 1))
    with pytest.raises(ValueError, match=r"x\.jsonl: line 3 has a wrong checksum"):
        Scan.load(path)
    with pytest.raises(ValueError, match=r"x\.jsonl: line 3 has a wrong checksum"):
        ss.scan(folder, resume=path, **OPTIONS)


# ------------------------------------------------------------------------------- resumed


def test_a_journal_is_begun_and_complete_ones_are_left_alone(
    folder: Path, tmp_path: Path, expected: list[dict[str, Any]]
) -> None:
    path = tmp_path / "x.jsonl"
    scan = ss.scan(folder, resume=path, **OPTIONS)
    assert bits(scan) == expected
    content = path.read_bytes()
    again = ss.scan(folder, resume=path, **OPTIONS)
    assert again.rows == scan.rows
    assert again.header() == scan.header()
    assert path.read_bytes() == content


@pytest.mark.parametrize("effort", ["density", "exact"])
def test_ctrl_c_leaves_a_resumable_run(folder: Path, tmp_path: Path, effort: str) -> None:
    path = tmp_path / "x.jsonl"
    content = interrupted(folder, path, effort=effort)
    events: list[ScanEvent] = []
    scan = ss.scan(folder, resume=path, progress=events.append, **OPTIONS | {"effort": effort})
    assert bits(scan) == bits(ss.scan(folder, **OPTIONS | {"effort": effort}))
    assert path.read_bytes().startswith(content)  # nothing was done again
    assert Scan.load(path).rows == scan.rows
    kept = [event.row for event in events if event.kind == "kept"]
    rows = [event.row for event in events if event.kind == "row"]
    assert kept == scan.rows[: len(kept)]
    assert len(kept) == content.count(b"\n") - 1
    assert kept + rows == scan.rows
    assert events[-1].done_bytes == events[-1].total_bytes
    assert events[-1].index == events[-1].count


@pytest.mark.parametrize(
    "tail",
    [b"", b'{"name": "w.', b"\0" * 900, b'{"torn": 1}\n'],
    ids=["nothing", "half a line", "zeros", "a line without checksum"],
)
def test_a_torn_tail_is_dropped(
    folder: Path, tmp_path: Path, tail: bytes, expected: list[dict[str, Any]]
) -> None:
    path = tmp_path / "x.jsonl"
    content = interrupted(folder, path)
    path.write_bytes(content + tail)
    scan = ss.scan(folder, resume=path, **OPTIONS)
    assert bits(scan) == expected
    assert path.read_bytes().startswith(content)
    assert Scan.load(path).rows == scan.rows


@pytest.mark.parametrize("content", [b"", b'{"schema": "sigma'], ids=["empty", "half a line"])
def test_a_journal_without_a_whole_line_is_begun_anew(
    folder: Path, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    scan = ss.scan(folder, resume=path, **OPTIONS)
    assert Scan.load(path).rows == scan.rows


def test_other_outputs_hold_the_kept_rows_too(folder: Path, tmp_path: Path) -> None:
    path, others = tmp_path / "x.jsonl", [tmp_path / "y.jsonl", tmp_path / "y.csv"]
    interrupted(folder, path)
    scan = ss.scan(folder, resume=path, out=[*others, path], **OPTIONS)
    assert scan.complete
    for other in (path, *others):
        assert Scan.load(other).rows == scan.rows


def test_the_memory_limit_is_kept(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    interrupted(folder, path, memory_limit=123_456_789)
    plan = ss.scan(folder, resume=path, **OPTIONS | {"memory_limit": None}, plan=True)
    assert plan.memory_limit == 123_456_789
    scan = ss.scan(folder, resume=path, **OPTIONS | {"memory_limit": None})
    assert scan.options["memory_limit"] == 123_456_789


def test_a_memory_limit_that_this_machine_does_not_have_is_not_kept(
    folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "x.jsonl"
    interrupted(folder, path, memory_limit="1000TiB")
    for limit, tebibytes in ((None, 0), ("2000TiB", 2000)):
        plan = ss.scan(folder, resume=path, **OPTIONS | {"memory_limit": limit}, plan=True)
        assert len(plan) > 0
        assert plan.memory_limit // 2**40 == tebibytes


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600)], ids=["022", "077"])
def test_a_new_table_has_the_permissions_of_the_umask(
    folder: Path, tmp_path: Path, mask: int, mode: int
) -> None:
    paths = [tmp_path / f"x{suffix}" for suffix in (".jsonl", ".csv", ".parquet")]
    before = os.umask(mask)
    try:
        ss.scan(folder, out=paths, include="w.0", **OPTIONS)
    finally:
        os.umask(before)
    assert [oct(path.stat().st_mode & 0o777) for path in paths] == [oct(mode)] * 3


# ------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ({"k": 5}, "k was 4, is 5"),
        ({"tol": 1e-4, "seed": 1}, "seed was 0, is 1; tol was 0.001, is 0.0001"),
        ({"effort": "exact"}, "effort was 'density', is 'exact'"),
        ({"accuracy": "fast"}, "accuracy was 'reference', is 'fast'"),
        ({"include": "w.*"}, r"include was \[\], is \['w\.\*'\]"),
        ({"shard": (1, 2)}, "shard was None, is 1/2"),
    ],
    ids=["k", "tol and seed", "effort", "accuracy", "include", "shard"],
)
def test_other_options_are_refused(
    folder: Path, tmp_path: Path, options: dict[str, Any], difference: str
) -> None:
    path = tmp_path / "x.jsonl"
    content = interrupted(folder, path)
    with pytest.raises(ValueError, match=rf"x\.jsonl: the journal of another scan: .*{difference}"):
        ss.scan(folder, resume=path, **OPTIONS | options)
    assert path.read_bytes() == content


def test_weights_that_were_split_are_not_continued_whole(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    interrupted(folder, path)
    whole = ss.open_checkpoint(folder, split_fused=False)
    with pytest.raises(ValueError, match="split_fused was None, is False"):
        ss.scan(whole, resume=path, **OPTIONS)


@pytest.mark.parametrize(
    "options", [{"num_threads": 3}, {"memory_limit": "2GiB"}], ids=["num_threads", "memory_limit"]
)
def test_options_that_change_no_bit_may_differ(
    folder: Path, tmp_path: Path, options: dict[str, Any], expected: list[dict[str, Any]]
) -> None:
    path = tmp_path / "x.jsonl"
    interrupted(folder, path)
    scan = ss.scan(folder, resume=path, **OPTIONS | options)
    assert bits(scan) == expected


def grow(folder: Path) -> None:
    write_file(folder / SECOND, normal("w.1", 5, 5), normal("w.3", 9, 9), normal("w.5", 2, 2))
    (folder / "model.safetensors.index.json").unlink()


def retrain(folder: Path) -> None:
    """The same tensors, other numbers."""
    content = bytearray((folder / SECOND).read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")
    numbers = np.frombuffer(content, np.float32, offset=start, count=(len(content) - start) // 4)
    (folder / SECOND).write_bytes(content[:start] + (numbers * np.float32(1.5)).tobytes())


def touch_up(folder: Path) -> None:
    """The same numbers but for the very last one."""
    content = (folder / SECOND).read_bytes()
    (folder / SECOND).write_bytes(content[:-4] + np.float32(1.5).tobytes())


def rename(folder: Path) -> None:
    (folder / "model.safetensors.index.json").unlink()
    for old in (FIRST, SECOND):
        (folder / old).rename(folder / f"other-{old.removeprefix('model-')}")


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (grow, rf"{SECOND} had \d+ bytes, has \d+; expected was"),
        (retrain, f"{SECOND} has different content of the same size"),
        (touch_up, f"{SECOND} has different content of the same size"),
        (rename, rf"{FIRST} is missing; .*other-00001-of-00002\.safetensors is new"),
    ],
    ids=["other size", "other numbers", "one other number", "other name"],
)
def test_another_checkpoint_is_refused(
    folder: Path, tmp_path: Path, change: Callable[[Path], None], difference: str
) -> None:
    path = tmp_path / "x.jsonl"
    content = interrupted(folder, path)
    change(folder)
    with pytest.raises(ValueError, match=difference):
        ss.scan(folder, resume=path, **OPTIONS)
    assert path.read_bytes() == content


def test_a_checkpoint_that_moved_is_the_same(
    folder: Path, tmp_path: Path, expected: list[dict[str, Any]]
) -> None:
    path = tmp_path / "x.jsonl"
    interrupted(folder, path)
    moved = folder.rename(tmp_path / "elsewhere")
    assert bits(ss.scan(moved, resume=path, **OPTIONS)) == expected


def test_another_engine_is_refused(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    content = interrupted(folder, path)
    path.write_bytes(of_other_engine(content, isa="none"))
    with pytest.raises(ValueError, match=r"isa was 'none', is '.*'"):
        ss.scan(folder, resume=path, **OPTIONS)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", None, r"x\.csv: a scan is resumed from a \.jsonl file"),
        ("x.txt", None, r"x\.txt: a scan is saved as"),
        ("x.jsonl", b'{"a": 1}\n', r"x\.jsonl: not a scan"),
        ("x.jsonl", b"hello\n", r"x\.jsonl: line 1 is not JSON"),
    ],
)
def test_files_that_are_not_journals_are_refused(
    folder: Path, tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        ss.scan(folder, resume=path, **OPTIONS)
    assert (path.read_bytes() if path.exists() else None) == content


@pytest.mark.parametrize("how", ["out", "resume"])
def test_two_runs_on_one_journal(folder: Path, tmp_path: Path, how: str) -> None:
    path = tmp_path / "x.jsonl"
    refused: list[BaseException] = []

    def second(event: ScanEvent) -> None:
        if event.kind == "row" and event.name == "w.4":
            with pytest.raises(BlockingIOError, match="another scan is writing") as caught:
                ss.scan(folder, **OPTIONS | {how: path})
            refused.append(caught.value)

    scan = ss.scan(folder, resume=path, progress=second, **OPTIONS)
    assert refused
    assert Scan.load(path).rows == scan.rows
    assert ss.scan(folder, resume=path, **OPTIONS).rows == scan.rows  # it is free again


def test_a_forked_process_does_not_keep_the_lock(tmp_path: Path) -> None:
    path = write_file(tmp_path / "m.safetensors", normal("v", 5))
    ours, theirs = socket.socketpair()
    children: list[int] = []

    def fork(event: ScanEvent) -> None:
        child = os.fork()
        if child == 0:  # pragma: no cover
            theirs.send(b"here")
            theirs.recv(4)
            os._exit(0)
        assert ours.recv(4) == b"here"
        children.append(child)

    ss.scan(path, resume=tmp_path / "x.jsonl", progress=fork, **OPTIONS)
    assert len(ss.scan(path, resume=tmp_path / "x.jsonl", **OPTIONS)) == 1
    (child,) = children
    ours.send(b"done")
    assert os.waitpid(child, 0)[1] == 0
    ours.close()
    theirs.close()
