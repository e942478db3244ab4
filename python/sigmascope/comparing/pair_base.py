# SPDX-License-Identifier: BSD-3-Clause
"""The stored bytes of a pair of matrices, which all kinds of pairs share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sigmascope.analysis.low_rank import LowRank
from sigmascope.matrices.matrix import Matrix

One = TypeVar("One", Matrix, LowRank)
Two = TypeVar("Two", Matrix, LowRank)


class PairBase(ABC):
    """The common base of pairs: their stored bytes."""

    __slots__ = ()

    @property
    @abstractmethod
    def _stored(self) -> tuple[Matrix | LowRank, Matrix | LowRank]:
        """The two stored matrices or products, which determine the third."""

    @property
    def nbytes(self) -> int:
        """Stored bytes of the pair."""
        return sum(part.nbytes for part in self._stored)

    @property
    def in_memory(self) -> bool:
        """True if the pair does not read files."""
        return all(part.in_memory for part in self._stored)


def loaded(one: One, two: Two) -> tuple[One, Two]:
    """Read both into memory at once, since allocating pages takes longer than reading."""
    with ThreadPoolExecutor(1, thread_name_prefix="sigmascope-load") as pool:
        second = pool.submit(two.load)
        return one.load(), second.result()
