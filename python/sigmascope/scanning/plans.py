# SPDX-License-Identifier: BSD-3-Clause
"""The plan of a scan: what is done with each matrix, with how much memory, in about what time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from sigmascope.memory import OVERHEAD
from sigmascope.rates import Rates
from sigmascope.threads import amount

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
        what it would need.
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
    workers
        Matrices that are analysed at once.
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
    def nbytes(self) -> int:
        """Stored bytes of the matrices that will be analysed."""
        return sum(tensor.nbytes for tensor in self.accepted)

    @property
    def read_bytes(self) -> int:
        """Bytes read from disk for them."""
        return sum(tensor.read_bytes for tensor in self.accepted)

    @property
    def peak_bytes(self) -> int:
        """Memory above the imported package, at most: of the matrices analysed at once."""
        alone = [tensor.peak_bytes for tensor in self.accepted if tensor.name in self.alone]
        beside = [tensor.peak_bytes for tensor in self.accepted if tensor.name not in self.alone]
        peaks = sorted(beside)[-self.workers :]
        return max([sum(peaks) - max(len(peaks) - 1, 0) * OVERHEAD, *alone])

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
            "unreadable": self.unreadable,
            "nbytes": self.nbytes,
            "read_bytes": self.read_bytes,
            "peak_bytes": self.peak_bytes,
            "seconds": self.seconds,
            "least_seconds": self.least_seconds,
            "most_seconds": self.most_seconds,
            "workers": self.workers,
            "alone": sorted(self.alone),
            "rates": asdict(self.rates),
        }
