# SPDX-License-Identifier: BSD-3-Clause
"""Base of all accumulators: merging, saving, loading, and detection of interrupted updates."""

from __future__ import annotations

import errno
import json
import os
import struct
import threading
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Self, TypeVar, cast
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from sigmascope._host.files import open_regular
from sigmascope._host.keywords import public
from sigmascope._host.replacing import replacing
from sigmascope.errors import CheckpointError

from .exact_sum import MOST_TERMS, ExactSum

FORMAT = 1
"""Version of the file format; any other version is refused."""

_DAMAGE = (
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, OverflowError),
    *(NotImplementedError, RuntimeError, MemoryError, struct.error, BadZipFile, zlib.error),
)
"""Exceptions that reading a damaged file may raise, in addition to OSError."""

F = TypeVar("F", bound=Callable[..., Any])


def unchanged(method: F) -> F:
    """Decorate a method that reads the sums, so that no other thread changes them meanwhile."""

    @wraps(method)
    def locked(self: Accumulator, *args: Any, **keywords: Any) -> Any:
        with self._lock:
            return method(self, *args, **keywords)

    return public(cast("F", locked))


class Accumulator(ABC):
    """Exact sums over parts of the data; every part is added once.

    Several threads may update one accumulator. They compute terms at the same time and add them one
    after another. The sums do not depend on the order.

    Attributes
    ----------
    updates : int
        Number of updates, including those of merged accumulators; at most 2**22.
    """

    def __init__(self, **sums: ExactSum) -> None:
        self.updates = 0
        self._sums = sums
        self._broken = False
        self._lock = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the lock, which belongs to a process."""
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a state, with a lock of its own."""
        self.__dict__.update(state)
        self._lock = threading.RLock()

    @abstractmethod
    def _options(self) -> dict[str, Any]:
        """Return the arguments of the constructor, as JSON types."""

    def _key(self) -> dict[str, Any]:
        """Return the options on which two accumulators must agree to be merged."""
        return self._options()

    def _absorb(self, other: Self) -> None:
        """Add the sums of another accumulator."""
        for name, held in self._sums.items():
            held.merge(other._sums[name])

    def _counts(self) -> dict[str, Any]:
        """Return the state to save, other than arrays, as JSON types."""
        return {}

    def _arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays to save."""
        return {
            f"{name}_{part}": values
            for name, held in self._sums.items()
            for part, values in held.arrays().items()
        }

    def _restore(self, counts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Restore a saved state; ValueError, TypeError or KeyError if it is not valid."""
        for name, held in self._sums.items():
            prefix = f"{name}_"
            own = {
                key.removeprefix(prefix): a for key, a in arrays.items() if key.startswith(prefix)
            }
            held.restore(own)

    def merge(self, other: Self) -> Self:
        """Add the data of another accumulator; ValueError unless their options agree.

        The other accumulator is not changed. The order of merges does not change any bit.
        """
        if type(other) is not type(self):
            kinds = f"a {type(self).__name__} and a {type(other).__name__}"
            raise TypeError(f"{kinds} cannot be merged")
        mine, theirs = self._key(), other._key()
        if mine != theirs:
            name = type(self).__name__
            raise ValueError(f"a {name} of {mine} cannot be merged with one of {theirs}")
        with self._alone_with(other):
            other._require_intact()
            with self._changing(other.updates):
                self._absorb(other)
        return self

    @contextmanager
    def _alone_with(self, other: Accumulator) -> Iterator[None]:
        """Keep other threads from both accumulators.

        The locks are taken in one order, so that two merges never wait for each other.
        """
        first, second = sorted((self, other), key=id)
        with first._lock, second._lock:
            yield

    @contextmanager
    def _changing(self, updates: int = 1) -> Iterator[None]:
        """Mark the accumulator as broken during a change, to detect an interrupted one."""
        with self._lock:
            self._require_intact()
            if self.updates + updates > MOST_TERMS:
                raise OverflowError(f"the limit is {MOST_TERMS} updates; make each of them larger")
            self._broken = True
            yield
            self.updates += updates
            self._broken = False

    def _require_intact(self) -> None:
        if self._broken:
            raise RuntimeError(
                f"an update of this {type(self).__name__} was interrupted, so its sums are "
                "incomplete; load a saved copy"
            )

    @unchanged
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the accumulator to a versioned .npz file; an existing file is replaced.

        The new file replaces the old one only when it is complete.
        """
        self._require_intact()
        head = {
            "kind": type(self).__name__,
            "format": FORMAT,
            "options": self._options(),
            "updates": self.updates,
            "counts": self._counts(),
        }
        with replacing(Path(path)) as unfinished, open(unfinished, "wb") as file:
            arrays: dict[str, Any] = self._arrays()
            np.savez(file, head=np.array(json.dumps(head)), **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read an accumulator that :meth:`save` wrote; CheckpointError if the file has no such."""
        try:
            with open_regular(path) as raw, np.load(raw, allow_pickle=False) as stored:
                return cls._of({name: stored[name] for name in stored.files})
        except (*_DAMAGE, OSError) as error:
            if isinstance(error, OSError) and error.errno != errno.EINVAL:  # a seek to nowhere
                raise
            name = os.fspath(path)
            raise CheckpointError(f"{name} is not a complete {cls.__name__}: {error}") from error

    @classmethod
    def _of(cls, arrays: dict[str, NDArray[Any]]) -> Self:
        head = json.loads(str(arrays["head"]))
        if head["kind"] != cls.__name__:
            raise ValueError(f"it holds a {head['kind']}")
        if head["format"] != FORMAT:
            raise ValueError(f"it has format {head['format']}, but this version reads {FORMAT}")
        self = cls(**head["options"])
        self.updates = int(head["updates"])
        if not 0 <= self.updates <= MOST_TERMS:
            raise ValueError(f"{self.updates} updates are out of range")
        self._restore(head["counts"], arrays)
        return self
