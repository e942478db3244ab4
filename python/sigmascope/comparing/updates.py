# SPDX-License-Identifier: BSD-3-Clause
"""Columns that describe the update of a pair; published work uses them to distinguish regimes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope._execution.memory import Need
from sigmascope._tables.schema import Row
from sigmascope.analysis.low_rank import LowRank
from sigmascope.checkpoint.elements import CHUNK
from sigmascope.matrices.matrix import Matrix, multiply
from sigmascope.matrices.sources import matrix
from sigmascope.solvers.change import UNCHANGED, images, inner_need
from sigmascope.spectra import SVD, Measure, Moments, Spectrum
from sigmascope.spectra.statistics import pairs, updates
from sigmascope.spectra.units import exponent_of, in_units, scaled, scaled_errors

from .matrix_pairs import MatrixPair, StoredPair
from .subspaces import inner_products, left_directions, span_bounds

ON_REQUEST = ("update_shares", "update_masks")
"""Names of the measures of an update that need additional reads."""

MASK_SHARE = 0.1
"""Share of the entries in a mask of the largest, or of the smallest ones."""

_BINS = 1 << 15
"""Magnitudes of float32 with the same upper 16 bits are counted together: 1/128 of their size."""

_BYTES_OF_ENTRY = 64
"""Bytes of all arrays of :func:`mask_columns` per entry of the examined rows."""


def update_passes(pair: MatrixPair, measures: Sequence[str]) -> int:
    """Return the number of passes for the columns of an update; an adapter does not need passes."""
    if not isinstance(pair, StoredPair):
        return 0
    requested = 2 * ("update_shares" in measures) + ("update_masks" in measures)
    return 1 + requested + (pair.quantised == 1)  # the errors along the directions of W


def spread_columns(delta: Matrix | LowRank, seen: Moments | None) -> Row:
    """Return how a nonzero update is spread over its entries, rows and columns.

    `seen`: the statistics of the elements of a matrix. For the change of an adapter, the triplets
    give the rows.
    """
    if isinstance(delta, LowRank):
        svd = delta.svd()
        assert svd.U is not None
        assert svd.Vt is not None
        s, _ = in_units(svd.s, 1)
        rows, columns = (np.linalg.norm(X * s, axis=1) for X in (svd.U, svd.Vt.T))
        kurtosis, changed = math.nan, None  # rounding hides which rows of the product are zero
    else:
        assert seen is not None
        assert seen.row_norms is not None
        rows, columns, kurtosis = seen.row_norms, seen.column_norms, seen.kurtosis
        changed = int(np.count_nonzero(rows))
    return {
        "changed_rows": changed,
        "delta_kurtosis": kurtosis if math.isfinite(kurtosis) else None,
        "delta_row_evenness": updates.evenness(rows),
        "delta_column_evenness": updates.evenness(columns),
    }


def spectral_columns(spectra: Mapping[str, Spectrum]) -> Row:
    """Return how the singular values moved, if all values of both matrices are known."""
    size = spectra["delta"].measures["fro_norm"].value
    norms = (spectra[side].measures["fro_norm"].value for side in ("before", "after"))
    unit = exponent_of(max(norms))
    before, after = (_values(spectra[side], unit) for side in ("before", "after"))
    if before is None or after is None:
        return {}
    size = scaled(size, -unit)
    measures: dict[str, Measure | None] = {
        "spectral_shift": updates.spectral_shift(before, after),
        "spectral_share": updates.spectral_share(before, after, size),
        **updates.spectral_scale(before, after),
    }
    row: Row = {}
    for name, measure in measures.items():
        if measure is not None and math.isfinite(measure.value):
            row[name], row[f"{name}_error"] = measure.value, measure.error
    return row


def _values(spectrum: Spectrum, unit: int) -> updates.Values | None:
    """Return all singular values in units of 2^unit; None if some are not known."""
    s, errors = spectrum.values, spectrum.value_errors
    if s is None or errors is None:
        return None
    return updates.Values(scaled(s, -unit), scaled_errors(errors, s, -unit))


def intruder_columns(before: SVD | None, after: SVD | None, num_threads: int) -> Row:
    """Count the leading left directions of W' that resemble no direction of W."""
    if before is None or after is None:
        return {}
    was, now = left_directions(before, len(before.s)), left_directions(after, updates.LEADING)
    if was is None or now is None:
        return {}
    cosines = inner_products(num_threads)(was.vectors, now.vectors)
    intruders = updates.intruders(was, now, cosines)
    return {
        "intruders": intruders.new,
        "intruders_undecided": intruders.undecided,
        "intruders_looked_at": intruders.looked_at,
        "intruder_energy": intruders.energy,
        "intruder_energy_undecided": intruders.undecided_energy,
    }


