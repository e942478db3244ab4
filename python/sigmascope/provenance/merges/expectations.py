# SPDX-License-Identifier: BSD-3-Clause
"""Expectations: what a caller claims of a merged file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

KINDS = ("identical", "rounding", "adapter", "linear")
EXAMPLES = "identical, rounding, adapter, linear, weights=.5,.5 or survived>=.9"


@dataclass(frozen=True, slots=True)
class Expectation:
    """One claim.

    Attributes
    ----------
    text
        The claim as it was given.
    kind
        "identical", "rounding", "adapter", "linear", "weights" or "survived".
    weights
        The claimed weights, one for each donor.
    least
        The least part of the change that should have survived.
    """

    text: str
    kind: str
    weights: tuple[float, ...] = ()
    least: float = 0.0


def read_expectations(texts: str | Sequence[str] | None, donors: int) -> tuple[Expectation, ...]:
    """Read claims about a file that is merged of `donors` donors.

    Raises
    ------
    ValueError
        If a claim is unknown, or has another number of weights than there are donors.
    """
    if texts is None:
        return ()
    claims = [texts] if isinstance(texts, str) else list(texts)
    expectations = tuple(_read(text.strip(), donors) for text in claims)
    if len({e.weights for e in expectations if e.weights}) > 1:
        raise ValueError("two expectations claim different weights")
    return expectations


def _read(text: str, donors: int) -> Expectation:
    if text == "adapter":
        if not donors:
            raise ValueError("expect='adapter' needs a donor")
        return Expectation(text, text, (1.0,) * donors)
    if text in KINDS:
        return Expectation(text, text)
    name, sign, values = text.partition(">=")
    if sign and name == "survived":
        return Expectation(text, "survived", least=read_number(values, text))
    name, sign, values = text.partition("=")
    if sign and name == "weights":
        weights = tuple(read_number(value, text) for value in values.split(","))
        if len(weights) != donors:
            raise ValueError(f"expect={text!r} has {len(weights)} weights for {donors} donors")
        return Expectation(text, "weights", weights)
    raise ValueError(f"expect={text!r} is not an expectation; examples: {EXAMPLES}")


def read_number(text: str, where: str) -> float:
    """Return the finite number in a claim.

    Raises
    ------
    ValueError
        If it is not one.
    """
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < float("inf"):
        raise ValueError(f"expect={where!r}: {text!r} is not a finite number")
    return value
