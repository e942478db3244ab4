# SPDX-License-Identifier: BSD-3-Clause
"""Verdicts on claims about a merged file: confirmed, refuted or undetermined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from sigmascope.extension import counted
from sigmascope.provenance.intervals import nominal_weight

from .coded_cells import CodedFormat, format_named
from .combining import Group, box_of, group_rows, is_at_random, survived, weights_of
from .expectations import Expectation
from .fitting import rounded_claims
from .number_formats import FORMATS, NumberFormat, Reals
from .tensors import (
    CHANGED,
    ESTIMATED,
    FAILED,
    IDENTICAL,
    MERGED,
    SKIPPED,
    UNEXPLAINED,
    UNPAIRED,
    Row,
)

CONFIRMED, REFUTED, UNDETERMINED = "confirmed", "refuted", "undetermined"


class Weight(NamedTuple):
    """The weight of one donor.

    Attributes
    ----------
    donor
        Path or name of the donor.
    low, high
        Ends of the interval that contains it; infinite where nothing bounds it.
    """

    donor: str
    low: float
    high: float

    @property
    def middle(self) -> float:
        """The middle of the interval."""
        return (self.low + self.high) / 2


@dataclass(frozen=True)
class Evidence:
    """The rows of a verification, and the weights of the model that follow from them.

    Attributes
    ----------
    rows
        One row for each tensor.
    names
        Names of the donors.
    unpaired_changes
        Changes of adapters that no weight of the base has, with the reasons.
    """

    rows: Sequence[Row]
    names: tuple[str, ...]
    unpaired_changes: dict[str, str]

    @property
    def donors(self) -> int:
        """Number of donors."""
        return len(self.names)

    def of(self, *statuses: str) -> list[Row]:
        """Return the rows with one of these statuses."""
        return [row for row in self.rows if row["status"] in statuses]

    @cached_property
    def groups(self) -> list[Group]:
        """Tensors of equal formats and donors."""
        return group_rows(self.rows, self.donors)

    @cached_property
    def box(self) -> Reals | None:
        """Intervals of the weights of the model, of shape (p, 2); None if they differ."""
        return weights_of(self.groups, self.donors) if self.of(MERGED) else None

    @property
    def weights(self) -> tuple[Weight, ...] | None:
        """The interval of each donor's weight; None if they differ, or nothing fits."""
        box = self.box
        if box is None:
            return None
        return tuple(
            Weight(name, float(low), float(high))
            for name, (low, high) in zip(self.names, box, strict=True)
        )

    @property
    def orders(self) -> tuple[str, ...]:
        """The orders of rounding that explain the file."""
        return tuple(dict.fromkeys(order for group in self.groups for order in group.orders))

    @property
    def survived(self) -> float | None:
        """The part of the change that rounding left, at weights that are known, or else 1."""
        return survived(self.rows, self.nominal_weights())

    @property
    def unseen(self) -> list[Row]:
        """Tensors about which nothing is known."""
        return self.of(UNPAIRED, SKIPPED, FAILED, ESTIMATED)

    def decide(self, expectation: Expectation, tolerance: float) -> tuple[str, str]:
        """Return the verdict on a claim, and the reason for it."""
        if expectation.kind in ("identical", "rounding"):
            return self._unchanged(expectation)
        if expectation.kind == "survived":
            return self._survived(expectation)
        if expectation.kind == "linear":
            return self._linear()
        return self._weights(np.array(expectation.weights), tolerance)

    def _unchanged(self, expectation: Expectation) -> tuple[str, str]:
        other = [row for row in self.rows if row.get("changed")]
        if other:
            return REFUTED, f"{_tensors(other)} {_differ(other)} from the base"
        formats = [row["formats"] for row in self.of(MERGED, IDENTICAL) if "formats" in row]
        converted = [each for each in formats if each["base"] != each["merged"]]
        if converted and expectation.kind == "identical":
            return REFUTED, f"{len(converted)} tensors are stored in another format than the base"
        return self._complete() or (CONFIRMED, "every number is that of the base")

    def _survived(self, expectation: Expectation) -> tuple[str, str]:
        part = self.survived
        if part is None:
            return UNDETERMINED, "no donor changes a tensor whose weights are known"
        known = f"{100 * part:.1f} % of the change survived"
        return (CONFIRMED if part >= expectation.least else REFUTED), known

    def nominal_weights(self) -> list[float]:
        """Return the weights for which survival is stated: 1 where they are not known."""
        box = self.box
        if box is None or self.of(UNEXPLAINED):
            return [1.0] * self.donors
        return [nominal_weight(float(low), float(high)) for low, high in box]

    def _linear(self) -> tuple[str, str]:
        wrong = self.of(UNEXPLAINED, CHANGED)
        if wrong:
            return REFUTED, self._why_wrong(wrong)
        if self.box is None and self.of(MERGED):
            return REFUTED, "the weights differ from tensor to tensor"
        if any(not group.consistent for group in self.groups) or any(map(is_at_random, self.rows)):
            return UNDETERMINED, "no one known order of rounding explains all tensors"
        return self._complete() or (CONFIRMED, "weights explain every number")

    def _weights(self, claim: Reals, tolerance: float) -> tuple[str, str]:
        wrong = self.of(UNEXPLAINED, CHANGED)
        if wrong:
            return REFUTED, self._why_wrong(wrong)
        merged = self.of(MERGED)
        if not merged:
            return UNDETERMINED, "the donors change no tensor of the base"
        if claim.any() and not any(row["changed"] for row in merged):
            return self._not_applied(claim, tolerance)
        if self.groups and all(group.replaying() for group in self.groups):
            return self._complete() or (CONFIRMED, "the weights store every number as it is")
        for row in merged:
            if self._excludes(claim, row, tolerance):
                return REFUTED, f"{row['name']} was made with other weights"
        box = self.box
        if box is not None:
            if not all(self._may_be_of(claim, group, tolerance) for group in self.groups):
                return REFUTED, "no weights near those expected explain all tensors"
            if tolerance > 0 and (np.abs(box - claim[:, None]) <= tolerance).all():
                return self._complete() or (CONFIRMED, "the weights are within the tolerance")
        return UNDETERMINED, "no known order of rounding stores every number with these weights"

    def _not_applied(self, claim: Reals, tolerance: float) -> tuple[str, str]:
        """Decide whether a change is missing, or could not be seen if it were there."""
        for row in self.of(MERGED):
            if self._excludes(claim, row, tolerance):
                return REFUTED, f"{row['name']} is that of the base"
        shown = sum(row["shown"] or 0 for row in self.of(MERGED))
        return UNDETERMINED, f"applied or not, at most {shown} numbers would differ"

    def _excludes(self, claim: Reals, row: Row, tolerance: float) -> bool:
        """Return True if a tensor excludes the claim in every order that explains it."""
        return all(
            _is_outside(claim, row, fit, box_of(row, fit["order"], self.donors), tolerance)
            for fit in row["orders"]
        )

    def _may_be_of(self, claim: Reals, group: Group, tolerance: float) -> bool:
        """Return True if the claim is in the box of all tensors of a group, in some order."""
        row = group.rows[0]
        return any(
            not _is_outside(claim, row, fit, group.orders[fit["order"]], tolerance)
            for fit in row["orders"]
            if fit["order"] in group.orders
        )

    def _complete(self) -> tuple[str, str] | None:
        """Return an undetermined verdict if a tensor could not be verified."""
        if self.unpaired_changes:
            change, reason = next(iter(self.unpaired_changes.items()))
            return (
                UNDETERMINED,
                f"{len(self.unpaired_changes)} changes fit no weight: {change}: {reason}",
            )
        unseen = self.unseen
        if not unseen:
            return self._of_same_numbers()
        reason = unseen[0]["reason"]
        return UNDETERMINED, f"{_tensors(unseen)} could not be verified: {reason}"

    def _of_same_numbers(self) -> tuple[str, str] | None:
        """Return an undetermined verdict if other codes may stand for the same numbers."""
        unsure = [row for row in self.of(IDENTICAL) if row.get("changed")]
        if not unsure:
            return None
        return UNDETERMINED, (
            f"{_tensors(unsure)} {_differ(unsure)} from the base, though both may be codes of the "
            "same numbers"
        )

    def _why_wrong(self, rows: list[Row]) -> str:
        if rows[0]["status"] == CHANGED:
            return f"{_tensors(rows)} {_differ(rows)} from the base, and no donor changes it"
        return f"no weights explain {_tensors(rows)}"


def _is_outside(claim: Reals, row: Row, fit: Row, box: Reals, tolerance: float) -> bool:
    """Return True if the claim, and each rounding of it that an order allows, is outside a box."""
    formats: list[NumberFormat] = []
    if fit["rounds_weights"]:
        formats = [format_named(name) for name in row["formats"].values()]
        if any(isinstance(each, CodedFormat) for each in formats):  # the merger's is not known
            formats += FORMATS["bf16"], FORMATS["f16"]
    return all(
        ((each + tolerance < box[:, 0]) | (each - tolerance > box[:, 1])).any()
        for each in rounded_claims(claim, *formats)
    )


def _tensors(rows: list[Row]) -> str:
    name = rows[0]["name"] or rows[0]["merged"]
    return str(name) if len(rows) == 1 else f"{name} and {counted(len(rows) - 1, 'other tensor')}"


def _differ(rows: list[Row]) -> str:
    return "differs" if len(rows) == 1 else "differ"
