# SPDX-License-Identifier: BSD-3-Clause
"""Three sentences about a diagnosis: what was examined, what it means, what it cannot show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sigmascope.extension import counted
from sigmascope.extension.pages import Explanation

_MEANINGS = {
    "narrow": "The update acts along as few directions as those of runs on narrow data, so the "
    "data was narrow, or new to the base",
    "broad": "The update acts along as many directions as those of runs on broad data",
    "not distinguishable": "The update lies where both narrow and broad data are plausible",
    "unlike both": "The update is like that of neither narrow nor broad runs",
    "refused": "The reference runs do not apply to this model, so there is no answer",
    "no calibration": "Without reference runs whose data is known, the breadth of the data remains "
    "unknown; only size and spread of the update are measured",
}

_LIMITS_OF_DATA = (
    "It cannot name the data, and a verdict holds only for a model that was trained as the "
    "reference runs were."
)


def explain(record: Mapping[str, Any]) -> Explanation:
    """Explain a diagnosis, given as its record in plain JSON."""
    sizes = f"{counted(record['matrices'], 'matrix', 'matrices')}" if "matrices" in record else ""
    if record["kind"] == "increments":
        names = record["names"]
        examined = (
            f"The changes between {counted(len(names) + 1, 'checkpoint')} of one run were compared "
            f"by the spread of each over the directions of {sizes}."
        )
        return Explanation(
            examined,
            _first_sentence(record["text"]),
            "A change of spread does not say what changed: data and learning rate both change it.",
        )
    if record["kind"] == "paired":
        examined = (
            f"The updates of two models of one base were compared by their spread over the "
            f"directions of {sizes}."
        )
        return Explanation(examined, _first_sentence(record["reasons"][0]), _LIMITS_OF_DATA)
    runs = sum(map(len, record["positions"].values()))
    with_runs = f", and compared with {counted(runs, 'reference run')}" if runs else ""
    examined = (
        "The change from the base to the model was measured by its effective rank at "
        f"{counted(len(record['places']), 'place')} of the model{with_runs}."
    )
    meaning = f"{_MEANINGS[record['verdict']]}."
    if record.get("example"):
        meaning = (
            "Nothing for this model: the reference runs are an example of another kind of run."
        )
    return Explanation(examined, meaning, _LIMITS_OF_DATA)


def _first_sentence(text: str) -> str:
    head, stop, _ = text.partition(". ")
    return f"{head}." if stop else text
