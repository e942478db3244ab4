# SPDX-License-Identifier: BSD-3-Clause
"""Rows of a scan for changing tensors in memory, each made on request."""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple, Self, Unpack

from sigmascope._running.prefetch import Prefetch
from sigmascope._running.selection import Patterns, as_list
from sigmascope._running.tasks import TENSOR_ERRORS, Options, failed
from sigmascope._tables.scan_options import SCAN
from sigmascope._tables.schema import Row
from sigmascope._words.text import amount
from sigmascope.analysis.low_rank import LowRank
from sigmascope.analysis.spectrum import REQUESTED
from sigmascope.checkpoint import Checkpoint, open_checkpoint
from sigmascope.checkpoint.tensors import HasStateDict, Tensors
from sigmascope.errors import MemoryLimitError
from sigmascope.matrices.device_bytes import DeviceBytes, on_demand
from sigmascope.matrices.matrix import Matrix
from sigmascope.solvers.change import content_key

from .entrywise import entrywise
from .items import Item, list_items
from .keywords import LiveOptions
from .rows import COLUMNS
from .tasks import analyse


class LiveItem(NamedTuple):
    """A row that can be made, and the name of the tensor whose bytes it shares, if any."""

    item: Item
    original: str | None


class Visit(NamedTuple):
    """The result of visiting one tensor: the key of its numbers, and its row.

    The key is None if it is not known. The row is None if the key has not changed.
    """

    key: Hashable
    row: Row | None


@dataclass(frozen=True, slots=True)
class StateDict:
    """A state dict with the settings of its module."""

    config: Any
    tensors: Mapping[str, Any] = field(repr=False)

    def state_dict(self) -> Mapping[str, Any]:
        """Return the tensors by name."""
        return self.tensors


@dataclass(frozen=True, slots=True)
class _Single:
    """A checkpoint whose only matrix has been made already."""

    a: Matrix

    def __getitem__(self, name: str, /) -> Matrix | LowRank:
        return self.a

    def outline(self, name: str) -> Matrix | LowRank:
        """Return the matrix."""
        return self.a


class LiveRows:
    """The rows of a scan of tensors in memory.

    Arrays of torch or CuPy on a device are copied to the host one matrix at a time, when a row is
    made.

    Parameters
    ----------
    options : Options
        Options of the analysis of each matrix.
    include, exclude : str or sequence of str, optional
        As for :func:`scan`.
    """

    def __init__(self, options: Options, include: Patterns, exclude: Patterns) -> None:
        self._options = options
        self._patterns = as_list(include), as_list(exclude)
        self._checkpoint: Checkpoint | None = None
        self._on_device: dict[str, DeviceBytes] = {}

    @classmethod
    def of(cls, followed: Sequence[str], **options: Unpack[LiveOptions]) -> Self:
        """Check the options; ValueError also for a followed measure that no row has as a number.

        Measures of `followed` that are computed only on request are requested.
        """
        for name in followed:
            if COLUMNS.get(name) not in ("int", "float"):
                raise ValueError(f"no column {name!r} with a number in the rows of a scan")
        default = {name: SCAN[name].default for name in LiveOptions.__annotations__}
        given: dict[str, Any] = {**default, **options}
        patterns = given.pop("include"), given.pop("exclude")
        requested = [name for name in followed if name in REQUESTED]
        return cls(Options.of(measures=requested, **given), *patterns)

    def take(self, tensors: Tensors, *, strict: bool) -> list[LiveItem]:
        """Take the tensors whose rows are made next, and list the rows without reading numbers.

        If `strict`, a pattern of `include` that matches nothing is a ValueError.
        """
        named = tensors.state_dict() if isinstance(tensors, HasStateDict) else tensors
        wrapped = {name: on_demand(value) for name, value in named.items()}
        self._on_device = {n: x for n, x in wrapped.items() if isinstance(x, DeviceBytes)}
        config = getattr(tensors, "config", None)
        checkpoint = open_checkpoint(wrapped if config is None else StateDict(config, wrapped))
        self._checkpoint = checkpoint
        return [
            LiveItem(item, None if item.matrix else checkpoint.original_of(item.name))
            for item in list_items(checkpoint, *self._patterns, strict=strict)
        ]

    def close(self) -> None:
        """Release the tensors."""
        self._checkpoint, self._on_device = None, {}

    def visit(self, item: Item, known: Hashable) -> Visit:
        """Compute the key of a tensor, and its row unless the key is `known`.

        An error becomes the reason in the row.
        """
        began = time.perf_counter()
        try:
            a = self._matrix(item) if item.matrix else None
            key = self._key_of_entries(item) if a is None else self._key_of(a)
        except TENSOR_ERRORS as error:
            return Visit(None, item.row() | failed(error, began))
        if key == known:
            return Visit(key, None)
        if a is None:
            return Visit(key, item.row() | self._entries(item))
        with Prefetch(_Single(a)) as matrices:
            row = analyse(matrices, item.name, self._options)
        again = row.get("failure") == "environment"  # which may not occur again
        return Visit(None if again else key, item.row() | row)

    def _matrix(self, item: Item) -> Matrix:
        assert self._checkpoint is not None
        stored, limit = item.stored_bytes, self._options.memory_limit
        if item.record["name"] in self._on_device and stored > limit:
            raise MemoryLimitError(
                f"{item.name} has {amount(stored)} on a device, and its copy on the host does not "
                f"fit into memory_limit = {amount(limit)}"
            )
        return self._checkpoint[item.name]

    def _entries(self, item: Item) -> Row:
        assert self._checkpoint is not None
        return entrywise(self._checkpoint, item.name, item.record["status"])

    def _key_of(self, a: Matrix) -> Hashable:
        how = {name: getattr(self._options, name) for name in ("num_threads", "memory_limit")}
        return content_key(a, device=self._options.device, **how)

    def _key_of_entries(self, item: Item) -> Hashable:
        """Return a hash of the numbers of a tensor without a spectrum."""
        assert self._checkpoint is not None
        digest = blake2b(digest_size=16)
        for numbers in self._checkpoint.elements(item.name) or ():
            digest.update(numbers.tobytes())
        return item.record["dtype"], item.record["shape"], digest.digest()
