# SPDX-License-Identifier: BSD-3-Clause
"""Diagnoses and calibrations on the terminal (extra ``cli``)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console

from sigmascope.extension.commands import show_table

from .calibration import Calibration
from .page import title_of
from .validation import ErrorRate


def show_calibration(out: Console, calibration: Calibration, rate: ErrorRate) -> None:
    """Print the runs of a calibration, and its verdicts on them."""
    out.print(f"{calibration!r}\n")
    lines = [
        [name, str(part.right), str(part.wrong), str(part.undecided)]
        for name, part in (("narrow", rate.narrow), ("broad", rate.broad))
    ]
    headers = ["class", "right", "wrong", "undecided"]
    show_table(out, f"Verdicts with one {rate.left_out} left out", headers, lines, left=1)
    out.print(f"{rate.text()}\n")


def show_diagnosis(out: Console, record: Mapping[str, Any]) -> None:
    """Print a diagnosis of a model, of two models, or of the increments of a run.

    Parameters
    ----------
    out : Console
    record : mapping
        The result as plain JSON, as `to_dict` returns it and `save` writes it.
    """
    _SHOWN[record["kind"]](out, record)


def _model(out: Console, record: Mapping[str, Any]) -> None:
    """Print the finding, the guards and the places."""
    out.print(f"{title_of(record)}\n", style="bold")
    for sentence in record["reasons"]:
        out.print(sentence)
    out.print()
    if record["verdict"] == "no calibration":
        out.print("To see what an answer looks like: --calibration example.\n")
    _show_guards(out, record["guards"])
    _show_places(out, record["places"])
    out.print("What this cannot say:")
    for limit in record["limits"]:
        out.print(f"- {limit}")
    out.print()


def _show_guards(out: Console, guards: Sequence[Mapping[str, Any]]) -> None:
    """Print the names of the conditions that hold; the finding describes the other conditions."""
    other = {guard["name"] for guard in guards if guard["outcome"] != "passed"}
    passed = list(dict.fromkeys(guard["name"] for guard in guards if guard["name"] not in other))
    if passed:
        out.print(f"Conditions that hold: {', '.join(passed)}.\n")


def _show_places(out: Console, places: Sequence[Mapping[str, Any]]) -> None:
    """Print the effective rank of the update at each place, and the ranges of the runs."""
    headers = ["place", "this model", "narrow runs", "broad runs"]
    lines = [
        [place["text"], _share(place["value"]), _range(place["narrow"]), _range(place["broad"])]
        for place in places
    ]
    if not any(place["narrow"] or place["broad"] for place in places):
        headers, lines = headers[:2], [line[:2] for line in lines]
    title = "Effective rank of the update, as a share of the full rank"
    show_table(out, title, headers, lines, left=1)


def _pair(out: Console, record: Mapping[str, Any]) -> None:
    """Print the finding of two models of one base, and the conditions that hold."""
    for sentence in record["reasons"]:
        out.print(sentence)
    out.print()
    if record["calibrated"] is not None:
        _show_guards(out, record["calibrated"]["guards"])


def _increments(out: Console, record: Mapping[str, Any]) -> None:
    """Print the finding of the increments of a run, and the spread of each."""
    out.print(f"{record['text']}\n")
    lines = [
        [name, _share(value), "" if i >= record["left_out"] else "left out"]
        for i, (name, value) in enumerate(zip(record["names"], record["spreads"], strict=True))
    ]
    title = "Effective rank of each increment, as a share of the full rank"
    show_table(out, title, ["increment", "effective rank", ""], lines, left=1)


_SHOWN: Mapping[str, Callable[[Console, Mapping[str, Any]], None]] = {
    "diagnosis": _model,
    "paired": _pair,
    "increments": _increments,
}


def _share(value: float) -> str:
    return f"{100 * math.exp(value):.1f} %"


def _range(values: Sequence[float]) -> str:
    if not values:
        return "-"
    low, high = 100 * math.exp(min(values)), 100 * math.exp(max(values))
    return f"{low:.1f} to {high:.1f} %"
