# SPDX-License-Identifier: BSD-3-Clause
"""The computations for one pair: norms, special structure, changed entries and four spectra.

The four matrices are `before`, `after`, dW = after - before and the projected dW - c before. Each
is a list of tiles over the same stored bytes, which are read once if they fit into memory.

An entry of dW is summed while it is decoded: in float64 if either matrix is f64, else in float32.
The sum is exact unless the exponents of the two entries differ greatly. Adding -c w rounds by at
most 2^-24 of |c w| and of the sum. The change of an adapter is a product of thin matrices with an
exact spectrum; it becomes a list of tiles where it is added to another matrix.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sigmascope._execution.options import CallOptions
from sigmascope._running.tasks import Options
from sigmascope._running.thread_budget import ThreadLease
from sigmascope._tables.schema import Row
from sigmascope.matrices.matrix import Matrix
from sigmascope.scanning.structure import Structure, structure
from sigmascope.solvers.moments import element_moments
from sigmascope.spectra import Moments, Spectrum, statistics
from sigmascope.spectra.statistics import Extremes

from .changed_entries import changed_entries
from .matrix_pairs import MatrixPair, StoredPair
from .noise import with_noise
from .pair_norms import PairNorms
from .pair_plan import PairPlan, device_share
from .pair_spectra import ByteCounter, Job, PairSpectra
from .quantisation import direction_columns
from .rows import GROUPS
from .scaled_pairs import ScaledPair
from .updates import mask_columns, share_columns, spread_columns, update_passes

_NOUNS = {
    "before": "the first matrix",
    "after": "the second matrix",
    "delta": "the change",
    "projected": "the projected change",
}

_NEAR = 1.25
"""Largest ratio of a bound for the projected change's rows and entries to those of the change."""


@dataclass(frozen=True, slots=True)
class Findings:
    """The results for one pair.

    Attributes
    ----------
    norms
        Sums over the entries of both matrices.
    spectra
        Spectra by the names of `GROUPS`.
    structures
        Special structure of the stored matrices.
    entries
        Columns that count changed entries, if the change may be only rounding; else empty.
    update, update_passes
        Columns that describe the entries of the update (:mod:`sigmascope.comparing.updates`), and
        the passes that they took.
    """

    norms: PairNorms
    spectra: Mapping[str, Spectrum]
    structures: Mapping[str, Structure]
    entries: Row
    update: Row
    update_passes: int


def findings(
    pair: MatrixPair, options: Options, plan: PairPlan, counter: ByteCounter, lease: ThreadLease
) -> Findings:
    """Compute the results for two matrices.

    Raises
    ------
    NonFiniteError
        If one of them holds NaN or infinity.
    MemoryLimitError
        If a spectrum does not fit into the memory limit.
    OverflowError
        If singular values are beyond the range of float64.
    """
    with lease.threads(plan.workers, spare=True) as fraction:
        how: dict[str, Any] = {
            "num_threads": options.threads_of(fraction),
            "memory_limit": options.memory_limit,
            "reserved": plan.reserved,
            "device": device_share(options, plan.workers),
        }
        if isinstance(pair, ScaledPair):
            pair = pair.measured(**how)
        norms = pair.norms(progress=counter.listener(), **how)
        moments = {
            side: _moments(a, progress=counter.listener(), **how)
            for side, a in (("before", pair.before), ("after", pair.after))
            if isinstance(a, Matrix) and (side == "before" or isinstance(pair, StoredPair))
        }
        structures = {side: structure(getattr(pair, side), moments[side]) for side in moments}
        entries = changed_entries(pair, norms)
        moved = norms.change.change2 != 0
        if moved and isinstance(pair.delta, Matrix):
            moments["delta"] = _moments(pair.delta, progress=counter.listener(), **how)
        update = spread_columns(pair.delta, moments.get("delta")) if moved else {}
    change = norms.change
    decay = change.product / change.before2 if change.before2 > 0 else 0.0
    jobs, known = _jobs(pair, norms, options.k, _extremes(moments, decay))
    computation = PairSpectra(jobs, decay, norms.fingerprint, options, plan, counter, lease)
    spectra = known | computation.run()
    if change.change2 == 0:
        spectra["after"] = spectra["before"]
    if change.product == 0 and change.before2 > 0:
        spectra["projected"] = spectra["delta"]
    spectra = {g: spectra[g] for g in GROUPS if g in spectra}
    _check_range(spectra)
    if moved:
        with lease.threads(plan.workers, spare=True) as fraction:
            how["num_threads"] = options.threads_of(fraction)
            spectra = with_noise(pair, spectra, norms, options, **how)
            update |= _of_requested(pair, spectra, options, **how)
            if isinstance(pair, StoredPair):
                update |= direction_columns(pair.delta, norms, spectra, **how)
    passes = update_passes(pair, options.measures) if moved else 0
    return Findings(norms, spectra, structures, entries, update, passes)


