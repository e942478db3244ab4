# SPDX-License-Identifier: BSD-3-Clause
"""The function diagnose: how narrow was the data of a model, with or without a calibration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, overload

from sigmascope.extension import public
from sigmascope.extension.tables import Source, SourceRows, read_source

from .calibrated_pairs import calibrated_difference
from .calibration import EXAMPLE_ONLY, Calibration
from .guards import Guard, guards_of
from .paired import PairedDiagnosis, names_of, paired
from .pattern import pattern_guard
from .places import Update, bands_of, update_of
from .result import LIMITS, NOVELTY, Diagnosis, PlaceValue, Verdict
from .uncalibrated import without_calibration
from .validation import ErrorRate
from .verdicts import Class, Judgement, class_of, judged


@overload
def diagnose(
    comparison: Source,
    calibration: Calibration | None = None,
    *,
    recipe: Mapping[str, Any] | None = None,
    group: str | None = None,
    alpha: float = 0.05,
) -> Diagnosis: ...


@overload
def diagnose(
    comparison: Source,
    calibration: Calibration | None = None,
    *,
    against: Source,
    recipe: Mapping[str, Any] | None = None,
    alpha: float = 0.05,
) -> PairedDiagnosis: ...


@public
def diagnose(
    comparison: Source,
    calibration: Calibration | None = None,
    *,
    against: Source | None = None,
    recipe: Mapping[str, Any] | None = None,
    group: str | None = None,
    alpha: float = 0.05,
) -> Diagnosis | PairedDiagnosis:
    """Estimate from the update of a model how narrow its training data was.

    Parameters
    ----------
    comparison : Comparison or path
        Comparison of a base with the model that was trained from it. It needs the columns of
        effort "exact" or "density".
    calibration : Calibration, optional
        Reference runs whose training data is known. If omitted, only statistics that need no
        reference are returned.
    against : Comparison or path, optional
        Comparison of the same base with another model of the same recipe. With a calibration, the
        difference of the two models is judged against the differences between the calibration's
        runs of one class and group.
    recipe : mapping, optional
        Recipe of the model, or of both models. If an entry differs from the recipe of the
        calibration, the answer is refused.
    group : str, optional
        Group of the calibration that the model belongs to: runs of its own base. None if its base
        is not in the calibration.
    alpha : float
        Level of the verdict, 0 < alpha < 1/2.

    Returns
    -------
    Diagnosis or PairedDiagnosis
        The verdict with its evidence; :class:`PairedDiagnosis` with `against`.

    Raises
    ------
    ValueError
        If no matrix changed; the group is not in the calibration; a group is given with `against`
        or without a calibration; a recipe is given without a calibration; or alpha is out of range.
    TypeError, CheckpointError, OSError
        As for reading a comparison.

    See Also
    --------
    compare : Makes the comparison that is diagnosed.
    diagnose_increments : The parts of one run.

    Notes
    -----
    Only rows are read, never weights. Hundreds of rows and runs take milliseconds.

    Examples
    --------
    >>> diagnose("pair.jsonl", Calibration.load("regimes.json")).text   # doctest: +SKIP
    """
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha = {alpha} is not between 0 and 0.5")
    source = read_source(comparison, {})
    name, update = name_of(source), update_of(source.rows)
    if calibration is None and (recipe is not None or group is not None):
        given = "recipe" if recipe is not None else "group"
        raise ValueError(f"a {given} needs a calibration to compare with: pass calibration=")
    if against is not None:
        if group is not None:
            raise ValueError(
                "two models of one base do not need a group, because its level cancels: omit group"
            )
        return _paired(source, update, read_source(against, {}, 1), calibration, recipe, alpha)
    if calibration is None:
        return without_calibration(name, update, alpha)
    if group is not None and group not in calibration.groups:
        known = ", ".join(calibration.groups)
        raise ValueError(f"the calibration has no group {group!r}; it has {known}")
    return _with_calibration(name, update, calibration, recipe, group, alpha)


def _paired(
    source: SourceRows,
    update: Update,
    other: SourceRows,
    calibration: Calibration | None,
    recipe: Mapping[str, Any] | None,
    alpha: float,
) -> PairedDiagnosis:
    names = names_of((name_of(source), name_of(other)))
    second = update_of(other.rows)
    calibrated = None
    if calibration is not None:
        calibrated = calibrated_difference((update, second), names, calibration, recipe, alpha)
    return paired(update, second, names, alpha, calibrated=calibrated)


def name_of(source: SourceRows) -> str:
    """Return the name of a model: the last part of the path of its comparison."""
    return PurePath(source.label).stem or source.label


def _with_calibration(
    name: str,
    update: Update,
    calibration: Calibration,
    recipe: Mapping[str, Any] | None,
    group: str | None,
    alpha: float,
) -> Diagnosis:
    rate, scored = calibration.error_rate(alpha), calibration.scored()
    score = judgement = None
    sources: tuple[str, ...] = ()
    if set(update.places).intersection(calibration.score.places):
        score = calibration.score.of(update.places)
        narrow, broad = (class_of(side, scored, group) for side in ("narrow", "broad"))
        judgement, sources = judged(score, narrow, broad, alpha), (narrow.source, broad.source)
    guards = guards_of(
        update,
        [run.update for run in calibration.runs],
        calibration.score.places,
        (calibration.recipe, recipe),
        scored,
        rate,
        alpha,
    )
    if judgement is not None:
        side = judgement.word if judgement.word in ("narrow", "broad") else None
        guards = (*guards, pattern_guard(update.places, calibration.labelled(), side))
    refused = [guard for guard in guards if guard.outcome == "refused"]
    reasons: tuple[str, ...]
    if judgement is None or refused:
        verdict: Verdict = "refused"
        reasons = (
            f"The calibration does not apply to {name}. "
            + " ".join(guard.text for guard in refused),
        )
        if calibration.example and judgement is not None:
            answer = _reasons(name, judgement, narrow, broad, rate, ())
            reasons += (f"If it applied, the answer would be: {' '.join(answer)}",)
    else:
        verdict = judgement.word
        reasons = _reasons(name, judgement, narrow, broad, rate, guards)
    return Diagnosis(
        name=name,
        verdict=verdict,
        judgement=judgement,
        score=score,
        sources=sources,
        error_rate=rate,
        guards=guards,
        places=_places(update, calibration),
        positions={} if judgement is None else _positions(calibration, rate, narrow, broad),
        reasons=(EXAMPLE_ONLY, *reasons) if calibration.example else reasons,
        alpha=alpha,
        update=update,
        example=calibration.example,
    )


def _reasons(
    name: str,
    judgement: Judgement,
    narrow: Class,
    broad: Class,
    rate: ErrorRate,
    guards: tuple[Guard, ...],
) -> tuple[str, ...]:
    low, high = judgement.interval
    place = (
        f"position {judgement.position:.2f} [{low:.2f}, {high:.2f}] between "
        f"{_levels(narrow, broad)}"
    )
    unlike = "is like neither narrow nor broad runs"
    if 0 < judgement.position < 1:
        unlike = "lies between narrow and broad runs, and would be rare among both"
    chances = (
        f"If scores are normally distributed, {_percent(judgement.p_broad)} of broad runs would "
        f"score as low, and {_percent(judgement.p_narrow)} of narrow runs as high; by ranks, "
        f"{_percent(judgement.rank_p_broad)} and {_percent(judgement.rank_p_narrow)}."
    )
    first = {
        "narrow": f"The update of {name} lies where narrow data would put it: {place}.",
        "broad": f"The update of {name} lies where broad data would put it: {place}.",
        "not distinguishable": f"Both narrow and broad data are plausible for {name}: {place}.",
        "unlike both": f"{name} {unlike}: {place}.",
    }[judgement.word]
    qualified = [guard.text for guard in guards if guard.outcome == "qualified"]
    novelty = [NOVELTY] if judgement.word == "narrow" else []
    return (first, chances, rate.text(), *qualified, *novelty)


def _levels(narrow: Class, broad: Class) -> str:
    unit = "groups" if narrow.source == "groups" else "runs"
    other = "groups" if broad.source == "groups" else "runs"
    return f"{narrow.count} narrow {unit} (0) and {broad.count} broad {other} (1)"


def _percent(p: float) -> str:
    """Format a probability as a percentage with two digits, and never as 0 or 100 %."""
    if p < 1e-4:
        return "less than 0.01 %"
    return f"{100 * p:.2g} %" if p < 0.095 else f"{min(100 * p, 99):.0f} %"


def _positions(
    calibration: Calibration, rate: ErrorRate, narrow: Class, broad: Class
) -> dict[str, tuple[float, ...]]:
    """Return the positions of the runs between the levels that the model is compared with."""
    low, high = narrow.level.mean, broad.level.mean
    sides = [run.side for run in calibration.labelled()]
    return {
        side: tuple((x - low) / (high - low) for i, x in rate.scores.items() if sides[i] == side)
        for side in ("narrow", "broad")
    }


def _places(update: Update, calibration: Calibration) -> tuple[PlaceValue, ...]:
    runs = [(run.values, run.side) for run in calibration.labelled()]
    places = []
    for place, value in sorted(update.places.items()):
        by_side: dict[str | None, list[float]] = {"narrow": [], "broad": [], None: []}
        for values, side in runs:
            if place in values:
                by_side[side].append(values[place])
        places.append(
            PlaceValue(
                place,
                place.text(bands_of(update.layers[place.tower])),
                value,
                tuple(by_side["narrow"]),
                tuple(by_side["broad"]),
                tuple(by_side[None]),
            )
        )
    return tuple(places)


__all__ = ["LIMITS", "diagnose"]
