# SPDX-License-Identifier: BSD-3-Clause
"""What all accumulators share: they merge, are pickled and saved, and know when they are broken."""

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
from sigmascope._host.native import _core
from sigmascope._host.threads import resolve_threads
from sigmascope.errors import CheckpointError, NonFiniteError
from sigmascope.matrices.arrays import real_array
from sigmascope.matrices.matrix import Matrix
from sigmascope.matrices.sources import matrix
from sigmascope.spectra.units import scaled

from .exact_sum import MOST_TERMS, ExactSum

FORMAT = 1
"""Of the files; one of a later format is refused."""

_DAMAGE = (
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, OverflowError),
    *(NotImplementedError, RuntimeError, MemoryError, struct.error, BadZipFile, zlib.error),
)
"""What reading a damaged file may raise, beside the system's own errors."""


class Accumulator(ABC):
    """Exact sums over parts of the data, each part seen once.

    Attributes
    ----------
    updates : int
        Parts seen, those of merged accumulators included; at most 2**22.
    """

    def __init__(self, **sums: ExactSum) -> None:
        self.updates = 0
        self._sums = sums
        self._broken = False

    @abstractmethod
    def _options(self) -> dict[str, Any]:
        """What it was made with, in JSON's types; the constructor takes it."""

    def _key(self) -> dict[str, Any]:
        """The options on which two accumulators must agree."""
        return self._options()

    def _absorb(self, other: Self) -> None:
        """Add what the other holds."""
        for name, held in self._sums.items():
            held.merge(other._sums[name])

    def _counts(self) -> dict[str, Any]:
        """What a file has of it beside arrays, in JSON's types."""
        return {}

    def _arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays that a file has of it."""
        return {
            f"{name}_{part}": values
            for name, held in self._sums.items()
            for part, values in held.arrays().items()
        }

    def _restore(self, counts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Take over what a file has of it; ValueError, TypeError or KeyError if that is wrong."""
        for name, held in self._sums.items():
            prefix = f"{name}_"
            own = {
                key.removeprefix(prefix): a for key, a in arrays.items() if key.startswith(prefix)
            }
            held.restore(own)

    def merge(self, other: Self) -> Self:
        """Add what another accumulator has seen; ValueError unless their options agree.

        The other one stays as it is. Merged in any order, no bit changes.
        """
        if type(other) is not type(self):
            kinds = f"a {type(self).__name__} and a {type(other).__name__}"
            raise TypeError(f"{kinds} do not add up")
        mine, theirs = self._key(), other._key()
        if mine != theirs:
            name = type(self).__name__
            raise ValueError(f"a {name} of {mine} and one of {theirs} do not add up")
        other._require_whole()
        with self._changing(other.updates):
            self._absorb(other)
        return self

    @contextmanager
    def _changing(self, updates: int = 1) -> Iterator[None]:
        """Around every change: one that Ctrl-C cuts in two is not taken for whole."""
        self._require_whole()
        if self.updates + updates > MOST_TERMS:
            raise OverflowError(f"at most {MOST_TERMS} updates add up; make each larger")
        self._broken = True
        yield
        self.updates += updates
        self._broken = False

    def _require_whole(self) -> None:
        if self._broken:
            raise RuntimeError(
                f"an update of this {type(self).__name__} was interrupted half-way; load another"
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a file of NumPy arrays (.npz), versioned; a file that is there is replaced.

        The new file takes the old one's place only once it is whole.
        """
        self._require_whole()
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
        """Read one that :meth:`save` wrote; CheckpointError, naming the file, if it is not one."""
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
        Rows seen.
    """

    def __init__(self, n_cols: int, **sums: ExactSum) -> None:
        if n_cols < 1:
            raise ValueError(f"n_cols must be at least 1, not {n_cols}")
        super().__init__(**sums)
        self.n_cols = int(n_cols)
        self.rows = 0

    @abstractmethod
    def update(self, rows: Any, *, num_threads: int | None = None) -> Self:
        """Add rows, each seen once."""

    def extend(self, parts: Iterable[Any], *, num_threads: int | None = None) -> Self:
        """Add what an iterable yields: rows (n_cols,) or blocks of rows (any, n_cols).

        Each is copied before the next is asked for, and they are collected into panels of up to
        1024 rows, each of which is one update. If the iterable or an update fails, what had come
        before is added, and `rows` says how much that is; but of a panel with a row that is refused
        no row is added.

        Parameters
        ----------
        parts : iterable
            Of anything that :func:`matrix` takes, and of rows; a generator, for example.
        num_threads : int, optional
        """
        height, waiting, collected = self._panel_rows(), list[NDArray[Any]](), 0

        def flush() -> None:
            nonlocal waiting, collected
            panel, waiting, collected = waiting, [], 0
            if panel:
                self.update(np.concatenate(panel), num_threads=num_threads)

        try:
            for part in parts:
                block = self._of_width(_as_rows(part))
                if block.shape[0] >= height:
                    flush()
                    self.update(block, num_threads=num_threads)
                    continue
                waiting.append(np.asarray(block))
                collected += block.shape[0]
                if collected >= height:
                    flush()
        finally:
            flush()
        return self

    def _panel_rows(self) -> int:
        """Rows that are worth an update of their own: at most 1024 and 64 MiB of float64."""
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


def native_options(num_threads: int | None) -> dict[str, Any]:
    """The keyword arguments of every native algorithm, for data in hand."""
    return {
        "threads": resolve_threads(num_threads),
        "panel_rows": 0,
        "load_bytes": 0,
        "progress": None,
    }


def at_the_door(
    a: Matrix, what: str, options: dict[str, Any], step: int = 8
) -> tuple[Matrix, float, int]:
    """Look at every entry: a 2^-unit, its ||.||_F^2, and unit; or NonFiniteError.

    The unit is 0 but where squares would leave float64's range, and a multiple of `step`.
    """
    seen = _core.survey(a._native, **options)
    if seen["nan"] or seen["inf"]:
        raise NonFiniteError(
            f"the {what} hold {seen['nan']} NaN and {seen['inf']} infinite entries, "
            f"the first at {seen['first_nonfinite']}"
        )
    unit = int(seen["unit"]) // step * step
    fro2 = scaled(float(seen["fro2"]), 2 * (int(seen["unit"]) - unit))
    return (a * 2.0**-unit if unit else a), fro2, unit
