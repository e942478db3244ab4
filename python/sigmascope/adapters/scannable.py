# SPDX-License-Identifier: BSD-3-Clause
"""Sources of scans and comparisons: checkpoints and adapters, open, on disk or in memory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from sigmascope._host.files import check_reading
from sigmascope.checkpoint import Checkpoint, HasStateDict, Tensors, open_checkpoint
from sigmascope.checkpoint import reopened as reopened_checkpoint
from sigmascope.checkpoint.assembly import Origin
from sigmascope.checkpoint.naming.table import Source

from .adapter import Adapter, AdapterOrigin, is_adapter, open_adapter

PathLike = str | os.PathLike[str]

Scannable = Checkpoint | Adapter
"""Types that a scan takes."""


def as_scannable(
    source: Scannable | Tensors | PathLike,
    reading: str | None = None,
    *,
    heads: bool = False,
    rules: Source | None = None,
    variant: str | None = None,
) -> Scannable:
    """Open the checkpoint or adapter of a path, or tensors in memory; return an open one as it is.

    Parameters
    ----------
    source : Checkpoint, Adapter, path, mapping of names to arrays, or module of torch
    reading, heads, rules, variant
        As for :func:`open_checkpoint`; an open source has its own options.

    Raises
    ------
    CheckpointError
        As for `open_checkpoint` and `open_adapter`.
    ValueError
        There is no such `reading`, the source was opened with another one, or heads or a variant
        of an adapter are requested.
    """
    if isinstance(source, Checkpoint | Adapter):
        if reading is not None and check_reading(reading) != source.reading:
            raise ValueError(
                f"{source.path} was opened with reading {source.reading!r}, not {reading!r}"
            )
        return source
    if isinstance(source, Mapping | HasStateDict):
        for name, value in (("reading", reading), ("variant", variant)):
            if value is not None:
                raise ValueError(f"{name} = {value!r} is for files; these tensors are in memory")
        return open_checkpoint(source, heads=heads, rules=rules)
    reading = reading or "buffered"
    if not is_adapter(source):
        return open_checkpoint(source, heads=heads, rules=rules, reading=reading, variant=variant)
    if variant is not None:
        raise ValueError(f"{source} is an adapter, which has no variant {variant!r}")
    if heads:
        raise ValueError(f"{source} is an adapter: its products are not cut into heads")
    return open_adapter(source, rules=rules, reading=reading)


def reopened(origin: Origin | AdapterOrigin) -> Scannable:
    """Open a checkpoint or an adapter again with the same options, possibly in another process."""
    if isinstance(origin, AdapterOrigin):
        return Adapter(Path(origin.path), origin)
    return reopened_checkpoint(origin)
