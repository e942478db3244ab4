# SPDX-License-Identifier: BSD-3-Clause
"""Scans in parts, for machines that share a checkpoint and nothing else."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Shard:
    """One part of a scan, and which rows are its.

    Attributes
    ----------
    index, count
        Number of this part, from 0, and how many there are.
    total
        Rows of the whole scan.
    positions
        Where in the whole scan the rows of this part stand, in order.
    """

    index: int
    count: int
    total: int
    positions: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @classmethod
    def of(cls, shard: tuple[int, int], sizes: Sequence[int | None]) -> Self:
        """Deal the rows of a scan: each matrix, the largest first, to the part with least so far.

        Parameters
        ----------
        shard
            Index and count.
        sizes
            Of every row the bytes of its matrix; None for rows without one, which part 0 has.

        Raises
        ------
        ValueError
            The index is not below the count.
        """
        index, count = shard
        if not 0 <= index < count:
            raise ValueError(
                f"shard {index}/{count}: the first number is from 0 to {max(count - 1, 0)}"
            )
        owner = [0] * len(sizes)
        heap = [(0, part) for part in range(count)]
        matrices = [(size, position) for position, size in enumerate(sizes) if size is not None]
        for size, position in sorted(matrices, key=lambda matrix: (-matrix[0], matrix[1])):
            load, owner[position] = heap[0]
            heapq.heapreplace(heap, (load + size, owner[position]))
        mine = tuple(position for position, part in enumerate(owner) if part == index)
        return cls(index, count, len(sizes), mine)

    @classmethod
    def of_header(cls, stored: Mapping[str, Any] | None) -> Self | None:
        """Return what a header holds, if it is that of a part."""
        if stored is None:
            return None
        return cls(**{**stored, "positions": tuple(stored["positions"])})

    def to_header(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self) | {"positions": list(self.positions)}
