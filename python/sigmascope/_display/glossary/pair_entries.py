# SPDX-License-Identifier: BSD-3-Clause
"""The glossary entries of measures of a pair; docs/measures.md has formulas and pitfalls."""

from __future__ import annotations

from .entries import Entry

_PAIR = "The pair"

PAIR: dict[str, Entry] = {
    "relative_change": Entry(
        "relative change ‖ΔW‖/‖W‖",
        "Size of the change divided by the size of the matrix before.",
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
        "The multiple of W that the change contains: weight decay makes it negative.",
        _PAIR,
        signed=True,
    ),
    "rounding_floor": Entry(
        "rounding floor",
        "Size of the change that only rounding to the storage formats would cause.",
        _PAIR,
        unit="σ",
        log=True,
    ),
    "effective_bits": Entry(
        "effective bits",
        "Bits per weight that an ideal code needs for an error of the same size as the "
        "quantisation: the binary logarithm of ‖W‖/‖ΔW‖.",
        _PAIR,
    ),
    "changed_entries": Entry("entries changed", "How many entries are not exactly equal.", _PAIR),
    "beyond_rounding": Entry(
        "entries beyond rounding",
        "How many entries differ by more than one unit in the last place of the coarser format. "
        "Rounding one number twice cannot cause that.",
        _PAIR,
    ),
    "rounding_effective_rank": Entry(
        "effective rank of rounding alone",
        "The effective rank that the change would have if it were rounding noise.",
        _PAIR,
        rank=True,
    ),
}
