# SPDX-License-Identifier: BSD-3-Clause
"""Codes in groups: any packing, any groups, any part of a matrix; and parameters that disagree."""

from __future__ import annotations

import pickle
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.support.group_formats import words_of

import sigmascope as ss
from sigmascope._host.native import _core
from sigmascope.checkpoint.quantised.tables import AWQ_ORDER, dense, natural, unpacked
from sigmascope.matrices.groups import GroupCodes, Packing, grouped_in_file

ORDERS = {
    **{f"dense {bits}": (bits, dense(bits), 4) for bits in range(1, 9)},
    **{f"gaps {bits}": (bits, natural(32 // bits), 4) for bits in (3, 5, 6, 7)},
    "awq": (4, AWQ_ORDER, 4),
    "high half first": (4, (1, 0), 1),
    "low half first": (4, (0, 1), 1),
    "bytes": (8, (0,), 1),
    "half of a byte": (4, (0,), 1),
    "half of a word": (4, natural(4), 4),
    "two bytes of a word": (8, natural(2), 4),
}

SHAPES = ((35, 70), (1, 65), (33, 1))


def packed(codes: NDArray[np.integer], packing: Packing) -> bytes:
    """Pack codes as one large integer for each row or column."""
    lines = codes.T if packing.down else codes
    each, bits, size = len(packing.order), packing.bits, packing.word
    found = []
    for line in lines:
        words: list[int] = []
        for start in range(0, len(line), each):
            part = line[start : start + each]
            number = sum(int(code) << bits * packing.order[k] for k, code in enumerate(part))
            count = -(-len(part) * bits // (8 * size))
            words += [number >> 8 * size * i & (1 << 8 * size) - 1 for i in range(count)]
        found.append(words)
    array = np.array(found, np.uint32 if size == 4 else np.uint8)
    return (array.T if packing.down else array).tobytes()


def indices(rng: np.random.Generator, count: int, kind: str) -> NDArray[np.int32]:
    """Return the groups of rows or columns: each its own, runs of them, or in any order."""
    if kind == "own":
        found = np.arange(count)
    elif kind == "runs":
        found = np.arange(count) // 16
    else:
        found = rng.integers(0, rng.integers(1, count + 1), count)
    return found.astype(np.int32)


def made(
    path: Path, rng: np.random.Generator, packing: Packing, offsets: str, kind: str = "any"
) -> tuple[ss.Matrix, GroupCodes, NDArray[np.float32]]:
    """Write random codes; return the matrix, its parameters and its numbers."""
    codes = rng.integers(0, 1 << packing.bits, packing.shape)
    groups = tuple(indices(rng, count, kind) for count in packing.shape)
    grid = tuple(int(each.max()) + 1 for each in groups)
    table, scales, others = (
        rng.standard_normal(shape).astype(np.float32) for shape in (1 << packing.bits, grid, grid)
    )
    if rng.integers(2):
        table = np.arange(1 << packing.bits, dtype=np.float32) - 1 - (1 << packing.bits) // 2
    numbers, place = table[codes], np.ix_(*groups)
    zeros = others if offsets == "zeros" else None
    biases = others if offsets == "biases" else None
    if zeros is not None:
        wanted = (numbers - zeros[place]) * scales[place]
    else:
        wanted = numbers * scales[place]
        wanted = wanted if biases is None else wanted + biases[place]
    path.write_bytes(b"abc" + packed(codes, packing))
    found = GroupCodes(packing, table, (groups[0], groups[1]), scales, zeros, biases)
    return grouped_in_file(path, 3, found, "buffered"), found, wanted


@pytest.mark.parametrize("offsets", ["none", "zeros", "biases"])
@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("name", ORDERS)
def test_any_packing_is_decoded_to_the_bit(
    name: str, down: bool, offsets: str, tmp_path: Path
) -> None:
    bits, order, word = ORDERS[name]
    rng = np.random.default_rng(bits)
    cases = [(shape, kind) for shape in SHAPES for kind in ("own", "runs", "any", "any")]
    for number, (shape, kind) in enumerate(cases):
        packing = Packing(shape, bits, order, word, down)
        path = tmp_path / str(number)
        a, _, wanted = made(path, rng, packing, offsets, kind)
        assert (a.shape, a.storage) == (shape, "f32")
        assert path.stat().st_size == 3 + packing.nbytes
        for each in (a, a.load()):
            assert np.asarray(each).tobytes() == wanted.tobytes()


@pytest.mark.parametrize("name", ["dense 3", "awq", "high half first"])
@pytest.mark.parametrize("kind", ["own", "runs"])
@pytest.mark.parametrize("down", [False, True])
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_any_slice_of_any_slice_turned_or_not(
    name: str, kind: str, down: bool, data: st.DataObject
) -> None:
    """Wherever it cuts a pack, and with any step."""
    bits, order, word = ORDERS[name]
    with tempfile.TemporaryDirectory() as folder:
        packing = Packing((75, 83), bits, order, word, down)
        a: Any
        wanted: Any
        a, _, wanted = made(Path(folder) / "x", np.random.default_rng(1), packing, "zeros", kind)
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
    path: Path, rng: np.random.Generator, packing: Packing, offsets: str
) -> tuple[ss.Matrix, NDArray[np.float32]]:
    """Write random codes, the rows of which are one sequence; return the matrix and its numbers."""
    count = packing.shape[0] * packing.shape[1]
    codes = rng.integers(0, 1 << packing.bits, (1, count))
    table = rng.standard_normal(1 << packing.bits).astype(np.float32)
    shape = (1, -(-count // packing.block))
    scales, others = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))
    place = np.arange(count) // packing.block
    numbers, scale, other = table[codes[0]], scales[0, place], others[0, place]
    wanted = (numbers - other) * scale if offsets == "zeros" else numbers * scale
    wanted = wanted + other if offsets == "biases" else wanted
    path.write_bytes(b"abc" + packed(codes, replace(packing, shape=(1, count), block=0)))
    none = np.zeros(0, np.int32)
    zeros, biases = (others if offsets == kind else None for kind in ("zeros", "biases"))
    found = GroupCodes(packing, table, (none, none), scales, zeros, biases)
    return grouped_in_file(path, 3, found, "buffered"), wanted.reshape(packing.shape)


@pytest.mark.parametrize("offsets", ["none", "zeros", "biases"])
@pytest.mark.parametrize("name", ORDERS)
def test_rows_of_one_sequence_share_words_and_groups(
    name: str, offsets: str, tmp_path: Path
) -> None:
    bits, order, word = ORDERS[name]
    rng = np.random.default_rng(bits)
    for number, (shape, block) in enumerate(
        [((35, 65), 64), ((35, 65), 7), ((9, 128), 96), ((33, 1), 4), ((1, 67), 1000)]
    ):
        packing = Packing(shape, bits, order, word, block=block)
        path = tmp_path / str(number)
        a, wanted = sequence(path, rng, packing, offsets)
        assert path.stat().st_size == 3 + packing.nbytes
        for each in (a, a.load(), pickle.loads(pickle.dumps(a))):
            assert np.asarray(each).tobytes() == wanted.tobytes()
        for cut in ((slice(2, None, 3), slice(1, 60, 1)), (slice(None), slice(17, 22))):
            if 0 not in wanted[cut].shape:
                np.testing.assert_array_equal(np.asarray(a[cut]), wanted[cut])
                np.testing.assert_array_equal(np.asarray(a.T[cut[::-1]]), wanted.T[cut[::-1]])


def test_a_sequence_of_several_megabytes(tmp_path: Path) -> None:
    packing = Packing((3001, 1023), 4, (1, 0), word=1, block=64)
    a, wanted = sequence(tmp_path / "x", np.random.default_rng(1), packing, "none")
    np.testing.assert_array_equal(np.asarray(a), wanted)
    np.testing.assert_array_equal(np.asarray(a[5::2].T[10:]), wanted[5::2].T[10:])


@pytest.mark.parametrize("down", [False, True])
def test_matrices_of_several_megabytes_and_long_steps(down: bool, tmp_path: Path) -> None:
    """More words than are read at a time, and runs that are read one by one."""
    packing = Packing((1500, 2048), 4, dense(4), down=down)
    rng = np.random.default_rng(1)
    stored = rng.integers(0, 256, packing.nbytes).astype(np.uint8)
    (tmp_path / "x").write_bytes(stored.tobytes())
    words = stored.view(np.uint32)
    if down:
        codes = unpacked(words.reshape(-1, 2048).T, 4, dense(4), 1500).T
    else:
        codes = unpacked(words.reshape(1500, -1), 4, dense(4), 2048)
    groups = (np.zeros(1500, np.int32), np.zeros(2048, np.int32))
    table = np.arange(16, dtype=np.float32)
    one = GroupCodes(packing, table, groups, np.ones((1, 1), np.float32))
    a, wanted = grouped_in_file(tmp_path / "x", 0, one, "uncached"), codes.astype(np.float32)
    np.testing.assert_array_equal(np.asarray(a), wanted)
    np.testing.assert_array_equal(np.asarray(a[::70, 300:400]), wanted[::70, 300:400])
    np.testing.assert_array_equal(np.asarray(a[5::2].T[10:]), wanted[5::2].T[10:])


@pytest.mark.parametrize("bits", range(1, 9))
def test_zeros_are_unpacked_as_they_were_packed(bits: int) -> None:
    codes = np.random.default_rng(bits).integers(0, 1 << bits, (5, 67))
    words = np.array([words_of(row, bits) for row in codes], np.uint32)
    np.testing.assert_array_equal(unpacked(words, bits, dense(bits), 67), codes)


def parameters() -> GroupCodes:
    packing = Packing((4, 8), 4, dense(4))
    groups = (np.zeros(4, np.int32), np.repeat(np.arange(2, dtype=np.int32), 4))
    return GroupCodes(packing, np.arange(16, dtype=np.float32), groups, np.ones((1, 2), np.float32))


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"rows": 0}, "0 x 8 elements"),
    ({"bits": 9}, "9 bits, not 1 to 8"),
    ({"bits": 0}, "0 bits, not 1 to 8"),
    ({"word": 2}, "words of 2 bytes, not 1 or 4"),
    ({"order": np.zeros(0, np.uint8)}, "packs of 0 codes"),
    ({"order": np.arange(33, dtype=np.uint8)}, "packs of 33 codes"),
    ({"order": np.array([0, 2], np.uint8)}, "no permutation"),
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


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_parameters_that_disagree_are_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    (tmp_path / "x").write_bytes(bytes(16))
    state = parameters().state() | changes
    with pytest.raises(ValueError, match=message):
        _core.Matrix.from_groups(tmp_path / "x", 0, state, "buffered")


def test_a_file_that_is_too_short_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(16))
    codes = parameters()
    assert not np.asarray(grouped_in_file(tmp_path / "x", 0, codes, "mapped")).any()
    with pytest.raises(ss.CheckpointError, match=r"a 4-bit matrix of 4 x 8 at offset 1 needs 16"):
        grouped_in_file(tmp_path / "x", 1, codes, "buffered")
    wide = replace(codes, packing=replace(codes.packing, shape=(4, 9)))
    with pytest.raises(ValueError, match="indices of 4 rows and 8 columns for 4 x 9"):
        grouped_in_file(tmp_path / "x", 0, wide, "buffered")
