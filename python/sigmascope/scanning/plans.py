# SPDX-License-Identifier: BSD-3-Clause
"""The plan of a scan: what is done with each matrix, with how much memory, in about what time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from sigmascope._display.text import amount
from sigmascope._execution.memory import MINIMUM, OVERHEAD
from sigmascope._execution.rates import Rates

from .shards import Shard

WITHIN = 2.0
"""Times that a matrix takes are estimated to within this factor; a benchmark asserts it."""


@dataclass(frozen=True, slots=True)
class TensorPlan:
    """What is planned for one matrix.

    Attributes
    ----------
    name, tensor, role, tower
        As in the row to come.
    rows, columns, dtype, nbytes
        Of the matrix, as stored.
    asked, effort
        The effort that was asked for, and the one that will run: "exact" where that costs less.
    block, basis_columns
        Columns of a Krylov step, and those at which the basis is restarted; 0 at effort "exact".
    precision
        Of products: "float64", "float32", or "mixed".
    held
        Whether the stored bytes are read from disk once and held; else every pass reads them.
    passes
        Reads of the matrix: known at effort "exact", else those expected of a spectrum that decays
        slowly.
    read_bytes
        From disk.
    peak_bytes
        Of memory, above the imported package, at most; where the k-th value is below 0.006 of the
        first, as much as the limit allows.
    seconds
        Expected, to within a factor of 2.
    refused
        Why it cannot be done, else None: the reason that the row will have. `peak_bytes` is then
        the least limit that allows it; 0 if none does.
    """

    name: str
    tensor: str
    role: str
    tower: str
    rows: int
    columns: int
    dtype: str
    nbytes: int
    asked: str
    effort: str
    block: int
    basis_columns: int
    precision: str
    held: bool
    passes: int
    read_bytes: int
    peak_bytes: int
    seconds: float
    refused: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class ScanPlan:
    """What a scan will do.

    Attributes
    ----------
    checkpoint
        Path of what is to be scanned.
    options
        As resolved, for a whole scan.
    tensors
        A plan for each matrix, in file order.
    unreadable
        Weights that cannot be read, with the reason.
    kept
        Matrices whose rows are in the journal that is gone on with, and stay.
    shard
        Which part of the scan this is, if it is one.
    workers
        Matrices that are analysed at once.
    processes
        Whether each worker is one of an executor's, with memory of its own.
    alone
        The names of those that are analysed alone, as they need all the memory.
    rates
        How fast this machine was found to be.
    notes
        Remarks of the checkpoint on its files.
    """

    checkpoint: str
    options: dict[str, Any]
    tensors: tuple[TensorPlan, ...]
    unreadable: dict[str, str]
    workers: int
    alone: frozenset[str]
    rates: Rates
    notes: tuple[str, ...]
    kept: int = 0
    shard: Shard | None = None
    processes: bool = False

    def __iter__(self) -> Iterator[TensorPlan]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    def __getitem__(self, name: str) -> TensorPlan:
        for tensor in self.tensors:
            if tensor.name == name:
                return tensor
        raise KeyError(f"no plan for {name!r} among {len(self.tensors)}")

    def __repr__(self) -> str:
        return (
            f"ScanPlan({self.checkpoint!r}: {len(self.accepted)} matrices, {len(self.refused)} "
            f"refused, {self.seconds:.0f} s, {amount(self.peak_bytes)})"
        )

    @property
    def accepted(self) -> list[TensorPlan]:
        """What can be done."""
        return [tensor for tensor in self.tensors if tensor.refused is None]

    @property
    def refused(self) -> list[TensorPlan]:
        """What cannot."""
        return [tensor for tensor in self.tensors if tensor.refused is not None]

    @property
    def refused_for_memory(self) -> list[TensorPlan]:
        """What a larger limit would allow."""
        return [tensor for tensor in self.refused if tensor.peak_bytes]

    @property
    def nbytes(self) -> int:
        """Stored bytes of the matrices that will be analysed."""
        return sum(tensor.nbytes for tensor in self.accepted)

    @property
    def read_bytes(self) -> int:
        """Bytes read from disk for them."""
        return sum(tensor.read_bytes for tensor in self.accepted)

    @property
    def peak_bytes(self) -> int:
        """Memory above the imported package, at most: of the matrices analysed at once.

        Of processes the sum, each above its own.
        """
        alone = [tensor.peak_bytes for tensor in self.accepted if tensor.name in self.alone]
        beside = [tensor.peak_bytes for tensor in self.accepted if tensor.name not in self.alone]
        peaks = sorted(beside)[-self.workers :]
        shared = 0 if self.processes else max(len(peaks) - 1, 0) * OVERHEAD
        return max([sum(peaks) - shared, *alone])

    @property
    def memory_limit(self) -> int:
        """Bytes that the scan was given, of all that it does at once."""
        limit: int = self.options["memory_limit"]
        return limit

    @property
    def floor_bytes(self) -> int:
        """What the scan may take whatever the limit is, which then bounds the arrays alone."""
        return MINIMUM * (self.workers if self.processes else 1)

    @property
    def sufficient_limit(self) -> int:
        """The least limit, of all that is done at once, at which nothing would be refused."""
        times = self.workers if self.processes else 1
        return max([self.memory_limit, *(t.peak_bytes * times for t in self.refused_for_memory)])

    @property
    def seconds(self) -> float:
        """Time expected, of all."""
        return sum(tensor.seconds for tensor in self.accepted) / self.workers

    @property
    def least_seconds(self) -> float:
        """The least of the range that the estimate stands for."""
        return self.seconds / WITHIN

    @property
    def most_seconds(self) -> float:
        """The most of it."""
        return self.seconds * WITHIN

    def totals(self) -> dict[str, Any]:
        """Return the sums, and what they rest on, as plain JSON."""
        return {
            "checkpoint": self.checkpoint,
            "options": self.options,
            "matrices": len(self.accepted),
            "refused": len(self.refused),
            "sufficient_limit": self.sufficient_limit,
            "kept": self.kept,
            "shard": None if self.shard is None else str(self.shard),
            "unreadable": self.unreadable,
            "nbytes": self.nbytes,
            "read_bytes": self.read_bytes,
            "peak_bytes": self.peak_bytes,
            "seconds": self.seconds,
            "least_seconds": self.least_seconds,
            "most_seconds": self.most_seconds,
            "workers": self.workers,
            "processes": self.processes,
            "alone": sorted(self.alone),
            "rates": asdict(self.rates),
        }
