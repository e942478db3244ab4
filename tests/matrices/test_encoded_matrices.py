# SPDX-License-Identifier: BSD-3-Clause
"""Matrices in block layouts of GGML: the numbers of the `gguf` package, and any part of them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.encoded_blocks import (
    LAYOUTS,
    PLAIN,
    SIZES,
    assert_same_bits,
    dequantised,
    stored,
)
from tests.support.gguf_files import blocks, finite_rows, framed, info

import sigmascope as ss
from sigmascope.errors import CheckpointError


def test_the_layouts_of_tensors_are_those_of_files(tmp_path: Path) -> None:
    """A block of each has the size that the `gguf` package gives it, and no other is known."""
    with pytest.raises(ValueError, match="unknown dtype") as caught:
        ss.tensor(tmp_path / "x", 0, (1, 256), "none")
    dtypes = {"f64", "f32", "f16", "bf16", "f8_e4m3", "f8_e5m2", "f4_e2m1"}
    known = str(caught.value).partition("known: ")[2].split(", ")
    assert sorted(known) == sorted([*dtypes, *LAYOUTS])
    for layout in LAYOUTS:
        elements, nbytes = SIZES[layout.upper()]
        (tmp_path / "x").write_bytes(bytes(nbytes))
        assert ss.tensor(tmp_path / "x", 0, (1, elements), layout).shape == (1, elements)
        sizes = f"a row of {layout} must consist of blocks of {elements} numbers in {nbytes} bytes"
        with pytest.raises(ValueError, match=sizes):
            ss.tensor(tmp_path / "x", 0, (1, elements - 1), layout)


@pytest.mark.parametrize("name", [*PLAIN, *map(str.upper, LAYOUTS), "Q1_0"])
def test_numbers_of_types_mean_the_same_to_the_gguf_package(name: str, tmp_path: Path) -> None:
    """But for Q8_1, whose sums became shorter: no file holds it."""
    elements, nbytes = SIZES[name]
    number = int(gguf.GGMLQuantizationType[name])
    record = info("x.weight", (2, 3 * elements), number, 0)
    path = tmp_path / "x.gguf"
    path.write_bytes(framed((), [record], bytes(6 * nbytes)))
    (result,) = ss.open_checkpoint(path).info()
    assert (result["dtype"], result["nbytes"]) == (name, 6 * nbytes)
    assert result["shape"] == (2, 3 * elements)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_random_blocks_are_decoded_to_the_bit(layout: str, tmp_path: Path) -> None:
    result = blocks(layout, 400, seed=1)
    a = stored(tmp_path, layout, result, 50)
    wanted = dequantised(layout, result).reshape(a.shape)
    assert (a.storage, a.nbytes, a.in_memory) == ("f32", 4 * a.size, False)
    for each in (a, a.load()):
        assert_same_bits(np.asarray(each), wanted)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_code_is_decoded_to_the_bit(layout: str, tmp_path: Path) -> None:
    """Each byte of a block takes all of its values, in an order of its own."""
    nbytes = SIZES[layout.upper()][1]
    rng = np.random.default_rng(2)
    steps, starts = 2 * rng.integers(0, 128, nbytes) + 1, rng.integers(0, 256, nbytes)
    result = (np.arange(256)[:, None] * steps + starts).astype(np.uint8)
    assert all(len(np.unique(codes)) == 256 for codes in result.T)
    a = stored(tmp_path, layout, result, 8)
    assert_same_bits(np.asarray(a), dequantised(layout, result).reshape(a.shape))


@pytest.fixture(scope="module", params=["q8_0", "iq3_s"])
def rows_in_a_file(request: pytest.FixtureRequest, tmp_path_factory: Any) -> tuple[Any, Any]:
    """A matrix of 20 rows of 3 blocks, and its numbers."""
    layout, rows = request.param, finite_rows(request.param, 20, 3).reshape(60, -1)
    a = stored(tmp_path_factory.mktemp("blocks"), layout, rows, 20)
    return a, dequantised(layout, rows).reshape(a.shape)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_slice_of_any_slice_turned_or_not(
    rows_in_a_file: tuple[Any, Any], data: st.DataObject
) -> None:
    """Wherever it cuts a block, and with any step."""
    a, wanted = rows_in_a_file
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
    result = np.tile(finite_rows("q4_k", 3, 40), (250, 1))
    a = stored(tmp_path, "q4_k", result.reshape(-1, 144), 750)
    wanted = dequantised("q4_k", result.reshape(-1, 144)).reshape(a.shape)
    np.testing.assert_array_equal(np.asarray(a), wanted)
    np.testing.assert_array_equal(np.asarray(a[::7, 300:700]), wanted[::7, 300:700])
    np.testing.assert_array_equal(np.asarray(a[5::2].T[10:]), wanted[5::2].T[10:])


def test_results_are_those_of_the_decoded_numbers(tmp_path: Path) -> None:
    """Loaded, read at each pass and past the page cache."""
    result = finite_rows("q6_k", 600, 1)
    a = stored(tmp_path, "q6_k", result.reshape(600, -1), 600)
    numbers = dequantised("q6_k", result.reshape(600, -1)).reshape(a.shape)
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
    with pytest.raises(ValueError, match="q4_0 must consist of blocks of 32 numbers in 18 bytes"):
        ss.tensor(path, 0, (2, 95), "q4_0")
    with pytest.raises(ValueError, match="without gaps"):
        ss.tensor(path, 0, (2, 64), "q4_0", row_stride=54)
    with pytest.raises(ValueError, match="q4_0 is decoded when it is read, so it cannot be mapped"):
        ss.tensor(path, 0, (2, 96), "q4_0", reading="mapped")
    with pytest.raises(CheckpointError, match=r"a q4_0 matrix of 7 x 32 .* needs 126 more"):
        ss.tensor(path, 0, (7, 32), "q4_0")
    with pytest.raises(CheckpointError, match="cannot hold"):
        ss.tensor(path, 0, (2**60, 32), "q4_0")
    with pytest.raises(ValueError, match=r"unknown dtype 'q4_9'; known: f64, .*, q4_0"):
        ss.tensor(path, 0, (2, 96), "q4_9")
