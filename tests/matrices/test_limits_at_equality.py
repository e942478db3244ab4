# SPDX-License-Identifier: BSD-3-Clause
"""Limits of offsets, strides, headers and indices, exactly at their values and next to them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sigmascope as ss
from sigmascope.errors import CheckpointError

ROOM, SIZE = "cannot hold", "needs"
"""Words of a refusal: of bytes that no file can have, and of bytes that this file lacks."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "numbers"
    file.write_bytes(bytes(72))
    return file


@pytest.mark.parametrize(
    ("offset", "shape", "dtype", "message"),
    [
        (2**63 - 5, (1, 1), "f32", SIZE),
        (2**63 - 4, (1, 1), "f32", ROOM),
        (2**63 - 19, (1, 32), "q4_0", SIZE),
        (2**63 - 18, (1, 32), "q4_0", ROOM),
        (0, (2**56 - 1, 32), "q4_0", SIZE),  # 2^63 - 128 bytes of float32
        (0, (2**56, 32), "q4_0", ROOM),
    ],
)
def test_bytes_end_before_2_63(
    offset: int, shape: tuple[int, int], dtype: str, message: str, path: Path
) -> None:
    with pytest.raises(CheckpointError, match=message):
        ss.tensor(path, offset, shape, dtype)


def test_rows_may_follow_each_other_without_a_gap_and_not_overlap(path: Path) -> None:
    assert ss.tensor(path, 0, (3, 2), "f32", row_stride=8).shape == (3, 2)
    with pytest.raises(ValueError, match=r"row_stride 7 \(at least 8\)"):
        ss.tensor(path, 0, (3, 2), "f32", row_stride=7)


@pytest.mark.parametrize(("index", "exists"), [(-4, False), (-3, True), (2, True), (3, False)])
def test_indices_of_three_rows_are_from_minus_three_to_two(index: int, exists: bool) -> None:
    A = np.arange(12.0).reshape(3, 4)
    if exists:
        np.testing.assert_array_equal(np.asarray(ss.matrix(A)[index]).ravel(), A[index])
    else:
        with pytest.raises(IndexError):
            ss.matrix(A)[index]


def npy_file(path: Path, shape: tuple[int, ...], header_bytes: int) -> Path:
    """Write zeros with a header of this length, without the 10 bytes that it follows."""
    header = repr({"descr": "<f4", "fortran_order": False, "shape": shape}).encode()
    padded = header.ljust(header_bytes - 1) + b"\n"
    start = b"\x93NUMPY\x01\x00" + header_bytes.to_bytes(2, "little")
    path.write_bytes(start + padded + bytes(4 * int(np.prod(shape))))
    return path


def test_a_header_of_npy_has_at_most_10000_bytes(tmp_path: Path) -> None:
    assert ss.matrix(npy_file(tmp_path / "a.npy", (3, 2), 10_000)).shape == (3, 2)
    with pytest.raises(CheckpointError, match="a header of 10001 bytes, above the limit of 10000"):
        ss.matrix(npy_file(tmp_path / "b.npy", (3, 2), 10_001))


@pytest.mark.parametrize(
    ("dimensions", "message"), [(64, "2 dimensions"), (65, "65 dimensions, above the limit of 64")]
)
def test_an_array_of_npy_has_at_most_64_dimensions(
    dimensions: int, message: str, tmp_path: Path
) -> None:
    with pytest.raises((CheckpointError, ValueError), match=message):
        ss.matrix(npy_file(tmp_path / "a.npy", (1,) * dimensions, 1000))
