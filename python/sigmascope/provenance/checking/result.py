# SPDX-License-Identifier: BSD-3-Clause
"""The result of a check: a verdict for each claim, and files for pipelines."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from sigmascope.extension.tables import engine
from sigmascope.provenance.lineages import Lineage
from sigmascope.provenance.merges import Decision, Verification
from sigmascope.provenance.merges.reports import Report, report_forms
from sigmascope.provenance.saving import write_result

from .sizes import Row

KIND = "sigmascope check"
VERSION = 1


@dataclass(frozen=True)
class Check:
    """Verdicts on claims about two checkpoints.

    Attributes
    ----------
    before, after
        Paths of both.
    decisions
        Claim, verdict and reason, in the order in which they were decided.
    verification, lineage
        Weights of a merge, and a common origin; None if no claim needed them.
    rows
        The relative change of every tensor, if a claim needed it.
    """

    before: str
    after: str
    decisions: tuple[Decision, ...]
    verification: Verification | None = None
    lineage: Lineage | None = None
    rows: list[Row] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """The verdict on all claims together: confirmed, refuted or undetermined."""
        verdicts = {decision.verdict for decision in self.decisions}
        return next((v for v in ("refuted", "undetermined") if v in verdicts), "confirmed")

    @property
    def sentences(self) -> tuple[str, ...]:
        """The claims with their verdicts and reasons, in sentences."""
        return tuple(
            f"{each.expectation}: {each.verdict}: {each.reason.rstrip('.')}."
            for each in self.decisions
        )

    def __repr__(self) -> str:
        return f"<Check: {self.verdict}. {' '.join(self.sentences)}>"

    def to_dict(self) -> dict[str, Any]:
        """Return the result as a record for JSON."""
        return {
            "kind": KIND,
            "format": VERSION,
            "version": engine()["version"],
            "before": self.before,
            "after": self.after,
            "verdict": self.verdict,
            "decisions": [decision._asdict() for decision in self.decisions],
            "verification": None if self.verification is None else self.verification.to_dict(),
            "lineage": None if self.lineage is None else self.lineage.to_dict(),
            "rows": self.rows,
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the result; a file is replaced as a whole.

        The suffix decides: `.json` has all evidence, and `.html` is a page of it. `.xml` has a test
        case for each claim and each tensor of a verification (JUnit), and `.sarif` has what is not
        as it should be.

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
            merged=self.after,
            verdict=self.verdict,
            decisions=self.decisions,
            sentences=self.sentences,
            rows=[] if self.verification is None else self.verification.rows,
            version=str(engine()["version"]),
            name="check",
        )
