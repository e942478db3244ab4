# SPDX-License-Identifier: BSD-3-Clause
"""The size of a model's change, and the roles that changed least and most."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sigmascope._words.rows import Row
from sigmascope._words.verdicts import outcome

from . import verdicts
from .chance import Pair
from .estimates import Middle, groups, of_column
from .findings import role_name, several_towers


def is_changed(row: Row) -> bool:
    """Return True if the norm of a pair's change exceeds the rounding of its formats."""
    return row.get("above_rounding") is not False and outcome(row) == "changed"


def total_change(pairs: list[Row]) -> Pair | None:
    """Return the relative change of all pairs as one vector, and a bound of its error."""
    known = [
        (row["relative_change"], row.get("relative_change_error") or 0.0, row["before_fro_norm"])
        for row in pairs
        if row.get("relative_change") is not None and row.get("before_fro_norm")
    ]
    total = math.fsum(norm**2 for _, _, norm in known)
    if not total:
        return None
    change = math.sqrt(math.fsum((change * norm) ** 2 for change, _, norm in known) / total)
    error = math.sqrt(math.fsum((error * norm) ** 2 for _, error, norm in known) / total)
    return change, error


@dataclass(frozen=True, slots=True)
class RoleExtremes:
    """The roles that changed least and most, their medians, and whether chance is excluded."""

    least: str
    most: str
    medians: dict[str, Middle]
    known: bool


def role_extremes(changed: list[Row]) -> RoleExtremes | None:
    """Compare the relative changes of roles; None unless two of them have several matrices."""
    with_tower = several_towers(changed)
    roles = {
        role_name(group[0], with_tower): group
        for group in groups(changed, "tower", "role").values()
        if len(group) > 1
    }
    medians = {
        role: median
        for role, group in roles.items()
        if (median := of_column(group, "relative_change")) is not None
    }
    if len(medians) < 2:
        return None
    least, most = (f(medians, key=lambda role: medians[role].value) for f in (min, max))
    tests = len(medians) * (len(medians) - 1) // 2
    known = verdicts.differ(roles[least], roles[most], tests)
    return RoleExtremes(least, most, medians, known)
