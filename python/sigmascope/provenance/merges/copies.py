# SPDX-License-Identifier: BSD-3-Clause
"""Tensors of a merged file that are tensors of the base or of a donor at another place."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sigmascope import Checkpoint
from sigmascope.extension.pairs import Elements, TensorRecord

from .operands import Operands
from .tensors import CHANGED, UNEXPLAINED, UNPAIRED, Row


@dataclass(frozen=True)
class Stored:
    """A tensor of a file, with the hashes of its numbers.

    Attributes
    ----------
    file
        0 for the base, i for the i-th donor.
    record
        Its record.
    elements
        Its numbers.
    """

    file: int
    record: TensorRecord
    elements: Elements
    _digests: dict[str, bytes] = field(default_factory=dict)

    @property
    def place(self) -> tuple[int, int | None]:
        """File and layer."""
        return self.file, self.record["layer"]

    def head(self) -> bytes:
        """Return a hash of the first chunk of numbers."""
        return self._digest("head", [next(iter(self.elements), np.zeros(0))])

    def whole(self) -> bytes:
        """Return a hash of all numbers."""
        return self._digest("whole", self.elements)

    def _digest(self, name: str, chunks: Iterable[Any]) -> bytes:
        if name not in self._digests:
            digest = hashlib.blake2b(digest_size=32)
            for chunk in chunks:
                digest.update(np.asarray(chunk).tobytes())
            self._digests[name] = digest.digest()
        return self._digests[name]


def find_copies(operands: Operands, rows: Sequence[Row]) -> None:
    """Add the origin of tensors that no weights explain, but that are stored at another place.

    All tensors of the base and of donors that have the same type, shape and first numbers are
    hashed. If all tensors of a layer come from one layer, the origin says so; else a tensor must
    have at least two numbers that differ, since constants are equal everywhere.

    Raises
    ------
    CheckpointError
        If a file changed or ends early.
    """
    merged = {record["name"]: record for record in operands.merged.info()}
    suspects = [row for row in rows if row["status"] in (UNEXPLAINED, CHANGED, UNPAIRED)]
    suspects = [row for row in suspects if row["merged"] in merged]
    if not suspects:
        return
    files = [operands.base, *operands.donors]
    stored: dict[Any, list[Stored]] = {}
    for index, checkpoint in enumerate(files):
        if isinstance(checkpoint, Checkpoint):
            for each in _tensors(index, checkpoint, checkpoint.info()):
                stored.setdefault(_kind(each.record), []).append(each)
    layers = {merged[row["merged"]]["layer"] for row in suspects} - {None}
    chosen = [r for name, r in merged.items() if r["layer"] in layers]
    chosen += [r for row in suspects if (r := merged[row["merged"]])["layer"] is None]
    copies = {
        each.record["name"]: _copies_of(each, stored.get(_kind(each.record), ()))
        for each in _tensors(0, operands.merged, chosen)
    }
    places = {layer: _common_place(copies, merged, layer) for layer in layers}
    for row in suspects:
        layer = merged[row["merged"]]["layer"]
        row["merged_layer"] = layer
        place = places.get(layer)
        for each in copies.get(row["merged"], ()):
            whole = place == each.place
            if whole or (place is None and _is_varied(each)):
                row["origin"] = {
                    "file": each.file,
                    "name": each.record["name"],
                    "layer": each.record["layer"],
                    "whole_layer": whole,
                }
                break


def _tensors(
    index: int, checkpoint: Checkpoint, records: Iterable[TensorRecord]
) -> Iterable[Stored]:
    for record in records:
        elements = checkpoint.elements(record["name"])
        if elements is not None:
            yield Stored(index, record, elements)


def _kind(record: TensorRecord) -> Any:
    return record["dtype"], tuple(record["shape"])


def _copies_of(tensor: Stored, others: Iterable[Stored]) -> list[Stored]:
    near = [other for other in others if other.head() == tensor.head()]
    return [other for other in near if other.whole() == tensor.whole()]


def _common_place(
    copies: dict[str, list[Stored]], merged: dict[str, TensorRecord], layer: int | None
) -> tuple[int, int | None] | None:
    """Return the first file and layer that has all tensors of a layer of the merged file."""
    names = [name for name, record in merged.items() if record["layer"] == layer]
    shared: set[tuple[int, int | None]] | None = None
    for name in names:
        own = {
            each.place
            for each in copies.get(name, ())
            if each.record["layer"] is not None and each.record["role"] == merged[name]["role"]
        }
        shared = own if shared is None else shared & own
    return min(shared, key=lambda place: (place[0], place[1] or 0)) if shared else None


def _is_varied(tensor: Stored) -> bool:
    first = next(iter(tensor.elements), np.zeros(0))
    return len(first) > 1 and bool((first != first[0]).any())
