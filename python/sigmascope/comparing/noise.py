# SPDX-License-Identifier: BSD-3-Clause
"""The values of a change that exceed noise, if its bulk alone cannot show them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from sigmascope._execution.options import CallOptions
from sigmascope._running.tasks import Options
from sigmascope.analysis.admission import SpectrumRequest
from sigmascope.analysis.approximation.noise_rank import NoiseRank, far_above
from sigmascope.errors import MemoryLimitError
from sigmascope.matrices.matrix import Matrix
from sigmascope.spectra import Measure, Spectrum
from sigmascope.spectra.statistics import pairs
from sigmascope.spectra.statistics.bulk import (
    EDGE_MEASURES,
    NO_BULK,
    Cut,
    effective_rank_above,
    is_unresolved,
)
from sigmascope.spectra.statistics.marchenko_pastur import MIN_VALUES
from sigmascope.spectra.units import scaled

from .matrix_pairs import MatrixPair
from .pair_norms import PairNorms
from .pair_plan import spectrum_options

ROUNDING_ALONE = "rounding alone explains the size and the singular values of the change"
"""The note of a change within the rounding of the stored numbers."""

WITHOUT_COUNT = (NO_BULK, ROUNDING_ALONE)
"""Notes that explain why a change has no count above noise."""


def with_noise(
    pair: MatrixPair,
    spectra: Mapping[str, Spectrum],
    norms: PairNorms,
    options: Options,
    **how: Any,
) -> dict[str, Spectrum]:
    """Return the spectra of a pair, with the values of the change above the noise.

    If all but a few values of a change are far below the resolution of a search, the change is
    searched again without its leading triplets. An example is a product that was merged in float32.
    A change within rounding has no edge if no value is clearly above its bulk.
    """
    by_group, far, change = dict(spectra), None, norms.change
    decay = change.product / change.before2 if change.before2 > 0 else 0.0
    for group in ("delta", "projected"):
        if group not in by_group:
            continue
        # An adapter's change has no noise: its bulk without the decay is the bulk of W.
        if isinstance(pair.delta, Matrix) and is_unresolved(by_group[group].measures):
            a = pair.delta if group == "delta" else pair.without(decay)
            far = far or _far_above(a, by_group[group], options, **how)
            if far is not None:
                by_group[group] = _with_rank(by_group[group], far)
        if _is_rounding(by_group[group], norms):
            by_group[group] = _without_edge(by_group[group])
    return by_group


def _far_above(delta: Any, spectrum: Spectrum, options: Options, **how: Any) -> NoiseRank | None:
    """Search for the values far above a noise that the spectrum does not resolve."""
    if not isinstance(delta, Matrix) or min(delta.shape) < MIN_VALUES:
        return None
    query = SpectrumRequest.of(**spectrum_options(options) | {"measures": ()} | how)
    call = CallOptions.of(delta, **how)
    with suppress(MemoryLimitError):
        return far_above(delta, spectrum, call, query, seed=options.seed, max_passes=300)
    return None


def _with_rank(spectrum: Spectrum, far: NoiseRank) -> Spectrum:
    """Return a spectrum with the number of values far above its noise."""
    known = spectrum.known
    count = far.outliers or Measure(float(far.rank), 0.0, known.basis)
    measures = spectrum.measures | {"mp_outliers": count}
    if far.edge is not None:
        soft = (far.edge / float(spectrum.top[0])) * (far.edge / float(spectrum.top[0]))
        measures |= {"mp_edge": far.edge, "mp_softrank": soft}
    if far.rank <= len(known.values):
        above = Cut(float(known.values[far.rank - 1]) * (1.0 - 1e-9))
        measures["effective_rank_above_edge"] = effective_rank_above(known, above, count)
    return replace(spectrum, measures=measures, notes=(*spectrum.notes, far.note))


def _is_rounding(spectrum: Spectrum, norms: PairNorms) -> bool:
    """Return whether a change is within rounding, without a value clearly above a bulk."""
    count = spectrum.measures.get("mp_outliers")
    if norms.floor is None or count is None or count.value - count.error >= 1:
        return False
    change2 = scaled(norms.change.change2, 2 * (norms.delta_unit - norms.unit))
    return not pairs.above_rounding(change2, norms.floor)


def _without_edge(spectrum: Spectrum) -> Spectrum:
    kept = {name: m for name, m in spectrum.measures.items() if name not in EDGE_MEASURES}
    return replace(spectrum, measures=kept, notes=(*spectrum.notes, ROUNDING_ALONE))
