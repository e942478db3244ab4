# SPDX-License-Identifier: BSD-3-Clause
"""Codes in groups: any packing, any groups, any part of a matrix; and parameters that disagree."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.support.coverings import grid
from tests.support.group_formats import words_of
from tests.support.grouped_codes import (
    PACKINGS,
    Grouped,
    Layout,
    Packing,
    codes_of_words,
    dense,
    random_codes,
)

import sigmascope as ss
from sigmascope.errors import CheckpointError

SHAPES = ((35, 70), (1, 65), (33, 1))


@grid(2, packing=PACKINGS, down={"along": False, "down": True}, offsets=["none", "zeros", "biases"])
def test_any_packing_is_decoded_to_the_bit(
    packing: Packing, down: bool, offsets: str, tmp_path: Path
) -> None:
    bits, order, word = packing
    rng = np.random.default_rng(bits)
    cases = [(shape, kind) for shape in SHAPES for kind in ("own", "runs", "any", "any")]
    for number, (shape, kind) in enumerate(cases):
        layout = Layout(shape, bits, order, word, down)
        path = tmp_path / str(number)
        a, wanted = random_codes(path, rng, layout, offsets, kind)
        assert (a.shape, a.storage) == (shape, "f32")
        assert path.stat().st_size == 3 + layout.nbytes
        for each in (a, a.load()):
            assert np.asarray(each).tobytes() == wanted.tobytes()


@pytest.fixture(scope="module")
def in_files(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Matrices of random codes and their numbers, each of which is written once."""

    @functools.cache
    def in_file(name: str, down: bool, kind: str) -> Any:
        path = tmp_path_factory.mktemp("codes") / "x"
        bits, order, word = PACKINGS[name]
        layout = Layout((75, 83), bits, order, word, down)
        return random_codes(path, np.random.default_rng(1), layout, "zeros", kind)

    return in_file


@grid(
    2,
    name=["dense 3", "awq", "high half first"],
    kind=["own", "runs"],
    down={"along": False, "down": True},
)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_any_slice_of_any_slice_turned_or_not(
    name: str, kind: str, down: bool, in_files: Callable[..., Any], data: st.DataObject
) -> None:
    """Wherever it cuts a pack, and with any step."""
    a, wanted = in_files(name, down, kind)
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


def sequence(
    path: Path, rng: np.random.Generator, layout: Layout, offsets: str
) -> tuple[ss.Matrix, NDArray[np.float32]]:
    """Write random codes, the rows of which are one sequence; return the matrix and its numbers."""
    count = layout.shape[0] * layout.shape[1]
    codes = rng.integers(0, 1 << layout.bits, (1, count))
    table = rng.standard_normal(1 << layout.bits).astype(np.float32)
    shape = (1, -(-count // layout.block))
    scales, others = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))
    place = np.arange(count) // layout.block
    numbers, scale, other = table[codes[0]], scales[0, place], others[0, place]
    wanted = (numbers - other) * scale if offsets == "zeros" else numbers * scale
    wanted = wanted + other if offsets == "biases" else wanted
    path.write_bytes(b"abc" + layout.packed(codes))
    none = np.zeros(0, np.int32)
    zeros, biases = (others if offsets == kind else None for kind in ("zeros", "biases"))
    grouped = Grouped(layout, table, (none, none), scales, zeros, biases)
    return grouped.in_file(path, 3), wanted.reshape(layout.shape)


@grid(1, packing=PACKINGS, offsets=["none", "zeros", "biases"])
def test_rows_of_one_sequence_share_words_and_groups(
    packing: Packing, offsets: str, tmp_path: Path
) -> None:
    bits, order, word = packing
    rng = np.random.default_rng(bits)
    for number, (shape, block) in enumerate(
        [((35, 65), 64), ((35, 65), 7), ((9, 128), 96), ((33, 1), 4), ((1, 67), 1000)]
    ):
        layout = Layout(shape, bits, order, word, block=block)
        path = tmp_path / str(number)
        a, wanted = sequence(path, rng, layout, offsets)
        assert path.stat().st_size == 3 + layout.nbytes
        for each in (a, a.load(), pickle.loads(pickle.dumps(a))):
            assert np.asarray(each).tobytes() == wanted.tobytes()
        for cut in ((slice(2, None, 3), slice(1, 60, 1)), (slice(None), slice(17, 22))):
            if 0 not in wanted[cut].shape:
                np.testing.assert_array_equal(np.asarray(a[cut]), wanted[cut])
                np.testing.assert_array_equal(np.asarray(a.T[cut[::-1]]), wanted.T[cut[::-1]])


def test_a_sequence_of_several_megabytes(tmp_path: Path) -> None:
    layout = Layout((3001, 1023), 4, (1, 0), word=1, block=64)
    a, wanted = sequence(tmp_path / "x", np.random.default_rng(1), layout, "none")
    np.testing.assert_array_equal(np.asarray(a), wanted)
    np.testing.assert_array_equal(np.asarray(a[5::2].T[10:]), wanted[5::2].T[10:])


