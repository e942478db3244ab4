# SPDX-License-Identifier: BSD-3-Clause
"""Deviations of rounding errors as matrices over the codes: of every layout, slice and join."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support.gguf_files import blocks, finite_rows, write_gguf
from tests.support.grouped_codes import Grouped, Layout

import sigmascope as ss

EVEN = {
    **dict.fromkeys(("q4_0", "q4_1", "q5_0", "q5_1", "q8_0"), 32),
    **dict.fromkeys(("q4_k", "q5_k"), 32),
    **dict.fromkeys(("q2_k", "q3_k", "q6_k"), 16),
    **dict.fromkeys(("tq1_0", "tq2_0"), 256),
}
"""Layouts whose codes count evenly, and the numbers that share a scale."""

UNEVEN = {"iq4_nl": (2, 16), "mxfp4": (1, 16), "nvfp4": (4, 8), "iq4_xs": (8, 16)}
"""Other layouts: the first byte of their codes, and bytes of codes that share a scale."""


def deviations_of(a: ss.Matrix) -> NDArray[np.float64]:
    native = a.native.deviations()
    assert native is not None
    return np.asarray(ss.Matrix(native), dtype=np.float64)


def by_cells(levels: NDArray[np.floating]) -> NDArray[np.float64]:
    """Root mean square distance within the cell of each level, by a fine sum."""
    known = np.unique(levels.astype(np.float64))
    steps = np.diff(known) / 2
    below, above = np.append(steps[:1], steps), np.append(steps, steps[-1:])
    grid = (np.arange(20_000) + 0.5) / 20_000
    results = []
    for a, b in zip(below, above, strict=True):
        results.append(np.sqrt(np.mean((-a + (a + b) * grid) ** 2)))
    return np.array(results)[np.searchsorted(known, levels)]


def opened(path: Path, layout: str, rows: NDArray[np.uint8]) -> ss.Matrix:
    write_gguf(path / "x.gguf", {"x.weight": (layout.upper(), rows)})
    return ss.open_checkpoint(path / "x.gguf")["x.weight"]


@pytest.mark.parametrize("layout", sorted(EVEN))
def test_numbers_of_a_group_are_whole_steps_apart(tmp_path: Path, layout: str) -> None:
    a = opened(tmp_path, layout, finite_rows(layout, 8, 4))
    steps = deviations_of(a).reshape(-1, EVEN[layout]) * np.sqrt(12)
    numbers = np.asarray(a, dtype=np.float64).reshape(-1, EVEN[layout])
    assert (steps == steps[:, :1]).all()
    used = steps[:, 0] > 0
    gaps = np.diff(np.sort(numbers[used], axis=1), axis=1) / steps[used, :1]
    # A minimum is rounded in float32 when it is added.
    slack = 2e-7 * np.abs(numbers[used]).max(axis=1) / steps[used, 0] + 1e-5
    assert (np.abs(gaps - np.round(gaps)) <= 2 * slack[:, None]).all()
    nearest = np.where(gaps > 0.5, gaps, np.inf).min(axis=1)
    assert np.mean(np.abs(nearest - 1)[slack < 0.001] < 0.01) > 0.9
    assert np.mean(slack < 0.001) > 0.5
    assert (np.ptp(numbers[~used], axis=1) == 0).all()


def test_a_step_of_q8_k_is_its_scale(tmp_path: Path) -> None:
    block = np.random.default_rng(0).integers(0, 256, 292).astype(np.uint8)
    block[:4] = np.array([-0.25], "<f4").view(np.uint8)
    result = deviations_of(opened(tmp_path, "q8_k", block[None]))
    assert result == pytest.approx(np.full((1, 256), 0.25 / np.sqrt(12)), rel=1e-6)


@pytest.mark.parametrize("layout", sorted(UNEVEN))
def test_uneven_codes_have_cells_of_their_own(tmp_path: Path, layout: str) -> None:
    first, length = UNEVEN[layout]
    rows = finite_rows(layout, 6, 2)
    size = blocks(layout, 1).shape[1]
    each = np.arange(length, dtype=np.uint8)
    codes = each | each + np.uint8(length) << 4 if length == 8 else each | each << 4
    for start in range(0, rows.shape[1], size):
        part = rows[:, start + first : start + size]
        part[:] = np.tile(codes, part.shape[1] // length)
    a = opened(tmp_path, layout, rows)
    numbers = np.asarray(a, dtype=np.float64).reshape(-1, 16 if length == 8 else 32)
    result = deviations_of(a).reshape(numbers.shape)
    for levels, deviations in zip(numbers, result, strict=True):
        if np.ptp(levels) == 0:
            assert (deviations == 0).all()
        else:
            assert deviations == pytest.approx(by_cells(levels), rel=1e-3)


@pytest.mark.parametrize("layout", ["iq1_s", "iq2_xxs", "iq3_s"])
def test_codebooks_have_no_deviations(tmp_path: Path, layout: str) -> None:
    a = opened(tmp_path, layout, finite_rows(layout, 2, 1))
    assert a.native.quantised
    assert a.native.deviations() is None


def grouped(path: Path, **more: Any) -> tuple[ss.Matrix, NDArray[np.float64]]:
    """A matrix of a table of uneven numbers, and the deviations that follow from it."""
    rng = np.random.default_rng(1)
    rows, columns, size = 24, 64, 16
    table = np.array([-3, -1, -0.5, 0, -0.0, 0.25, 2, 7], np.float32)
    codes = rng.integers(0, 8, (rows, columns))
    scales = rng.standard_normal((rows, columns // size)).astype(np.float32)
    groups = (np.arange(rows, dtype=np.int32), np.arange(columns, dtype=np.int32) // size)
    layout = Layout((rows, columns), 3, (0,), word=1)
    (path / "codes").write_bytes(codes.astype(np.uint8).tobytes())
    a = Grouped(layout, table, groups, scales, **more).in_file(path / "codes")
    return a, by_cells(table)[codes] * np.abs(scales)[:, groups[1]]


@pytest.mark.parametrize(
    "more",
    [{}, {"factor": -0.5}, {"zeros": 3.0}, {"biases": -2.0}],
    ids=["scales alone", "factor", "zeros", "biases"],
)
def test_groups_have_the_cells_of_their_table(tmp_path: Path, more: dict[str, float]) -> None:
    given: dict[str, Any] = {
        name: value if name == "factor" else np.full((24, 4), value, np.float32)
        for name, value in more.items()
    }
    a, wanted = grouped(tmp_path, **given)
    wanted = wanted * abs(more.get("factor", 1))
    assert np.abs(deviations_of(a)) == pytest.approx(wanted, rel=1e-3)


def test_slices_transposes_and_joins_have_those_of_their_parts(tmp_path: Path) -> None:
    a, _ = grouped(tmp_path)
    whole = deviations_of(a)
    np.testing.assert_array_equal(deviations_of(a.T[3:40, ::2]), whole.T[3:40, ::2])
    joined = ss.block([[a[10:], a[:14]], [a[4:18], a[9:23]]])
    wanted = np.block([[whole[10:], whole[:14]], [whole[4:18], whole[9:23]]])
    np.testing.assert_array_equal(deviations_of(joined), wanted)
    again = pickle.loads(pickle.dumps(ss.Matrix(joined.native.deviations())))
    np.testing.assert_array_equal(np.asarray(again), wanted.astype(np.float32))


def test_a_block_layout_of_errors_can_be_sent(tmp_path: Path) -> None:
    a = opened(tmp_path, "q4_k", finite_rows("q4_k", 4, 1))
    native = a.native.deviations()
    assert native is not None
    again = pickle.loads(pickle.dumps(ss.Matrix(native)))
    np.testing.assert_array_equal(np.asarray(again), np.asarray(ss.Matrix(native)))


def test_sums_and_other_numbers_have_none(tmp_path: Path) -> None:
    a, _ = grouped(tmp_path)
    dense = ss.matrix(np.ones(a.shape, np.float32))
    for other in (a + a, a + dense, ss.vstack([a, dense]), dense):
        assert other.native.deviations() is None
    assert (a + dense).native.quantised
    assert not dense.native.quantised


def test_even_codes_have_a_twelfth_of_the_square(tmp_path: Path) -> None:
    layout = Layout((2, 8), 4, (0,), word=1)
    (tmp_path / "codes").write_bytes(bytes(range(16)))
    groups = (np.arange(2, dtype=np.int32), np.zeros(8, np.int32))
    scales = np.array([[1.0], [4.0]], np.float32)
    even = np.arange(16, dtype=np.float32)
    a = Grouped(layout, even, groups, scales).in_file(tmp_path / "codes")
    wanted = np.repeat(scales, 8, axis=1) / np.sqrt(12)
    assert deviations_of(a) == pytest.approx(wanted, rel=1e-6)
