# SPDX-License-Identifier: BSD-3-Clause
"""Terms in findings that have a tooltip, shown on hover and on focus."""

from __future__ import annotations

import re
from html import escape

from sigmascope._display.glossary import MEASURES, PAIR

TERMS = {
    "robust standard deviations": "1.4826 times the median distance from the median: a standard "
    "deviation that outliers do not distort.",
    "noise edge": MEASURES["mp_edge"].meaning,
    "stable rank": MEASURES["stable_rank"].meaning,
    "effective rank": MEASURES["effective_rank"].meaning,
    MEASURES["spectral_norm"].label: MEASURES["spectral_norm"].meaning,
    MEASURES["fro_norm"].label: MEASURES["fro_norm"].meaning,
    "full rank": "The smaller of the numbers of rows and columns: no matrix of this shape has more "
    "directions.",
    "outlier channels": "Rows or columns whose norm is far above the median norm.",
    "relative change": PAIR["relative_change"].meaning,
    "‖ΔW‖/‖W‖": PAIR["relative_change"].meaning,
    "ΔW": "The change: the matrix after minus the matrix before.",
    "rounding floor": PAIR["rounding_floor"].meaning,
    "principal angles": "The angles between two subspaces, starting with the closest pair of "
    "directions: 0° where they share a direction, 90° where they have nothing in common.",
    "singular values": "How strongly a matrix stretches along each of its directions.",
    "energy": "The sum of the squared singular values. It equals the sum of the squared entries.",
}

_ANY = re.compile("|".join(sorted(map(re.escape, TERMS), key=len, reverse=True)))


def explained(text: str) -> str:
    """Return a text as markup, with a tooltip on the first occurrence of each term.

    Parameters
    ----------
    text : str
        Escaped text; no term has a character that escaping changes.
    """
    seen: set[str] = set()

    def marked(match: re.Match[str]) -> str:
        word = match[0]
        if word in seen:
            return word
        seen.add(word)
        meaning = escape(TERMS[word])
        return f"<span class='term' tabindex='0' data-meaning='{meaning}'>{word}</span>"

    return _ANY.sub(marked, text)
