# SPDX-License-Identifier: BSD-3-Clause
"""The four spectra of one pair, within one memory limit, and what is common to them.

Before, after, dW = after - before and the projected dW - c before are lists of tiles over the same
stored bytes, which are read once if they fit. Each entry of dW is summed while it is decoded, in
float32 unless one of them is f64: exactly, but where their exponents are far apart. -c w is rounded
when it is added to that: by at most 2^-24 of |c w| and of the sum.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from sigmascope import statistics
from sigmascope.changes import Change, change
from sigmascope.distributions import moments
from sigmascope.errors import NonFiniteError
from sigmascope.matrices import Matrix
from sigmascope.scanning.tasks import Options
from sigmascope.spectra import Moments, Spectrum

from .at_once import Budget, Couple, Spectra, Tally
from .rows import GROUPS
from .sharing import Sharing

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Findings:
    """What was computed of one pair: statistics of the elements of both, sums, spectra."""

    before: Moments
    after: Moments
    change: Change
    spectra: Mapping[str, Spectrum]


def findings(
    couple: Couple, options: Options, budget: Budget, tally: Tally, sharing: Sharing
) -> Findings:
    """Compute all that a row tells of two matrices.

    Raises
    ------
    NonFiniteError
        One of them holds NaN or infinity.
    MemoryLimitError
        A spectrum does not fit into the memory limit.
    """
    with ThreadPoolExecutor(budget.workers, thread_name_prefix="sigmascope-pair") as pool:
        try:
            return _found(couple, options, budget, tally, sharing, pool)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _found(
    couple: Couple,
    options: Options,
    budget: Budget,
    tally: Tally,
    sharing: Sharing,
    pool: ThreadPoolExecutor,
) -> Findings:
    def shared(look: Callable[..., T], *matrices: Matrix) -> T:
        with sharing.threads(budget.workers):
            return look(
                *matrices,
                num_threads=budget.threads,
                memory_limit=options.memory_limit,
                reserved=budget.beside_others,
                progress=tally.part(),
            )

    looks = [pool.submit(shared, moments, a) for a in (couple.before, couple.after)]
    summed = pool.submit(shared, change, couple.before, couple.after)
    before, after = (
        _finite(look.result(), side) for look, side in zip(looks, ("before", "after"), strict=True)
    )
    sums = summed.result()
    jobs, known = _jobs(couple, before, after, sums, options.k)
    decay = sums.product / sums.before2 if sums.before2 > 0 else 0.0
    spectra = known | Spectra(jobs, decay, options, budget, tally, sharing).computed(pool)
    if sums.change2 == 0:
        spectra["after"] = spectra["before"]
    if sums.product == 0 and sums.before2 > 0:
        spectra["projected"] = spectra["delta"]
    return Findings(before, after, sums, {g: spectra[g] for g in GROUPS if g in spectra})


def _finite(seen: Moments, side: str) -> Moments:
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
