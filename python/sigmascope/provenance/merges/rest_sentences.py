# SPDX-License-Identifier: BSD-3-Clause
"""Changes that nobody named, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .places import describe
from .tensors import Row
from .unknown import REST
from .wording import last_part, list_words

WIDEST = 0.5
"""Errors of weights, in parts of them, above which nothing is said of them."""


def is_rest(row: Row) -> bool:
    """Return whether a change of low rank is left of a tensor."""
    return (row.get("explanation") or {}).get("kind") == REST


def rest_sentences(rows: Sequence[Row], among: Sequence[Row], names: Sequence[str]) -> list[str]:
    """Describe changes of low rank that are left of tensors; nothing without tensors.

    Parameters
    ----------
    rows, among
        Rows of the tensors, and of all tensors.
    names
        Names of the donors; nothing for tensors that no donor changes.
    """
    if not rows:
        return []
    records = [row["explanation"] for row in rows]
    ranks = sorted(record["rank"] for record in records)
    rank = f"rank {ranks[0]}" if ranks[0] == ranks[-1] else f"rank {ranks[0]} to {ranks[-1]}"
    share = float(np.sqrt(np.mean([record["share"] ** 2 for record in records])))
    what = f"a change of {rank} of {100 * share:.2g} % of the weight in {describe(rows, among)}"
    if not names:
        return [f"An estimate: {what} explains most of that."]
    sentence = f"An estimate: beside {list_words([last_part(n) for n in names])} there is {what}."
    weights = np.array([r["weights"] for r in records if len(r["weights"]) == len(names)])
    errors = np.array([r["error"] for r in records if len(r["weights"]) == len(names)])
    if len(weights) and (errors < WIDEST * np.abs(weights)).all():
        low, high = (weights - errors).min(axis=0), (weights + errors).max(axis=0)
        ends = [f"{a:.3g} to {b:.3g}" for a, b in zip(low, high, strict=True)]
        verb = "weight is" if len(ends) == 1 else "weights are"
        sentence += f" The {verb} then {list_words(ends)}."
    return [sentence]
