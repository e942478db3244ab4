# SPDX-License-Identifier: BSD-3-Clause
"""Outcomes of the tests of one pair of checkpoints, as records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt

from sigmascope.provenance.p_values import p_in_words as p_in_words

from .features import Layer

MEANINGS = {
    "U": "hidden units in place",
    "L": "hidden units in place, any layer of one against any layer of the other",
    "N": "nearest neighbours of hidden units in place",
    "UR": "hidden units by their relations to each other",
    "U aligned": "hidden units in place, in residual bases aligned on embeddings",
    "R": "residual coordinates by tokens",
    "RR": "residual coordinates by their relations to each other",
    "H": "heads by the spectra of their circuits",
}
"""The tests, and what each compares."""

BLIND = {
    "U": "permuted or compacted units, a rotated residual",
    "L": "permuted or compacted units, a rotated residual",
    "N": "permuted or compacted units, a rotated residual, weak ties",
    "UR": "permuted or compacted units",
    "U aligned": "permuted or compacted units, embeddings without a common origin",
    "R": "a rotated residual, another vocabulary; it does not see layers",
    "RR": "a rotated or cut residual; it does not see layers",
    "H": "permuted heads, fewer than 8 groups of heads in all",
}
"""Ties that each test cannot see."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One test of one pair.

    Attributes
    ----------
    name : str
        "U", "L", "N", "UR", "U aligned", "R", "RR" or "H"; `MEANINGS` says what each compares.
    log10_p : float or None
        Certified bound on the p-value; None if the test abstains.
    log10_p_sharp : float or None
        Saddle-point value. For N and L, the bound.
    log10_adjusted : float or None
        `log10_p` adjusted for the tests of this pair by Holm's method.
    log10_floor : float or None
        The least p-value that the test could give.
    z, rho : float or None
        Standardised statistic and effect size of the tests by blocks. For N, `rho` is the share
        of units whose nearest neighbour is in place.
    things, blocks : int
        Things that were permuted, and blocks.
    reason : str
        The reason why the test abstains; otherwise empty.
    """

    name: str
    log10_p: float | None = None
    log10_p_sharp: float | None = None
    log10_adjusted: float | None = None
    log10_floor: float | None = None
    z: float | None = None
    rho: float | None = None
    things: int = 0
    blocks: int = 0
    reason: str = ""

    @property
    def p_text(self) -> str:
        """The adjusted bound in words: "<= 1e-80", or "-" if the test abstains."""
        if self.log10_adjusted is None:
            return "-"
        return p_in_words(self.log10_adjusted, self.log10_floor)

    def rejects(self, log10_alpha: float) -> bool:
        """Return whether the adjusted bound is at most the level."""
        return self.log10_adjusted is not None and self.log10_adjusted <= log10_alpha


@dataclass(frozen=True, slots=True)
class LayerOutcome:
    """The units of one layer of the first checkpoint.

    Attributes
    ----------
    before, after : Layer
        The layers that are compared.
    log10_p : float
        Certified bound on the p-value of the units in place.
    log10_adjusted : float
        Adjusted for all layers by Holm's method.
    rho : float
        Effect size.
    in_place, units : int
        Units whose nearest neighbour is in place, and units that were compared for that.
    order_before, order_after : float
        Premise check of either file: small if the order of its units is information.
    """

    before: Layer
    after: Layer
    log10_p: float
    log10_adjusted: float
    rho: float
    in_place: int
    units: int
    order_before: float
    order_after: float


@dataclass(frozen=True, slots=True)
class LayerLink:
    """A layer of the first checkpoint and the layer of the second that it is tied to.

    The p-value is adjusted for all pairs of layers by Bonferroni's method.
    """

    before: Layer
    after: Layer
    log10_adjusted: float
    rho: float


@dataclass(frozen=True, slots=True)
class Match:
    """Agreement of the assignments of gate and of up in one layer: calibrated, without a p-value.

    Attributes
    ----------
    before, after : Layer
    agreements : int
        Units of which gate and up have the same nearest unit in the other checkpoint. Chance gives
        about 1, however many units there are.
    units : int
    """

    before: Layer
    after: Layer
    agreements: int
    units: int

    @property
    def evident(self) -> bool:
        """True if the agreements are at least 10, and 5 % of the units."""
        return self.agreements >= max(10, 0.05 * self.units)


@dataclass(frozen=True, slots=True)
class FailedPremise:
    """The order of some things is information in one of the two files.

    A test needs one file where it is not, so one failure leaves a test exact: it rests on the other
    file alone.

    Attributes
    ----------
    place : int
        0 for the first file, 1 for the second.
    name : str
        The file.
    things : str
        "units" or "residual coordinates".
    p : float
        The p-value of the check, adjusted for its statistics and the layers.
    """

    place: int
    name: str
    things: str
    p: float

    @property
    def text(self) -> str:
        """The failure in a sentence."""
        which = ("first", "second")[self.place]
        return (
            f"In the {which} file, {self.name}, the order of the {self.things} is information "
            f"(p = {self.p:.1g}): that file cannot carry the premise, which rests on the "
            f"{('second', 'first')[self.place]} file alone."
        )


def least_tie(features: int) -> float:
    """Return the effect size that a test on so many features in all detects: 6 / √(7/8 n)."""
    return min(1.0, 6 / sqrt(0.875 * features)) if features else 1.0


def groups_in_words(groups: Iterable[Sequence[str]]) -> str:
    """Return the groups of checkpoints in a sentence, and what a group does not say."""
    names = "; ".join(", ".join(group) for group in groups)
    return f"Groups: {names}. A group has no direction and no parent."
