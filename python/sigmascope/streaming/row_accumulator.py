# SPDX-License-Identifier: BSD-3-Clause
"""Base of the accumulators of rows: blocks of rows, or single ones that are collected."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sigmascope._host.keywords import public
from sigmascope.matrices.arrays import real_array
from sigmascope.matrices.matrix import Matrix
from sigmascope.matrices.sources import matrix

from .accumulator import Accumulator
from .exact_sum import ExactSum


class RowAccumulator(Accumulator):
    """An accumulator of the rows of a matrix.

    Attributes
    ----------
    n_cols : int
        Columns of the matrix.
    rows : int
        Number of rows added.
    """

    def __init__(self, n_cols: int, **sums: ExactSum) -> None:
        if n_cols < 1:
            raise ValueError(f"n_cols must be at least 1, not {n_cols}")
        super().__init__(**sums)
        self.n_cols = int(n_cols)
        self.rows = 0

    @abstractmethod
    def update(
        self, rows: Any, *, num_threads: int | None = None, device: str | None = None
    ) -> Self:
        """Add rows, each of them once."""

    @public
    def extend(
        self, parts: Iterable[Any], *, num_threads: int | None = None, device: str | None = None
    ) -> Self:
        """Add the items of an iterable: rows (n_cols,) or blocks of rows (any, n_cols).

        Each item is copied before the next is requested. Items are collected into panels of up to
        1024 rows, and each panel is one update. Each array on a GPU is an update of its own. If the
        iterable or an update fails, the preceding items are added, and `rows` is their number. A
        panel with a refused row is refused as a whole.

        Parameters
        ----------
        parts : iterable
            For example a generator. Items are rows, or anything that :func:`matrix` takes.
        num_threads : int, optional
        device : str, optional
            As for :meth:`update`.
        """
        on: dict[str, Any] = {"num_threads": num_threads, "device": device}
        height, waiting, collected = self._panel_rows(), list[NDArray[Any]](), 0

        def flush() -> None:
            nonlocal waiting, collected
            panel, waiting, collected = waiting, [], 0
            if panel:
                self.update(np.concatenate(panel), **on)

        try:
            for part in parts:
                block = self._of_width(_as_rows(part))
                if block.shape[0] >= height or block.device != "cpu":
                    flush()
                    self.update(block, **on)
                    continue
                waiting.append(np.asarray(block))
                collected += block.shape[0]
                if collected >= height:
                    flush()
        finally:
            flush()
        return self

    def _panel_rows(self) -> int:
        """Return the number of rows of a panel: at most 1024, and 64 MiB of float64."""
        return min(max(2**23 // self.n_cols, 16), 1024)

    def _of_width(self, a: Matrix) -> Matrix:
        if a.shape[1] != self.n_cols:
            name = type(self).__name__
            raise ValueError(
                f"the rows have {a.shape[1]} columns, but the {name} has n_cols = {self.n_cols}"
            )
        return a

    def _counts(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def _restore(self, counts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        super()._restore(counts, arrays)
        self.rows = int(counts["rows"])
        if self.rows < 0:
            raise ValueError(f"{self.rows} rows")

    def _absorb(self, other: Self) -> None:
        super()._absorb(other)
        self.rows += other.rows


def _as_rows(part: Any) -> Matrix:
    if isinstance(part, (list, tuple)):
        part = real_array(part)
    return matrix(part[None, :] if getattr(part, "ndim", 2) == 1 else part)