@pytest.mark.parametrize("down", [False, True], ids=["along", "down"])
def test_matrices_of_several_megabytes_and_long_steps(down: bool, tmp_path: Path) -> None:
    """More words than are read at a time, and runs that are read one by one."""
    layout = Layout((1500, 2048), 4, dense(4), down=down)
    rng = np.random.default_rng(1)
    stored = rng.integers(0, 256, layout.nbytes).astype(np.uint8)
    (tmp_path / "x").write_bytes(stored.tobytes())
    words = stored.view("<u4").reshape((-1, 2048) if down else (1500, -1))
    nibbles = words[..., None] >> np.arange(0, 32, 4, dtype=np.uint32) & 15
    codes = nibbles.swapaxes(1, 2).reshape(-1, 2048)[:1500] if down else nibbles.reshape(1500, -1)
    groups = (np.zeros(1500, np.int32), np.zeros(2048, np.int32))
    table = np.arange(16, dtype=np.float32)
    one = Grouped(layout, table, groups, np.ones((1, 1), np.float32))
    a, wanted = one.in_file(tmp_path / "x", reading="uncached"), codes.astype(np.float32)
    np.testing.assert_array_equal(np.asarray(a), wanted)
    np.testing.assert_array_equal(np.asarray(a[::70, 300:400]), wanted[::70, 300:400])
    np.testing.assert_array_equal(np.asarray(a[5::2].T[10:]), wanted[5::2].T[10:])


@pytest.mark.parametrize("bits", range(1, 9))
def test_zeros_are_unpacked_as_they_were_packed(bits: int) -> None:
    codes = np.random.default_rng(bits).integers(0, 1 << bits, (5, 67))
    words = np.array([words_of(row, bits) for row in codes], np.uint32)
    np.testing.assert_array_equal(codes_of_words(words, bits, 67), codes)


def parameters() -> Grouped:
    layout = Layout((4, 8), 4, dense(4))
    groups = (np.zeros(4, np.int32), np.repeat(np.arange(2, dtype=np.int32), 4))
    return Grouped(layout, np.arange(16, dtype=np.float32), groups, np.ones((1, 2), np.float32))


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"rows": 0}, "0 x 8 elements"),
    ({"bits": 9}, "9 bits, not 1 to 8"),
    ({"bits": 0}, "0 bits, not 1 to 8"),
    ({"word": 2}, "words of 2 bytes, not 1 or 4"),
    ({"order": np.zeros(0, np.uint8)}, "packs of 0 codes"),
    ({"order": np.arange(33, dtype=np.uint8)}, "packs of 33 codes"),
    ({"order": np.array([0, 2], np.uint8)}, "within a pack is not? .*permutation"),
    ({"order": np.arange(32, dtype=np.uint8)[::-1]}, "natural one in packs of several words"),
    ({"table": np.zeros(15, np.float32)}, "a table of 15 numbers for 4 bits"),
    ({"row_groups": np.zeros(3, np.int32)}, "indices of 3 rows and 8 columns for 4 x 8"),
    ({"col_groups": np.full(8, 2, np.int32)}, "an index of a group is not within 1 x 2"),
    ({"row_groups": np.full(4, -1, np.int32)}, "an index of a group is not within 1 x 2"),
    ({"grid_cols": 3}, "2 scales in rows of 3"),
    ({"grid_cols": 0}, "2 scales in rows of 0"),
    ({"block": -1}, "blocks of -1 elements"),
    ({"block": 8}, "blocks of a sequence, and packs down the columns or indices of groups"),
    (
        {"block": 8, "row_groups": np.zeros(0, np.int32), "col_groups": np.zeros(0, np.int32)},
        "2 scales for 4 blocks of 8 elements",
    ),
    ({"zeros": np.zeros(1, np.float32)}, "1 zeros or biases for 2 scales"),
    ({"zeros": np.zeros(2), "biases": np.zeros(2)}, "both zeros and biases"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_parameters_that_disagree_are_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    (tmp_path / "x").write_bytes(bytes(16))
    with pytest.raises(ValueError, match=message):
        parameters().in_file_but_for(tmp_path / "x", **changes)


def test_a_file_that_is_too_short_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(16))
    codes = parameters()
    assert not np.asarray(codes.in_file(tmp_path / "x", reading="mapped")).any()
    with pytest.raises(CheckpointError, match=r"a 4-bit matrix of 4 x 8 at offset 1 needs 16"):
        codes.in_file(tmp_path / "x", 1)
    wide = replace(codes, layout=replace(codes.layout, shape=(4, 9)))
    with pytest.raises(ValueError, match="indices of 4 rows and 8 columns for 4 x 9"):
        wide.in_file(tmp_path / "x")
