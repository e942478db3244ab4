# SPDX-License-Identifier: BSD-3-Clause
"""The work of a step on an H100: whether its products fill the device, and what they move."""

from __future__ import annotations

from types import ModuleType

import pytest
from tests.support.coverings import grid
from tests.support.device_steps import KINDS, LAYOUTS, SHAPES, Step, count_step

pytestmark = pytest.mark.unsanitized

SMALL, LONG = (576, 1536), (64, 1_000_000)


def moves(kind: str, shape: tuple[int, int]) -> float:
    """Return the most bytes that a step may move, over those that it must.

    Of a long matrix the block of 16 columns is as large as the matrix: its parts in bf16 are
    written and read in addition.
    """
    return 1.6 if shape == LONG and KINDS[kind][1] == "split" else 1.3


@pytest.mark.slow
@grid(kind=KINDS.keys(), layout=LAYOUTS.keys(), shape=SHAPES)
def test_a_step_fills_the_device_and_moves_little_else_than_the_matrix(
    kind: str, layout: str, shape: tuple[int, int], simulated: ModuleType
) -> None:
    """A small matrix leaves most of a device idle, since a block of threads sums 1024 terms."""
    step = count_step(simulated, kind, shape, LAYOUTS[layout])
    assert step.waits == 0
    assert step.launches <= 16
    assert step.excess <= moves(kind, shape)
    assert step.excess > 0.9  # what must be moved is counted
    assert step.idle <= (0.93 if shape == SMALL else 1 / 3)
    assert not any(name.startswith(("decode", "split_rows")) for name in step.kernels)


@pytest.mark.parametrize("kind", ["bf16", "f32"])
def test_the_work_of_a_step_is_that_of_its_shape(kind: str, simulated: ModuleType) -> None:
    """A matrix of order 4096 has 32 tiles of 128 rows, 4 groups, and 2 x 4096^2 x 16 products."""
    step = count_step(simulated, kind, (4096, 4096), "C")
    assert step.blocks == 32 * 4
    numbers = 2 * 4096**2 * 16
    assert step.products == (3 * numbers // (16 * 8 * 16) if kind == "bf16" else numbers // 32)
    assert 1.5 * numbers / 32 > step.instructions > step.products
    assert step.launches == (6 if kind == "bf16" else 4)


def test_steps_with_wider_blocks_launch_as_many_kernels(simulated: ModuleType) -> None:
    steps: list[Step] = [
        count_step(simulated, "bf16", (4096, 4096), "C", columns) for columns in (16, 32, 64)
    ]
    assert len({step.launches for step in steps}) == 1
    assert all(step.idle < 1 / 3 for step in steps)
    assert steps[2].moved < 1.3 * steps[0].moved
