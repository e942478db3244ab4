# SPDX-License-Identifier: BSD-3-Clause
"""Verdicts on a pair of checkpoints, in words that are as strong as their evidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from .features import Layer
from .model_tests import PairOutcome
from .outcomes import least_tie, p_in_words

Verdict = Literal[
    "related layers",
    "related layers, reordered units",
    "shared basis only",
    "related heads",
    "calibrated only",
    "not rejected",
    "abstain",
]

UNIT_TESTS = ("U", "L", "N", "UR", "U aligned")
BASIS_TESTS = ("R", "RR")

LIMITS = (
    "Dependence includes a fine-tune, a merge, a rounded or pruned copy, and the same "
    "initialisation, be it only the same random seed in the same code.",
    "A model that was distilled from the outputs of another is independent by weights.",
    "Two files have no direction: no test says which came first.",
)
"""Limits of every verdict, in sentences."""

CHOICE = (
    "one descends from the other, or both from a third, be it only the same initialisation. The "
    "test can't say which."
)


class Judgement(NamedTuple):
    """A verdict, its sentence, and the adjusted p-value that it rests on."""

    verdict: Verdict
    text: str
    log10_p: float | None


def judge(pair: PairOutcome, log10_alpha: float) -> Judgement:
    """Return the strongest verdict that the tests of a pair permit."""
    units = pair.rejecting(UNIT_TESTS, log10_alpha)
    basis = pair.rejecting(BASIS_TESTS, log10_alpha)
    matched = _is_matched(pair)
    if units:
        return _related_layers(pair, units, log10_alpha)
    if "RR" in basis and matched:
        p = _p(pair, ["RR"])
        text = (
            f"The two files share the same residual basis ({p}, exact under {_premise(True)}) and, "
            f"unit by unit, the same layers ({_match_text(pair)}; calibrated): {CHOICE}"
        )
        return Judgement("related layers, reordered units", text, _least(pair, ["RR"]))
    if pair.rejecting(["H"], log10_alpha):
        text = (
            f"The heads share an origin ({_p(pair, ['H'])}, exact under exchangeable heads in one "
            "of the files). Disguised: units and bases changed, circuits agree head by head."
        )
        return Judgement("related heads", text, _least(pair, ["H"]))
    if basis:
        text = (
            f"They share embeddings or a basis ({_p(pair, basis)}, exact under {_premise(True)}). "
            "The layers show no common origin."
        )
        return Judgement("shared basis only", text, _least(pair, basis))
    if matched:
        text = (
            f"Unit by unit, gate and up agree more often than in any independent pair "
            f"({_match_text(pair)}). This is calibrated, without a p-value."
        )
        return Judgement("calibrated only", text, None)
    return _not_rejected(pair)


def _related_layers(pair: PairOutcome, units: list[str], log10_alpha: float) -> Judgement:
    in_place = [each.before for each in pair.layers if each.log10_adjusted <= log10_alpha]
    if not in_place and {"UR", "U aligned"} & set(units):
        in_place = list(pair.by_relations)
        if len(pair.aligned) > len(in_place):
            in_place = list(pair.aligned)
    if {"U", "UR", "U aligned"} & set(units) and in_place:
        words = layers_in_words(in_place)
        which = f"{words} {'share' if words.startswith('Layers') else 'shares'} an origin"
    elif "L" in units and pair.links:
        ties = ", ".join(f"{link.before.text} with {link.after.text}" for link in pair.links[:40])
        which = f"Layers of the first file share an origin with layers of the second ({ties})"
    else:
        which = "The layers, taken together, share an origin"
    text = f"{which} ({_p(pair, units)}, exact under {_premise(False)}): {CHOICE}"
    return Judgement("related layers", text, _least(pair, units))


def _not_rejected(pair: PairOutcome) -> Judgement:
    ran = [each for each in pair.outcomes.values() if each.log10_p is not None]
    if not ran:
        reasons = "; ".join(f"{name}: {each.reason}" for name, each in pair.outcomes.items())
        return Judgement("abstain", f"No test applies. {reasons}.", None)
    text = "No common origin found. This does not show independence: "
    if pair.features:
        text += (
            f"a tie below rho = {least_tie(pair.features):.2g} ({pair.features:,} numbers of "
            "hidden units read) can't be seen, nor a distilled model."
        )
    else:
        text += "the hidden units were not compared, and a distilled model can't be seen."
    return Judgement("not rejected", text, min(each.log10_adjusted or 0.0 for each in ran))


def _premise(coordinates: bool) -> str:
    things = "residual coordinates" if coordinates else "units"
    return f"exchangeable {things} in one of the files"


def _least(pair: PairOutcome, names: Sequence[str]) -> float:
    return min(pair.outcomes[name].log10_adjusted or 0.0 for name in names)


def _p(pair: PairOutcome, names: Sequence[str]) -> str:
    best = min(names, key=lambda name: pair.outcomes[name].log10_adjusted or 0.0)
    outcome = pair.outcomes[best]
    return f"p {p_in_words(outcome.log10_adjusted or 0.0, outcome.log10_floor)}"


def _is_matched(pair: PairOutcome) -> bool:
    evident = sum(match.evident for match in pair.matches)
    return evident > 0 and 2 * evident >= len(pair.matches)


def _match_text(pair: PairOutcome) -> str:
    agreements = sum(match.agreements for match in pair.matches)
    units = sum(match.units for match in pair.matches)
    return f"{agreements} of {units} units, where chance gives {len(pair.matches)}"


def layers_in_words(layers: Sequence[Layer]) -> str:
    """Return layers as ranges: "Layers 0-31", "Layer 3", "Layers 0-2, 5, vision 0-3".

    Examples
    --------
    >>> layers_in_words([Layer("text", number) for number in (0, 1, 2, 5)])
    'Layers 0-2, 5'
    """
    parts: list[str] = []
    numbers: dict[tuple[str, bool], list[int]] = {}
    for layer in layers:
        numbers.setdefault((layer.tower, layer.expert is not None), []).append(layer.number)
    for (tower, expert), group in numbers.items():
        prefix = "" if tower in ("", "text") else f"{tower} "
        suffix = " (experts)" if expert else ""
        parts += [f"{prefix}{text}{suffix}" for text in _ranges(sorted(set(group)))]
    one = len(parts) == 1 and "-" not in parts[0]
    return f"{'Layer' if one else 'Layers'} {', '.join(parts)}"


def _ranges(numbers: Sequence[int]) -> list[str]:
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return [f"{first}" if first == last else f"{first}-{last}" for first, last in ranges]
