# SPDX-License-Identifier: BSD-3-Clause
"""Ranges of the elements of a tensor, in C order, as boxes of the tensor."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import NamedTuple


class Box(NamedTuple):
    """Rows of a tensor: its elements at the indices `prefix`, then `start` to `stop`, then all.

    Examples
    --------
    >>> [tuple(box) for box in boxes_of((4, 3), 2, 8)]
    [((0,), 2, 3), ((), 1, 3), ((3,), 0, 1)]
    """

    prefix: tuple[int, ...]
    start: int
    stop: int


def boxes_of(
    shape: tuple[int, ...], first: int, count: int, prefix: tuple[int, ...] = ()
) -> Iterator[Box]:
    """Divide a range of elements into boxes, in their order.

    A range that begins or ends within an index of the first axis is divided there into at most
    three parts, so the boxes contain only elements of the range.

    Parameters
    ----------
    shape : tuple of int
        Shape of the tensor, with at least one axis.
    first, count : int
        First element and number of elements within the part of the tensor at `prefix`.
    prefix : tuple of int
        Leading indices of the part, fewer than the number of axes.
    """
    inner = prod(shape[len(prefix) + 1 :])
    if not count:
        return
    index, skipped = divmod(first, inner)
    if skipped:
        head = min(inner - skipped, count)
        yield from boxes_of(shape, skipped, head, (*prefix, index))
        index, count = index + 1, count - head
    whole, rest = divmod(count, inner)
    if whole:
        yield Box(prefix, index, index + whole)
    yield from boxes_of(shape, 0, rest, (*prefix, index + whole))
