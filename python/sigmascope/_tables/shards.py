# SPDX-License-Identifier: BSD-3-Clause
"""Parts of a scan or a comparison, for machines that share only the checkpoints."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Shard:
    """One part of a table.

    Attributes
    ----------
    index, count
        Number of this part, from 0, and number of parts.
    total
        Number of rows of the whole table.
    positions
        Positions of this part's rows in the whole table, ascending.
    """

    index: int
    count: int
    total: int
    positions: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @classmethod
    def of(cls, shard: tuple[int, int], sizes: Sequence[int | None]) -> Self:
        """Choose the rows of a part: each matrix, largest first, goes to the smallest part so far.

        Parameters
        ----------
        shard
            Index and count.
        sizes
            Stored bytes of the matrices of every row; None for a row without one. Rows without a
            matrix are in part 0.

        Raises
        ------
        ValueError
            If the index is not below the count.
        """
        index, count = shard
        if not 0 <= index < count:
            raise ValueError(
                f"shard {index}/{count}: the first number must be from 0 to {max(count - 1, 0)}"
            )
        owner = [0] * len(sizes)
        heap = [(0, part) for part in range(count)]
        matrices = [(size, position) for position, size in enumerate(sizes) if size is not None]
        for size, position in sorted(matrices, key=lambda matrix: (-matrix[0], matrix[1])):
            load, owner[position] = heap[0]
            heapq.heapreplace(heap, (load + size, owner[position]))
        positions = tuple(position for position, part in enumerate(owner) if part == index)
        return cls(index, count, len(sizes), positions)

    @classmethod
    def of_header(cls, stored: Mapping[str, Any] | None) -> Self | None:
        """Return the part that a header describes; None for a whole table."""
        if stored is None:
            return None
        return cls(**{**stored, "positions": tuple(stored["positions"])})

    def to_header(self) -> dict[str, Any]:
        """Return the part as plain JSON."""
        return asdict(self) | {"positions": list(self.positions)}
