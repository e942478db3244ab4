# SPDX-License-Identifier: BSD-3-Clause
"""The result of a verification: verdict, weights, rows, and files of them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from sigmascope.extension.tables import engine
from sigmascope.provenance.saving import write_result

from .expectations import Expectation
from .pattern_sentences import copy_sentences
from .patterns import Pattern, find_pattern
from .reports import Report, report_forms
from .sentences import sentences_of
from .strengths import claims_of
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
        """The part <dW, M - W> / ||dW||^2 of the change that rounding left in the file.

        The change dW has the weights in the middle of their intervals; a weight whose interval is
        wider than a tenth of it is taken to be 1, if it may be.
        """
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
        return sentences_of(
            self.evidence,
            claims_of(self.evidence, self._claim),
            unseen=self._claim is not None and self.verdict != REFUTED,
            pattern=self._pattern,
            copies=copy_sentences(self.rows, self.base, self.donors),
        )

    @property
    def _claim(self) -> tuple[float, ...] | None:
        return next((each.weights for each in self.expectations if each.weights), None)

    @cached_property
    def _pattern(self) -> Pattern | None:
        return find_pattern(self.evidence, claims_of(self.evidence, self._claim))

    @property
    def pattern(self) -> dict[str, Any] | None:
        """The pattern of weights that differ by tensor, as a record; None if there is not one.

        `kind` is "in part" (each tensor has a donor's change, or does not have it), "by layer", "by
        role", "model stock" or "equal in each tensor"; `parts` lists tensors with the same weights.
        """
        return None if self._pattern is None else self._pattern.to_dict()

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
            "pattern": self.pattern,
            "orders": list(self.orders),
            "survived": self.survived,
            "sentences": list(self.sentences),
            "witness": self.witness,
            "notes": list(self.notes),
            "unpaired_changes": self.unpaired_changes,
            "rows": [_without_number_rows(row) for row in self.rows],
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the result; a file is replaced as a whole.

        The suffix decides: `.json` has all rows, and `.html` is a page of them. `.xml` has a test
        case for each claim and each tensor (JUnit), and `.sarif` a finding for each claim that is
        not confirmed and each tensor that is not as it should be.

        Raises
        ------
        ValueError
            If the path has another suffix.
        OSError
            If the file cannot be written.
        """
        write_result(path, self.to_dict(), report_forms(self._report()))

    def _report(self) -> Report:
        return Report(
            merged=self.merged,
            verdict=self.verdict,
            decisions=self.decisions,
            sentences=self.sentences,
            rows=self.rows,
            version=str(engine()["version"]),
        )


def _without_number_rows(row: Row) -> Row:
    """Return a row without what only a journal needs."""
    if "orders" not in row:
        return row
    orders = [{n: v for n, v in fit.items() if n != "rows"} for fit in row["orders"]]
    return row | {"orders": orders}


def _weight_record(weight: Weight) -> dict[str, Any]:
    ends = [None if abs(end) == float("inf") else end for end in (weight.low, weight.high)]
    return {"donor": weight.donor, "low": ends[0], "high": ends[1]}
