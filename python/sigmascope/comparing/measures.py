# SPDX-License-Identifier: BSD-3-Clause
"""The columns of a row from the results for its pair of matrices."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from sigmascope._tables.schema import Row
from sigmascope.scanning.rows import LISTS, MEASURES, spectrum_columns
from sigmascope.scanning.structure import in_words
from sigmascope.spectra import Measure, Spectrum
from sigmascope.spectra.statistics import pairs
from sigmascope.spectra.units import scaled

from .analysis import Findings
from .pair_norms import PairNorms
from .quantisation import error_columns
from .rows import GROUPS
from .subspaces import angle_columns
from .updates import intruder_columns, spectral_columns


def pair_columns(results: Findings, num_threads: int, threads: int) -> Row:
    """Return the columns of one pair; `threads` is the number that may be used for this."""
    spectra = results.spectra
    passes = results.norms.passes + bool(results.structures) + bool(results.entries)
    passes += results.update_passes
    passes += max((one.passes for one in results.structures.values()), default=0)
    row = _evidence(spectra, passes, num_threads)
    for group in GROUPS:
        if group in spectra:
            row |= _of_group(group, spectra[group])
    row |= _changes(spectra["before"], spectra["after"])
    row |= _of_norms(results.norms) | results.entries | results.update
    size = spectra["delta"].measures["fro_norm"].value
    row |= error_columns(results.norms, row, size)
    row |= {
        f"{side}_structure": in_words(one, spectra[side])
        for side, one in results.structures.items()
    }
    before, after, delta = (spectra[group].svd for group in ("before", "after", "delta"))
    row |= angle_columns("", before, after, threads, together=True)
    row |= angle_columns("delta_", delta, before, threads, together=False)
    return row | intruder_columns(before, after, threads) | spectral_columns(spectra)


def _evidence(spectra: Mapping[str, Spectrum], passes: int, num_threads: int) -> Row:
    first = spectra["before"]
    return {
        "rows": first.shape[0],
        "columns": first.shape[1],
        "effort": first.effort,
        "k": first.k,
        "method": _joined(one.method for one in spectra.values()),
        "precision": _joined(one.precision for one in spectra.values()),
        "passes": passes + sum(one.passes for one in spectra.values()),
        "seed": first.seed,
        "num_threads": num_threads,
        "device": _joined(one.device for one in spectra.values()),
        "converged": all(one.converged for one in spectra.values()),
        "notes": _notes(spectra),
    }


def _joined(words: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(words))


def _notes(spectra: Mapping[str, Spectrum]) -> str | None:
    groups_of: dict[str, list[str]] = {}
    for group, one in spectra.items():
        for note in one.notes:
            groups_of.setdefault(note, []).append(group)
    notes = [f"{', '.join(groups)}: {note}" for note, groups in groups_of.items()]
    return "; ".join(notes) or None


def _of_group(group: str, spectrum: Spectrum) -> Row:
    columns = spectrum_columns(spectrum)
    wanted = [name for measure in MEASURES for name in (measure, f"{measure}_error")]
    return {f"{group}_{name}": columns.get(name) for name in (*wanted, *LISTS)}


def _changes(before: Spectrum, after: Spectrum) -> Row:
    """Return the columns of `after` minus `before`.

    The errors of both are added, since their signs are unknown. If both were estimated with the
    same probes, the difference of the estimates has a smaller error, since the probes change both
    by nearly the same amount.
    """
    row: Row = {}
    alike = (before.seed, before.block) == (after.seed, after.block)
    for name, now in after.measures.items():
        if name not in before:
            continue
        was = before[name]
        change, error = now.value - was.value, now.error + was.error
        if before is after:
            error = 0.0
        elif alike and now.estimate is not None and was.estimate is not None:
            change, error = now.estimate.minus(was.estimate)
        row[f"change_{name}"], row[f"change_{name}_error"] = _finite(change), _finite(error)
    return row


def _finite(x: float) -> float | None:
    return float(x) if math.isfinite(x) else None


def _of_norms(norms: PairNorms) -> Row:
    row, shift = Row(), norms.delta_unit - norms.unit
    change = norms.change
    relative = pairs.relative_change(change.before2, change.change2, change.rounding)
    change = change._replace(change2=scaled(change.change2, 2 * shift))
    measures: dict[str, Measure | None] = {
        "relative_change": None if relative is None else relative.scaled(shift),
        "cosine": pairs.cosine(*change),
        "decay_coefficient": pairs.decay_coefficient(*change),
    }
    for name, measure in measures.items():
        if measure is not None:
            row[name], row[f"{name}_error"] = measure.value, measure.error
    if norms.unchanged is not None:
        row["update_sparsity"] = norms.unchanged
    if norms.floor is not None:
        row["rounding_floor"] = scaled(norms.floor, norms.unit)
        row["above_rounding"] = pairs.above_rounding(change.change2, norms.floor)
        row["rounding_effective_rank"] = norms.floor_rank
    return row
