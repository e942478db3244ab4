# SPDX-License-Identifier: BSD-3-Clause
"""The spectra of one pair, several at once if threads and memory allow; numbers do not change."""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any, NamedTuple

from sigmascope._execution.options import CallOptions
from sigmascope._execution.rounding import DENSITIES
from sigmascope._running.tasks import ByteListener, Options
from sigmascope._running.thread_budget import ThreadLease
from sigmascope.analysis.admission import SpectrumRequest
from sigmascope.analysis.low_rank import LowRank
from sigmascope.analysis.spectrum import analysed
from sigmascope.errors import MemoryLimitError
from sigmascope.matrices.matrix import Matrix
from sigmascope.solvers.density import DensityRequest
from sigmascope.spectra import Difference, Spectrum, statistics
from sigmascope.spectra.statistics import Extremes

from .pair_plan import PairPlan, device_share, spectrum_options

STEPS = 6
"""Krylov steps of a density that need not resolve the largest values."""


class ByteCounter:
    """The sum of the bytes that several concurrent native calls have used."""

    def __init__(self, read: ByteListener | None) -> None:
        self._read = read
        self._total = 0
        self._lock = Lock()

    def listener(self) -> ByteListener:
        """Return a listener for consecutive native calls."""
        last = 0

        def listen(nbytes: int) -> None:
            nonlocal last
            with self._lock:
                # A smaller number is the first number of another call.
                self._total += nbytes - last if nbytes >= last else nbytes
                total = self._total
            last = nbytes
            if self._read is not None:
                self._read(total)

        return listen


class Job(NamedTuple):
    """A matrix whose spectrum is computed; its ||A||_F^2 if finite, and extremes if known."""

    matrix: Matrix | LowRank
    fro2: float | None = None
    extremes: Extremes | None = None


class PairSpectra:
    """The computation of the spectra of one pair, several at once."""

    def __init__(
        self,
        jobs: Mapping[str, Job],
        decay: float,
        fingerprint: int | None,
        options: Options,
        plan: PairPlan,
        counter: ByteCounter,
        lease: ThreadLease,
    ) -> None:
        self._jobs = jobs
        self._fingerprint = fingerprint
        self._decay = decay
        self._options = options
        self._plan = plan
        self._counter = counter
        self._lease = lease
        self._futures: dict[str, Future[Spectrum | None]] = {}

    def run(self) -> dict[str, Spectrum]:
        """Compute all spectra; repeat one by one those that together exceed the memory."""
        order = [
            group for group in ("delta", "before", "after", "projected") if group in self._jobs
        ]
        workers = self._plan.workers
        with ThreadPoolExecutor(workers, thread_name_prefix="sigmascope-pair") as pool:
            try:
                for group in order:
                    self._futures[group] = pool.submit(self._try, group)
                results = {group: future.result() for group, future in self._futures.items()}
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        spectra = {group: one for group, one in results.items() if one is not None}
        for group in order:
            if group not in spectra:
                with self._lease.threads(1):
                    spectra[group] = self._compute(group, spectra, alone=True)
        return spectra

    def _try(self, group: str) -> Spectrum | None:
        """Compute a spectrum next to others; None if the memory does not suffice."""
        known: dict[str, Spectrum] = {}
        if group == "projected":  # these were submitted before it
            for other in ("delta", "before"):
                one = self._futures[other].result()
                if one is None:
                    return None
                known[other] = one
        workers = self._plan.workers
        try:
            with self._lease.threads(workers):
                return self._compute(group, known, alone=workers == 1)
        except MemoryLimitError:
            if workers == 1:
                raise
            return None

    def _compute(self, group: str, known: Mapping[str, Spectrum], *, alone: bool) -> Spectrum:
        options, plan = self._options, self._plan
        workers = 1 if alone else plan.workers
        shared: dict[str, Any] = {
            "fingerprint": self._fingerprint,  # all spectra of a pair have the same probes
            "num_threads": options.num_threads if alone else plan.threads,
            "memory_limit": options.memory_limit,
            "reserved": plan.reserved if alone else plan.reserved_with_others,
            "progress": self._counter.listener(),
        }
        a, fro2, extremes = self._jobs[group]
        if isinstance(a, LowRank):
            memory = {name: shared[name] for name in ("memory_limit", "reserved")}
            return a.spectrum(options.k, vectors=True, **memory)
        if group == "projected":
            how = shared | {"device": device_share(options, workers)}
            near = projected(
                self._jobs[group], known["before"], known["delta"], self._decay, options, **how
            )
            if near is not None:
                return near
        vectors = group != "projected"
        how = spectrum_options(options, workers) | shared
        query = SpectrumRequest.of(vectors=vectors, fro2=fro2, **how)
        return analysed(a, query, seed=options.seed, elements=False, extremes=extremes)


def projected(
    job: Job, before: Spectrum, delta: Spectrum, decay: float, options: Options, **how: Any
) -> Spectrum | None:
    """Compute the spectrum of P = dW - c W from those of W and dW; None if c W is too large.

    By Weyl's theorem, no singular value of P differs from the corresponding value of dW by more
    than ||c W||_2. P therefore takes the largest values of dW, with this distance added to their
    errors. It also takes the density of dW if ||c W||_F moves the nuclear norm by no more than its
    error (:class:`sigmascope.spectra.quadrature.Quadrature`); otherwise a few steps compute a
    separate density. ||P||_F^2 = ||dW||_F^2 - ||c W||_F^2, since P and W are orthogonal.
    """
    distance = Difference(
        abs(decay) * float(before.top[0] + before.top_errors[0]),
        abs(decay) * before.measures["fro_norm"].value,
    )
    small = distance.spectral <= options.tol * float(delta.top[0])
    a, requested = job.matrix, spectrum_options(options)["measures"]
    if not small or delta.density is None or requested or isinstance(a, LowRank):
        return None
    fro_norm = delta.density.fro_norm
    fro_norm *= math.sqrt(1.0 - min((distance.frobenius / fro_norm) ** 2, 1.0))
    density, alone, passes = delta.density.of_near(fro_norm, distance), delta.density, 0
    if density.nuclear_norm().error > 2.0 * alone.nuclear_norm().error:
        how["fro2"] = fro_norm**2
        probes = min(max(delta.block, 2), *a.shape)
        call = CallOptions.of(a, precisions=DENSITIES, **how)
        density = DensityRequest(probes, STEPS, options.seed).compute(a, call)
        passes = density.passes
    errors = delta.top_errors + distance.spectral
    norms = statistics.MatrixNorms(delta.shape, density.fro_norm, extremes=job.extremes)
    measures = statistics.measures_from_density(density, delta.top, errors, norms)
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
        measures=measures,
        method="quadrature, largest values by Weyl" if passes else "from dW and its distance",
        precision=density.precision,
        passes=passes,
        block=density.block,
        columns=density.block * density.steps,
        seed=density.seed,
        seconds=density.seconds if passes else 0.0,
        num_threads=how["num_threads"],
        device=delta.device,
        converged=delta.converged,
        notes=(
            "the decay moves no singular value beyond the tolerance",
            *statistics.notes_on_bulk(measures, delta.shape),
        ),
    )
