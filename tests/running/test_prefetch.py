# SPDX-License-Identifier: BSD-3-Clause
"""Matrices that are read while another is computed."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.support.analyses import watch_matrices
from tests.support.checkpoints import write_file
from tests.support.scans import bits, normal

import sigmascope as ss
from sigmascope.errors import MemoryLimitError


@pytest.mark.parametrize(
    ("limit", "ahead"), [("256MiB", True), ("4MB", False)], ids=["room", "no room"]
)
def test_the_next_matrix_is_read_while_this_one_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, ahead: bool
) -> None:
    """Where there is room for it, and with the bits of a scan that reads nothing ahead.

    One after the other: of those side by side, chance says which begins before its reading does.
    """
    sizes = [(400, 300), (300, 300), (900, 400), (200, 100)]
    tensors = [normal(f"w.{i}", *size, seed=i) for i, size in enumerate(sizes)]
    path = write_file(tmp_path / "m.safetensors", *tensors)
    in_memory = {}

    def watch(a: ss.Matrix, options: Mapping[str, Any]) -> None:
        in_memory[a.shape] = a.in_memory
        assert options["reserved"] <= options["memory_limit"]

    watch_matrices(monkeypatch, watch)
    scan = ss.scan(path, effort="top", k=4, memory_limit=limit, num_threads=1)
    begun_first = sizes[1]  # which is smaller than the one before it
    assert in_memory == {size: ahead and size != begun_first for size in sizes}
    with ThreadPoolExecutor(1) as executor:
        apart = ss.scan(path, effort="top", k=4, memory_limit=limit, executor=executor, workers=1)
    assert bits(scan) == bits(apart)


@pytest.mark.parametrize(("share", "ahead"), [(0.5, False), (1.5, True)], ids=["half", "more"])
def test_what_fits_into_the_memory_that_is_left_is_read_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float, ahead: bool
) -> None:
    path = write_file(tmp_path / "m.safetensors", normal("a", 400, 300), normal("b", 900, 400))
    options: dict[str, Any] = {"effort": "top", "k": 4, "num_threads": 1}
    needed = ss.scan(path, memory_limit="256MiB", **options, plan=True)["a"].peak_bytes
    in_memory = {}
    watch_matrices(monkeypatch, lambda a, _: in_memory.update({a.shape: a.in_memory}))
    left = int(share * 4 * 900 * 400)
    assert len(ss.scan(path, memory_limit=needed + left, **options).analysed) == 2
    assert in_memory == {(400, 300): False, (900, 400): ahead}


def test_what_leaves_too_little_for_itself_is_read_from_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_file(tmp_path / "m.safetensors", normal("a", 40, 30), normal("b", 40, 30))
    held = []

    def watch(a: ss.Matrix, _: Mapping[str, Any]) -> None:
        held.append(a.in_memory)
        if a.in_memory:
            raise MemoryLimitError("more")

    watch_matrices(monkeypatch, watch)
    scan = ss.scan(path, k=3, memory_limit="256MiB")
    assert len(scan.analysed) == 2
    assert held == [False, True, False]


def test_an_error_while_reading_ahead_is_the_next_matrixs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_file(tmp_path / "m.safetensors", *(normal(c, 40, 30) for c in "abc"))

    def load(a: ss.Matrix) -> ss.Matrix:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(ss.Matrix, "load", load)
    assert {row["status"] for row in ss.scan(path, k=3)} == {"failed"}
