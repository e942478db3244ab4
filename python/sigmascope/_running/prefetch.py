# SPDX-License-Identifier: BSD-3-Clause
"""The stored bytes of the next matrix, read while others are computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Generic, Protocol, Self, TypeVar


class Loadable(Protocol):
    """A matrix that can be read into memory."""

    @property
    def nbytes(self) -> int:
        """Number of stored bytes."""

    def load(self) -> Self:
        """Return the matrix in memory."""


M = TypeVar("M", bound=Loadable)
M_co = TypeVar("M_co", bound=Loadable, covariant=True)


class Matrices(Protocol[M_co]):
    """The matrices of a checkpoint by name."""

    def __getitem__(self, name: str, /) -> M_co:
        """Return a matrix, after checking that its file is unchanged."""

    def outline(self, name: str) -> M_co:
        """Return a matrix without its scales, which are not read."""


class Prefetch(Generic[M]):
    """The matrices of a checkpoint, taken in the order of `names`, the next one read ahead.

    Without names each matrix is looked up when it is taken, and nothing is read ahead. `remote`
    says that reading takes long, as from another machine.
    """

    def __init__(
        self, checkpoint: Matrices[M], names: Sequence[str] = (), *, remote: bool = False
    ) -> None:
        self._checkpoint = checkpoint
        self.remote = remote
        self._place = {name: place for place, name in enumerate(names)}
        self._names = names
        self._next = 0  # index of the first matrix that was neither taken nor read ahead
        self._free_bytes: dict[str, int] = {}  # by the names of matrices that are computed now
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="sigmascope-read")
        self._pending: tuple[str, Future[M]] | None = None
        self._lock = Lock()

    @property
    def reads_ahead(self) -> bool:
        """True if matrices are read ahead."""
        return bool(self._names)

    def take(self, name: str) -> M:
        """Return a matrix, in memory if it was read ahead; errors are as for a lookup."""
        with self._lock:
            self._next = max(self._next, self._place.get(name, -1) + 1)
            matches = self._pending is not None and self._pending[0] == name
            pending = self._pending if matches else None
            if pending is not None:
                self._pending = None
        if pending is not None:
            with suppress(Exception):  # the analysis meets the same error again, and reports it
                return pending[1].result()
        return self._checkpoint[name]

    @contextmanager
    def reading_next(self, name: str, free_bytes: int) -> Iterator[None]:
        """Read the next matrix meanwhile, if it fits into the memory that is left for it.

        `free_bytes` is the memory that the computation of matrix `name` leaves for reading ahead.
        The free bytes of all matrices that are computed at the same time are added up.
        """
        with self._lock:
            self._free_bytes[name] = free_bytes
            if self._pending is None and self._next < len(self._names):
                total = sum(self._free_bytes.values())
                later = self._names[self._next]
                if total > 0:
                    self._next += 1
                    self._pending = later, self._pool.submit(self._loaded, later, total)
        try:
            yield
        finally:
            with self._lock:
                del self._free_bytes[name]

    def discard(self) -> None:
        """Free the matrix that was read ahead; it is read again when it is taken."""
        with self._lock:
            pending, self._pending = self._pending, None
        if pending is not None and not pending[1].cancel():
            with suppress(Exception):
                pending[1].result()

    def lookup(self, name: str) -> M:
        """Return a matrix as it is in the checkpoint, without bytes in memory."""
        return self._checkpoint[name]

    def _loaded(self, name: str, free_bytes: int) -> M:
        a = self._checkpoint[name]
        return a.load() if a.nbytes <= free_bytes else a

    def check_unchanged(self, name: str) -> None:
        """Raise CheckpointError if the file of a matrix is no longer the one that was opened."""
        self._checkpoint.outline(name)  # which checks the file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
