# SPDX-License-Identifier: BSD-3-Clause
"""Answers about one model without runs of known data: its size, spread, rounding and tokens."""

from __future__ import annotations

import math
from collections.abc import Iterator

from .places import Update, bands_of
from .result import Diagnosis, PlaceValue


def without_calibration(name: str, update: Update, alpha: float) -> Diagnosis:
    """Diagnose one model from its update only."""
    mean = math.exp(sum(spread.value for spread in update.spreads) / len(update.spreads))
    reasons = (
        f"The update of {name} has a relative size of {math.exp(update.size):.2g}, and an "
        f"effective rank of {100 * mean:.0f} % of the full rank (geometric mean over "
        f"{update.matrices} matrices).",
        *_precision(update),
        *_tokens(update),
        "How narrow its data was remains unknown: to answer that takes a calibration, made from "
        "runs whose data is known.",
    )
    return Diagnosis(
        name=name,
        verdict="no calibration",
        judgement=None,
        score=None,
        sources=(),
        error_rate=None,
        guards=(),
        places=tuple(
            PlaceValue(place, place.text(bands_of(update.layers[place.tower])), value, (), (), ())
            for place, value in sorted(update.places.items())
        ),
        positions={},
        reasons=reasons,
        alpha=alpha,
        update=update,
    )


def _precision(update: Update) -> Iterator[str]:
    share = f"above 5 % of the update in {100 * update.rounded:.0f} % of its matrices"
    if update.above_rounding is None:
        yield f"Rounding of the stored numbers is {share}."
    else:
        yield (
            f"The update is {update.above_rounding:.2g} times as large as the rounding of the "
            f"stored numbers, in the median; rounding is {share}."
        )


def _tokens(update: Update) -> Iterator[str]:
    """Say how many tokens the data had at least; if every row changed, decay can be the reason."""
    if update.tokens is not None and update.tokens[0] < update.tokens[1]:
        changed, rows = update.tokens
        yield (
            f"{changed} of {rows} rows of the input embedding changed: without decay, these are "
            "the tokens that the data had."
        )
