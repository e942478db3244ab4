# SPDX-License-Identifier: BSD-3-Clause
"""Accumulators merged, pickled, saved and read back; files that are damaged, or not theirs."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.support.interruptions import interrupted_at
from tests.support.streams import KINDS, N_COLS, K, Kind, blocks_of

from sigmascope.errors import CheckpointError, NonFiniteError
from sigmascope.streaming import GramAccumulator, LinearSketch, MomentsAccumulator, Sketch

MOST_UPDATES = 2**22

every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def holding(kind: Kind, *blocks: NDArray[Any]) -> Any:
    accumulator = kind.make()
    for block in blocks:
        kind.add(accumulator, block)
    return accumulator


@every_kind
@settings(max_examples=15, deadline=None)
@given(st.permutations(range(9)), st.lists(st.integers(0, 3), min_size=9, max_size=9), st.data())
def test_any_order_partition_and_merge_tree(
    kind: Kind, order: list[int], places: list[int], data: Any
) -> None:
    parts = blocks_of()
    straight = holding(kind, *parts)
    scattered = [kind.make() for _ in range(4)]
    for index in order:
        threads = data.draw(st.integers(1, 4))
        kind.add(scattered[places[index]], parts[index], num_threads=threads)
    while len(scattered) > 1:
        other = scattered.pop(data.draw(st.integers(0, len(scattered) - 1)))
        scattered[data.draw(st.integers(0, len(scattered) - 1))].merge(other)
    assert scattered[0].updates == straight.updates == 9
    assert kind.bits(scattered[0]) == kind.bits(straight)


@every_kind
@pytest.mark.parametrize("begun", [True, False], ids=["begun", "empty"])
def test_merging_leaves_the_other_as_it_was(begun: bool, kind: Kind) -> None:
    blocks = blocks_of()
    one, other = holding(kind, *blocks[:begun]), holding(kind, blocks[1])
    before = kind.bits(other)
    assert one.merge(other) is one
    kind.add(one, blocks[2])
    assert (kind.bits(other), other.updates) == (before, 1)
    assert one.updates == 2 + begun


@every_kind
def test_merging_with_itself_doubles_it(kind: Kind) -> None:
    blocks = blocks_of()
    twice = holding(kind, blocks[0], blocks[3], blocks[0], blocks[3])
    itself = holding(kind, blocks[0], blocks[3])
    assert kind.bits(itself.merge(itself)) == kind.bits(twice)


@every_kind
@pytest.mark.parametrize("count", [0, 1, 9])
def test_pickled_and_saved_ones_go_on_where_they_were(
    count: int, kind: Kind, tmp_path: Path
) -> None:
    blocks = blocks_of()
    accumulator = holding(kind, *blocks[:count])
    accumulator.save(tmp_path / "it.npz")
    assert os.listdir(tmp_path) == ["it.npz"]
    load = type(accumulator).load
    copies = [
        pickle.loads(pickle.dumps(accumulator)),
        load(tmp_path / "it.npz"),
        load(str(tmp_path / "it.npz")),
    ]
    kind.add(accumulator, blocks[5])
    for copy in copies:
        assert copy.updates == count
        assert copy._options() == accumulator._options()
        kind.add(copy, blocks[5])
        assert kind.bits(copy) == kind.bits(accumulator)
        again = pickle.loads(pickle.dumps(accumulator)).merge(accumulator)
        assert kind.bits(copy.merge(accumulator)) == kind.bits(again)


def test_seeds_of_64_bits_are_kept(tmp_path: Path) -> None:
    sketch = Sketch(N_COLS, K, width=11, seed=2**64 - 1).update(blocks_of()[0])
    sketch.save(tmp_path / "it")
    copy = Sketch.load(tmp_path / "it")
    assert (copy.n_cols, copy.k, copy.width, copy.seed) == (N_COLS, K, 11, 2**64 - 1)
    assert copy.rows == sketch.rows


def test_a_pickle_holds_no_random_numbers() -> None:
    sketch = Sketch(2000, 20, seed=1).update(np.ones((1, 2000)))
    words = 2 * (2000 * 50 + 50 * 50)
    assert len(pickle.dumps(sketch)) < 8 * words + 10_000
    linear = LinearSketch((1, 2000), 1, seed=1).update(np.ones((1, 2000)))
    words = 2 * (2000 * 1 + 1 + 9 + 16 * 2000)
    assert len(pickle.dumps(linear)) < 8 * words + 10_000


# ------------------------------------------------------------------------------------- files


def rewritten(path: Path, **changed: Any) -> None:
    """The file with other arrays; None: without them."""
    with np.load(path) as file:
        arrays = {key: file[key] for key in file.files} | changed
    with open(path, "wb") as out:
        np.savez(out, **{key: value for key, value in arrays.items() if value is not None})


def with_head(path: Path, **changed: Any) -> None:
    with np.load(path) as file:
        head = json.loads(str(file["head"])) | changed
    rewritten(path, head=np.array(json.dumps(head)))


@every_kind
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"hello",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-30],
        lambda data: data[:1500] + bytes(40) + data[1540:],
    ],
    ids=["empty", "text", "half", "no end", "zeros within"],
)
def test_a_damaged_file(damage: Callable[[bytes], bytes], kind: Kind, tmp_path: Path) -> None:
    path = tmp_path / "it.npz"
    accumulator = holding(kind, blocks_of()[0])
    accumulator.save(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CheckpointError, match=r"it\.npz is not a complete "):
        type(accumulator).load(path)


@every_kind
def test_any_byte_may_be_wrong(kind: Kind, tmp_path: Path) -> None:
    """Refused, or a byte that says nothing: never another answer."""
    path = tmp_path / "it.npz"
    accumulator = holding(kind, blocks_of()[0])
    accumulator.save(path)
    data, expected = path.read_bytes(), kind.bits(accumulator)
    rng = np.random.default_rng(0)
    structure = [i for i in range(len(data)) if i < 400 or i > len(data) - 400]
    for place in [*rng.integers(0, len(data), 40).tolist(), *rng.choice(structure, 110).tolist()]:
        spoilt = bytearray(data)
        spoilt[place] ^= int(rng.integers(1, 256))
        path.write_bytes(bytes(spoilt))
        try:
            read = kind.bits(type(accumulator).load(path))
        except CheckpointError:
            continue
        assert read == expected, place


@every_kind
def test_a_file_of_a_later_version_or_another_kind(kind: Kind, tmp_path: Path) -> None:
    path = tmp_path / "it.npz"
    accumulator = holding(kind, blocks_of()[0])
    accumulator.save(path)
    with_head(path, format=2)
    with pytest.raises(CheckpointError, match=r"it\.npz .* format 2, but this version reads 1"):
        type(accumulator).load(path)
    with_head(path, format=1, kind="Almanac")
    with pytest.raises(CheckpointError, match=r"it\.npz .* it holds a Almanac"):
        type(accumulator).load(path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"head": None}, "head"),
        ({"head": np.array([1, 2])}, "not a complete Sketch"),
        ({"head": np.array("[1, 2]")}, "not a complete Sketch"),
        ({"z_units_16": np.zeros((2, 9), np.int64)}, r"units_16 is int64 of shape \(2, 9\)"),
        ({"y_exponents": None}, "exponents"),
        ({"y_exponents": np.array([16, 32])}, "units_32"),
        ({"y_units_16": np.zeros((2, 22 * 22))}, "units_16 is float64"),
    ],
    ids=[
        *("no head", "a head of numbers", "a head of a list", "sums of another shape"),
        *("no exponents", "an exponent without sums", "sums of another dtype"),
    ],
)
def test_a_file_of_other_arrays(changed: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "it.npz"
    Sketch(N_COLS, K).update(np.ones((5, N_COLS))).save(path)
    rewritten(path, **changed)
    with pytest.raises(CheckpointError, match=message):
        Sketch.load(path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"options": {"n_cols": N_COLS, "k": N_COLS + 1}}, "k = 41 must be between"),
        ({"options": {"n_cols": N_COLS, "k": K, "breadth": 3}}, "breadth"),
        ({"counts": {"rows": -1}}, "-1 rows"),
        ({"counts": {}}, "rows"),
        ({"updates": -1}, "-1 updates"),
    ],
    ids=["k beyond n_cols", "an unknown option", "negative rows", "no rows", "negative updates"],
)
def test_a_file_with_another_head(changed: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "it.npz"
    Sketch(N_COLS, K).update(np.ones((5, N_COLS))).save(path)
    with_head(path, **changed)
    with pytest.raises(CheckpointError, match=message):
        Sketch.load(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Sketch.load(tmp_path / "nowhere")


def test_a_full_disk_leaves_the_last_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "it.npz"
    sketch = Sketch(N_COLS, K).update(np.ones((5, N_COLS)))
    sketch.save(path)
    before = path.read_bytes()

    def full(file: Any, **arrays: Any) -> None:
        file.write(b"some")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        sketch.update(np.ones((5, N_COLS))).save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["it.npz"]


def test_a_file_is_on_the_disk_before_it_replaces_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acts: list[str] = []

    def recorded(name: str) -> Callable[..., Any]:
        act = getattr(os, name)
        return lambda *arguments: (acts.append(name), act(*arguments))[1]

    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, recorded(name))
    Sketch(N_COLS, K).update(np.ones((5, N_COLS))).save(tmp_path / "it.npz")
    assert acts[:2] == ["fsync", "replace"]


# ------------------------------------------------------------------------------ what goes wrong


@every_kind
def test_an_update_cut_in_two_is_not_taken_for_whole(kind: Kind, tmp_path: Path) -> None:
    """Ctrl-C leaves what was there before, all of the update, or what every use refuses."""
    first, second = blocks_of()[:2]
    saved = pickle.dumps(holding(kind, first))
    before, after = (kind.bits(holding(kind, *blocks)) for blocks in ([first], [first, second]))
    calls = interrupted_at(None, partial(kind.add, pickle.loads(saved), second))
    refused = []
    for place in range(1, calls + 1, 3):
        accumulator = pickle.loads(saved)
        with pytest.raises(KeyboardInterrupt):
            interrupted_at(place, partial(kind.add, accumulator, second))
        try:
            assert kind.bits(accumulator) in (before, after), place
        except RuntimeError:
            refused.append(accumulator)
    assert 4 <= len(refused) < calls / 3 - 4
    untouched = pickle.loads(saved)
    for act in (
        lambda: kind.bits(refused[0]),
        lambda: kind.add(refused[0], second),
        lambda: refused[0].save(tmp_path / "it"),
        lambda: untouched.merge(refused[0]),
    ):
        with pytest.raises(RuntimeError, match="interrupted, so its sums are incomplete"):
            act()
    assert not os.listdir(tmp_path)
    kind.add(untouched, second)  # the merge that was refused added nothing
    assert kind.bits(untouched) == after


@every_kind
def test_no_more_updates_than_the_words_hold(kind: Kind) -> None:
    accumulator = holding(kind, blocks_of()[0])
    before = kind.bits(accumulator)
    accumulator.updates = MOST_UPDATES
    with pytest.raises(OverflowError, match="4194304 updates"):
        kind.add(accumulator, blocks_of()[1])
    with pytest.raises(OverflowError, match="4194304 updates"):
        accumulator.merge(accumulator)
    other = holding(kind, blocks_of()[1])
    accumulator.updates = other.updates = (
        MOST_UPDATES - 1
    )  # one more update fits, those of it do not
    with pytest.raises(OverflowError, match="4194304 updates"):
        accumulator.merge(other)
    assert kind.bits(accumulator) == before


def test_kinds_do_not_add_up() -> None:
    with pytest.raises(TypeError, match="a Sketch and a GramAccumulator cannot be merged"):
        Sketch(5, 1).merge(GramAccumulator(5))


# -------------------------------------------------------------------------------------- extend

BY_ROWS = {name: kind for name, kind in KINDS.items() if name != "LinearSketch"}
by_rows = pytest.mark.parametrize("kind", BY_ROWS.values(), ids=BY_ROWS)


@by_rows
def test_extend_takes_rows_and_blocks_from_a_generator(kind: Kind) -> None:
    rng = np.random.default_rng(1)
    A = rng.standard_normal((300, N_COLS))

    def stream() -> Iterator[Any]:
        buffer = np.empty(N_COLS)
        for row in A[:100]:
            buffer[:] = row  # used again for each row: extend must copy
            yield buffer
        yield A[100:250]
        yield from A[250:].tolist()

    streamed = kind.make().extend(stream())
    assert streamed.rows == 300
    whole = kind.make()
    whole.update(A)
    if isinstance(whole, MomentsAccumulator):
        np.testing.assert_allclose(
            streamed.result().row_norms, whole.result().row_norms, rtol=1e-14
        )
        assert streamed.result().std == pytest.approx(whole.result().std, rel=1e-14)
    else:
        assert streamed.updates == 1  # collected
        assert kind.bits(streamed) == kind.bits(whole)
    assert kind.make().extend([]).rows == 0


@by_rows
def test_extend_adds_what_came_before_an_error(kind: Kind) -> None:
    def broken() -> Iterator[Any]:
        yield np.ones((7, N_COLS))
        yield np.ones(N_COLS)
        raise ConnectionResetError("the other side went away")

    accumulator = kind.make()
    with pytest.raises(ConnectionResetError):
        accumulator.extend(broken())
    assert accumulator.rows == 8
    with pytest.raises(ValueError, match="rows have 3 columns"):
        accumulator.extend([np.ones((2, N_COLS)), np.ones(3)])
    assert accumulator.rows == 10


def test_extend_makes_panels() -> None:
    sketch = Sketch(N_COLS, K)
    sketch.extend(np.ones((3000, N_COLS)))
    assert (sketch.rows, sketch.updates) == (3000, 3)
    bad = np.ones((3000, N_COLS))
    bad[1500, 3] = np.nan
    with pytest.raises(NonFiniteError, match=r"1 NaN .* \(476, 3\)"):
        sketch.extend(bad)
    assert (sketch.rows, sketch.updates) == (4024, 4)  # the panel before


def test_extend_keeps_torch_and_narrow_rows() -> None:
    torch = pytest.importorskip("torch")
    rows = torch.arange(2 * N_COLS, dtype=torch.bfloat16).reshape(2, N_COLS)
    by_row, whole = Sketch(N_COLS, K).extend(rows), Sketch(N_COLS, K).update(rows)
    assert KINDS["Sketch"].bits(by_row) == KINDS["Sketch"].bits(whole)
    counted = MomentsAccumulator(N_COLS).extend(rows).result()
    assert counted.histogram is not None
    assert counted.histogram.sum() == 2 * N_COLS