def _check_range(spectra: Mapping[str, Spectrum]) -> None:
    """Raise OverflowError for values beyond float64, whose differences are not numbers."""
    beyond = [_NOUNS[group] for group, spectrum in spectra.items() if np.isinf(spectrum.top).any()]
    if beyond:
        raise OverflowError(
            f"{' and '.join(beyond)}: singular values are beyond the range of float64; compare "
            "both matrices times 2**-64"
        )


def _moments(a: Matrix, **options: Any) -> Moments:
    """Compute the element statistics that reveal a special structure."""
    return element_moments(a, CallOptions.of(a, **options), histogram=False)


def _extremes(moments: Mapping[str, Moments], decay: float) -> dict[str, Extremes | None]:
    """Return each matrix's largest row, column and entry, or a bound, where one is known."""
    extremes = {group: Extremes.of(seen) for group, seen in moments.items()}
    before, delta = extremes.get("before"), extremes.get("delta")
    if before is not None and delta is not None:
        bound = delta.plus(before, decay)
        near = all(a <= _NEAR * b for a, b in zip(bound, delta, strict=True))
        extremes["projected"] = bound if near else None
    return extremes


def _of_requested(
    pair: MatrixPair, spectra: Mapping[str, Spectrum], options: Options, **how: Any
) -> Row:
    """Return the requested columns of an update, which read the matrices once more."""
    before, row = spectra["before"].svd, Row()
    if "update_shares" in options.measures:
        size = spectra["delta"].measures["fro_norm"].value
        row |= share_columns(pair.delta, size, before, **how)
    if "update_masks" in options.measures:
        row |= mask_columns(pair, before, how["num_threads"])
    return row


def _jobs(
    pair: MatrixPair, norms: PairNorms, k: int, extremes: Mapping[str, Extremes | None]
) -> tuple[dict[str, Job], dict[str, Spectrum]]:
    """Return the spectra to compute, and the known spectra of zero matrices."""
    zero, change = _zero_spectrum(pair.before.shape, k), norms.change
    jobs: dict[str, Job] = {}
    known = {}
    for group, a, norm2 in (
        ("before", pair.before, change.before2),
        ("after", pair.after, norms.after2),
        ("delta", pair.delta, change.change2),
    ):
        if norm2 == 0:
            known[group] = zero
        else:
            # The norm of a weight plus an adapter's change is not a sum over its entries.
            summed = isinstance(pair, StoredPair) and math.isfinite(norm2)
            summed = summed and norms.unit == norms.delta_unit == 0  # a square that float64 holds
            jobs[group] = Job(a, norm2 if summed else None, extremes.get(group))
    if change.change2 == 0:
        jobs.pop("after", None)  # the same as before
    elif change.product != 0:
        without = pair.without(change.product / change.before2)
        jobs["projected"] = Job(without, None, extremes.get("projected"))
    return jobs, known


def _zero_spectrum(shape: tuple[int, int], k: int) -> Spectrum:
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
        measures=statistics.measures_from_values(
            zeros, zeros, statistics.MatrixNorms(shape, 0.0), k=k
        ),
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
