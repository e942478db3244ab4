# SPDX-License-Identifier: BSD-3-Clause
"""The stored bytes of the next matrix, read while others are computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Generic, Protocol, Self, TypeVar


class Stored(Protocol):
    """What is read ahead."""

    @property
    def nbytes(self) -> int:
        """Bytes as stored."""

    def load(self) -> Self:
        """Read them."""


M = TypeVar("M", bound=Stored)


class Prefetch(Generic[M]):
    """What a checkpoint holds, for readers that take those of `names` in their order.

    Without names each is looked up when it is taken, and nothing is read ahead.
    """

    def __init__(self, checkpoint: Mapping[str, M], names: Sequence[str] = ()) -> None:
        self._checkpoint = checkpoint
        self._place = {name: place for place, name in enumerate(names)}
        self._names = names
        self._to_come = 0  # place of the first that was neither taken nor begun
        self._rooms: dict[str, int] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="sigmascope-read")
        self._held: tuple[str, Future[M]] | None = None
        self._lock = Lock()

    @property
    def reads_ahead(self) -> bool:
        """Whether anything is."""
        return bool(self._names)

    def take(self, name: str) -> M:
        """Return a matrix, in memory if it was read ahead; raises what looking it up raises."""
        with self._lock:
            self._to_come = max(self._to_come, self._place.get(name, -1) + 1)
            held = self._held if self._held is not None and self._held[0] == name else None
            if held is not None:
                self._held = None
        if held is not None:
            with suppress(Exception):  # what went wrong is met again, and told, by the analysis
                return held[1].result()
        return self._checkpoint[name]

    @contextmanager
    def beside(self, name: str, room: int) -> Iterator[None]:
        """Begin to read the next matrix if it fits into the room that all at work leave it."""
        with self._lock:
            self._rooms[name] = room
            if self._held is None and self._to_come < len(self._names):
                room = sum(self._rooms.values())
                later = self._names[self._to_come]
                if room > 0:
                    self._to_come += 1
                    self._held = later, self._pool.submit(self._loaded, later, room)
        try:
            yield
        finally:
            with self._lock:
                del self._rooms[name]

    def give_up(self) -> None:
        """Let go of what was read ahead, for a matrix that needs the room; its turn reads it."""
        with self._lock:
            held, self._held = self._held, None
        if held is not None and not held[1].cancel():
            with suppress(Exception):
                held[1].result()

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