def share_columns(delta: Matrix | LowRank, size: float, before: SVD | None, **options: Any) -> Row:
    """Return the shares of an update in leading singular subspaces of W, and those of chance.

    Takes two passes over dW, with products in float64. For an adapter's change, the triplets
    suffice.
    """
    if before is None or before.U is None or before.Vt is None:
        return {}
    spans = span_bounds(before)
    k = pairs.resolved(spans)
    if k == 0:
        return {}
    U, V = before.U[:, :k], before.Vt[:k].T
    if isinstance(delta, LowRank):
        svd = delta.svd()
        assert svd.U is not None
        assert svd.Vt is not None
        left, right = (svd.Vt.T * svd.s) @ (svd.U.T @ U), (svd.U * svd.s) @ (svd.Vt @ V)
    else:
        left, right = (images(a, X, **options) for a, X in ((delta.T, U), (delta, V)))
    unit = exponent_of(size)
    left, right, size = scaled(left, -unit), scaled(right, -unit), scaled(size, -unit)
    both = inner_products(options["num_threads"])(U, right)
    sine = float(spans[k - 1])
    shares = updates.shares_in_subspaces((left, right, both), size, delta.shape, (sine, sine))
    if shares is None:
        return {}
    row: Row = {"share_dimension": k}
    named = zip(("left", "right", "both"), shares[:3], shares.chance, strict=True)
    for side, share, chance in named:
        row[f"share_{side}"], row[f"share_{side}_error"] = share.value, share.error
        row[f"share_{side}_chance"] = chance
    return row


def share_need(delta: Matrix, k: int, **options: Any) -> Need:
    """Return the need of :func:`share_columns` beyond the vectors of W."""
    result = 8 * k * sum(delta.shape)
    return inner_need(delta, k, **options).plus(result)


def mask_columns(pair: MatrixPair, before: SVD | None, num_threads: int) -> Row:
    """Return the shares of the changed entries that lie in two masks, and those of chance.

    The principal mask has the largest entries of the rank-k approximation of W by its leading
    triplets; the low-magnitude mask has the smallest entries of W (arXiv 2511.08567). Each mask has
    about :data:`MASK_SHARE` of all entries; the share is not exact, since magnitudes are compared
    by the upper 16 bits of float32. `update_sparsity` defines which entries changed. Takes one pass
    over both matrices.
    """
    if not isinstance(pair, StoredPair) or before is None or before.U is None:
        return {}
    assert before.Vt is not None
    unit = math.frexp(float(before.s[0]))[1]
    unit = unit if abs(unit) > 100 else 0  # float32 holds numbers of 2^-126 to 2^128
    s = scaled(np.asarray(before.s, np.float64), -unit)
    left, right = before.U * s.astype(before.U.dtype), np.ascontiguousarray(before.Vt)
    counts = np.zeros((2, 2, _BINS), dtype=np.int64)
    height = max(CHUNK // pair.before.shape[1], 1)
    for i in range(0, pair.before.shape[0], height):
        w, now = (a[i : i + height].native.decode_f64(num_threads) for a in pair._stored)
        low = multiply(matrix(left[i : i + height]), right, num_threads=num_threads)
        changed = np.abs(now - w) > UNCHANGED * np.maximum(np.abs(w), np.abs(now))
        for of_mask, numbers in zip(counts, (low, scaled(w, -unit)), strict=True):
            bins = _bins(numbers)
            of_mask[0] += np.bincount(bins.ravel(), minlength=_BINS)
            of_mask[1] += np.bincount(bins[changed], minlength=_BINS)
    row: Row = {}
    for name, of_mask, largest in (("principal", counts[0], True), ("low", counts[1], False)):
        row |= _overlap(name, of_mask[:, ::-1] if largest else of_mask)
    return row


def mask_need(shape: tuple[int, int]) -> Need:
    """Return the need of :func:`mask_columns`."""
    m, n = shape
    return Need(0, _BYTES_OF_ENTRY * n * min(max(CHUNK // n, 1), m) + 8 * 4 * _BINS)


def _bins(numbers: NDArray[np.floating]) -> NDArray[np.uint32]:
    """Return the upper bits of each magnitude in float32."""
    magnitude = np.abs(numbers).astype(np.float32)
    return np.asarray(magnitude.view(np.uint32) >> np.uint32(16))


def _overlap(name: str, counts: NDArray[np.int64]) -> Row:
    """Return the share of changed entries in the first bins that together hold enough entries."""
    every, changed = (int(x) for x in counts.sum(axis=1))
    if changed == 0:
        return {}
    share = np.cumsum(counts[0]) / every
    last = int(np.argmin(np.abs(share - MASK_SHARE)))
    inside = int(counts[1, : last + 1].sum()) / changed
    return {f"{name}_overlap": inside, f"{name}_overlap_chance": float(share[last])}
