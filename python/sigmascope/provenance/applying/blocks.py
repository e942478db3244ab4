# SPDX-License-Identifier: BSD-3-Clause
"""The bytes of a tensor to write, block by block, and statistics of its change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from sigmascope.errors import CheckpointError
from sigmascope.provenance.merges.number_formats import FORMATS, Reals
from sigmascope.provenance.merges.parallel import in_turn
from sigmascope.provenance.merges.survival import Binade, add_binades, expected_survival

from .codes import WIDTHS, decode, encode, format_of, stored_codes
from .pairing import ProductSlab
from .plan import TensorPlan
from .terms import BlockSum, ModelTerm, NumberStream, Place, ProductTerm

BLOCK = 1 << 15
"""Numbers of a block: its dozen arrays of float64 stay in the cache (twice as fast as 2^17)."""

COPIED = 1 << 22
"""Bytes that are copied at a time."""

EXPECTED = ("bf16", "f16", "f32")
"""Formats for which each row says how much of the change would survive."""


@dataclass(frozen=True)
class Segment:
    """Numbers of a tensor that are a matrix in C order, and the adapters' changes of it."""

    start: int
    shape: tuple[int, int]
    slabs: tuple[ProductSlab, ...] = ()

    def places(self) -> Iterator[Place]:
        """Give the rows and columns of each block, in C order."""
        height, width = self.shape
        rows = max(1, BLOCK // max(width, 1))
        span = min(width, BLOCK) or 1
        for top in range(0, height, rows):
            below = min(top + rows, height)
            for left in range(0, width, span):
                yield Place(slice(top, below), slice(left, min(left + span, width)))


def segments_of(plan: TensorPlan) -> list[Segment]:
    """Return the matrices of a tensor, and the numbers between them, in the order of the file."""
    by_start: dict[int, list[ProductSlab]] = {}
    for slab in plan.slabs:
        by_start.setdefault(slab.start, []).append(slab)
    segments: list[Segment] = []
    end = 0
    for start, slabs in sorted(by_start.items()):
        if start > end:
            segments.append(Segment(end, (1, start - end)))
        shape = slabs[0].shape
        segments.append(Segment(start, shape, tuple(slabs)))
        end = start + shape[0] * shape[1]
    if end < plan.numbers:
        segments.append(Segment(end, (1, plan.numbers - end)))
    return segments


@dataclass
class Statistics:
    """Sums over the numbers of a tensor, for the row that describes it.

    Attributes
    ----------
    changed
        Count of numbers whose stored value differs from the rounded base.
    overflowed
        Count of finite numbers of the base that are stored as an infinity or NaN.
    squares, cross
        ||dW||^2 and <dW, M - W>.
    binades
        As for :func:`expected_survival`.
    """

    changed: int = 0
    overflowed: int = 0
    squares: float = 0.0
    cross: float = 0.0
    binades: dict[Binade, tuple[int, float]] = field(default_factory=dict)

    def add(self, base: Reals, change: Reals, merged: Reals, rounded_base: Reals) -> None:
        """Add the numbers of a block."""
        same = (merged == rounded_base) | (np.isnan(merged) & np.isnan(rounded_base))
        self.changed += int(np.count_nonzero(~same))
        finite = np.isfinite(base) & np.isfinite(merged) & np.isfinite(change)
        self.overflowed += int(np.count_nonzero(np.isfinite(base) & ~np.isfinite(merged)))
        if not finite.all():
            base, change, merged = base[finite], change[finite], merged[finite]
        self.squares += float(change @ change)
        self.cross += float(change @ (merged - base))
        add_binades(self.binades, base, change)

    def join(self, other: Statistics) -> None:
        """Add the sums of other numbers."""
        self.changed += other.changed
        self.overflowed += other.overflowed
        self.squares += other.squares
        self.cross += other.cross
        for binade, (count, squares) in other.binades.items():
            number, total = self.binades.get(binade, (0, 0.0))
            self.binades[binade] = number + count, total + squares

    def record(self) -> dict[str, Any]:
        """Return the statistics for a row."""
        expected = {
            name: expected_survival(self.binades, FORMATS[name])._asdict() for name in EXPECTED
        }
        return {
            "changed": self.changed,
            "overflowed": self.overflowed,
            "squares": self.squares,
            "survived": self.cross / self.squares if self.squares else None,
            "expected": expected,
        }


class _Part(NamedTuple):
    """A block of a tensor: stored numbers of the base, their place, and the terms to add."""

    raw: bytes | memoryview
    place: Place
    products: list[ProductTerm]
    models: list[ModelTerm]


class TensorBlocks:
    """The bytes of one tensor to write.

    Parameters
    ----------
    plan
        The tensor.
    weights
        The weight of each donor.
    reading
        File mode.
    """

    def __init__(self, plan: TensorPlan, weights: Sequence[float], reading: str) -> None:
        self._plan, self._weights, self._reading = plan, weights, reading
        self.statistics = Statistics()

    def __iter__(self) -> Iterator[bytes | memoryview]:
        header = self._plan.header
        header.check_unchanged()
        yield from self._copied() if self._plan.is_copied else self._computed()
        header.check_unchanged()

    def _read(self, start: int, count: int) -> bytes | memoryview:
        entry, header = self._plan.entry, self._plan.header
        raw = header.read(entry.offset + start, count, self._reading) if count else b""
        if len(raw) != count:
            raise CheckpointError(
                f"{header.path}: tensor {entry.name!r}: {len(raw)} of {count} bytes at "
                f"{entry.offset + start}"
            )
        return raw

    def _copied(self) -> Iterator[bytes | memoryview]:
        nbytes = self._plan.entry.nbytes
        for start in range(0, nbytes, COPIED):
            yield self._read(start, min(COPIED, nbytes - start))

    def _computed(self) -> Iterator[memoryview]:
        """Give the blocks in their order; sums and codes do not depend on the number of threads."""
        for codes, statistics in in_turn(self._block, self._parts()):
            self.statistics.join(statistics)
            yield memoryview(codes).cast("B")

    def _parts(self) -> Iterator[_Part]:
        """Read the base and the models block by block."""
        plan = self._plan
        streams = {index: NumberStream(elements) for index, elements in plan.models.items()}
        width = WIDTHS[plan.entry.dtype]
        position = 0
        for segment in segments_of(plan):
            products = [
                ProductTerm(slab.product(), self._weights[slab.donor]) for slab in segment.slabs
            ]
            for place in segment.places():
                raw = self._read(position * width, place.count * width)
                position += place.count
                models = [
                    ModelTerm(self._weights[index], stream.take(place.count))
                    for index, stream in streams.items()
                ]
                yield _Part(raw, place, products, models)

    def _block(self, part: _Part) -> tuple[Any, Statistics]:
        """Return the codes of a block, and sums; a NaN or infinity of the base keeps its code."""
        dtype, stored = self._plan.dtype, self._plan.entry.dtype
        raw, statistics = part.raw, Statistics()
        number_format = format_of(dtype)
        base = decode(raw, stored)
        rounded_base = base if stored == dtype else number_format.round(base)
        if not part.products and not part.models:
            return encode(rounded_base, dtype), statistics
        total = BlockSum(base, part.place, part.products, part.models)
        merged = total.rounded(number_format)
        statistics.add(base, total.change, merged, rounded_base)
        codes = encode(merged, dtype)
        if stored == dtype and not np.isfinite(base).all():
            codes = np.where(np.isfinite(base), codes, stored_codes(raw, dtype))
        return np.ascontiguousarray(codes), statistics
