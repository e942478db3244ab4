# SPDX-License-Identifier: BSD-3-Clause
"""Claims about two checkpoints, and which part of the package decides each of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sigmascope.provenance.merges.expectations import KINDS, read_number

LINEAGE = {"lineage": True, "related": True, "independent": False}
"""Claims about a common origin: True if there should be one."""

EXAMPLES = (
    "identical, rounding, adapter, linear, weights=.5,.5, survived>=.9, lineage, related, "
    "independent, relative<=.01 or bits>=4.5"
)


class Limit(NamedTuple):
    """A limit of the change of every tensor.

    Attributes
    ----------
    text
        The claim as it was given.
    kind
        "relative" or "bits".
    value
        The largest relative change, or the least number of bits.
    """

    text: str
    kind: str
    value: float


class Claims(NamedTuple):
    """Claims by what decides them.

    Attributes
    ----------
    of_merges
        Claims that :func:`verify` decides.
    of_lineage
        Claims that :func:`lineage` decides.
    limits
        Limits of the change of every tensor.
    """

    of_merges: tuple[str, ...]
    of_lineage: tuple[str, ...]
    limits: tuple[Limit, ...]


def read_claims(texts: str | Sequence[str]) -> Claims:
    """Sort claims by what decides them.

    Raises
    ------
    ValueError
        If there are no claims, or one is unknown.
    """
    claims = [text.strip() for text in ([texts] if isinstance(texts, str) else texts)]
    if not claims:
        raise ValueError(f"nothing is expected: expect some of {EXAMPLES}")
    of_merges, of_lineage, limits = [], [], []
    for text in claims:
        if text in LINEAGE:
            of_lineage.append(text)
        elif text.startswith("relative<="):
            limits.append(Limit(text, "relative", read_number(text.partition("<=")[2], text)))
        elif text.startswith("bits>="):
            limits.append(Limit(text, "bits", read_number(text.partition(">=")[2], text)))
        elif text in KINDS or text.startswith(("weights=", "survived>=")):
            of_merges.append(text)
        else:
            raise ValueError(f"expect={text!r} is not an expectation; examples: {EXAMPLES}")
    return Claims(tuple(of_merges), tuple(of_lineage), tuple(limits))
