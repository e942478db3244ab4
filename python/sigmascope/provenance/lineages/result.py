# SPDX-License-Identifier: BSD-3-Clause
"""Results: the lineage of a pair, and of several checkpoints."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sigmascope.provenance.saving import write_result

from .features import Layer
from .outcomes import (
    BLIND,
    MEANINGS,
    FailedPremise,
    LayerLink,
    LayerOutcome,
    Match,
    Outcome,
    groups_in_words,
    p_in_words,
)
from .verdicts import LIMITS, Verdict

SCHEMA = 1
"""Version of the saved form."""


@dataclass(frozen=True, slots=True, repr=False)
class Lineage:
    """Whether two checkpoints share an origin, as far as their weights show.

    Attributes
    ----------
    names : tuple of str
        The two checkpoints.
    verdict : str
        "related layers", "related layers, reordered units", "shared basis only", "related heads",
        "calibrated only", "not rejected" or "abstain".
    text : str
        The verdict in a sentence, no stronger than its evidence.
    log10_p : float or None
        Logarithm of the certified p-value that the verdict rests on, adjusted for all tests.
    tests : mapping of str to Outcome
        Tests by name, also those that abstained, with the reason.
    layers : tuple of LayerOutcome
        The units of each layer, in place.
    links : tuple of LayerLink
        Layers that are tied to each other, in place or not.
    matches : tuple of Match
        Agreements of gate and up, which are calibrated and have no p-value. They are computed
        only where no exact test of units rejects.
    order : tuple of float
        Premise check: the least p-value of either file. Small values say that the order of its
        units is information. A test needs one file where it is not.
    failed_premises : tuple of FailedPremise
        Files whose units or coordinates are numbered, where the tests rest on the other file.
    alpha : float
    seed : int
        Seed of partitions and samples, which repeats all numbers.
    units : int or None
        Most units that were read of a layer; None for all.
    nbytes : int
        Bytes of weights that were read.
    """

    names: tuple[str, str]
    verdict: Verdict
    text: str
    log10_p: float | None
    tests: Mapping[str, Outcome]
    layers: tuple[LayerOutcome, ...]
    links: tuple[LayerLink, ...]
    matches: tuple[Match, ...]
    order: tuple[float, float]
    failed_premises: tuple[FailedPremise, ...]
    alpha: float
    seed: int
    units: int | None
    nbytes: int

    def __repr__(self) -> str:
        """Return the names, the verdict and its sentence."""
        return f"<Lineage {self.names[0]!r}, {self.names[1]!r}: {self.verdict}. {self.text}>"

    @property
    def related(self) -> bool:
        """True if layers or heads are certified to share an origin."""
        return self.verdict in LINKING

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the result as .json, or as a page (.html); a file is replaced as a whole.

        Raises
        ------
        ValueError
            If the path has another suffix.
        OSError
            If the file cannot be written.
        """
        write_result(path, self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain JSON."""
        return {
            "kind": "lineage",
            "schema": SCHEMA,
            "names": list(self.names),
            "verdict": self.verdict,
            "text": self.text,
            "log10_p": self.log10_p,
            "alpha": self.alpha,
            "seed": self.seed,
            "units": self.units,
            "nbytes": self.nbytes,
            "order": list(self.order),
            "failed_premises": [asdict(each) for each in self.failed_premises],
            "tests": {
                name: {
                    "compares": MEANINGS[name],
                    "blind_to": BLIND[name],
                    "p": outcome.p_text,
                    **{key: value for key, value in asdict(outcome).items() if key != "name"},
                }
                for name, outcome in self.tests.items()
            },
            "layers": [_flat(each) for each in self.layers],
            "links": [_flat(each) for each in self.links],
            "matches": [_flat(each) for each in self.matches],
            "limits": list(LIMITS),
        }


LINKING: tuple[Verdict, ...] = (
    "related layers",
    "related layers, reordered units",
    "related heads",
)
"""Verdicts that join two checkpoints to one group."""


@dataclass(frozen=True, slots=True, repr=False)
class Lineages:
    """All pairs of several checkpoints, and their groups. A group has no parent.

    Attributes
    ----------
    names : tuple of str
    pairs : mapping of (int, int) to Lineage
        Results by the places of the two checkpoints in `names`. p-values are adjusted for all
        tests of all pairs.
    groups : tuple of tuple of str
        Checkpoints that are joined by verdicts on layers or heads, by single linkage.
    """

    names: tuple[str, ...]
    pairs: Mapping[tuple[int, int], Lineage]
    groups: tuple[tuple[str, ...], ...]

    def __repr__(self) -> str:
        """Return the groups."""
        groups = "; ".join(", ".join(map(repr, group)) for group in self.groups)
        return f"<Lineages of {len(self.names)} checkpoints, {len(self.groups)} groups: {groups}>"

    @property
    def text(self) -> str:
        """One line for each pair, and the groups."""
        lines = [
            f"{pair.names[0]} and {pair.names[1]}: {pair.verdict}"
            + ("" if pair.log10_p is None else f" (p {p_in_words(pair.log10_p)})")
            for pair in self.pairs.values()
        ]
        return "\n".join([*lines, groups_in_words(self.groups)])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the result as .json, or as a page (.html); a file is replaced as a whole.

        Raises
        ------
        ValueError
            If the path has another suffix.
        OSError
            If the file cannot be written.
        """
        write_result(path, self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain JSON."""
        return {
            "kind": "lineages",
            "schema": SCHEMA,
            "names": list(self.names),
            "groups": [list(group) for group in self.groups],
            "pairs": [
                {"places": list(places), **pair.to_dict()} for places, pair in self.pairs.items()
            ],
        }


def _flat(record: LayerOutcome | LayerLink | Match) -> dict[str, Any]:
    """Return a record with its layers as words."""
    values = {name: getattr(record, name) for name in record.__slots__}
    return {
        name: value.text if isinstance(value, Layer) else value for name, value in values.items()
    }
