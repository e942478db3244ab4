# SPDX-License-Identifier: BSD-3-Clause
"""The order in which the matrices of a model are visited: the least recently visited first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sigmascope.scanning.live import LiveItem

Key = tuple[str | int | None, ...]
"""Tower, role and layer of a place, or the name of a tensor whose role is not known."""

Shapes = tuple[tuple[tuple[int, ...], str, int], ...]
"""Shape, dtype and bytes of each tensor."""


@dataclass(frozen=True, slots=True)
class PlaceGroup:
    """The tensors of one place. They are visited together, so that a mean covers all of them.

    Attributes
    ----------
    key
    members
        Tensors that are analysed or read.
    tied
        Second names of these tensors.
    """

    key: Key
    members: list[LiveItem] = field(default_factory=list)
    tied: list[LiveItem] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Names of all tensors of the place."""
        return [each.item.name for each in (*self.members, *self.tied)]

    @property
    def shapes(self) -> Shapes:
        """Shapes and dtypes of the tensors that are analysed or read."""
        records = (each.item.record for each in self.members)
        return tuple((record["shape"], record["dtype"], record["nbytes"]) for record in records)


def grouped(items: Sequence[LiveItem]) -> tuple[list[PlaceGroup], list[LiveItem]]:
    """Group the tensors by place, in the order of names; list those without numbers separately."""
    groups: dict[Key, PlaceGroup] = {}
    by_tensor: dict[str, PlaceGroup] = {}
    for each in items:
        item = each.item
        if item.matrix or item.entrywise:
            key = _key(each)
            group = groups.setdefault(key, PlaceGroup(key))
            group.members.append(each)
            by_tensor[item.record["name"]] = group
    others: list[LiveItem] = []
    for each in items:
        if each.item.matrix or each.item.entrywise:
            continue
        owner = by_tensor.get(each.original or "")
        (others if owner is None else owner.tied).append(each)
    return list(groups.values()), others


def _key(each: LiveItem) -> Key:
    record = each.item.record
    if record["role"] == "other":
        return (each.item.name,)
    return record["tower"], record["role"], record["layer"]


class Rotation:
    """The last visit of each group: its number, and how long it took."""

    def __init__(self) -> None:
        self._visits: dict[Key, tuple[int, float]] = {}
        self._by_shapes: dict[Shapes, float] = {}
        self._count = 0

    def order(self, groups: Sequence[PlaceGroup]) -> list[PlaceGroup]:
        """Return the groups: first the unvisited ones, then by their last visit, oldest first."""
        return sorted(groups, key=lambda group: self._visits.get(group.key, (0, 0.0))[0])

    def seconds(self, group: PlaceGroup) -> float | None:
        """Return the seconds of the last visit of a group, or of a group with the same shapes.

        Return None before the first such visit.
        """
        if group.key in self._visits:
            return self._visits[group.key][1]
        return self._by_shapes.get(group.shapes)

    @property
    def count(self) -> int:
        """Number of visits so far."""
        return self._count

    def visited(self, group: PlaceGroup, seconds: float) -> None:
        """Record a visit.

        The very first visit is cold: it takes twice the processor time of the next, and on a busy
        machine took 0.45 s instead of 10 ms. Its time does not predict visits of the same shapes.
        """
        if group.key not in self._visits and self._count:
            self._by_shapes[group.shapes] = seconds
        self._count += 1
        self._visits[group.key] = self._count, seconds
