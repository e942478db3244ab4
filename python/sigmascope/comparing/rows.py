# SPDX-License-Identifier: BSD-3-Clause
"""The columns of a comparison's rows: a row for every pair and every tensor without a partner.

Every row has every column of `COLUMNS`, in this order. A column that does not apply is None. Rows
follow the order of `before`; tensors that only `after` has come last.

===================  ============================================================================
pair                 `name` (unique: the name in `before`, or in `after` if `before` lacks the
                     tensor), `before`, `after`, and for each `..._file`, `..._dtype`, `..._shape`
                     as stored; `nbytes` of both, `kind` (as in the rows of a scan; "unreadable" if
                     either is), `layer`, `role`, `tower`, `expert`
outcome              `status`: "analysed", "entrywise" (vectors, scalars, integers and scales, which
                     have no spectrum and were compared entry by entry), "not analysed", "unpaired",
                     "failed" or "excluded"; `reason`; `failure`: "data", or "environment", which
                     may not occur again
evidence             `rows` and `columns` that were compared, `effort`, `k`, `method`, `precision`,
                     `passes` (over all spectra), `seed`, `seconds` (of all threads; the seconds of
                     all rows add up), `num_threads`, `device` (which computed the values),
                     `converged`, `notes`
measures X           for every measure X of a scan: `before_X`, `after_X`; `change_X`, after minus
                     before; `delta_X` of dW = after - before; `projected_X` of dW - c before, the
                     part of dW that is orthogonal to `before`; each with `..._error`
pair as a whole      see :mod:`sigmascope.spectra.statistics.pairs`: `relative_change`, `cosine`,
                     `decay_coefficient` (c), with errors; `rounding_floor`, `above_rounding`,
                     `rounding_effective_rank`
update               see :mod:`sigmascope.spectra.statistics.updates`: `update_sparsity`, the share
                     of entries with |w' - w| <= 1e-3 max(|w|, |w'|); of dW, `changed_rows`, the
                     number of rows that are not zero, `delta_kurtosis` (3 for a Gaussian),
                     `delta_row_evenness`, `delta_column_evenness`; at effort "exact"
                     `spectral_shift`, `spectral_share`, `spectral_scale`, `spectral_scale_spread`,
                     with errors. Of the `intruders_looked_at` leading left directions of W',
                     `intruders` and `intruders_undecided` count those that resemble no direction of
                     W; `intruder_energy`, `intruder_energy_undecided` are their shares of the
                     energy
circuits             of a pair of circuits "qk": `before_logit_bound_same_position`,
                     `before_logit_bound_any_positions`, the same for `after`, and `change_...`,
                     after minus before, as in the rows of a scan
on request           "update_shares": the shares of dW in the `share_dimension` leading singular
                     subspaces of W, `share_left`, `share_right`, `share_both`, each with `_error`,
                     and `_chance`, the share of an update without preference. "update_masks":
                     `principal_overlap`, the share of the changed entries that are among the
                     largest tenth of the rank-k approximation of W; `low_overlap`, among the
                     smallest tenth of W; each with `_chance`, the share of all entries
quantisation         if exactly one matrix is quantised
                     (:mod:`sigmascope.spectra.statistics.quantisation`): `effective_bits`,
                     log2(||W|| / ||dW||), with its error; `error_edge`, the largest singular value
                     of independent errors of the size of dW; for the leading right singular vectors
                     v of W, `direction_errors`, |dW v| / sigma, and `direction_noise`, the same for
                     independent errors; `hurt_directions` lists the directions, numbered from 1,
                     whose error is clearly above that
entries              for rows with status "entrywise", and for matrices whose change is not above
                     the rounding floor: `changed_entries`, the number of entries that differ;
                     `beyond_rounding`, the number that differ by more than a unit in the last place
                     of the coarser format; `before_abs_max`, `after_abs_max`, `delta_abs_max`, the
                     largest magnitudes; `before_nan`, `before_inf`, `before_first_nonfinite`, and
                     the same for `after`
structure            `before_structure`, `after_structure` describe a special structure, as in the
                     rows of a scan: "all zero", "constant" and so on
lists                for each of the four matrices, as in the rows of a scan: `before_top` and so on
angles               in radians, ascending: `angles_left`, `angles_right` between the leading
                     singular subspaces of before and after; `delta_angles_left`,
                     `delta_angles_right` between the leading subspaces of dW and of before. The
                     dimension is the largest, at most k, that the errors resolve; each list has one
                     `..._error`
===================  ============================================================================

In a comparison with an adapter, `after` is the name of the change, and `name` ends with the
adapter's name in brackets if there are several. `rounding_effective_rank` and the measures of the
bulk of dW are None.
"""

from __future__ import annotations

