# SPDX-License-Identifier: BSD-3-Clause
"""The memory and the threads of a pair, and the options of each of its spectra."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

from sigmascope._execution.devices import Device
from sigmascope._execution.memory import Need
from sigmascope._execution.reading import copy_nbytes, remainder_nbytes
from sigmascope._running.tasks import Options
from sigmascope._running.thread_budget import MOST_AT_ONCE
from sigmascope.analysis.admission import fits_share, in_memory
from sigmascope.analysis.choice import options_for
from sigmascope.analysis.low_rank import LowRank
from sigmascope.matrices.matrix import Matrix

from .matrix_pairs import AdaptedPair, MatrixPair, StoredPair
from .quantisation import direction_need
from .scaled_pairs import ScaledPair
from .updates import ON_REQUEST, mask_need, share_need


def device_share(options: Options, workers: int) -> Device:
    """Return the device of a pair with the memory share of one of `workers` computations.

    A computation has the same share of the memory as of the threads. All computations that run at
    once, including those of another pair, therefore fit into the memory of the device.
    """
    return options.device.share(options.device.nbytes // workers)


def spectrum_options(options: Options, workers: int = 1) -> dict[str, Any]:
    """Return the options of each spectrum of a pair, if `workers` spectra run at once."""
    how = {name: getattr(options, name) for name in ("effort", "k", "tol", "accuracy")}
    how["device"] = device_share(options, workers)
    return how | {"measures": tuple(name for name in options.measures if name not in ON_REQUEST)}


@dataclass(frozen=True, slots=True)
class PairPlan:
    """The memory and the threads of a pair; only the pair and the options determine them.

    Attributes
    ----------
    matrix_bytes
        Bytes of both matrices, which are read once; 0 if they do not fit together with a spectrum.
    vector_bytes
        Bytes of the vectors of three spectra.
    workers, threads
        Number of spectra that are computed at once, and threads of each. Several at once use the
        threads better, since parts of a spectrum are serial.
    spectrum_bytes
        Largest memory of each further spectrum.
    free_bytes
        Memory that remains for the next pair.
    peak_bytes
        Largest memory of this pair; 0 if its matrices do not fit and spectra read the files.
    """

    matrix_bytes: int
    vector_bytes: int
    workers: int
    threads: int
    spectrum_bytes: int
    free_bytes: int
    peak_bytes: int

    @classmethod
    def of(cls, pair: MatrixPair, options: Options) -> Self:
        """Plan as many spectra at once as the memory limit allows next to the matrices.

        On a CUDA device, the stored numbers must also fit into the memory of the device.
        """
        how = spectrum_options(options) | {"vectors": True, "memory_limit": options.memory_limit}
        matrices = pair.before, pair.after, pair.delta
        vectors = 3 * 8 * options.k * sum(pair.before.shape)
        after = _update_need(pair, options)

        def most(threads: int) -> Need:
            needs = [_need(a, num_threads=threads, **how) for a in matrices]
            if isinstance(pair, AdaptedPair):
                needs.append(pair.norms_need(num_threads=threads, device=options.device))
            return Need(max(need.arrays for need in needs), max(need.working for need in needs))

        alone = most(options.num_threads)  # for a spectrum that is repeated without others
        for workers in MOST_AT_ONCE:
            if workers > max(options.num_threads, 1):
                continue
            threads = options.num_threads // workers
            if workers > 1 and not _share_device(pair, options, workers):
                continue
            each = most(threads)
            together = Need(workers * each.arrays, workers * each.working).followed_by(alone)
            together = together.followed_by(after).plus(pair.nbytes + vectors)
            for more in _copies(pair, options, workers):
                if together.plus(more).limit <= options.memory_limit:
                    peak = together.plus(more).peak
                    free = max(options.memory_limit - peak, 0)
                    return cls(pair.nbytes, vectors, workers, threads, each.nbytes, free, peak)
        return cls(0, vectors, 1, options.num_threads, 0, 0, 0)

    def from_files(self, options: Options) -> Self:
        """Return the plan of the same pair with spectra that read the files, one at a time."""
        return replace(self, matrix_bytes=0, workers=1, threads=options.num_threads, peak_bytes=0)

    @property
    def reserved(self) -> int:
        """Bytes that the only running spectrum of this pair may not use."""
        return self.matrix_bytes + self.vector_bytes + self.free_bytes

    @property
    def reserved_with_others(self) -> int:
        """Bytes that a spectrum of this pair may not use while every worker computes one."""
        return self.reserved + (self.workers - 1) * self.spectrum_bytes

    def leaves_room(self, other: PairPlan) -> bool:
        """Return True if the matrices and vectors of another pair fit into the free memory."""
        return other.matrix_bytes + other.vector_bytes <= self.free_bytes


def _copies(pair: MatrixPair, options: Options, workers: int) -> tuple[int, int]:
    """Return the most and the least bytes of copies of `after` and `delta` that exist at once.

    The most are copies of added-up tiles; the least are only the sparse remainders of bf16.
    """
    sums = [a for a in (pair.after, pair.delta) if isinstance(a, Matrix)]
    how: dict[str, Any] = {"num_threads": options.num_threads, "device": options.device}
    how["memory_limit"] = options.memory_limit
    calls = [(a, options_for(a, options.effort, **how)) for a in sums]
    # The projected change is computed after the change, not at the same time.
    times = min(workers, 2) if isinstance(pair, AdaptedPair | ScaledPair) else 1
    copies, least = ([0, *(of(*each) for each in calls)] for of in (copy_nbytes, remainder_nbytes))
    return times * max(copies), times * max(least)


def _share_device(pair: MatrixPair, options: Options, workers: int) -> bool:
    """Return whether shares of the device's memory allow the same methods as all of it."""
    share, full = (
        spectrum_options(options, parts)
        | {"vectors": True, "num_threads": 1, "memory_limit": options.memory_limit}
        for parts in (workers, 1)
    )
    matrices = pair.before, pair.after, pair.delta
    return all(isinstance(a, LowRank) or fits_share(a, share, full) for a in matrices)


def _update_need(pair: MatrixPair, options: Options) -> Need:
    """Return the memory need of the update's columns that are computed after its spectra."""
    need = Need(0, 0)
    how: dict[str, Any] = {"num_threads": options.num_threads, "device": options.device}
    if "update_shares" in options.measures and isinstance(pair.delta, Matrix):
        need = need.followed_by(share_need(pair.delta, options.k, **how))
    if isinstance(pair, StoredPair) and pair.quantised == 1:
        need = need.followed_by(direction_need(pair.delta, options.k, **how))
    if "update_masks" in options.measures:
        need = need.followed_by(mask_need(pair.before.shape))
    return need


def _need(a: Matrix | LowRank, **how: Any) -> Need:
    return Need(0, a.working_bytes) if isinstance(a, LowRank) else in_memory(a, **how)[1]
