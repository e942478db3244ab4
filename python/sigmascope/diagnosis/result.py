# SPDX-License-Identifier: BSD-3-Clause
"""The result of a diagnosis, and its sentences."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sigmascope.results import Comparison

from .guards import Guard
from .places import Place, Update
from .records import save_record
from .validation import ErrorRate
from .verdicts import Judgement

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Verdict = Literal[
    "narrow", "broad", "not distinguishable", "unlike both", "refused", "no calibration"
]

NOVELTY = "Data that is new to the base causes such an update too: narrow, or new to the base."

LIMITS = (
    "How new the data was to the base: data far from what the base knows looks narrower.",
    "Mixtures: mixing in data of the base's own kind hides narrow data, and so does repetition.",
    "Another recipe: a level does not carry over to another optimiser, learning rate or number "
    "of steps.",
    "Which data it was, or whether it was that of a test: only its breadth is measured.",
)
"""Limits of a diagnosis, in sentences."""


@dataclass(frozen=True, slots=True)
class PlaceValue:
    """One place of the model, and the runs there.

    Attributes
    ----------
    place : Place
    text : str
        The place in words.
    value : float
        Mean of ln(effective rank / min(m, n)) of the update.
    narrow, broad, others : tuple of float
        The same mean for the runs of each class, and for the other runs.
    """

    place: Place
    text: str
    value: float
    narrow: tuple[float, ...]
    broad: tuple[float, ...]
    others: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The answer about one model.

    Attributes
    ----------
    name : str
        Name of the model.
    verdict : str
        "narrow", "broad", "not distinguishable" (as likely in both classes), "unlike both",
        "refused" (a guard says why) or "no calibration".
    judgement : Judgement or None
        The numbers: class p-values, ranks, position and interval. None without a calibration, or if
        the model lacks all of its places.
    score : float or None
        Score of the model.
    sources : tuple of str
        The runs that determine the levels of narrow and of broad runs.
    error_rate : ErrorRate or None
        Verdicts on the calibration's runs, each with its group left out.
    guards : tuple of Guard
        Conditions, with their numbers.
    places : tuple of PlaceValue
    positions : dict of str to tuple of float
        Positions of the calibration's narrow and broad runs, each by the score that is fitted
        without its group.
    reasons : tuple of str
        Sentences: the verdict first.
    alpha : float
    update : Update
    example : bool
        True if the calibration is the example that the package ships. The verdict then means
        nothing for the model.
    """

    name: str
    verdict: Verdict
    judgement: Judgement | None
    score: float | None
    sources: tuple[str, ...]
    error_rate: ErrorRate | None
    guards: tuple[Guard, ...]
    places: tuple[PlaceValue, ...]
    positions: dict[str, tuple[float, ...]]
    reasons: tuple[str, ...]
    alpha: float
    update: Update
    example: bool = False

    @property
    def text(self) -> str:
        """The finding, in sentences."""
        return " ".join(self.reasons)

    @property
    def position(self) -> float | None:
        """Position of the score between the levels of narrow runs (0) and broad runs (1)."""
        return None if self.judgement is None else self.judgement.position

    @property
    def interval(self) -> tuple[float, float] | None:
        """Interval of the position at 1 - alpha."""
        return None if self.judgement is None else self.judgement.interval

    @property
    def p_narrow(self) -> float | None:
        """Probability that a narrow run scores at least as high."""
        return None if self.judgement is None else self.judgement.p_narrow

    @property
    def p_broad(self) -> float | None:
        """Probability that a broad run scores at least as low."""
        return None if self.judgement is None else self.judgement.p_broad

    @property
    def rank_p_narrow(self) -> float | None:
        """p_narrow computed from ranks, which assume no distribution."""
        return None if self.judgement is None else self.judgement.rank_p_narrow

    @property
    def rank_p_broad(self) -> float | None:
        """p_broad computed from ranks, which assume no distribution."""
        return None if self.judgement is None else self.judgement.rank_p_broad

    @property
    def refusals(self) -> tuple[Guard, ...]:
        """Guards that refuse an answer: the calibration does not apply to the model."""
        return tuple(guard for guard in self.guards if guard.outcome == "refused")

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """Draw the model at each place among the runs of the calibration.

        Raises
        ------
        ImportError
            Without the extra ``plot``.
        """
        from .plot import draw_diagnosis

        return draw_diagnosis(ax, self.to_dict()["places"], example=self.example)

    def save(self, path: str | os.PathLike[str], *, comparison: Comparison | None = None) -> None:
        """Write the result as JSON, or as a page if the path ends with .html.

        If the diagnosed comparison is given, its page is written, with this diagnosis as a section.
        """
        save_record(self.to_dict(), Path(path), comparison)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain JSON."""
        rate = self.error_rate
        return {
            "kind": "diagnosis",
            "name": self.name,
            "verdict": self.verdict,
            "example": self.example,
            "text": self.text,
            "reasons": list(self.reasons),
            "alpha": self.alpha,
            "seeds": [list(self.update.seeds)],
            "score": self.score,
            "judgement": None if self.judgement is None else asdict(self.judgement),
            "sources": list(self.sources),
            "error_rate": None if rate is None else rate.to_dict(),
            "guards": [asdict(guard) for guard in self.guards],
            "places": [
                {
                    "tower": each.place.tower,
                    "group": each.place.group,
                    "band": each.place.band,
                    "text": each.text,
                    "value": each.value,
                    "narrow": list(each.narrow),
                    "broad": list(each.broad),
                    "others": list(each.others),
                }
                for each in self.places
            ],
            "positions": {side: list(values) for side, values in self.positions.items()},
            "limits": list(LIMITS),
        }
