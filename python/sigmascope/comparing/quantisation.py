# SPDX-License-Identifier: BSD-3-Clause
"""The error of a quantised matrix: the error of its format, and the directions of W it hurts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sigmascope._execution.memory import Need
from sigmascope._execution.options import CallOptions
from sigmascope._tables.schema import Row
from sigmascope.matrices.matrix import Matrix
from sigmascope.solvers.change import images, inner_need
from sigmascope.solvers.moments import element_moments
from sigmascope.spectra import Measure, Moments, Spectrum
from sigmascope.spectra.statistics import quantisation
from sigmascope.spectra.statistics.quantisation import Profile
from sigmascope.spectra.units import in_units, scaled

from .pair_norms import PairNorms


def expected_errors(stored: Matrix, **options: Any) -> Moments | None:
    """Return the moments of the deviations of a matrix's rounding errors, from one pass.

    Their norms are the expected norms of the errors: of all, of the rows and of the columns. None
    if the matrix is not quantised, or its format does not determine them. Options as for
    :func:`moments`.
    """
    native = stored.native.deviations() if stored.native.quantised else None
    if native is None:
        return None
    deviations = Matrix(native)
    call = CallOptions.of(deviations, **options)
    return element_moments(deviations, call, histogram=False)


def profile_of(stored: tuple[Matrix, Matrix], errors: tuple[Moments | None, ...]) -> Profile | None:
    """Return the error profile of the quantised matrix of a pair.

    None unless exactly one matrix is quantised.
    """
    quantised = [a.native.quantised for a in stored]
    if sum(quantised) != 1:
        return None
    known = errors[quantised.index(True)]
    if known is None or known.row_norms is None or known.column_norms is None:
        return Profile.even(stored[0].shape)
    return Profile(known.row_norms, known.column_norms)


def error_columns(norms: PairNorms, row: Row, size: float) -> Row:
    """Return the columns of the error's size; empty unless exactly one matrix is quantised.

    `row` has the columns of the relative change, and `size` is the norm of dW.
    """
    relative = row.get("relative_change")
    if norms.profile is None or not relative:
        return {}
    bits = quantisation.effective_bits(Measure(relative, row["relative_change_error"], "exact"))
    return {
        "effective_bits": bits.value,
        "effective_bits_error": bits.error,
        "error_edge": quantisation.error_edge(norms.profile, size),
    }


def direction_columns(
    delta: Matrix, norms: PairNorms, spectra: Mapping[str, Spectrum], **options: Any
) -> Row:
    """Return the errors along the leading right singular vectors of W; empty without a profile.

    One pass over dW, products in float64.
    """
    before = spectra["before"].svd
    if norms.profile is None or before is None or before.Vt is None:
        return {}
    known = int(np.count_nonzero(before.s > 0))
    V, s = before.Vt[:known].T, before.s[:known]
    size = spectra["delta"].measures["fro_norm"].value
    moved, unit = in_units(images(delta, V, **options), 1)
    errors = scaled(np.linalg.norm(moved, axis=0), unit)
    noise = quantisation.direction_noise(norms.profile, size, V)
    return {
        "direction_errors": (errors / s).tolist(),
        "direction_noise": (noise / s).tolist(),
        "hurt_directions": quantisation.hurt_directions(errors, noise, norms.profile),
    }


def direction_need(delta: Matrix, k: int, **options: Any) -> Need:
    """Return the need of :func:`direction_columns` beyond the vectors of W."""
    return inner_need(delta, k, **options).plus(8 * k * delta.shape[0])
