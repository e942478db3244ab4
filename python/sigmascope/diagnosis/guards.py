# SPDX-License-Identifier: BSD-3-Clause
"""Conditions of a diagnosis: a calibration may not apply to a model, or may apply only under a
condition that the weights do not show.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from sigmascope.extension import short

from .places import PROFILE, ROUNDED, Place, Update
from .validation import ErrorRate
from .verdicts import Scored

LEAST_MATRICES = 12
"""Fewest matrices of a model that is diagnosed."""

HALF = 0.5
"""A guard acts at this share of the places, and of the matrices with relevant rounding."""

WIDER, WIDER_DECAY = 0.25, 0.5
"""The calibration's ranges are widened by these shares: sizes and profiles, and decay."""


@dataclass(frozen=True, slots=True)
class Guard:
    """One condition, with its numbers.

    Attributes
    ----------
    name : str
        "recipe", "rounding", "formats", "size", "decay", "profile", "architecture", "places",
        "matrices", "adapter", "order", "error rate", "groups", "unchanged" or "pattern".
    outcome : str
        "passed", "qualified" (the answer holds under a condition) or "refused".
    text : str
        A sentence with the numbers.
    """

    name: str
    outcome: Literal["passed", "qualified", "refused"]
    text: str


def guards_of(
    update: Update,
    known: Sequence[Update],
    places: Sequence[Place],
    recipe: tuple[Mapping[str, Any], Mapping[str, Any] | None],
    scored: Sequence[Scored],
    rate: ErrorRate,
    alpha: float,
) -> tuple[Guard, ...]:
    """Check every condition.

    Parameters
    ----------
    update
        The update of the model.
    known
        Updates of the calibration's runs.
    places
        Places of the score.
    recipe
        Recipe of the calibration, and the recipe that is declared for the model, if any.
    scored
        Scores of the calibration's runs that have a class.
    rate, alpha
        Error rate of the calibration, and the level of the verdict.
    """
    return (
        _recipe(*recipe),
        _rounding(update),
        _formats(update, known),
        _range("size", "the size ln(‖ΔW‖ / ‖W‖)", update.size, [run.size for run in known], WIDER),
        _range(
            "decay", "the decay coefficient", update.decay, [r.decay for r in known], WIDER_DECAY
        ),
        _profile(update, known),
        _architecture(update, known),
        _places(update, places),
        _matrices(update),
        _adapter(update, known),
        _order(scored),
        _rate(rate, alpha),
        *_qualified(update, rate),
    )


def _recipe(known: Mapping[str, Any], declared: Mapping[str, Any] | None) -> Guard:
    if declared is None:
        listed = ", ".join(f"{key} = {value}" for key, value in known.items()) or "not recorded"
        return Guard(
            "recipe",
            "qualified",
            "The recipe of the model is not declared and cannot be read from its weights. The "
            f"answer is valid if it was that of the calibration ({listed}).",
        )
    differ = [
        f"{key} = {declared[key]} where the calibration has {known[key]}"
        for key in declared
        if key in known and declared[key] != known[key]
    ]
    missing = [key for key in declared if key not in known]
    if differ:
        return Guard(
            "recipe",
            "refused",
            f"The recipe of the model differs: {'; '.join(differ)}. A level does not carry over "
            "to another recipe.",
        )
    if missing:
        return Guard(
            "recipe",
            "qualified",
            f"The calibration does not record {', '.join(missing)}, so it is unknown whether the "
            "recipes agree.",
        )
    return Guard("recipe", "passed", "The declared recipe is that of the calibration.")


def _rounding(update: Update) -> Guard:
    share = f"{100 * update.rounded:.0f} % of the matrices"
    limit = f"above {100 * ROUNDED:.0f} % of ‖ΔW‖ in {share}"
    if update.rounded >= HALF:
        return Guard(
            "rounding",
            "refused",
            f"The rounding of the stored numbers is {limit}: it shifts the spread of the update "
            "by more than its data does.",
        )
    return Guard("rounding", "passed", f"The rounding of the stored numbers is {limit}.")


def _formats(update: Update, known: Sequence[Update]) -> Guard:
    allowed = sorted({each for run in known for each in run.formats})
    other = [each for each in update.formats if each not in allowed]
    if other:
        return Guard(
            "formats",
            "refused",
            f"The numbers are stored as {', '.join(other)} (before and after); those of the "
            f"calibration as {', '.join(allowed)}.",
        )
    return Guard("formats", "passed", f"Stored as in the calibration: {', '.join(update.formats)}.")


