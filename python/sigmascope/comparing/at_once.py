# SPDX-License-Identifier: BSD-3-Clause
"""The spectra of one pair, as many at once as threads and memory allow: no number depends on it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any, NamedTuple, Self

from sigmascope import statistics
from sigmascope._execution.memory import Need
from sigmascope._execution.memory_plan import copy_nbytes, remainder_nbytes
from sigmascope._running.sharing import MOST_AT_ONCE, Share
from sigmascope._running.tasks import Options, Read
from sigmascope.analysis.admission import in_memory
from sigmascope.analysis.low_rank import LowRank
from sigmascope.analysis.routes import options_for
from sigmascope.analysis.spectrum import spectrum
from sigmascope.errors import MemoryLimitError
from sigmascope.matrices.matrix import Matrix
from sigmascope.solvers.density import spectral_density
from sigmascope.spectra import Difference, Spectrum

from .couples import Adapted, AnyCouple

STEPS = 6
"""Of a density that need not resolve the largest values."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What a pair is given: it follows from the pair and the options alone.

    Attributes
    ----------
    held
        Bytes of both matrices, which are read once; 0 if they do not fit beside one spectrum.
    kept
        Bytes of the vectors of three spectra.
    workers, threads
        Spectra computed at once, and threads of each: parts of a spectrum are serial.
    each
        Bytes that a further spectrum takes at most.
    room
        Bytes left, for the next pair.
    """

    held: int
    kept: int
    workers: int
    threads: int
    each: int
    room: int

    @classmethod
    def of(cls, couple: AnyCouple, options: Options) -> Self:
        """Give as many spectra a worker as fit beside what is held."""
        how = _how(options) | {"vectors": True, "memory_limit": options.memory_limit}
        matrices = couple.before, couple.after, couple.delta
        kept = 3 * 8 * options.k * sum(couple.before.shape)

        def most(threads: int) -> Need:
            needs = [_need(a, num_threads=threads, **how) for a in matrices]
            if isinstance(couple, Adapted):
                needs.append(couple.sums_need(threads))
            return Need(*(max(parts) for parts in zip(*needs, strict=True)))

        alone = most(options.num_threads)  # what is computed again
        for workers in MOST_AT_ONCE:
            if workers > max(options.num_threads, 1):
                continue
            threads = options.num_threads // workers
            each = most(threads)
            together = Need(workers * each.arrays, workers * each.working).followed_by(alone)
            together = together.plus(couple.nbytes + kept)
            for more in _copies(couple, options, workers):
                if together.plus(more).limit <= options.memory_limit:
                    room = max(options.memory_limit - together.plus(more).peak, 0)
                    return cls(couple.nbytes, kept, workers, threads, sum(each), room)
        return cls(0, kept, 1, options.num_threads, 0, 0)

    @property
    def reserved(self) -> int:
        """Bytes that no spectrum of this pair may take."""
        return self.held + self.kept + self.room

    @property
    def beside_others(self) -> int:
        """The same for one part of the pair, while the other workers are at others."""
        return self.reserved + (self.workers - 1) * self.each

    def leaves_room(self, other: Budget) -> bool:
        """Whether another pair may be held beside this one."""
        return other.held + other.kept <= self.room


def _copies(couple: AnyCouple, options: Options, workers: int) -> tuple[int, int]:
    """Bytes of the sums of tiles that are added up, of as many as there are at once; the least."""
    if options.effort == "exact":
        return 0, 0
    sums = [a for a in (couple.after, couple.delta) if isinstance(a, Matrix)]
    how = {"num_threads": options.num_threads, "memory_limit": options.memory_limit}
    calls = [(a, options_for(a, options.effort, **how)) for a in sums]
    # The projected change follows the change.
    times = min(workers, 2) if isinstance(couple, Adapted) else 1
    copies, least = ([0, *(of(*each) for each in calls)] for of in (copy_nbytes, remainder_nbytes))
    return times * max(copies), times * max(least)


def _need(a: Matrix | LowRank, **how: Any) -> Need:
    return Need(0, a.working_bytes) if isinstance(a, LowRank) else in_memory(a, **how)[1]


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


_HOW = ("effort", "k", "tol", "accuracy", "measures")


def _how(options: Options) -> dict[str, Any]:
    return {name: getattr(options, name) for name in _HOW}


class Job(NamedTuple):
    """A matrix whose spectrum is computed, and its ||A||_F^2 if it is known, and finite."""

    matrix: Matrix | LowRank
    fro2: float | None = None


class Spectra:
    """The spectra of one pair, several computed at once."""

    def __init__(
        self,
        jobs: Mapping[str, Job],
        decay: float,
        fingerprint: int | None,
        options: Options,
        budget: Budget,
        tally: Tally,
        share: Share,
    ) -> None:
        self._jobs = jobs
        self._fingerprint = fingerprint
        self._decay = decay
        self._options = options
        self._budget = budget
        self._tally = tally
        self._share = share
        self._futures: dict[str, Future[Spectrum | None]] = {}

    def computed(self) -> dict[str, Spectrum]:
        """Compute all, and again alone what then did not fit into the memory."""
        order = [
            group for group in ("delta", "before", "after", "projected") if group in self._jobs
        ]
        workers = self._budget.workers
        with ThreadPoolExecutor(workers, thread_name_prefix="sigmascope-pair") as pool:
            try:
                for group in order:
                    self._futures[group] = pool.submit(self._one, group)
                found = {group: future.result() for group, future in self._futures.items()}
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        spectra = {group: one for group, one in found.items() if one is not None}
        for group in order:
            if group not in spectra:
                with self._share.threads(1):
                    spectra[group] = self._of(group, spectra, alone=True)
        return spectra

    def _one(self, group: str) -> Spectrum | None:
        """Compute one beside others; None if the memory is too short for that."""
        known: dict[str, Spectrum] = {}
        if group == "projected":  # the others began before it
            for other in ("delta", "before"):
                one = self._futures[other].result()
                if one is None:
                    return None
                known[other] = one
        workers = self._budget.workers
        try:
            with self._share.threads(workers):
                return self._of(group, known, alone=workers == 1)
        except MemoryLimitError:
            if workers == 1:
                raise
            return None

    def _of(self, group: str, known: Mapping[str, Spectrum], *, alone: bool) -> Spectrum:
        options, budget = self._options, self._budget
        shared: dict[str, Any] = {
            "seed": options.seed,
            "fingerprint": self._fingerprint,  # the same probes of all
            "num_threads": options.num_threads if alone else budget.threads,
            "memory_limit": options.memory_limit,
            "reserved": budget.reserved if alone else budget.beside_others,
            "progress": self._tally.part(),
        }
        a, fro2 = self._jobs[group]
        if isinstance(a, LowRank):
            held = {name: shared[name] for name in ("memory_limit", "reserved")}
            return a.spectrum(options.k, vectors=True, **held)
        if group == "projected":
            near = projected(a, known["before"], known["delta"], self._decay, options, **shared)
            if near is not None:
                return near
        wanted = group != "projected"
        return spectrum(a, vectors=wanted, elements=False, fro2=fro2, **_how(options), **shared)


def projected(
    a: Matrix, before: Spectrum, delta: Spectrum, decay: float, options: Options, **how: Any
) -> Spectrum | None:
    """Compute the spectrum of P = dW - c W from those of W and dW; None if c W is too much.

    By Weyl no singular value differs from that of dW by more than ||c W||_2, so that the largest
    are known to that and the errors that they have in dW. So is the rest, if ||c W||_F moves the
    nuclear norm by no more than its error (:class:`sigmascope.spectra.quadrature.Quadrature`); else
    it comes from an own density of a few steps. ||P||_F^2 = ||dW||_F^2 - ||c W||_F^2, since P and W
    are orthogonal.
    """
    apart = Difference(
        abs(decay) * float(before.top[0] + before.top_errors[0]),
        abs(decay) * before.measures["fro_norm"].value,
    )
    small = apart.spectral <= options.tol * float(delta.top[0])
    if not small or delta.density is None or options.measures:
        return None
    fro_norm = delta.density.fro_norm
    fro_norm *= math.sqrt(1.0 - min((apart.frobenius / fro_norm) ** 2, 1.0))
    density, alone, passes = delta.density.of_near(fro_norm, apart), delta.density, 0
    if density.nuclear_norm().error > 2.0 * alone.nuclear_norm().error:
        how["fro2"] = fro_norm**2
        density = spectral_density(a, passes=STEPS, probes=max(delta.block, 2), **how)
        passes = density.passes
    errors = delta.top_errors + apart.spectral
    return Spectrum(
        shape=delta.shape,
        effort=delta.effort,
        k=delta.k,
        top=delta.top,
        top_errors=errors,
        values=None,
        value_errors=None,
        density=density,
        moments=None,
        measures=statistics.measures_from_density(
            density, delta.top, errors, delta.shape, density.fro_norm
        ),
        method="quadrature, largest values by Weyl" if passes else "from dW and its distance",
        precision=density.precision,
        passes=passes,
        block=density.block,
        columns=density.block * density.steps,
        seed=density.seed,
        seconds=density.seconds if passes else 0.0,
        num_threads=how["num_threads"],
        converged=delta.converged,
        notes=("the decay moves no singular value beyond the tolerance",),
    )
