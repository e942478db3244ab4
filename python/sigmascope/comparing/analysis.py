# SPDX-License-Identifier: BSD-3-Clause
"""The four spectra of one pair, within one memory limit, and what is common to them.

Before, after, dW = after - before and the projected dW - c before are lists of tiles over the same
stored bytes, which are read once if they fit. Each entry of dW is summed while it is decoded, in
float32 unless one of them is f64: exactly, but where their exponents are far apart. -c w is rounded
when it is added to that: by at most 2^-24 of |c w| and of the sum. The change that an adapter makes
is no such list but its product, whose spectrum is exact; it is one where it is added to another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sigmascope import statistics
from sigmascope._running.sharing import Share
from sigmascope._running.tasks import Options
from sigmascope._tables.schema import Row
from sigmascope.matrices.matrix import Matrix
from sigmascope.scanning.structure import Structure, structure
from sigmascope.solvers.moments import moments
from sigmascope.spectra import Spectrum

from .at_once import Budget, Job, Spectra, Tally
from .couples import AnyCouple, Couple, Sums
from .doubtful import entries_of
from .rows import GROUPS


@dataclass(frozen=True, slots=True)
class Findings:
    """What was computed of one pair: sums over the entries, spectra, what makes either special,
    and, where the change may be rounding alone, what single entries tell.
    """

    sums: Sums
    spectra: Mapping[str, Spectrum]
    structures: Mapping[str, Structure]
    entries: Row


def findings(
    couple: AnyCouple, options: Options, budget: Budget, tally: Tally, share: Share
) -> Findings:
    """Compute all that a row tells of two matrices.

    Raises
    ------
    NonFiniteError
        One of them holds NaN or infinity.
    MemoryLimitError
        A spectrum does not fit into the memory limit.
    """
    with share.threads(budget.workers, spare=True) as part:
        how: dict[str, Any] = {
            "num_threads": options.threads_of(part),
            "memory_limit": options.memory_limit,
            "reserved": budget.reserved,
        }
        sums = couple.sums(progress=tally.part(), **how)
        structures = {
            side: structure(a, moments(a, histogram=False, progress=tally.part(), **how))
            for side, a in (("before", couple.before), ("after", couple.after))
            if isinstance(a, Matrix) and (side == "before" or isinstance(couple, Couple))
        }
        entries = entries_of(couple, sums)
    jobs, known = _jobs(couple, sums, options.k)
    change = sums.change
    decay = change.product / change.before2 if change.before2 > 0 else 0.0
    spectra = (
        known | Spectra(jobs, decay, sums.fingerprint, options, budget, tally, share).computed()
    )
    if change.change2 == 0:
        spectra["after"] = spectra["before"]
    if change.product == 0 and change.before2 > 0:
        spectra["projected"] = spectra["delta"]
    return Findings(sums, {g: spectra[g] for g in GROUPS if g in spectra}, structures, entries)


def _jobs(couple: AnyCouple, sums: Sums, k: int) -> tuple[dict[str, Job], dict[str, Spectrum]]:
    """Say which matrices have a spectrum to compute, and which spectra are known: those of zero."""
    zero, change = _of_zero(couple.before.shape, k), sums.change
    jobs: dict[str, Job] = {}
    known = {}
    for group, a, norm2 in (
        ("before", couple.before, change.before2),
        ("after", couple.after, sums.after2),
        ("delta", couple.delta, change.change2),
    ):
        if norm2 == 0:
            known[group] = zero
        else:
            # Of what an adapter adds to, the norm is not summed entry by entry.
            seen = isinstance(couple, Couple) and math.isfinite(norm2)
            seen = seen and sums.unit == sums.delta_unit == 0  # a square that float64 holds
            jobs[group] = Job(a, norm2 if seen else None)
    if change.change2 == 0:
        jobs.pop("after", None)  # the same as before
    elif change.product != 0:
        jobs["projected"] = Job(couple.without(change.product / change.before2))
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
