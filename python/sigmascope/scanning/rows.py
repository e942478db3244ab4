# SPDX-License-Identifier: BSD-3-Clause
"""The columns of a scan's rows.

A row is a plain record with every column of `COLUMNS`, in this order. A column that does not apply
is None.

===================  ============================================================================
tensor               `name` (unique; a slice is "tensor[3]", or "tensor[q]"), `tensor`, `file`,
                     `dtype`, `shape` as stored, `nbytes` (of this matrix), `kind` (as the
                     checkpoint says: "matrix", "stack", "kernel", "vector", "unreadable" and so
                     on), `view` (how the matrix is cut out of its tensor, if it is not the whole
                     tensor), `layer`, `role`, `tower`, `expert`
outcome              `status`: "analysed", "entrywise" (a tensor without a spectrum, read entry by
                     entry), "not analysed", "failed" or "excluded"; `reason`; `failure`: "data", or
                     "environment", which may not occur again
evidence             `rows` and `columns` of the matrix, `effort`, `k`, `method`, `precision`,
                     `passes` (reads of the matrix), `block`, `basis_columns`, `seed`, `seconds`,
                     `num_threads`, `device` (which computed the values), `converged`, `notes`;
                     `product_rank`: the rank r of a change B A that an adapter makes, else None
moments              of the finite elements, `abs_max` the largest magnitude; `nan`, `inf` and the
                     position `first_nonfinite`; `outlier_rows` and `outlier_columns` count norms
                     far above the median, as :meth:`sigmascope.results.Moments.outlier_rows` does;
                     `outlier_row_indices` and `outlier_column_indices` are the eight farthest from
                     the median, farthest first; `outlier_row_factors` and `outlier_column_factors`
                     are the ratios of their norms to the median norm, unless it is 0. Entrywise:
                     `min`, `max`, `abs_max`, `mean`, `zeros`, and the norm as `fro_norm`
structure            `structure` describes a special structure: "all zero", "constant", "rank 1",
                     "rank 40 of 64", equal rows or columns; None for most matrices. `copied_rows`
                     and `copied_columns` count rows and columns that equal an earlier one, entry by
                     entry; 0 if the entries have so few distinct values that coincidences explain
                     the copies
circuits             of a circuit "qk", where its logits have a known factor: the bounds on the
                     magnitude of an attention logit, a number without a unit,
                     `logit_bound_same_position` for a query and a key at one position and
                     `logit_bound_any_positions` for any two; see
                     :class:`sigmascope.adapters.LogitBound`
measures             value and `<name>_error`, see :mod:`sigmascope.spectra.statistics`;
                     `alpha_farms`, `randomized_distance` and `correlation_traps` on request only
                     (:mod:`sigmascope.analysis.requested`)
top                  the k largest singular values and their error bounds (`top`, `top_errors`)
quantiles            each sigma below which 0, 1/32, ..., 1 of all values lie, and its error
                     (`quantiles`, `quantile_errors`); None at effort "top"
weightwatcher        `ww_alpha`, `ww_D`, `ww_xmin`, `ww_num_pl_spikes`, `ww_log_alpha_norm`: a power
                     law by weightwatcher's rules, for :meth:`Scan.to_weightwatcher`; only at effort
                     "exact"
===================  ============================================================================
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sigmascope._tables.schema import Kind, Row, Schema
from sigmascope.analysis.spectrum import REQUESTED
from sigmascope.checkpoint.record import TensorRecord
from sigmascope.spectra import Moments, Spectrum, weightwatcher

SCHEMA = "sigmascope.scan"
VERSION = 6
READS = (2, 3, 4, 5, 6)
"""Versions of saved scans that can be read; columns that a version lacks are None."""

_TENSOR: dict[str, Kind] = {
    "name": "str",
    "tensor": "str",
    "file": "str",
    "dtype": "str",
    "shape": "ints",
    "nbytes": "int",
    "kind": "str",
    "view": "str",
    "layer": "int",
    "role": "str",
    "tower": "str",
    "expert": "int",
    "status": "str",
    "reason": "str",
    "failure": "str",
}
_EVIDENCE: dict[str, Kind] = {
    "rows": "int",
    "columns": "int",
    "effort": "str",
    "k": "int",
    "method": "str",
    "precision": "str",
    "passes": "int",
    "block": "int",
    "basis_columns": "int",
    "seed": "uint",
    "seconds": "float",
    "num_threads": "int",
    "device": "str",
    "converged": "bool",
    "notes": "str",
    "product_rank": "int",
}
_FARTHEST: dict[str, Kind] = {
    "outlier_row_indices": "ints",
    "outlier_row_factors": "floats",
    "outlier_column_indices": "ints",
    "outlier_column_factors": "floats",
}
_MOMENTS: dict[str, Kind] = {
    "min": "float",
    "max": "float",
    "abs_max": "float",
    "mean": "float",
    "std": "float",
    "skewness": "float",
    "kurtosis": "float",
    "zeros": "int",
    "nan": "int",
    "inf": "int",
    "first_nonfinite": "ints",
    "outlier_rows": "int",
    "outlier_columns": "int",
    **_FARTHEST,
}
_STRUCTURE: dict[str, Kind] = {"structure": "str", "copied_rows": "int", "copied_columns": "int"}
LOGITS: dict[str, Kind] = {
    "logit_bound_same_position": "float",
    "logit_bound_any_positions": "float",
}
MEASURES = (
    "fro_norm",
    "spectral_norm",
    "nuclear_norm",
    "stable_rank",
    "effective_rank",
    "effective_rank_energy",
    "spectral_entropy",
    "participation_ratio",
    "nuclear_rank",
    "numerical_rank",
    "energy_rank_50",
    "energy_rank_90",
    "energy_rank_95",
    "energy_rank_99",
    "concentration_1",
    "concentration_10",
    "concentration_k",
    "condition",
    "alpha",
    "alpha_D",
    "alpha_x_min",
    "alpha_tail",
    "alpha_low",
    "alpha_high",
    "alpha_weighted",
    "log_alpha_norm",
    "alpha_hill",
    "mp_edge",
    "mp_outliers",
    "mp_softrank",
    "effective_rank_above_edge",
    "mp_lower_outliers",
    "shoulder_200",
    "shoulder_286",
    "shoulder_400",
)
_MEASURES: dict[str, Kind] = {
    column: "float" for name in (*MEASURES, *REQUESTED) for column in (name, f"{name}_error")
}
LISTS: dict[str, Kind] = {
    "top": "floats",
    "top_errors": "floats",
    "quantiles": "floats",
    "quantile_errors": "floats",
}
_WEIGHTWATCHER: dict[str, Kind] = dict.fromkeys(weightwatcher.FIT, "float")

COLUMNS: dict[str, Kind] = {
    **_TENSOR,
    **_EVIDENCE,
    **_MOMENTS,
    **_STRUCTURE,
    **LOGITS,
    **_MEASURES,
    **LISTS,
    **_WEIGHTWATCHER,
}
"""Every column of a row, in order, with its type; lists hold numbers."""

_SINCE_3 = ("effective_rank_above_edge", "shoulder_200", "shoulder_286", "shoulder_400", *REQUESTED)
_SINCE_4 = ("mp_lower_outliers",)
_LATER = ("quantiles", "quantile_errors", "abs_max", "device", "product_rank")
ADDED = {*_WEIGHTWATCHER, *_STRUCTURE, *_FARTHEST, *_LATER, *LOGITS} | {
    column for name in (*_SINCE_3, *_SINCE_4) for column in (name, f"{name}_error")
}
"""Columns that earlier versions, or earlier files of this version, do not have."""

SCAN = Schema(SCHEMA, VERSION, "scan", COLUMNS, READS, frozenset(ADDED))

FARTHEST = 8
"""Largest number of outlier channels that a row lists."""

TIMING = ("seconds", "num_threads", "device")
"""Columns that may differ between two runs on processors, or devices, of one kind.

