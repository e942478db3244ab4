# SPDX-License-Identifier: BSD-3-Clause
"""The glossary entries of measures of a pair; docs/measures.md has formulas and pitfalls."""

from __future__ import annotations

from .entries import Entry

_PAIR = "The pair"

PAIR: dict[str, Entry] = {
    "relative_change": Entry(
        "relative change ‖ΔW‖/‖W‖",
        "Size of the change over the size of the matrix before.",
        _PAIR,
        log=True,
    ),
    "cosine": Entry(
        "cosine of before and after",
        "1 if the matrix was only scaled; less if it was changed in other ways.",
        _PAIR,
    ),
    "decay_coefficient": Entry(
        "decay coefficient",
        "The multiple of W in the change: weight decay makes it negative.",
        _PAIR,
        signed=True,
    ),
    "rounding_floor": Entry(
        "rounding floor",
        "Size of the change that rounding to the storage formats alone would make.",
        _PAIR,
        unit="σ",
        log=True,
    ),
    "effective_bits": Entry(
        "effective bits",
        "Bits for each weight that an ideal code needs for the error of the quantisation: the "
        "binary logarithm of ‖W‖/‖ΔW‖.",
        _PAIR,
    ),
    "changed_entries": Entry(
        "entries changed", "How many numbers are not the same, exactly.", _PAIR
    ),
    "beyond_rounding": Entry(
        "entries beyond rounding",
        "How many numbers differ by more than a unit in the last place of the coarser format, "
        "which rounding one number twice cannot make.",
        _PAIR,
    ),
    "rounding_effective_rank": Entry(
        "effective rank of rounding alone",
        "What the effective rank of the change would read if it were rounding noise.",
        _PAIR,
        rank=True,
    ),
}
