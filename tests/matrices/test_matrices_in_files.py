# SPDX-License-Identifier: BSD-3-Clause
"""Matrices in files: any offset and stride; nothing is read that is not used; short files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tests.support import known_spectra as ks
from tests.support.bytes_read import bytes_read

import sigmascope as ss
from sigmascope.errors import CheckpointError

READINGS = ("buffered", "uncached", "mapped")
A = np.random.default_rng(0).standard_normal((60, 40))


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("offset", [0, 1, 3, 8, 4097])
def test_files_at_any_offset(reading: str, offset: int, tmp_path: Path) -> None:
    path = tmp_path / "raw"
    path.write_bytes(bytes(offset) + A.tobytes() + b"more")
    a = ss.tensor(path, offset, A.shape, "f64", reading=reading)
    assert a.in_memory is (reading == "mapped")
    for lazy, exact in [
        (a, A),
        (a.T, A.T),
        (a[7:31, 5:6], A[7:31, 5:6]),
        (a.T[3:, 2:], A.T[3:, 2:]),
    ]:
        assert np.asarray(lazy).tobytes() == np.ascontiguousarray(exact).tobytes()


def test_rows_with_gaps_between_them(tmp_path: Path) -> None:
    padded = np.full((60, 51), np.nan)
    padded[:, 5:45] = A
    (tmp_path / "raw").write_bytes(padded.tobytes()[: -6 * 8])  # the last row's gap is not there
    a = ss.tensor(tmp_path / "raw", 5 * 8, A.shape, "f64", row_stride=51 * 8)
    assert a.nbytes == A.nbytes
    np.testing.assert_array_equal(np.asarray(a), A)
    np.testing.assert_array_equal(np.asarray(a.T[30:]), A.T[30:])
    assert ss.svds(a, 3).s[0] == pytest.approx(np.linalg.norm(A, 2), rel=1e-10)


def test_read_mapped_loaded_and_in_memory_give_the_same_bits(tmp_path: Path) -> None:
    numbers = ks.llm(4000, 100)[0].astype(ml_dtypes.bfloat16)
    path = tmp_path / "raw"
    path.write_bytes(b"!" + numbers.tobytes())
    read = ss.tensor(path, 1, (4000, 100), "bf16")
    mapped = ss.tensor(path, 1, (4000, 100), "bf16", reading="mapped")
    results = [
        ss.svds(source, 8, method="krylov", block=8, memory_limit=limit)
        for source, limit in [
            (numbers, None),
            (read, None),  # loaded once
            (read, read.nbytes),  # read again at each pass
            (mapped, None),
        ]
    ]
    for result in results[1:]:
        for part, expected in zip(result, results[0], strict=True):
            assert part is not None
            assert expected is not None
            assert part.tobytes() == expected.tobytes()


@pytest.mark.parametrize("reading", ["buffered", "uncached"])
def test_slices_read_only_what_they_need(reading: str, tmp_path: Path) -> None:
    """The file is cut after opening: what the slice needs is there, the rest is not.

    A read of what is there says that the file changed, and a read of more says where it ends.
    """
    path, whole = tmp_path / "raw", tmp_path / "whole"
    for each in (path, whole):
        each.write_bytes(A.tobytes())
    a, b = (ss.tensor(each, 0, A.shape, "f64", reading=reading) for each in (path, whole))
    os.truncate(path, (20 * 40 + 10) * 8)  # 20 rows and 10 elements
    for cut, same, exact in [
        (a[:20], b[:20], A[:20]),
        (a[5:21, :10], b[5:21, :10], A[5:21, :10]),
        (a[:21].T[:10], b[:21].T[:10], A[:21].T[:10]),
        (a.T[2:9, 3:21], b.T[2:9, 3:21], A.T[2:9, 3:21]),
    ]:
        ones = np.ones(cut.shape[1])
        for call in (np.asarray, ss.svdvals, lambda x: ss.svds(x, 2), lambda x, y=ones: x @ y):
            with pytest.raises(CheckpointError, match="raw: the file changed while it was in"):
                call(cut)
        np.testing.assert_array_equal(np.asarray(same), exact)
        assert ss.svdvals(same)[0] == pytest.approx(np.linalg.norm(exact, 2))
        ss.svds(same, 2, method="krylov")
        np.testing.assert_allclose(same @ ones, exact.sum(axis=1), atol=1e-13)
    for cut in (a, a[:21], a[20:21], a[:, 10:], a.T[10:, 3:21]):
        with pytest.raises(CheckpointError, match=r"raw ends at byte 6480"):
            np.asarray(cut)


def test_a_narrow_slice_of_a_wide_file_reads_little(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    wide = np.arange(200 * 50_000, dtype=np.float32).reshape(200, 50_000)
    path.write_bytes(wide.tobytes())
    a = ss.tensor(path, 0, wide.shape, "f32")
    np.asarray(a[:1, :1])  # which may read modules
    shares = [(slice(None), slice(100, 100 + 50_000 // share)) for share in (2, 3, 5, 7, 9)]
    for rows, columns in [(slice(50, 150), slice(1000, 1100)), *shares]:
        part = a[rows, columns]
        before = bytes_read()
        values = np.asarray(part)
        assert bytes_read() - before <= 2 * part.nbytes
        np.testing.assert_array_equal(values, wide[rows, columns])
    before = bytes_read()
    ss.svds(a[:, 40_000:40_050], 5, method="krylov", block=8)
    assert bytes_read() - before < 2 * 200 * 50 * 4  # loaded once


def test_files_that_are_too_short_or_missing(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    path.write_bytes(bytes(100))
    for reading in READINGS:
        with pytest.raises(CheckpointError, match=r"raw has 100 bytes.*3 x 3.*offset 65"):
            ss.tensor(path, 65, (3, 3), "f32", reading=reading)
        assert ss.tensor(path, 64, (3, 3), "f32", reading=reading).shape == (3, 3)
        with pytest.raises(FileNotFoundError, match="nowhere"):
            ss.tensor(tmp_path / "nowhere", 0, (3, 3), "f32", reading=reading)
    with pytest.raises(OSError, match=str(tmp_path)):
        np.asarray(ss.tensor(tmp_path, 0, (1, 1), "f8_e5m2"))  # a folder
    if os.geteuid() != 0:
        path.chmod(0)
        with pytest.raises(PermissionError, match="raw"):
            ss.tensor(path, 0, (3, 3), "f32")


@pytest.mark.parametrize(
    ("offset", "shape", "stride"),
    [
        (0, (2**40, 2**40), None),
        (0, (2**32 + 1, 1), 2**32),  # (rows - 1) * stride is 2^64
        (0, (2**33 + 1, 1), 2**31),
        (2**63, (1, 1), None),
        (2**64 - 4, (1, 1), None),
        (0, (1, 2**62), None),
    ],
)
def test_sizes_beyond_every_file_do_not_wrap_around(
    offset: int, shape: tuple[int, int], stride: int | None, tmp_path: Path
) -> None:
    (tmp_path / "raw").write_bytes(bytes(100))
    with pytest.raises(CheckpointError, match="raw"):
        ss.tensor(tmp_path / "raw", offset, shape, "f32", row_stride=stride)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((0, (2, 2), "f32"), {"reading": "quietly"}, r"buffered, uncached, mapped, not .quietly."),
        ((-1, (2, 2), "f32"), {}, r"offset -1"),
        ((0, (-2, 2), "f32"), {}, r"shape \(-2, 2\)"),
        ((0, (2, 2), "f32"), {"row_stride": 7}, r"row_stride 7 \(at least 8\)"),
        ((0, (2, 2), "int8"), {}, r"unknown dtype 'int8'"),
    ],
)
def test_tensor_arguments(
    arguments: tuple[int, tuple[int, int], str],
    options: dict[str, Any],
    message: str,
    tmp_path: Path,
) -> None:
    (tmp_path / "raw").write_bytes(bytes(100))
    with pytest.raises(ValueError, match=message):
        ss.tensor(tmp_path / "raw", *arguments, **options)


@pytest.mark.parametrize("reading", ["buffered", "uncached"])
def test_a_file_that_shrinks_while_it_is_used(reading: str, tmp_path: Path) -> None:
    """Whichever thread meets the end, the caller gets the error, and nothing hangs."""
    path = tmp_path / "raw"
    path.write_bytes(bytes(2000 * 100 * 4))
    a = ss.tensor(path, 0, (2000, 100), "f32", reading=reading)
    os.truncate(path, 1500 * 100 * 4)
    for call in (
        lambda: ss.moments(a, panel_rows=10),
        lambda: ss.svds(a, 3, panel_rows=100, memory_limit=10**6),
        lambda: ss.svdvals(a),
        lambda: a @ np.ones(100),
    ):
        changed = r"raw(: the file changed .*now it has| ends at byte) 600000"
        with pytest.raises(CheckpointError, match=changed):
            call()


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0, 0)])
def test_matrices_of_nothing(shape: tuple[int, int], tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(b"")
    files = [ss.tensor(tmp_path / "raw", 0, shape, "f64", reading=way) for way in READINGS]
    for a in (ss.matrix(np.zeros(shape)), *files):
        assert np.asarray(a).shape == shape
        assert np.asarray(a.T).shape == shape[::-1]
        np.testing.assert_array_equal(a @ np.ones(shape[1]), np.zeros(shape[0]))
        assert (a + a).shape == shape
        assert ss.vstack([a, a]).shape == (2 * shape[0], shape[1])
