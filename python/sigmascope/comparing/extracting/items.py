# SPDX-License-Identifier: BSD-3-Clause
"""The tensors of two checkpoints as rows of an extraction, and what an adapter can hold."""

from __future__ import annotations

from dataclasses import dataclass

from sigmascope._tables.schema import Row
from sigmascope.adapters.targets import Target
from sigmascope.adapters.whole import Whole
from sigmascope.checkpoint import Checkpoint
from sigmascope.comparing.members import Pair, members, selected
from sigmascope.comparing.pairing import linked

from .representable import Layouts
from .result import COLUMNS, FROM_PAIR


@dataclass(frozen=True, slots=True)
class Item:
    """A row of the extraction to make.

    Attributes
    ----------
    pair
        The tensor in the base and in the tuned model.
    carrier
        For a matrix, the weight that an adapter changes; for another tensor, the tensor that it
        stores in full; or the reason why it cannot. None if the change is not computed.
    """

    pair: Pair
    carrier: Target | Whole | str | None

    @property
    def name(self) -> str:
        """Name of the row."""
        return self.pair.name

    @property
    def matrix(self) -> bool:
        """True if the change is a matrix; it is approximated, or measured if not carried."""
        return self.pair.matrix

    @property
    def entrywise(self) -> bool:
        """True if the change is measured entry by entry."""
        return self.pair.entrywise

    @property
    def stored_bytes(self) -> int:
        """Stored bytes of both matrices."""
        return self.pair.stored_bytes

    @property
    def target(self) -> Target | None:
        """The weight that an adapter changes; None if an adapter cannot hold the change."""
        return self.carrier if isinstance(self.carrier, Target) else None

    def row(self) -> Row:
        """Return the row with the columns that the headers give."""
        known = self.pair.row()
        row: Row = dict.fromkeys(COLUMNS)
        row |= {name: known[name] for name in FROM_PAIR}
        row["tuned"] = known["after"]
        row["module"] = None if self.target is None else self.target.module
        return row


def list_items(
    both: tuple[Checkpoint, Checkpoint],
    layouts: Layouts,
    include: list[str],
    exclude: list[str],
    *,
    whole: bool,
) -> list[Item]:
    """List the rows of an extraction; every pattern of `include` must match something.

    `whole`: the adapter may store tensors in full.
    """
    before, after = both
    pairs = linked(list(members(before)), list(members(after)))
    where = f"{before.path} and {after.path}"
    return [
        Item(pair, _carrier(pair, layouts, whole))
        for pair in selected(pairs, include, exclude, where)
    ]


def _carrier(pair: Pair, layouts: Layouts, whole: bool) -> Target | Whole | str | None:
    if pair.matrix:
        return layouts.target(pair)
    if not pair.entrywise:
        return None
    carrier = layouts.whole(pair)
    if whole or isinstance(carrier, str):
        return carrier
    return "the tensor is not a matrix; whole=True (--whole in a shell) saves it in full"
