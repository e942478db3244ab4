# SPDX-License-Identifier: BSD-3-Clause
"""The tensors of two checkpoints as rows of an extraction, and what an adapter can have of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sigmascope._tables.schema import Row
from sigmascope.adapters import Scannable
from sigmascope.comparing.members import Member, Pair, members, selected
from sigmascope.comparing.pairing import linked

from .result import COLUMNS, FROM_PAIR

_WEIGHT = ".weight"

EMBEDDINGS = ("embed", "positions", "token_types")
"""Roles of matrices whose rows are looked up; the change of a row is no product of activations."""


@dataclass(frozen=True, slots=True)
class Item:
    """A row that the extraction is to make.

    Attributes
    ----------
    pair
        The tensor in the base and in the tuned model.
    obstacle
        The reason why an adapter cannot have its change; None if it can.
    """

    pair: Pair
    obstacle: str | None

    @property
    def name(self) -> str:
        """Name of the row."""
        return self.pair.name

    @property
    def matrix(self) -> bool:
        """True if the change is a matrix, which is approximated, or measured if not carried."""
        return self.pair.matrix

    @property
    def entrywise(self) -> bool:
        """True if the change is measured number by number."""
        return self.pair.entrywise

    @property
    def stored_bytes(self) -> int:
        """Stored bytes of both matrices."""
        return self.pair.stored_bytes

    @property
    def module(self) -> str | None:
        """Name of the module whose weight the tensor is, if an adapter can have its change."""
        return self.name.removesuffix(_WEIGHT) if self.matrix and self.obstacle is None else None

    def row(self) -> Row:
        """Return the row with the columns that the headers give."""
        known = self.pair.row()
        row: Row = dict.fromkeys(COLUMNS)
        row |= {name: known[name] for name in FROM_PAIR}
        row["tuned"], row["module"] = known["after"], self.module
        return row


def listed(
    before: Scannable, after: Scannable, include: list[str], exclude: list[str]
) -> list[Item]:
    """List the rows of an extraction; every pattern of `include` must match something."""
    pairs = linked(list(members(before)), list(members(after)))
    where = f"{before.path} and {after.path}"
    return [Item(pair, _obstacle(pair)) for pair in selected(pairs, include, exclude, where)]


def _obstacle(pair: Pair) -> str | None:
    """Return the reason why an adapter cannot have the change of a pair of matrices."""
    if not pair.matrix:
        return None
    assert pair.before is not None
    return next(_obstacles(pair, pair.before), None)


def _obstacles(pair: Pair, base: Member) -> Iterator[str]:
    record = base.record
    if record["role"] in EMBEDDINGS:
        yield "the matrix is an embedding, whose rows are looked up"
    if record["status"] == "kernel":
        yield "the tensor is the kernel of a convolution"
    if pair.rows is not None:
        yield "the two models have vocabularies of two sizes"
    if base.looked_up:
        yield f"the tensor is another name of {base.source}"
    if not record["name"].endswith(_WEIGHT):
        yield "the tensor is not the weight of a module"
    if base.name != record["name"]:
        yield "the matrix is one of several in a stored tensor"
