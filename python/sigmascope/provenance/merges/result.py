# SPDX-License-Identifier: BSD-3-Clause
"""The result of a verification: verdict, weights, rows, and files of them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from sigmascope.extension.tables import engine

from .expectations import Expectation
from .reports import Report, write_result
from .sentences import sentences_of
from .tensors import UNEXPLAINED, Row
from .verdicts import CONFIRMED, REFUTED, UNDETERMINED, Evidence, Weight

KIND = "sigmascope verification"
VERSION = 1


class Decision(NamedTuple):
    """The verdict on one expectation.

    Attributes
    ----------
    expectation
        The expectation, as it was given.
    verdict
        "confirmed", "refuted" or "undetermined".
    reason
        The reason in words.
    """

    expectation: str
    verdict: str
    reason: str


@dataclass(frozen=True)
class Verification:
    """Verdicts on a merged file, its weights, and the rows that they rest on.

    Attributes
    ----------
    base, merged
        Paths of both.
    donors
        Paths or names of the donors, in the order of the weights.
    rows
        One record for each tensor, in the order of the base. `status` is "identical" (no donor
        changes it, and nothing else did), "merged" (weights explain every number), "replaced" (an
        adapter saves it in full, and the file has that), "changed" (it differs, and no donor
        changes it), "unexplained" (no weights store its numbers), "estimated" (the cells of its
        numbers are not known, and least squares gives weights), "unpaired", "not verified" or
        "failed"; the last four have a `reason`.
    notes
        Remarks on the operands.
    expectations, tolerance
        The claims, and the largest difference from a claimed weight that is accepted.
    unpaired_changes
        Changes of adapters that fit no weight of the base, with the reasons.
    """

    base: str
    merged: str
    donors: tuple[str, ...]
    rows: list[Row]
    expectations: tuple[Expectation, ...] = ()
    tolerance: float = 0.0
    notes: tuple[str, ...] = ()
    unpaired_changes: dict[str, str] = field(default_factory=dict)

    @cached_property
    def evidence(self) -> Evidence:
        """The rows, and what follows from them for the model."""
        return Evidence(self.rows, self.donors, self.unpaired_changes)

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        """The verdict on each expectation; on "linear" if nothing was expected."""
        expectations = self.expectations or (Expectation("linear", "linear"),)
        return tuple(
            Decision(each.text, *self.evidence.decide(each, self.tolerance))
            for each in expectations
        )

    @property
    def verdict(self) -> str:
        """The verdict on all expectations together: confirmed, refuted or undetermined."""
        verdicts = {decision.verdict for decision in self.decisions}
        return next((v for v in (REFUTED, UNDETERMINED) if v in verdicts), CONFIRMED)

    @property
    def weights(self) -> tuple[Weight, ...] | None:
        """The interval of each donor's weight; None if they differ by tensor, or no
        weights fit.

        All weights that store every number in some order of rounding are inside.
        """
        return self.evidence.weights

    @property
    def orders(self) -> tuple[str, ...]:
        """The orders of rounding that explain the file."""
        return self.evidence.orders

    @property
    def survived(self) -> float | None:
        """The part <dW, M - W> / ||dW||^2 of the change that rounding left in the file."""
        return self.evidence.survived

    @property
    def witness(self) -> dict[str, Any] | None:
        """Numbers of the first unexplained tensor that contradict each other, if there are some."""
        for row in self.evidence.of(UNEXPLAINED):
            if row["witness"]:
                return {"tensor": row["name"], "numbers": row["witness"]}
        return None

    @property
    def sentences(self) -> tuple[str, ...]:
        """The result in sentences."""
        claimed = any(each.weights for each in self.expectations)
        return sentences_of(
            self.evidence, refuted=claimed and self.verdict == REFUTED, claimed=claimed
        )

    def __repr__(self) -> str:
        return f"<Verification: {self.verdict}. {self.sentences[0]}>"

    def to_dict(self) -> dict[str, Any]:
        """Return the result as a record for JSON."""
        weights = self.weights
        return {
            "kind": KIND,
            "format": VERSION,
            "version": engine()["version"],
            "base": self.base,
            "merged": self.merged,
            "donors": list(self.donors),
            "verdict": self.verdict,
            "decisions": [decision._asdict() for decision in self.decisions],
            "tolerance": self.tolerance,
            "weights": None if weights is None else [_weight_record(each) for each in weights],
            "orders": list(self.orders),
            "survived": self.survived,
            "sentences": list(self.sentences),
            "witness": self.witness,
            "notes": list(self.notes),
            "unpaired_changes": self.unpaired_changes,
            "rows": self.rows,
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the result; a file is replaced as a whole.

        The suffix decides: `.json` has all rows, `.xml` a test case for each claim and each tensor
        (JUnit), `.sarif` a finding for each claim that is not confirmed and each tensor that is not
        as it should be.

        Raises
        ------
        ValueError
            If the path has another suffix.
        OSError
            If the file cannot be written.
        """
        write_result(path, self.to_dict(), self._report())

    def _report(self) -> Report:
        return Report(
            merged=self.merged,
            verdict=self.verdict,
            decisions=self.decisions,
            sentences=self.sentences,
            rows=self.rows,
            version=str(engine()["version"]),
        )


def _weight_record(weight: Weight) -> dict[str, Any]:
    ends = [None if abs(end) == float("inf") else end for end in (weight.low, weight.high)]
    return {"donor": weight.donor, "low": ends[0], "high": ends[1]}
