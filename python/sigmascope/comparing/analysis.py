# SPDX-License-Identifier: BSD-3-Clause
"""The four spectra of one pair, within one memory limit, and what is common to them.

Before, after, dW = after - before and the projected dW - c before are lists of tiles over the same
stored bytes, which are read once if they fit. Each entry of dW is summed while it is decoded, in
float32 unless one of them is f64: exactly, but where their exponents are far apart. -c w is rounded
when it is added to that: by at most 2^-24 of |c w| and of the sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any, Self

import numpy as np

from sigmascope import statistics
from sigmascope.analysis import spectrum
from sigmascope.changes import Change, change
from sigmascope.distributions import moments
from sigmascope.errors import MemoryLimitError, NonFiniteError
from sigmascope.matrices import Matrix
from sigmascope.memory import Need
from sigmascope.routes import need_in_memory
from sigmascope.scanning.tasks import Options, Read
from sigmascope.spectra import Moments, Spectrum

from .rows import GROUPS


@dataclass(frozen=True, slots=True)
class Couple:
    """Two matrices of one shape, as they are stored."""

    before: Matrix
    after: Matrix

    @property
    def nbytes(self) -> int:
        """Of both."""
        return self.before.nbytes + self.after.nbytes

    @property
    def in_memory(self) -> bool:
        """Whether nothing has to be read from a file."""
        return self.before.in_memory and self.after.in_memory

    def load(self) -> Couple:
        """Read both into memory."""
        return Couple(self.before.load(), self.after.load())


@dataclass(frozen=True, slots=True)
class Budget:
    """What a pair is given: it follows from the pair and the options alone.

    Attributes
    ----------
    held
        Bytes of both matrices, which are read once; 0 if they do not fit beside one spectrum.
    workers, threads
        Spectra computed at once, and threads of each: parts of a spectrum are serial.
    each
        Bytes that a spectrum takes at most.
    room
        Bytes left, for the next pair.
    """

    held: int
    workers: int
    threads: int
    each: int
    room: int

    @classmethod
    def of(cls, couple: Couple, options: Options) -> Self:
        """Give as many spectra a worker as fit beside what is held."""
        how = _how(options) | {"vectors": True, "memory_limit": options.memory_limit}
        delta = couple.after - couple.before
        for workers in (4, 2, 1):
            if workers > max(options.num_threads, 1):
                continue
            threads = options.num_threads // workers
            needs = [
                need_in_memory(a, num_threads=threads, **how)
                for a in (couple.before, couple.after, delta)
            ]
            each = Need(*(max(parts) for parts in zip(*needs, strict=True)))
            together = Need(workers * each.arrays, workers * each.working).beside(couple.nbytes)
            if together.limit <= options.memory_limit:
                room = max(options.memory_limit - together.peak, 0)
                return cls(couple.nbytes, workers, threads, each.peak, room)
        return cls(0, 1, options.num_threads, 0, 0)


@dataclass(frozen=True, slots=True)
class Findings:
    """What was computed of one pair: statistics of the elements of both, sums, spectra."""

    before: Moments
    after: Moments
    change: Change
    spectra: Mapping[str, Spectrum]


class Tally:
    """Adds up the bytes that several native calls have used, side by side."""

    def __init__(self, read: Read | None) -> None:
        self._read = read
        self._total = 0
        self._lock = Lock()

    def part(self) -> Read:
        """Return a listener for calls that follow one another."""
        last = 0

        def listen(nbytes: int) -> None:
            nonlocal last
            with self._lock:
                self._total += nbytes - last if nbytes >= last else nbytes  # else a new call
                total = self._total
            last = nbytes
            if self._read is not None:
                self._read(total)

        return listen


def findings(couple: Couple, options: Options, budget: Budget, tally: Tally) -> Findings:
    """Compute all that a row tells of two matrices.

    Raises
    ------
    NonFiniteError
        One of them holds NaN or infinity.
    MemoryLimitError
        A spectrum does not fit into the memory limit.
    """
    shared: dict[str, Any] = {
        "num_threads": options.num_threads,
        "memory_limit": options.memory_limit,
        "reserved": budget.held + budget.room,
        "progress": tally.part(),
    }
    before, after = (_moments(side, couple, shared) for side in ("before", "after"))
    sums = change(couple.before, couple.after, **shared)
    jobs, known = _jobs(couple, before, after, sums, options.k)
    spectra = known | _computed(jobs, options, budget, tally)
    if sums.change2 == 0:
        spectra["after"] = spectra["before"]
    if sums.product == 0 and sums.before2 > 0:
        spectra["projected"] = spectra["delta"]
    return Findings(before, after, sums, {g: spectra[g] for g in GROUPS if g in spectra})


def _moments(side: str, couple: Couple, shared: dict[str, Any]) -> Moments:
    seen = moments(getattr(couple, side), **shared)
    if seen.nan or seen.inf:
        raise NonFiniteError(
            f"the matrix {side} holds {seen.nan} NaN and {seen.inf} infinite entries, "
            f"the first at {seen.first_nonfinite}"
        )
    return seen


def _jobs(
    couple: Couple, before: Moments, after: Moments, sums: Change, k: int
) -> tuple[dict[str, Matrix], dict[str, Spectrum]]:
    """Say which matrices have a spectrum to compute, and which spectra are known: those of zero."""
    zero = _of_zero(couple.before.shape, k)
    delta = couple.after - couple.before
    jobs, known = {}, {}
    for group, a, empty in (
        ("before", couple.before, before.fro_norm == 0),
        ("after", couple.after, after.fro_norm == 0),
        ("delta", delta, sums.change2 == 0),
    ):
        if empty:
            known[group] = zero
        else:
            jobs[group] = a
    if sums.change2 == 0:
        jobs.pop("after", None)  # the same as before
    elif sums.product != 0:
        jobs["projected"] = delta - (sums.product / sums.before2) * couple.before
    return jobs, known


def _of_zero(shape: tuple[int, int], k: int) -> Spectrum:
    n = min(shape)
    zeros = np.zeros(n)
    k = min(k, n)
    return Spectrum(
        shape=shape,
        effort="exact",
        k=k,
        top=zeros[:k],
        top_errors=zeros[:k],
        values=zeros,
        value_errors=zeros,
        density=None,
        moments=None,
        measures=statistics.measures_from_values(zeros, zeros, shape, 0.0, k=k),
        method="all zero",
        precision="float64",
        passes=0,
        block=0,
        columns=0,
        seed=0,
        seconds=0.0,
        num_threads=1,
        converged=True,
    )


def _how(options: Options) -> dict[str, Any]:
    return {name: getattr(options, name) for name in ("effort", "k", "tol", "accuracy")}


def _computed(
    jobs: Mapping[str, Matrix], options: Options, budget: Budget, tally: Tally
) -> dict[str, Spectrum]:
    """Compute several spectra at once, and again alone what then did not fit into the memory."""

    def one(group: str, neighbours: int) -> Spectrum | None:
        try:
            return spectrum(
                jobs[group],
                seed=options.seed,
                vectors=group != "projected",
                elements=False,
                num_threads=budget.threads if neighbours else options.num_threads,
                memory_limit=options.memory_limit,
                reserved=budget.held + budget.room + neighbours * budget.each,
                progress=tally.part(),
                **_how(options),
            )
        except MemoryLimitError:
            if neighbours:
                return None
            raise

    with ThreadPoolExecutor(budget.workers, thread_name_prefix="sigmascope-pair") as pool:
        futures = {group: pool.submit(one, group, budget.workers - 1) for group in jobs}
        try:
            found = {group: future.result() for group, future in futures.items()}
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    spectra = {}
    for group, result in found.items():
        result = result or one(group, 0)
        assert result is not None
        spectra[group] = result
    return spectra
