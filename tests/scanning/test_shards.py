# SPDX-License-Identifier: BSD-3-Clause
"""Scans in parts: who has which rows, and what a merge accepts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.command_line import invoke
from tests.support.journal_lines import of_other_engine
from tests.support.scans import bits, model

import sigmascope as ss
from sigmascope._tables.shards import Shard
from sigmascope.errors import ScanInterrupted
from sigmascope.results import Scan, ScanEvent

OPTIONS: dict[str, Any] = {"k": 4, "memory_limit": "1GiB"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return model(tmp_path / "model")


def parts(folder: Path, count: int, **options: Any) -> list[Path]:
    paths = [folder.parent / f"part-{index}.jsonl" for index in range(count)]
    for index, path in enumerate(paths):
        ss.scan(folder, shard=(index, count), out=path, **OPTIONS | options)
    return paths


# ------------------------------------------------------------------------------- the partition


@given(st.lists(st.none() | st.integers(0, 10**6), max_size=60), st.integers(1, 9))
def test_every_row_is_in_one_part_and_the_parts_are_level(
    sizes: list[int | None], count: int
) -> None:
    shards = [Shard.of((index, count), sizes) for index in range(count)]
    assert sorted(p for shard in shards for p in shard.positions) == list(range(len(sizes)))
    assert all(list(shard.positions) == sorted(shard.positions) for shard in shards)
    loads = [sum(sizes[p] or 0 for p in shard.positions) for shard in shards]
    assert max(loads) - min(loads) <= max((size or 0 for size in sizes), default=0)
    for shard in shards[1:]:
        assert all(sizes[p] is not None for p in shard.positions)
    assert shards == [Shard.of((index, count), sizes) for index in range(count)]
    assert all(Shard.of_header(shard.to_header()) == shard for shard in shards)


@pytest.mark.parametrize("shard", [(2, 2), (-1, 3), (0, 0)])
def test_no_such_shard(folder: Path, shard: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"shard {shard[0]}/{shard[1]}: the first number"):
        ss.scan(folder, shard=shard)


# ------------------------------------------------------------------------------- merging


@pytest.mark.parametrize("count", [1, 3, 30])
def test_parts_make_the_whole(folder: Path, count: int) -> None:
    """Row for row, with parts of no row too."""
    whole = ss.scan(folder, **OPTIONS)
    paths = parts(folder, count)
    scan = ss.merge(reversed(paths))
    assert bits(scan) == bits(whole)
    assert scan.complete
    assert scan.expected == whole.expected
    assert scan.header() | {"options": None} == whole.header() | {"options": None}
    last = Scan.load(paths[-1])
    assert [row["name"] for row in last if row["status"] == "entrywise"] == (
        ["norm"] if count == 1 else []
    )


def test_parts_are_saved_and_merged_in_parquet_too(folder: Path) -> None:
    for index in range(2):
        ss.scan(folder, shard=(index, 2), out=folder.parent / f"{index}.parquet", **OPTIONS)
    scan = ss.merge([folder.parent / f"{index}.parquet" for index in range(2)])
    assert bits(scan) == bits(ss.scan(folder, **OPTIONS))


def test_parts_are_resumed(folder: Path, tmp_path: Path) -> None:
    def listener(event: ScanEvent) -> None:
        if event.kind == "row":
            raise KeyboardInterrupt

    path = tmp_path / "part.jsonl"
    with pytest.raises(ScanInterrupted):
        ss.scan(folder, shard=(1, 2), resume=path, progress=listener, **OPTIONS)
    with pytest.raises(ValueError, match="shard was 1/2, is 0/2"):
        ss.scan(folder, shard=(0, 2), resume=path, **OPTIONS)
    other = ss.scan(folder, shard=(0, 2), **OPTIONS)
    with pytest.raises(ValueError, match=r"part\.jsonl: shard 1/2 has 1 of \d+ rows: resume"):
        ss.merge([other, path])
    some = ss.merge([other, path], partial=True)
    assert not some.complete
    assert len(some) == len(other) + 1
    names = [row["name"] for row in ss.scan(folder, **OPTIONS)]
    assert sorted(names.index(row["name"]) for row in some) == [
        names.index(row["name"]) for row in some
    ]
    ss.scan(folder, shard=(1, 2), resume=path, **OPTIONS)
    assert bits(ss.merge([other, path])) == bits(ss.scan(folder, **OPTIONS))


def test_missing_parts_are_named(folder: Path) -> None:
    paths = parts(folder, 4)
    with pytest.raises(ValueError, match="shards missing: 0/4, 2/4"):
        ss.merge([paths[1], paths[3]])
    some = ss.merge([paths[1], paths[3]], partial=True)
    assert some.expected == len(ss.merge(paths))
    assert len(some) < some.expected


def test_what_does_not_belong_together(folder: Path, tmp_path: Path) -> None:
    first, second = parts(folder, 2)
    elsewhere = model(tmp_path / "elsewhere", count=11)
    whole = tmp_path / "whole.jsonl"
    ss.scan(folder, out=whole, **OPTIONS)
    strange = {
        f"{first}: shard 0/2 is also in {first}": [first, second, first],
        "whole.jsonl is not a part of a scan": [first, whole],
        "a part of another scan: seed was 0, is 3": [
            first,
            ss.scan(folder, shard=(1, 2), seed=3, **OPTIONS),
        ],
        "2 shards in one, 3 in the other": [
            first,
            ss.scan(folder, shard=(1, 3), **OPTIONS),
        ],
        "safetensors had": [first, ss.scan(elsewhere, shard=(1, 2), **OPTIONS)],
        "there are no parts to merge": [],
    }
    for message, some in strange.items():
        with pytest.raises(ValueError, match=re.escape(message)):
            ss.merge(some)


def test_another_engine_is_noted(folder: Path) -> None:
    first, second = parts(folder, 2)
    second.write_bytes(of_other_engine(second.read_bytes(), isa="other"))
    scan = ss.merge([first, second])
    assert "different engines" in scan.notes[-1]
    assert "other" in scan.notes[-1]


# ------------------------------------------------------------------------------- command line


def test_shards_and_merge_on_the_command_line(folder: Path, tmp_path: Path) -> None:
    paths = [tmp_path / f"{index}.jsonl" for index in range(2)]
    for index, path in enumerate(paths):
        status, _, _ = invoke(
            *("scan", folder, "--shard", f"{index}/2", "--resume", path),
            *("-k", 4, "--seed", 0, "--quiet"),
        )
        assert status in (0, 1)  # the NaN is in one of them
    out = tmp_path / "whole.parquet"
    status, shown, _ = invoke("merge", *paths, "--out", out)
    assert status == 1
    assert "15 matrices analysed" in shown
    assert bits(Scan.load(out)) == bits(ss.scan(folder, k=4))
    status, _, error = invoke("merge", paths[1])
    assert (status, error) == (2, "sigmascope: shards missing: 0/2\n")
    for path in paths:  # one part has the NaN, and each lacks the other
        assert invoke("merge", path, "--partial", "--json")[0] == 1
    for text in ("2", "a/b", "1/2/3", "-1/2"):
        status, _, error = invoke("scan", folder, f"--shard={text}")
        assert status == 2
        assert f"shard '{text}' is not of the form I/N" in error


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2])
def test_processes_on_the_command_line(folder: Path, tmp_path: Path, count: int) -> None:
    out = tmp_path / "x.jsonl"
    status, _, _ = invoke(
        *("scan", folder, "--workers", count, "-k", 4, "--seed", 0, "--out", out, "--quiet")
    )
    assert status == 1
    assert bits(Scan.load(out)) == bits(ss.scan(folder, k=4))
