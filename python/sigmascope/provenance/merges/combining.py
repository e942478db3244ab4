# SPDX-License-Identifier: BSD-3-Clause
"""Weights of a whole model, from the rows of its tensors.

All tensors that are stored in the same formats and changed by the same donors went through one
order of rounding, so an order that one of them refutes is refuted for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .fitting import hull
from .joint_rows import joint_box, satisfied
from .number_formats import Reals
from .order_list import AT_RANDOM
from .tensors import MERGED, Key, Row, key_of


@dataclass(frozen=True)
class Group:
    """Tensors of the same formats and donors.

    Attributes
    ----------
    rows
        Their rows.
    orders
        For each order that explains all of them with the same weights, the intervals of all p
        weights, of shape (p, 2).
    shared
        The orders that explain all of them, whatever the weights.
    """

    rows: tuple[Row, ...]
    orders: dict[str, Reals]
    shared: tuple[str, ...]

    @property
    def consistent(self) -> bool:
        """False if no one order explains all tensors, whatever the weights."""
        return bool(self.shared)

    def box_of(self, row: Row, p: int) -> Reals:
        """Return the intervals of all p weights in one of the tensors.

        If some orders explain all tensors, the others are left out.
        """
        orders = self.shared or [fit["order"] for fit in row["orders"]]
        return hull([box_of(row, order, p) for order in orders])

    def replaying(self) -> tuple[str, ...]:
        """Return the orders in which the claim, or a rounding of it, stores every number.

        Rounding at random leaves open which of two numbers is stored, so it confirms nothing.
        """
        return tuple(
            order
            for order in self.orders
            if not order.startswith(AT_RANDOM.words)
            and any(
                all(misses[k] == 0 for misses in self._misses(order))
                for k in range(min((len(m) for m in self._misses(order)), default=0))
            )
        )

    def _misses(self, order: str) -> list[list[int]]:
        return [
            fit["misses"] for row in self.rows for fit in row["orders"] if fit["order"] == order
        ]


def group_rows(rows: Iterable[Row], p: int) -> list[Group]:
    """Group the rows that some order explains."""
    by_key: dict[Key, list[Row]] = {}
    for row in rows:
        if row["status"] == MERGED:
            by_key.setdefault(key_of(row["formats"], row["donors"], row["role"]), []).append(row)
    return [_group(rows, p) for rows in by_key.values()]


def narrow_orders(likely: dict[Key, set[str]], row: Row) -> None:
    """Keep the orders that explain a tensor, too, for the next tensors of its kind."""
    if row["status"] == MERGED:
        key = key_of(row["formats"], row["donors"], row["role"])
        own = {fit["order"] for fit in row["orders"]}
        likely[key] = own if key not in likely else (likely[key] & own or own)


def _group(rows: Sequence[Row], p: int) -> Group:
    shared = [fit["order"] for fit in rows[0]["orders"]]
    for row in rows[1:]:
        own = {fit["order"] for fit in row["orders"]}
        shared = [order for order in shared if order in own]
    orders = {}
    for order in shared:
        box = common_box(rows, order, p)
        if box is not None:
            orders[order] = box
    return Group(tuple(rows), orders, tuple(shared))


def box_of(row: Row, order: str | None, p: int) -> Reals:
    """Return the intervals of all p weights in a tensor, in one order or over all orders."""
    boxes = []
    for fit in row["orders"]:
        if order in (None, fit["order"]):
            box = np.tile([-np.inf, np.inf], (p, 1))
            for donor, (low, high) in zip(row["donors"], fit["weights"], strict=True):
                box[donor] = (-np.inf if low is None else low), (np.inf if high is None else high)
            boxes.append(box)
    return hull(boxes)


def common_box(rows: Sequence[Row], order: str, p: int) -> Reals | None:
    """Return the intervals of the weights that tensors have in common in one order, or None.

    Boxes of tensors are intersected. If several donors change the tensors, so are the sets of
    weights inside of the boxes.
    """
    box = intersection([box_of(row, order, p) for row in rows])
    donors = rows[0]["donors"]
    records = [record for row in rows if (record := rows_in(row, order)) is not None]
    if box is None or len(records) < 2 or any(row["donors"] != donors for row in rows):
        return box
    joint = joint_box(records)
    if joint is None:
        return None
    narrow = np.tile([-np.inf, np.inf], (p, 1))
    narrow[donors] = joint
    return intersection([box, narrow])


def rows_in(row: Row, order: str) -> dict[str, Any] | None:
    """Return the rows of numbers that were kept of a tensor in one order, if there are some."""
    return next((fit.get("rows") for fit in row["orders"] if fit["order"] == order), None)


def allows(row: Row, orders: Sequence[str], weights: Reals) -> bool:
    """Return whether the kept rows of a tensor allow weights of its donors, in one of the orders.

    Without rows, everything is allowed: the box then says all that is known.
    """
    records = [rows_in(row, order) for order in orders]
    return any(record is None or satisfied(record, weights) for record in records)


def intersection(boxes: Sequence[Reals]) -> Reals | None:
    """Return the box that all boxes share, or None."""
    low = np.max([box[:, 0] for box in boxes], axis=0)
    high = np.min([box[:, 1] for box in boxes], axis=0)
    return np.stack([low, high], axis=1) if (low <= high).all() else None


def weights_of(groups: Sequence[Group], p: int) -> Reals | None:
    """Return the intervals of the weights of the model; None if they differ by tensor."""
    boxes = [hull(list(group.orders.values())) for group in groups if group.orders]
    if len(boxes) < len(groups):
        return None
    return intersection([np.tile([-np.inf, np.inf], (p, 1)), *boxes])


def survived(rows: Iterable[Row], weights: Sequence[float]) -> float | None:
    """Return <dW, M - W> / ||dW||^2 over tensors that the change dW with these weights touches."""
    shared = size = 0.0
    for row in rows:
        if row.get("gram") and row["donors"]:
            own = np.array([weights[i] for i in row["donors"]])
            shared += float(own @ np.array(row["cross"]))
            size += float(own @ np.array(row["gram"]) @ own)
    return shared / size if size > 0 else None


def is_at_random(row: Row) -> bool:
    """Return True if a tensor fits only if its rounding was up or down at random."""
    orders = [fit["order"] for fit in row.get("orders", ())]
    return bool(orders) and all(order.startswith(AT_RANDOM.words) for order in orders)
