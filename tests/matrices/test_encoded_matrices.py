# SPDX-License-Identifier: BSD-3-Clause
"""Matrices in block layouts of GGML: the numbers of the `gguf` package, and any part of them."""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.support.gguf_files import NUMBERS, blocks, finite_rows

import sigmascope as ss
from sigmascope._host.native import _core
from sigmascope.checkpoint.formats.ggml import BLOCK_DTYPES, TYPES

LAYOUTS = list(BLOCK_DTYPES.values())


def dequantised(layout: str, found: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the numbers of blocks as the `gguf` package has them; it does not know Q8_K."""
    with np.errstate(all="ignore"):
        if layout == "q8_k":
            scale = np.ascontiguousarray(found[:, :4]).view(np.float32)
            return scale * found[:, 4:260].view(np.int8).astype(np.float32)
        numbers = gguf.dequantize(found, gguf.GGMLQuantizationType[layout.upper()])
    return np.asarray(numbers, np.float32)


def assert_same_bits(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> None:
    """Check that the bits are equal, but for those of NaN."""
    nan = np.isnan(wanted)
    np.testing.assert_array_equal(np.isnan(found), nan)
    np.testing.assert_array_equal(found.view(np.uint32)[~nan], wanted.view(np.uint32)[~nan])


def stored(folder: Path, layout: str, found: NDArray[np.uint8], rows: int) -> ss.Matrix:
    elements = TYPES[NUMBERS[layout.upper()]].elements
    path = folder / layout
    path.write_bytes(b"abc" + found.tobytes())
    return ss.tensor(path, 3, (rows, found.size // rows // found.shape[-1] * elements), layout)


def test_the_tables_of_layouts_agree() -> None:
    theirs = gguf.GGML_QUANT_SIZES
    for name, found in _core.block_layouts().items():
        ours = TYPES[NUMBERS[name.upper()]]
        assert (ours.elements, ours.nbytes) == found
        assert theirs[gguf.GGMLQuantizationType[name.upper()]] == found
    assert sorted(_core.block_layouts()) == sorted(LAYOUTS)
    for number, ours in TYPES.items():
        if ours.nbytes and ours.name != "Q8_1":  # whose sums became shorter, and are in no file
            kind = gguf.GGMLQuantizationType(number)
            assert (kind.name, theirs[kind]) == (ours.name, (ours.elements, ours.nbytes))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_random_blocks_are_decoded_to_the_bit(layout: str, tmp_path: Path) -> None:
    found = blocks(layout, 400, seed=1)
    a = stored(tmp_path, layout, found, 50)
    wanted = dequantised(layout, found).reshape(a.shape)
    assert (a.storage, a.nbytes, a.in_memory) == ("f32", 4 * a.size, False)
    for each in (a, a.load()):
        assert_same_bits(np.asarray(each), wanted)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_code_is_decoded_to_the_bit(layout: str, tmp_path: Path) -> None:
    """Each byte of a block takes all of its values, in an order of its own."""
    nbytes = TYPES[NUMBERS[layout.upper()]].nbytes
    rng = np.random.default_rng(2)
    steps, starts = 2 * rng.integers(0, 128, nbytes) + 1, rng.integers(0, 256, nbytes)
    found = (np.arange(256)[:, None] * steps + starts).astype(np.uint8)
    assert all(len(np.unique(codes)) == 256 for codes in found.T)
    a = stored(tmp_path, layout, found, 8)
    assert_same_bits(np.asarray(a), dequantised(layout, found).reshape(a.shape))


@pytest.mark.parametrize("layout", ["q8_0", "iq3_s"])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_slice_of_any_slice_turned_or_not(layout: str, data: st.DataObject) -> None:
    """Wherever it cuts a block, and with any step."""
    with tempfile.TemporaryDirectory() as folder:
        found = finite_rows(layout, 20, 3)
        a: Any = stored(Path(folder), layout, found.reshape(60, -1), 20)
        wanted: Any = dequantised(layout, found.reshape(60, -1)).reshape(a.shape)
        for _ in range(data.draw(st.integers(0, 3))):
            if data.draw(st.booleans()):
                a, wanted = a.T, wanted.T
            cut = tuple(
                slice(
                    data.draw(st.integers(0, size - 1)),
                    data.draw(st.integers(1, size)),
                    data.draw(st.integers(1, 2 * size)),
                )
                for size in a.shape
            )
            if 0 in wanted[cut].shape:
                continue
            a, wanted = a[cut], wanted[cut]
        np.testing.assert_array_equal(np.asarray(a), wanted)
        np.testing.assert_array_equal(np.asarray(a.load()), wanted)
        np.testing.assert_array_equal(np.asarray(pickle.loads(pickle.dumps(a))), wanted)


def test_rows_of_several_megabytes_and_long_steps(tmp_path: Path) -> None:
    """More rows than are read at a time, and runs that are read one by one."""
    found = np.tile(finite_rows("q4_k", 3, 40), (250, 1))
    a = stored(tmp_path, "q4_k", found.reshape(-1, 144), 750)
    wanted = dequantised("q4_k", found.reshape(-1, 144)).reshape(a.shape)
    np.testing.assert_array_equal(np.asarray(a), wanted)
    np.testing.assert_array_equal(np.asarray(a[::7, 300:700]), wanted[::7, 300:700])
    np.testing.assert_array_equal(np.asarray(a[5::2].T[10:]), wanted[5::2].T[10:])


def test_results_are_those_of_the_decoded_numbers(tmp_path: Path) -> None:
    """Loaded, read at each pass and past the page cache."""
    found = finite_rows("q6_k", 600, 1)
    a = stored(tmp_path, "q6_k", found.reshape(600, -1), 600)
    numbers = dequantised("q6_k", found.reshape(600, -1)).reshape(a.shape)
    uncached = ss.tensor(tmp_path / "q6_k", 3, a.shape, "q6_k", reading="uncached")
    how: dict[str, Any] = {"method": "krylov", "block": 8}
    results = [
        ss.svds(source, 5, memory_limit=limit, **how).s.tobytes()
        for source, limit in [(numbers, None), (a, None), (a, a.nbytes), (uncached, None)]
    ]
    assert len(set(results)) == 1
    difference = np.asarray(a - ss.matrix(numbers))
    assert not difference.any()


def test_what_no_file_holds_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(18 * 6))
    assert not np.asarray(ss.tensor(path, 0, (2, 96), "q4_0")).any()
    with pytest.raises(ValueError, match="rows of q4_0 are blocks of 32 numbers in 18 bytes"):
        ss.tensor(path, 0, (2, 95), "q4_0")
    with pytest.raises(ValueError, match="without gaps"):
        ss.tensor(path, 0, (2, 64), "q4_0", row_stride=54)
    with pytest.raises(ValueError, match="q4_0 is decoded when it is read, and cannot be mapped"):
        ss.tensor(path, 0, (2, 96), "q4_0", reading="mapped")
    with pytest.raises(ss.CheckpointError, match=r"a q4_0 matrix of 7 x 32 .* needs 126 more"):
        ss.tensor(path, 0, (7, 32), "q4_0")
    with pytest.raises(ss.CheckpointError, match="cannot hold"):
        ss.tensor(path, 0, (2**60, 32), "q4_0")
    with pytest.raises(ValueError, match=r"unknown dtype 'q4_9'; known: f64, .*, q4_0"):
        ss.tensor(path, 0, (2, 96), "q4_9")
