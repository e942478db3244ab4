# SPDX-License-Identifier: BSD-3-Clause
"""The plan of a scan or a comparison: work, memory and estimated time of each matrix or pair."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from sigmascope._execution.memory import MINIMUM, OVERHEAD
from sigmascope._execution.rates import Rates
from sigmascope._running.device_slots import most_on_device
from sigmascope._running.ordered import expected_seconds
from sigmascope._tables.shards import Shard
from sigmascope._words.text import amount

WITHIN = 2.0
"""Factor within which the time of a matrix is estimated; a benchmark asserts it."""


@dataclass(frozen=True, slots=True)
class TensorPlan:
    """The plan of one matrix, or of one pair of a comparison.

    Attributes
    ----------
    name, tensor, role, tower
        As in the row of the scan or the comparison. For a pair, `tensor` is the first one.
    rows, columns, dtype, nbytes
        Shape, stored format and stored bytes. For a pair, the formats of both, if they differ, and
        the bytes of both.
    requested_effort, effort
        The requested effort, and the effort that will run: "exact" where that costs less.
    block, basis_columns
        Columns of a Krylov step, and number of columns at which the basis is restarted; 0 at effort
        "exact". For a pair, the numbers of W.
    precision
        Precision of products: "float64", "float32", or "mixed". For a pair, the precision of W.
    held
        True if the stored bytes are read from their file once and stay in memory; if False, every
        pass reads them.
    passes
        Reads of the matrix: exact at effort "exact", otherwise expected for a spectrum that decays
        slowly. For a pair, the sum over its spectra except the one without decay.
    read_bytes
        Bytes read from files, on this machine or another.
    peak_bytes
        Largest memory in addition to the imported package. It can be larger, up to the limit, if
        the k-th value is below 0.006 of the first.
    seconds
        Expected time, to within a factor of 2; 0 on a CUDA device, whose speed is not measured.
    device_bytes
        Largest memory of a CUDA device, with the stored bytes if they stay there; 0 on the CPU.
    stays_on_device
        True if the stored bytes stay on a CUDA device; if False, every pass copies them to it.
    refused
        Reason why the matrix cannot be analysed, as in the row of the scan; None if it can be. For
        a refused matrix, `peak_bytes` is the least limit that allows it, or 0 if no limit does.
    """

    name: str
    tensor: str
    role: str
    tower: str | None
    rows: int
    columns: int
    dtype: str
    nbytes: int
    requested_effort: str
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
    device_bytes: int = 0
    stays_on_device: bool = False


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class Plan(ABC):
    """The common base of the plans of a scan and of a comparison.

    Attributes
    ----------
    options
        The resolved options of the whole run.
    tensors
        A plan for each matrix or pair, in the order of the rows.
    unreadable
        Weights that cannot be read, with the reason.
    kept
        Number of matrices or pairs whose rows come from the resumed journal.
    shard
        The part that is planned; None for the whole.
    workers
        Number of matrices or pairs that are analysed at once.
    processes
        True if each worker is a process of an executor, with separate memory.
    alone
        Names of the matrices that need all the memory, and are analysed one at a time.
    rates
        Measured speed of this machine.
    notes
        Remarks on the files.
    next_bytes
        Most additional memory for the next pair of a comparison, which may be read meanwhile.
    """

    one: ClassVar[str]
    """Noun for the subject of a row: "matrix"."""
    many: ClassVar[str]
    what: ClassVar[str]
    """Noun for the run: "scan"."""

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
    next_bytes: int = 0

    @property
    @abstractmethod
    def sources(self) -> tuple[str, ...]:
        """Paths of the checkpoints."""

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
            f"{type(self).__name__}({', '.join(map(repr, self.sources))}: {len(self.accepted)} "
            f"{self.many}, {len(self.refused)} refused, {self.seconds:.0f} s, "
            f"{amount(self.peak_bytes)})"
        )

    @property
    def accepted(self) -> list[TensorPlan]:
        """Plans of the matrices or pairs that will be analysed."""
        return [tensor for tensor in self.tensors if tensor.refused is None]

    @property
    def refused(self) -> list[TensorPlan]:
        """Plans of the matrices or pairs that cannot be analysed."""
        return [tensor for tensor in self.tensors if tensor.refused is not None]

    @property
    def refused_for_memory(self) -> list[TensorPlan]:
        """Plans that are refused, and that a larger memory limit would allow."""
        return [tensor for tensor in self.refused if tensor.peak_bytes]

    @property
    def nbytes(self) -> int:
        """Stored bytes of all accepted plans."""
        return sum(tensor.nbytes for tensor in self.accepted)

    @property
    def read_bytes(self) -> int:
        """Bytes that the accepted plans read from files."""
        return sum(tensor.read_bytes for tensor in self.accepted)

    @property
    def peak_bytes(self) -> int:
        """Largest memory of the run in addition to the imported package.

        For processes, the sum over all, each in addition to its own imported package.
        """
        alone = [tensor.peak_bytes for tensor in self.accepted if tensor.name in self.alone]
        others = [tensor.peak_bytes for tensor in self.accepted if tensor.name not in self.alone]
        peaks = sorted(others)[-self.workers :]
        shared = 0 if self.processes else max(len(peaks) - 1, 0) * OVERHEAD
        return max([sum(peaks) - shared, *alone]) + self.next_bytes

    @property
    def device(self) -> str | None:
        """CUDA devices of the run, as in "cuda:0, cuda:1"; None on the CPU."""
        names: str | None = self.options.get("device")
        return names

    @property
    def device_memory(self) -> int:
        """Bytes that the whole run may take on each CUDA device."""
        return int(self.options.get("device_memory", 0))

    @property
    def device_peak_bytes(self) -> int:
        """Largest memory of one CUDA device; 0 on the CPU."""
        devices = len(self.device.split(",")) if self.device else 1
        each = self.workers if self.processes else most_on_device(self.workers, devices)
        alone = [tensor.device_bytes for tensor in self.accepted if tensor.name in self.alone]
        others = [tensor.device_bytes for tensor in self.accepted if tensor.name not in self.alone]
        return max([sum(sorted(others)[-each:]), *alone])

    @property
    def memory_limit(self) -> int:
        """Memory limit in bytes, for all matrices or pairs that are analysed at once."""
        limit: int = self.options["memory_limit"]
        return limit

    @property
    def floor_bytes(self) -> int:
        """Bytes that the run may take despite a smaller limit, which then bounds only arrays."""
        return MINIMUM * (self.workers if self.processes else 1)

    @property
    def sufficient_limit(self) -> int:
        """Least memory limit at which nothing would be refused for memory."""
        times = self.workers if self.processes else 1
        return max([self.memory_limit, *(t.peak_bytes * times for t in self.refused_for_memory)])

    @property
    def seconds(self) -> float:
        """Expected time of the run, with the time that workers wait, at the end above all."""
        tensors = self.accepted
        times, sizes = [t.seconds for t in tensors], [t.nbytes for t in tensors]
        return expected_seconds(times, sizes, [t.name in self.alone for t in tensors], self.workers)

    @property
    def least_seconds(self) -> float:
        """Lower end of the range of the expected time."""
        return self.seconds / WITHIN

    @property
    def most_seconds(self) -> float:
        """Upper end of the range of the expected time."""
        return self.seconds * WITHIN

    def totals(self) -> dict[str, Any]:
        """Return the sums over all rows, the options and the rates, as plain JSON."""
        return {
            "options": self.options,
            self.many: len(self.accepted),
            "refused": len(self.refused),
            "sufficient_limit": self.sufficient_limit,
            "kept": self.kept,
            "shard": None if self.shard is None else str(self.shard),
            "unreadable": self.unreadable,
            "nbytes": self.nbytes,
            "read_bytes": self.read_bytes,
            "peak_bytes": self.peak_bytes,
            "device_peak_bytes": self.device_peak_bytes,
            "seconds": self.seconds,
            "least_seconds": self.least_seconds,
            "most_seconds": self.most_seconds,
            "workers": self.workers,
            "processes": self.processes,
            "alone": sorted(self.alone),
            "rates": asdict(self.rates),
        }


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class ScanPlan(Plan):
    """The plan of a scan.

    Attributes
    ----------
    checkpoint
        Path of the checkpoint.
    options, tensors, unreadable, kept, shard, workers, processes, alone, rates, notes
        As for :class:`Plan`.
    """

    one: ClassVar[str] = "matrix"
    many: ClassVar[str] = "matrices"
    what: ClassVar[str] = "scan"

    checkpoint: str

    @property
    def sources(self) -> tuple[str, ...]:
        """Path of the checkpoint."""
        return (self.checkpoint,)

    def totals(self) -> dict[str, Any]:
        """Return the sums over all matrices, the options and the rates, as plain JSON."""
        return {"checkpoint": self.checkpoint} | Plan.totals(self)
