# SPDX-License-Identifier: BSD-3-Clause
"""The rows of a comparison: one for every pair of tensors, and for every tensor without a partner.

Every row has every column of `COLUMNS`, in this order; None where there is nothing to say. In the
order of `before`, then what only `after` has.

===================  ============================================================================
pair                 `name` (unique: the name in `before`, or in `after` where there is none),
                     `before`, `after`, and of each `..._file`, `..._dtype`, `..._shape` as stored;
                     `nbytes` of both, `kind` (as in the rows of a scan; "unreadable" if either is),
                     `layer`, `role`, `tower`, `expert`
outcome              `status`: "analysed", "entrywise" (no spectrum: vectors, scalars, integers,
                     scales, whose numbers were compared one by one), "not analysed", "unpaired",
                     "failed" or "excluded"; `reason`; `failure`: "data", or "environment", which
                     may go well another time
evidence             `rows` and `columns` that were compared, `effort`, `k`, `method`, `precision`,
                     `passes` (over all spectra), `seed`, `seconds` (of all threads: those of all
                     rows add up), `num_threads`, `converged`, `notes`
measures X           of the rows of a scan: `before_X`, `after_X`; `change_X`, after minus before;
                     `delta_X` of dW = after - before; `projected_X` of dW - c before, the part of
                     dW that is orthogonal to `before`; each with `..._error`
of the pair          see :mod:`sigmascope.statistics.pairs`: `relative_change`, `cosine`,
                     `decay_coefficient` (c), with errors; `rounding_floor`, `above_rounding`,
                     `rounding_effective_rank`
entries              of pairs that are "entrywise", beside these and the norms `before_fro_norm` and
                     so on, and of matrices that are not above rounding as a whole:
                     `changed_entries`, how many numbers are not the same;
                     `beyond_rounding`, how many differ by more than a unit in the last place of
                     the coarser format;
                     `before_abs_max`, `after_abs_max`, `delta_abs_max`, the largest magnitudes;
                     `before_nan`, `before_inf`, `before_first_nonfinite`, and of `after`
structure            `before_structure`, `after_structure`: as in the rows of a scan, what makes a
                     matrix a special one: "all zero", "constant" and so on
lists                of each of the four, as in the rows of a scan: `before_top` and so on
angles               in radians, ascending: `angles_left`, `angles_right` between the leading
                     singular subspaces of before and after, `delta_angles_left` and
                     `delta_angles_right` between those of dW and of before; of as many dimensions,
                     at most k, as are told apart from the rest, with one `..._error` for each list
===================  ============================================================================

Against an adapter `after` is the name of the change, `name` ends with the adapter's in brackets
where there are several, and `rounding_effective_rank` is None, as are the measures of a bulk of dW.
"""

from __future__ import annotations

from sigmascope._tables.schema import Kind, Schema
from sigmascope.scanning.rows import COLUMNS as SCAN_COLUMNS
from sigmascope.scanning.rows import MEASURES

GROUPS = ("before", "after", "delta", "projected")
"""The four matrices whose spectra are computed."""

LISTS = tuple(name for name, kind in SCAN_COLUMNS.items() if kind == "floats")
"""Columns of a scan that hold a list of singular values, or of their errors."""

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
        "converged",
        "notes",
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
    **_ENTRIES,
    **_MEASURES,
    **_LISTS,
    **_ANGLES,
}
"""Every column of a row, in order, with its type; lists hold numbers."""

COMPARISON = Schema("sigmascope.comparison", 2, "comparison", COLUMNS, (1, 2), frozenset(_ENTRIES))
