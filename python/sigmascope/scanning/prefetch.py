# SPDX-License-Identifier: BSD-3-Clause
"""The stored bytes of the next matrix, or pair of them, read while this one is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from typing import Generic, Protocol, Self, TypeVar


class Stored(Protocol):
    """What is read ahead: a matrix, or a pair."""

    @property
    def nbytes(self) -> int:
        """Bytes as stored."""

    def load(self) -> Self:
        """Read them."""


M = TypeVar("M", bound=Stored)


class Prefetch(Generic[M]):
    """What a checkpoint holds, for one reader that takes those of `names` in their order.

    Without names each is looked up when it is taken, and nothing is read ahead.
    """

    def __init__(self, checkpoint: Mapping[str, M], names: Sequence[str] = ()) -> None:
        self._checkpoint = checkpoint
        self._next = dict(pairwise(names))
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="sigmascope-read")
        self._held: tuple[str, Future[M]] | None = None

    @property
    def reads_ahead(self) -> bool:
        """Whether anything is."""
        return bool(self._next)

    def take(self, name: str) -> M:
        """Return a matrix, in memory if it was read ahead; raises what looking it up raises."""
        held, self._held = self._held, None
        if held is not None and held[0] == name:
            with suppress(Exception):  # what went wrong is met again, and told, by the analysis
                return held[1].result()
        return self._checkpoint[name]

    def begin(self, after: str, room: int) -> None:
        """Begin to read the matrix after that one, if its bytes fit into the room."""
        if room > 0 and after in self._next:
            name = self._next[after]
            self._held = name, self._pool.submit(self._loaded, name, room)

    def afresh(self, name: str) -> M:
        """Return a matrix of which nothing is held."""
        return self._checkpoint[name]

    def _loaded(self, name: str, room: int) -> M:
        a = self._checkpoint[name]
        return a.load() if a.nbytes <= room else a

    def check_unchanged(self, name: str) -> None:
        """CheckpointError if the file of a matrix is no longer the one that was opened."""
        self._checkpoint[name]  # looking it up checks that

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