from sigmascope._tables.schema import Kind, Schema
from sigmascope.scanning.rows import COLUMNS as SCAN_COLUMNS
from sigmascope.scanning.rows import LISTS, LOGITS, MEASURES

GROUPS = ("before", "after", "delta", "projected")
"""Prefixes of the four matrices whose spectra are computed."""

ANGLES = ("angles_left", "angles_right", "delta_angles_left", "delta_angles_right")

_PAIR: dict[str, Kind] = {
    "name": "str",
    "before": "str",
    "after": "str",
    "before_file": "str",
    "after_file": "str",
    "before_dtype": "str",
    "after_dtype": "str",
    "before_shape": "ints",
    "after_shape": "ints",
    "nbytes": "int",
    "kind": "str",
    "layer": "int",
    "role": "str",
    "tower": "str",
    "expert": "int",
    "status": "str",
    "reason": "str",
    "failure": "str",
}
_EVIDENCE: dict[str, Kind] = {
    name: SCAN_COLUMNS[name]
    for name in (
        "rows",
        "columns",
        "effort",
        "k",
        "method",
        "precision",
        "passes",
        "seed",
        "seconds",
        "num_threads",
        "device",
        "converged",
        "notes",
        "product_rank",
    )
}
_MEASURES: dict[str, Kind] = {
    column: "float"
    for measure in MEASURES
    for group in ("before", "after", "change", "delta", "projected")
    for column in (f"{group}_{measure}", f"{group}_{measure}_error")
}
_CHANGE: dict[str, Kind] = {
    "relative_change": "float",
    "relative_change_error": "float",
    "cosine": "float",
    "cosine_error": "float",
    "decay_coefficient": "float",
    "decay_coefficient_error": "float",
    "rounding_floor": "float",
    "above_rounding": "bool",
    "rounding_effective_rank": "float",
}
_UPDATE: dict[str, Kind] = {
    "update_sparsity": "float",
    "changed_rows": "int",
    "delta_kurtosis": "float",
    "delta_row_evenness": "float",
    "delta_column_evenness": "float",
    **{
        f"{name}{suffix}": "float"
        for name in ("spectral_shift", "spectral_share", "spectral_scale", "spectral_scale_spread")
        for suffix in ("", "_error")
    },
    "intruders": "int",
    "intruders_undecided": "int",
    "intruders_looked_at": "int",
    "intruder_energy": "float",
    "intruder_energy_undecided": "float",
    "share_dimension": "int",
    **{
        f"share_{side}{suffix}": "float"
        for side in ("left", "right", "both")
        for suffix in ("", "_error", "_chance")
    },
    **{
        f"{mask}_overlap{suffix}": "float"
        for mask in ("principal", "low")
        for suffix in ("", "_chance")
    },
}
_CIRCUITS: dict[str, Kind] = {
    f"{group}_{name}": kind
    for group in ("before", "after", "change")
    for name, kind in LOGITS.items()
}
_QUANTISATION: dict[str, Kind] = {
    "effective_bits": "float",
    "effective_bits_error": "float",
    "error_edge": "float",
    "direction_errors": "floats",
    "direction_noise": "floats",
    "hurt_directions": "ints",
}
_ENTRIES: dict[str, Kind] = {
    "changed_entries": "int",
    "beyond_rounding": "int",
    "before_abs_max": "float",
    "after_abs_max": "float",
    "delta_abs_max": "float",
    **{
        f"{side}_{name}": SCAN_COLUMNS[name]
        for side in ("before", "after")
        for name in ("nan", "inf", "first_nonfinite", "structure")
    },
}
_LISTS: dict[str, Kind] = {f"{group}_{name}": "floats" for group in GROUPS for name in LISTS}
_ANGLES: dict[str, Kind] = {}
for _name in ANGLES:
    _ANGLES[_name] = "floats"
    _ANGLES[f"{_name}_error"] = "float"

COLUMNS: dict[str, Kind] = {
    **_PAIR,
    **_EVIDENCE,
    **_CHANGE,
    **_UPDATE,
    **_CIRCUITS,
    **_QUANTISATION,
    **_ENTRIES,
    **_MEASURES,
    **_LISTS,
    **_ANGLES,
}
"""Every column of a row, in order, with its type; lists hold numbers."""

_NEW_MEASURES = ("mp_lower_outliers", "correlation_traps")
_ADDED = (
    frozenset(_ENTRIES)
    | frozenset(_UPDATE)
    | frozenset(_CIRCUITS)
    | frozenset(_QUANTISATION)
    | {"device", "product_rank"}
    | frozenset(column for column in _MEASURES if any(name in column for name in _NEW_MEASURES))
)
"""Columns that earlier versions lack."""

COMPARISON = Schema("sigmascope.comparison", 4, "comparison", COLUMNS, (1, 2, 3, 4), _ADDED)
