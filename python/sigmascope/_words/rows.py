# SPDX-License-Identifier: BSD-3-Clause
"""Types of the rows of tables, for all code that shows or saves them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

Row = dict[str, Any]
"""A row of a table: the value of each column by its name."""

RowView = Mapping[str, Any]
"""A row that is only read."""

AnyRow = TypeVar("AnyRow", Row, RowView)


def largest_first(rows: Iterable[AnyRow]) -> list[AnyRow]:
    """Sort rows by stored bytes, so that lists begin with the matrices that matter most."""
    return sorted(rows, key=lambda row: -(row.get("nbytes") or 0))


def full_rank(row: RowView, column: str = "") -> int:
    """Return the largest rank that a matrix can have by its form.

    It is the smaller of the numbers of rows and columns. For a change that an adapter makes, and
    for a circuit, it is the rank of the product. In a comparison `column` says whether the matrix
    is the change, or another one of the pair.
    """
    product = row.get("product_rank")
    of_change = "before" not in row or column.startswith("delta_")
    return int(product if product and of_change else min(row["rows"], row["columns"]))


def rank_of_product(rows: Iterable[RowView]) -> str:
    """Return the name of the largest rank of products: of circuits, or of an adapter's changes."""
    circuits = all((row.get("role") or "").endswith(("qk", "ov")) for row in rows)
    return "d_head, the rank of a circuit" if circuits else "r, the rank of the adapter"


def role_in_tower(tower: str | None, role: str) -> str:
    """Write a role after its tower, if that has a name: "vision q"."""
    return f"{tower} {role}" if tower else role
