# SPDX-License-Identifier: BSD-3-Clause
"""The result of an application: what was written, what survived, and its verification."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sigmascope.extension import counted
from sigmascope.extension.tables import engine
from sigmascope.provenance.merges import Verification
from sigmascope.provenance.merges.number_formats import FORMATS
from sigmascope.provenance.merges.verdicts import CONFIRMED
from sigmascope.provenance.saving import write_result

from .blocks import EXPECTED
from .codes import NAMES
from .shards import Row

KIND = "sigmascope application"
VERSION = 1

COPIED, CONVERTED, CHANGED = "copied", "converted", "changed"


@dataclass(frozen=True, repr=False)
class Application:
    """A checkpoint that was written as base plus weighted changes.

    Attributes
    ----------
    base, path
        Paths of the base and of the written folder.
    donors, weights
        Paths of adapters and models, and the weight of each.
    files
        Names of the written files.
    rows
        One record for each tensor, in the order of the base. `status` is "changed" (a donor changes
        it), "converted" (only its format differs) or "copied" (byte for byte). A changed tensor has
        `survived` (the part <dW, M - W> / ||dW||^2 of the change that is in the file), `expected`
        (the parts that bf16, f16 and f32 are expected to keep, by the closed form), `changed`
        (count of numbers that moved) and `overflowed` (numbers that became infinite).
    verification
        The result of :func:`verify` for the written folder, with these weights as the claim.
    notes
        Remarks on the files.
    """

    base: str
    path: str
    donors: tuple[str, ...]
    weights: tuple[float, ...]
    files: tuple[str, ...]
    rows: list[Row]
    verification: Verification
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """The verdict of the verification: confirmed, refuted or undetermined."""
        return self.verification.verdict

    @property
    def confirmed(self) -> bool:
        """True if the written folder was confirmed to be base + weights . changes."""
        return self.verdict == CONFIRMED

    @property
    def survived(self) -> float | None:
        """The part of the whole change that is in the file; None without a change."""
        return _mean((row["survived"], row["squares"]) for row in self._changed)

    @property
    def expected(self) -> dict[str, float]:
        """The part of the whole change that each format is expected to keep."""
        parts = {
            name: _mean(
                (row["expected"][name]["survived"], row["squares"]) for row in self._changed
            )
            for name in EXPECTED
        }
        return {name: part for name, part in parts.items() if part is not None}

    @property
    def _changed(self) -> list[Row]:
        return [row for row in self.rows if row["status"] == CHANGED]

    @property
    def sentences(self) -> tuple[str, ...]:
        """The result in sentences."""
        return (self._written(), *self._survival(), *self._overflow(), self._verified())

    def _written(self) -> str:
        counts = {
            status: sum(row["status"] == status for row in self.rows)
            for status in (CHANGED, CONVERTED, COPIED)
        }
        parts = [f"{counts[CHANGED]} changed"]
        if counts[CONVERTED]:
            parts.append(f"{counts[CONVERTED]} converted")
        if counts[COPIED]:
            parts.append(f"{counts[COPIED]} copied byte for byte")
        return f"{self.path} has {counted(len(self.rows), 'tensor')}: {', '.join(parts)}."

    def _survival(self) -> list[str]:
        part = self.survived
        if part is None:
            return ["The donors change nothing: every change is zero."]
        numbers = sum(row["numbers"] for row in self._changed)
        moved = sum(row["changed"] for row in self._changed)
        formats = sorted({row["dtype"] for row in self._changed})
        stored = " and ".join(FORMATS[NAMES[name]].words for name in formats)
        others = ", ".join(
            f"{FORMATS[name].words} {100 * each:.1f} %" for name, each in self.expected.items()
        )
        return [
            f"{100 * part:.1f} % of the change survived in {stored}: {100 * moved / numbers:.1f} % "
            f"of the numbers moved. Expected: {others}."
        ]

    def _overflow(self) -> list[str]:
        rows = [row for row in self._changed if row["overflowed"]]
        if not rows:
            return []
        count = sum(row["overflowed"] for row in rows)
        return [
            f"{counted(count, 'number')} in {counted(len(rows), 'tensor')} overflowed, the first "
            f"in {rows[0]['name']}."
        ]

    def _verified(self) -> str:
        decision = self.verification.decisions[0]
        return f"Verification: {decision.verdict}, {decision.reason}."

    def __repr__(self) -> str:
        return f"<Application: {self.verdict}. {' '.join(self.sentences[:2])}>"

    def to_dict(self) -> dict[str, Any]:
        """Return the result as a record for JSON."""
        return {
            "kind": KIND,
            "format": VERSION,
            "version": engine()["version"],
            "base": self.base,
            "path": self.path,
            "donors": list(self.donors),
            "weights": list(self.weights),
            "files": list(self.files),
            "verdict": self.verdict,
            "survived": self.survived,
            "expected": self.expected,
            "sentences": list(self.sentences),
            "notes": list(self.notes),
            "rows": self.rows,
            "verification": self.verification.to_dict(),
        }

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


def _mean(parts: Iterable[tuple[float | None, float]]) -> float | None:
    """Return the mean of parts, weighted by the squares of the changes."""
    known = [(part, squares) for part, squares in parts if part is not None]
    total = sum(squares for _, squares in known)
    return sum(part * squares for part, squares in known) / total if total else None
