# SPDX-License-Identifier: BSD-3-Clause
"""Names of strengths: what a merger may have done if a weight is not the one that was claimed.

A name is said only if it is the only one in the interval of the weight, the interval excludes the
claim, and the interval is narrow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isclose, sqrt

import numpy as np

from .combining import intersection
from .number_formats import FORMATS, Reals
from .tensors import MERGED
from .verdicts import Evidence
from .wording import last_part, weight_text

NARROW = 0.02
"""Widest interval, in parts of the named weight (or of 1/2), in which a name is said."""

Terms = tuple[float, float, float]
"""Rank, alpha and scale of an adapter's change."""


def names_of(low: float, high: float, claim: float, terms: Terms | None) -> set[str]:
    """Return the names of all strengths in an interval; nothing if it is not narrow.

    The claim is the weight that a right merge would have.
    """
    named = [*_plain_strengths(claim)]
    if terms is not None:
        named += [(claim * factor, words) for factor, words in _strengths_of(*terms)]
    return {
        words
        for value, words in named
        if low <= value <= high and value != claim and high - low <= NARROW * max(abs(value), 0.5)
    }


def _plain_strengths(claim: float) -> Iterable[tuple[float, str]]:
    yield 0.0, "not at all"
    yield 2 * claim, "twice"
    yield 3 * claim, "three times"
    yield 4 * claim, "four times"
    yield -claim, "with the opposite sign"
    yield claim / 2, "half"
    yield 1.0, "in full"
    for name in ("bf16", "f16"):
        rounded = float(FORMATS[name].round(np.array(claim)))
        yield rounded, f"{claim:g} rounded to {FORMATS[name].words}"


def _strengths_of(rank: float, alpha: float, scale: float) -> Iterable[tuple[float, str]]:
    """List the factors by which a wrong scale changes a weight."""
    if not scale or not alpha:
        return
    root = sqrt(rank)
    by_rank, by_root = (isclose(scale, alpha / each, rel_tol=1e-6) for each in (rank, root))
    own = "alpha / r" if by_rank else "alpha / sqrt(r)" if by_root else f"{scale:g}"
    if by_rank:
        yield root, f"alpha / sqrt(r) where the file says {own}"
        yield 1 / root, "divided by sqrt(r) once more"
    elif by_root:
        yield 1 / root, f"alpha / r where the file says {own}"
        yield rank / alpha, "multiplied by r / alpha"
    yield alpha / scale, f"alpha where the file says {own}"
    yield 1 / scale, f"without the scale {own}"
    yield alpha, "multiplied by alpha once more"


def claims_of(evidence: Evidence, claim: Sequence[float] | None) -> list[float | None]:
    """Return the claimed weights: by default 1 for adapters, and None for models."""
    if claim is not None:
        return list(claim)
    merged = evidence.of(MERGED)
    adapters = {i for row in merged for i, t in zip(row["donors"], row["terms"], strict=True) if t}
    return [1.0 if i in adapters else None for i in range(evidence.donors)]


def strength_sentences(evidence: Evidence, claims: Sequence[float | None]) -> list[str]:
    """Say with which strength each donor was merged, if that is not the claimed one.

    Where weights differ by tensor because ranks do, a reason that all tensors share is named.

    Parameters
    ----------
    evidence
        Rows and weights.
    claims
        The claimed weight of each donor, or None.
    """
    weights, sentences = evidence.weights, []
    for index, claim in enumerate(claims):
        by_terms = {} if claim is None else _intervals_by_terms(evidence, index)
        if claim is None or all(low <= claim <= high for low, high in by_terms.values()):
            continue
        named = [names_of(*ends, claim, terms) for terms, ends in by_terms.items()]
        common = set.intersection(*named)
        reason = f": {common.pop()}" if len(common) == 1 else ""
        name = last_part(evidence.names[index])
        if weights is not None:
            weight, verb = weights[index], "merged" if None in by_terms else "applied"
            text = f"{weight_text(weight.low, weight.high)}{_fraction(weight.low, weight.high)}"
            sentences.append(f"{name} was {verb} with {text} instead of {claim:g}{reason}.")
        elif reason:
            sentences.append(f"One reason explains the weights of {name} in all tensors{reason}.")
    return sentences


def _intervals_by_terms(evidence: Evidence, index: int) -> dict[Terms | None, tuple[float, float]]:
    """Return the interval of a donor's weight for each rank, alpha and scale of its changes.

    Empty if tensors of the same rank, alpha and scale have different weights.
    """
    boxes: dict[Terms | None, list[Reals]] = {}
    for group in evidence.groups:
        for row in group.rows:
            if index in row["donors"]:
                terms = row["terms"][row["donors"].index(index)]
                key = None if terms is None else tuple(terms)
                boxes.setdefault(key, []).append(group.box_of(row, evidence.donors))
    if evidence.box is not None:
        return dict.fromkeys(boxes, tuple(evidence.box[index]))
    shared = {terms: intersection([box[[index]] for box in same]) for terms, same in boxes.items()}
    if any(box is None for box in shared.values()):
        return {}
    return {terms: tuple(box[0]) for terms, box in shared.items() if box is not None}


def _fraction(low: float, high: float) -> str:
    """Return " = 1 / 4" if that is the only fraction 1 / n in a narrow interval, for n > 2."""
    if not 0 < low <= high < 0.4 or high - low > NARROW * low:
        return ""
    n = round(1 / high)
    return f" = 1 / {n}" if low <= 1 / n <= high and 1 / low < n + 1 else ""
