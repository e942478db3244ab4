# SPDX-License-Identifier: BSD-3-Clause
"""Base of all accumulators: merging, saving, loading, and detection of interrupted updates."""

from __future__ import annotations

import errno
import json
import os
import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from sigmascope._host.files import open_regular
from sigmascope._host.keywords import public
from sigmascope.errors import CheckpointError
from sigmascope.matrices.arrays import real_array
from sigmascope.matrices.matrix import Matrix
from sigmascope.matrices.sources import matrix

from .exact_sum import MOST_TERMS, ExactSum

FORMAT = 1
"""Version of the file format; any other version is refused."""

_DAMAGE = (
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, OverflowError),
    *(NotImplementedError, RuntimeError, MemoryError, struct.error, BadZipFile, zlib.error),
)
"""Exceptions that reading a damaged file may raise, in addition to OSError."""


class Accumulator(ABC):
    """Exact sums over parts of the data, each of which is added once.

    Attributes
    ----------
    updates : int
        Number of updates, including those of merged accumulators; at most 2**22.
    """

    def __init__(self, **sums: ExactSum) -> None:
        self.updates = 0
        self._sums = sums
        self._broken = False

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
            raise TypeError(f"{kinds} do not add up")
        mine, theirs = self._key(), other._key()
        if mine != theirs:
            name = type(self).__name__
            raise ValueError(f"a {name} of {mine} and one of {theirs} do not add up")
        other._require_intact()
        with self._changing(other.updates):
            self._absorb(other)
        return self

    @contextmanager
    def _changing(self, updates: int = 1) -> Iterator[None]:
        """Mark the accumulator as broken during a change, to detect an interrupted one."""
        self._require_intact()
        if self.updates + updates > MOST_TERMS:
            raise OverflowError(f"at most {MOST_TERMS} updates add up; make each larger")
        self._broken = True
        yield
        self.updates += updates
        self._broken = False

    def _require_intact(self) -> None:
        if self._broken:
            raise RuntimeError(
                f"an update of this {type(self).__name__} was interrupted half-way; load another"
            )

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
        unfinished = f"{os.fspath(path)}.part"
        try:
            with open(unfinished, "wb") as file:
                arrays: dict[str, Any] = self._arrays()
                np.savez(file, head=np.array(json.dumps(head)), **arrays)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, path)
        except BaseException:
            if os.path.exists(unfinished):
                os.unlink(unfinished)
            raise

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read an accumulator that :meth:`save` wrote; CheckpointError if the file holds none."""
        try:
            with open_regular(path) as raw, np.load(raw, allow_pickle=False) as stored:
                return cls._of({name: stored[name] for name in stored.files})
        except (*_DAMAGE, OSError) as error:
            if isinstance(error, OSError) and error.errno != errno.EINVAL:  # a seek to nowhere
                raise
            name = os.fspath(path)
            raise CheckpointError(f"{name} is not a whole {cls.__name__}: {error}") from error

    @classmethod
    def _of(cls, arrays: dict[str, NDArray[Any]]) -> Self:
        head = json.loads(str(arrays["head"]))
        if head["kind"] != cls.__name__:
            raise ValueError(f"it holds a {head['kind']}")
        if head["format"] != FORMAT:
            raise ValueError(f"format {head['format']}, this version reads {FORMAT}")
        self = cls(**head["options"])
        self.updates = int(head["updates"])
        if not 0 <= self.updates <= MOST_TERMS:
            raise ValueError(f"{self.updates} updates")
        self._restore(head["counts"], arrays)
        return self


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
        1024 rows, each of which is one update, as is each array on a GPU. If the iterable or an
        update fails, the preceding items are added, and `rows` is their number; but no row of a
        panel with a refused row is added.

        Parameters
        ----------
        parts : iterable
            Items are rows, or anything that :func:`matrix` takes; a generator, for example.
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
            raise ValueError(f"rows of {a.shape[1]} columns, the {name} has n_cols = {self.n_cols}")
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