All others are the same bits in every run.
"""


def start_row(record: TensorRecord, name: str, status: str, reason: str | None = None) -> Row:
    """Return the row of a stored tensor, or of one matrix of it, before the analysis."""
    row: Row = dict.fromkeys(COLUMNS)
    row |= {column: record[column] for column in ("dtype", "file", "nbytes", "view")}
    row |= {column: record[column] for column in ("layer", "role", "tower", "expert")}
    row["name"], row["tensor"], row["shape"] = name, record["name"], list(record["shape"])
    row["kind"], row["status"], row["reason"] = record["status"], status, reason
    return row


def spectrum_columns(spectrum: Spectrum) -> Row:
    """Return the evidence, moments, measures, largest values and quantiles of one spectrum."""
    unknown = set(spectrum.measures) - {*MEASURES, *REQUESTED}
    if unknown:
        raise KeyError(f"measures without a column in a scan: {', '.join(sorted(unknown))}")
    row: Row = dict(spectrum.to_dict())
    row["notes"] = row["notes"] or None
    row |= _finite_curve("top", "top_errors", spectrum.top, spectrum.top_errors)
    quantiles = spectrum.quantiles()
    if quantiles is not None:
        row |= _finite_curve("quantiles", "quantile_errors", *quantiles)
    if spectrum.moments is not None:
        row |= moment_columns(spectrum.moments)
    return row


def _finite_curve(
    name: str, errors_name: str, values: NDArray[np.float64], errors: NDArray[np.float64]
) -> Row:
    """Return values and errors as lists; None if one is infinite, which no table of JSON holds."""
    if not (np.isfinite(values).all() and np.isfinite(errors).all()):
        return {name: None, errors_name: None}
    return {name: values.tolist(), errors_name: errors.tolist()}


def moment_columns(moments: Moments) -> Row:
    """Return the elementwise statistics of one matrix."""
    place = moments.first_nonfinite
    rows, columns = moments.outlier_rows(), moments.outlier_columns()
    return {
        "min": float(moments.min),
        "max": float(moments.max),
        "abs_max": float(moments.abs_max),
        "mean": float(moments.mean),
        "std": float(moments.std),
        "skewness": float(moments.skewness),
        "kurtosis": float(moments.kurtosis),
        "zeros": int(moments.zeros),
        "nan": int(moments.nan),
        "inf": int(moments.inf),
        "first_nonfinite": None if place is None else list(place),
        "outlier_rows": len(rows),
        "outlier_columns": len(columns),
        **_farthest("row", rows, moments.row_norms),
        **_farthest("column", columns, moments.column_norms),
    }


def _farthest(which: str, outliers: NDArray[np.intp], norms: NDArray[np.float64] | None) -> Row:
    """Return the outlier channels of largest norm, and the ratios of their norms to the median."""
    if len(outliers) == 0 or norms is None:
        return {}
    farthest = outliers[np.argsort(-norms[outliers], kind="stable")[:FARTHEST]]
    row: Row = {f"outlier_{which}_indices": farthest.tolist()}
    median = float(np.median(norms))
    if median > 0:
        row[f"outlier_{which}_factors"] = (norms[farthest] / median).tolist()
    return row
