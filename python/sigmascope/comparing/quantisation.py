# SPDX-License-Identifier: BSD-3-Clause
"""The error of a quantised matrix: what its format makes, and the directions of W that it hurts."""

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
    """Return the moments of the deviations of the rounding errors of a matrix, from one pass.

    Their norms are those expected of the errors: of all, of the rows and of the columns. None if
    the matrix is not quantised, or its format does not tell them. Options as for :func:`moments`.
    """
    native = stored.native.deviations() if stored.native.quantised else None
    if native is None:
        return None
    deviations = Matrix(native)
    call = CallOptions.of(deviations, cuda=True, **options)
    return element_moments(deviations, call, histogram=False)


def profile_of(stored: tuple[Matrix, Matrix], errors: tuple[Moments | None, ...]) -> Profile | None:
    """Return the profile of the error of the one matrix of a pair that is quantised.

    None if both are quantised, or neither is.
    """
    quantised = [a.native.quantised for a in stored]
    if sum(quantised) != 1:
        return None
    known = errors[quantised.index(True)]
    if known is None or known.row_norms is None or known.column_norms is None:
        return Profile.even(stored[0].shape)
    return Profile(known.row_norms, known.column_norms)


def error_columns(norms: PairNorms, row: Row, size: float) -> Row:
    """Return the columns of the size of the error; none unless one matrix is quantised.

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
    """Return the errors along the leading right singular vectors of W; none without a profile.

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
