# SPDX-License-Identifier: BSD-3-Clause
"""Sketches pickled, saved and read back; files that are damaged or hold something else."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sketches import N_COLS, K, bits, blocks_of

import sigmascope as ss


def round_trips(sketch: ss.Sketch, folder: Path) -> list[ss.Sketch]:
    sketch.save(folder / "sketch.npz")
    return [
        pickle.loads(pickle.dumps(sketch)),
        ss.Sketch.load(folder / "sketch.npz"),
        ss.Sketch.load(str(folder / "sketch.npz")),
    ]


@pytest.mark.parametrize("seen", [0, 1, 9])
def test_pickled_and_saved_sketches_go_on_where_they_were(seen: int, tmp_path: Path) -> None:
    parts = blocks_of()
    sketch = ss.Sketch(N_COLS, K, width=11, seed=2**64 - 1)
    for part in parts[:seen]:
        sketch.update(part)
    copies = round_trips(sketch, tmp_path)
    sketch.update(parts[5])
    for copy in copies:
        assert copy.rows == sum(len(part) for part in parts[:seen])
        assert (copy.n_cols, copy.k, copy.width, copy.seed) == (N_COLS, K, 11, 2**64 - 1)
        assert bits(copy.update(parts[5])) == bits(sketch)
        assert bits(copy.merge(sketch)) == bits(pickle.loads(pickle.dumps(sketch)).merge(sketch))


def test_a_pickle_holds_no_random_numbers() -> None:
    sketch = ss.Sketch(2000, 20, seed=1).update(np.ones((1, 2000)))
    words = 2 * (2000 * 50 + 50 * 50)
    assert len(pickle.dumps(sketch)) < 8 * words + 10_000


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
def test_a_damaged_file(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / "sketch.npz"
    ss.Sketch(N_COLS, K).update(blocks_of()[0]).save(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ss.CheckpointError, match=r"sketch\.npz is not a whole sketch"):
        ss.Sketch.load(path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("head", None, "head"),
        ("head", np.array([2, N_COLS, K, 22, 5]), "format 2, this version reads 1"),
        ("head", np.array([1, N_COLS, N_COLS + 1, 22, 5]), "k = 41 must be between"),
        ("head", np.array([1, N_COLS, K]), "values to unpack"),
        ("seed", None, "seed"),
        ("z_units", np.zeros((1, 2, 3, 3), np.int64), r"z_units is int64 of shape \(1, 2, 3, 3\)"),
        ("y_units", None, "y_units"),
        ("y_units", np.zeros((1, 2, 22, 22)), "y_units is float64"),
        ("f_terms", np.zeros(7, np.int64), "zip"),
    ],
)
def test_a_file_of_other_arrays(
    name: str, value: NDArray[Any] | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "sketch.npz"
    ss.Sketch(N_COLS, K).update(blocks_of()[0]).save(path)
    with np.load(path) as file:
        arrays = {key: file[key] for key in file.files}
    arrays.pop(name)
    if value is not None:
        arrays[name] = value
    with open(path, "wb") as out:
        np.savez(out, **arrays)
    with pytest.raises(ss.CheckpointError, match=message):
        ss.Sketch.load(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        ss.Sketch.load(tmp_path / "nowhere")
