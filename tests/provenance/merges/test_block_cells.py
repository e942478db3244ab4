# SPDX-License-Identifier: BSD-3-Clause
"""Cells of blocks of GGML against the quantisers of the `gguf` package."""

from __future__ import annotations

import gguf
import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from sigmascope.provenance.merges.block_cells import cells_of_blocks

LAYOUTS = ("q8_0", "q4_0", "q4_1", "q5_0", "q5_1")

Numbers = NDArray[np.float32]


def quantised(layout: str, x: Numbers) -> NDArray[np.uint8]:
    with np.errstate(all="ignore"):
        blocks = gguf.quantize(x, gguf.GGMLQuantizationType[layout.upper()])
    return np.asarray(blocks, np.uint8)


def assert_inside(layout: str, x: Numbers) -> None:
    cells = cells_of_blocks(layout, quantised(layout, x))
    assert not cells.searched.any()
    below, above = x < cells.low, x > cells.high
    assert not below.any(), (layout, x[below][:3], cells.low[below][:3])
    assert not above.any(), (layout, x[above][:3], cells.high[above][:3])


def draws(seed: int, count: int = 400) -> Numbers:
    """Blocks of normal, heavy-tailed, tiny and large numbers, with zeros and repeats."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, 32)) * 10.0 ** rng.uniform(-9, 3, (count, 1))
    x[::7] = rng.standard_cauchy((len(x[::7]), 32)).clip(-1e6, 1e6)
    x[1::7, rng.integers(32)] *= 100  # one outlier
    x[2::7] = np.sign(x[2::7]) * np.abs(x[2::7, :1])  # both extremes, many times
    x[3::7, ::2] = 0
    x[4::7] = np.abs(x[4::7])
    return np.asarray(x.clip(-6e4, 6e4), np.float32)  # float16 holds the scales


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("seed", range(3))
def test_numbers_are_in_their_cells(layout: str, seed: int) -> None:
    assert_inside(layout, draws(seed))


@pytest.mark.nightly
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("seed", range(100, 300))
def test_more_numbers_are_in_their_cells(layout: str, seed: int) -> None:
    assert_inside(layout, draws(seed, 4000))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("numbers", [ml_dtypes.bfloat16, np.float16])
def test_numbers_of_half_precision_are_in_their_cells(layout: str, numbers: type) -> None:
    """Differences of such numbers are multiples of one another: ties occur."""
    assert_inside(layout, draws(5).astype(numbers).astype(np.float32))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_ties_are_in_their_cells(layout: str) -> None:
    """Multiples of half a step, moved by up to a unit of float32."""
    rng = np.random.default_rng(9)
    last = {"q8_0": 127, "q4_0": 8, "q4_1": 15, "q5_0": 16, "q5_1": 31}[layout]
    halves = rng.integers(-2 * last, 2 * last + 1, (600, 32)) / 2
    if layout in ("q4_1", "q5_1"):
        halves = np.abs(halves)
        halves[:, 1] = 0
    halves[:, 0] = last
    step = (rng.uniform(0.5, 2, (600, 1)) * 2.0 ** rng.integers(-20, 3, (600, 1))).astype("f4")
    step[::2] = 2.0 ** np.round(np.log2(step[::2]))
    x = (halves * step).astype(np.float32)
    away = rng.integers(-1, 2, x.shape)
    x = np.where(away == 0, x, np.nextafter(x, np.where(away > 0, 1e9, -1e9).astype("f4")))
    assert_inside(layout, np.asarray(x, np.float32))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("exponent", [-149, -140, -126, -40, -33, -30, -28, -25, -24, -20])
def test_scales_that_float16_cannot_hold(layout: str, exponent: int) -> None:
    rng = np.random.default_rng(exponent + 200)
    x = np.asarray(np.ldexp(rng.standard_normal((200, 32)), exponent), np.float32)
    x[0] = 0
    assert_inside(layout, x)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_cells_are_not_wider_than_a_step(layout: str) -> None:
    """Beside the step, cells have the uncertainty of the stored scale alone."""
    x = np.random.default_rng(3).standard_normal((500, 32)).astype(np.float32)
    cells = cells_of_blocks(layout, quantised(layout, x))
    last = {"q8_0": 127, "q4_0": 8, "q4_1": 7.5, "q5_0": 16, "q5_1": 15.5}[layout]
    least = x.min(axis=1, keepdims=True)
    size = np.abs(x).max(axis=1, keepdims=True)
    step = (x - least).max(axis=1, keepdims=True) / last / 2 if "_1" in layout else size / last
    unsure = 2.0**-10 * (size + np.abs(x) + np.abs(least))
    steps = 1.5 if layout in ("q4_0", "q5_0") else 1.0  # the last code also holds the next
    assert (cells.high - cells.low <= step * (steps + 2.0**-9) + unsure).all()
    assert (cells.high - cells.low <= step * (1 + 2.0**-9) + unsure).mean() > 0.9
    tighter = cells.high - cells.low < step / 2
    assert 1 / 100 < tighter.mean() < 1 / 4  # the extreme of a block is known as its scale is


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_neighbouring_code_has_another_cell(layout: str) -> None:
    """A cell that is off by a step does not contain the number."""
    x = np.random.default_rng(4).standard_normal((500, 32)).astype(np.float32)
    blocks = quantised(layout, x)
    changed = blocks.copy()
    where = -1  # the last byte of codes
    if layout == "q8_0":
        changed[:, where] = changed[:, where] + np.where(changed[:, where].view("i1") > 0, -1, 1)
    else:
        high = changed[:, where] >> 4
        changed[:, where] += np.where(high > 7, -16, 16).astype(np.uint8)
    cells = cells_of_blocks(layout, changed)
    last = x[:, -1]
    inside = (cells.low[:, -1] <= last) & (last <= cells.high[:, -1])
    assert inside.mean() < 0.05


@pytest.mark.parametrize("layout", ["q8_0", "q4_0", "q5_0"])
def test_scales_that_were_searched_for_are_noticed(layout: str) -> None:
    """A scale that is a tenth larger leaves the extreme code unused."""
    x = np.random.default_rng(6).standard_normal((50, 32)).astype(np.float32)
    larger = np.concatenate([x, 1.2 * np.abs(x).max(axis=1, keepdims=True)], axis=1)
    blocks = quantised(layout, np.asarray(larger[:, 1:], np.float32))
    # Replace the extreme by a number in the middle of the codes.
    blocks[:, -1] = 1 if layout == "q8_0" else (blocks[:, -1] & 15) | (8 << 4)
    assert cells_of_blocks(layout, blocks).searched.mean() > 0.9


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("scale", [np.inf, np.nan])
def test_a_scale_that_is_not_finite_has_empty_cells(layout: str, scale: float) -> None:
    blocks = quantised(layout, np.ones((3, 32), np.float32))
    blocks[1, :2] = np.array([scale], np.float16).view(np.uint8)
    cells = cells_of_blocks(layout, blocks)
    assert (cells.low[1] > cells.high[1]).all()
    assert (cells.low[[0, 2]] <= cells.high[[0, 2]]).all()