def _range(name: str, what: str, value: float, known: Sequence[float], wider: float) -> Guard:
    low, high = min(known), max(known)
    room = wider * (high - low)
    text = f"{what} is {short(value)}; in the calibration {short(low)} to {short(high)}"
    text = text[0].upper() + text[1:]
    if not low - room <= value <= high + room:
        return Guard(
            name,
            "refused",
            f"{text}. Even widened by {100 * wider:.0f} % on both sides, this range does not "
            "contain it.",
        )
    return Guard(name, "passed", f"{text}.")


def _profile(update: Update, known: Sequence[Update]) -> Guard:
    for i, place in enumerate(PROFILE):
        values = [run.profile[i] for run in known if not math.isnan(run.profile[i])]
        if math.isnan(update.profile[i]) or not values:
            return Guard(
                "profile",
                "qualified",
                "The shape of the spectrum is not compared: there are no quantiles (efforts "
                "'density' and 'exact' compute them).",
            )
        what = f"the logarithm of the {place}/32 quantile of ΔW over its median"
        guard = _range("profile", what, update.profile[i], values, WIDER)
        if guard.outcome == "refused":
            return guard
    return Guard(
        "profile", "passed", f"All {len(PROFILE)} quantiles of ΔW are in the calibration's range."
    )


def _architecture(update: Update, known: Sequence[Update]) -> Guard:
    for tower, layers in update.layers.items():
        had = sorted({run.layers[tower] for run in known if tower in run.layers})
        if layers not in had:
            seen = ", ".join(map(str, had)) or "no such tower"
            return Guard(
                "architecture",
                "refused",
                f"The tower '{tower}' has {layers} layers; in the calibration: {seen}.",
            )
    for role, shape in update.shapes.items():
        shapes = sorted({run.shapes[role] for run in known if role in run.shapes})
        if shape not in shapes:
            seen = ", ".join(f"{m} x {n}" for m, n in shapes) or "none"
            return Guard(
                "architecture",
                "refused",
                f"'{role}' is {shape[0]} x {shape[1]}; in the calibration: {seen}.",
            )
    return Guard("architecture", "passed", "Layers and shapes are those of the calibration.")


def _places(update: Update, places: Sequence[Place]) -> Guard:
    count = len(set(update.places).intersection(places))
    text = f"{count} of the {len(places)} places of the calibration are in the model"
    if count < HALF * len(places):
        return Guard("places", "refused", f"Only {text}.")
    return Guard("places", "passed", f"{text[0].upper()}{text[1:]}.")


def _matrices(update: Update) -> Guard:
    text = f"{update.matrices} matrices are used"
    if update.matrices < LEAST_MATRICES:
        return Guard("matrices", "refused", f"Only {text}; a diagnosis needs {LEAST_MATRICES}.")
    return Guard("matrices", "passed", f"{text[0].upper()}{text[1:]}.")


def _adapter(update: Update, known: Sequence[Update]) -> Guard:
    kinds = {run.adapter for run in known}
    if update.adapter not in kinds:
        model, other = ("an adapter", "whole models") if update.adapter else ("a model", "adapters")
        return Guard("adapter", "refused", f"This is {model}; the calibration is of {other}.")
    return Guard("adapter", "passed", "The calibration is of updates of this kind.")


def _order(scored: Sequence[Scored]) -> Guard:
    """Refuse a calibration whose broad runs do not score above its narrow runs."""
    narrow, broad = (
        fmean(run.score for run in scored if run.side == side) for side in ("narrow", "broad")
    )
    text = f"broad runs of the calibration have a mean score of {short(broad)}, narrow ones of "
    text += short(narrow)
    if broad <= narrow:
        return Guard(
            "order",
            "refused",
            f"The {text}: they do not lie above the narrow ones, so the score says nothing about "
            "the data.",
        )
    return Guard("order", "passed", f"The {text}.")


def _rate(rate: ErrorRate, alpha: float) -> Guard:
    share = rate.wrong / rate.runs if rate.runs else 1.0
    text = f"{rate.wrong} of {rate.runs} verdicts of the calibration on its own runs were wrong"
    if share > alpha:
        return Guard(
            "error rate",
            "refused",
            f"{text}: {100 * share:.0f} %, above the level of {100 * alpha:g} %.",
        )
    return Guard("error rate", "passed", f"{text}.")


def _qualified(update: Update, rate: ErrorRate) -> Iterator[Guard]:
    if rate.groups < 2:
        yield Guard(
            "groups",
            "qualified",
            "The calibration has only one group, so it is unknown how levels differ between bases.",
        )
    if update.unchanged:
        yield Guard(
            "unchanged",
            "qualified",
            f"{update.unchanged} matrices did not change and are omitted.",
        )
