# SPDX-License-Identifier: BSD-3-Clause
"""What one matrix has more than another, against what it had: three sums over the entries."""

from __future__ import annotations

from typing import Any, NamedTuple

from . import _core, plan
from .matrices import Matrix
from .memory import elementwise_need
from .plan import Run


class Change(NamedTuple):
    """Sums over the entries w of W and d of dW = W' - W.

    Attributes
    ----------
    before2, change2
        ||W||_F^2 and ||dW||_F^2.
    product
        <dW, W>, the sum of d w.
    """

    before2: float
    change2: float
    product: float


def change(before: Matrix, after: Matrix, **options: Any) -> Change:
    """Sum w^2, d^2 and d w over the entries of two matrices in one pass over both.

    Parameters
    ----------
    before, after : Matrix, shape (m, n)
    **options
        num_threads, memory_limit, reserved, panel_rows, progress: see
        :class:`sigmascope.plan.Run`.

    Returns
    -------
    Change
        In float64. Entries of formats up to float32 are subtracted as good as exactly, so that the
        sums err by about 1e-14 of ||W||^2, ||dW||^2 and ||W|| ||dW||, however small dW is: by
        polarisation <dW, W> = (||W'||^2 - ||W||^2 - ||dW||^2) / 2 would err by 1e-14 of ||W||^2.

    Raises
    ------
    ValueError
        If the shapes differ.
    MemoryLimitError
        If the panels do not fit into memory_limit.
    """
    if before.shape != after.shape:
        raise ValueError(f"two shapes: {before.shape} and {after.shape}")
    both = after - before  # for what it takes to read them at once
    run = Run.of(both, **options)
    what = f"a look at every element of two matrices of {plan.of_shape(before.shape)}"
    run = run.within(both, elementwise_need, what, hold=False)
    return Change(
        **{
            name: float(value)
            for name, value in _core.change(before._native, after._native, **run.native()).items()
        }
    )
