# SPDX-License-Identifier: BSD-3-Clause
"""Sources of scans and comparisons: checkpoints and adapters, open, on disk or in memory."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from sigmascope._host.files import check_reading
from sigmascope.checkpoint import Checkpoint, open_checkpoint
from sigmascope.checkpoint.assembly import Origin
from sigmascope.checkpoint.checkpoint import reopened as reopened_checkpoint
from sigmascope.checkpoint.naming.table import Source
from sigmascope.checkpoint.opening import check_location
from sigmascope.checkpoint.remote.paths import Location
from sigmascope.checkpoint.remote.urls import is_url, path_of_url
from sigmascope.checkpoint.tensors import HasStateDict, Tensors
from sigmascope.matrices.byte_source import ByteSource

from .adapter import Adapter, AdapterOrigin
from .circuits import Circuits
from .folders import is_adapter
from .opening import open_adapter

Scannable = Checkpoint | Adapter | Circuits
"""Types that a scan accepts."""


def as_scannable(
    source: Scannable | Tensors | Location,
    reading: str | None = None,
    *,
    heads: bool = False,
    circuits: bool = False,
    rules: Source | None = None,
    variant: str | None = None,
) -> Scannable:
    """Open a checkpoint or adapter from a path or URL, or tensors in memory.

    An open checkpoint or adapter is returned unchanged, except that a checkpoint that was opened
    with `circuits=True` stands for its circuits.

    Parameters
    ----------
    source : Checkpoint, Adapter, path, URL, mapping of names to arrays, or module of torch
    reading, heads, circuits, rules, variant
        As for :func:`open_checkpoint`; an open source has its own options.

    Raises
    ------
    CheckpointError
        As for `open_checkpoint` and `open_adapter`.
    ValueError
        `reading` is not a file mode, the source was opened with another mode, or heads,
        circuits or a variant are requested for an adapter.
    """
    if isinstance(source, Checkpoint | Adapter | Circuits):
        if reading is not None and check_reading(reading) != source.reading:
            raise ValueError(
                f"{source.path} was opened with reading {source.reading!r}, not {reading!r}"
            )
        return _with_circuits(source) if isinstance(source, Checkpoint) else source
    if isinstance(source, Mapping | HasStateDict):
        for name, value in (("reading", reading), ("variant", variant)):
            if value is not None:
                raise ValueError(f"{name} = {value!r} is for files; these tensors are in memory")
        checkpoint = open_checkpoint(source, heads=heads, circuits=circuits, rules=rules)
        return _with_circuits(checkpoint)
    check_location(source)
    reading = reading or "buffered"
    if is_url(source):
        source = path_of_url(str(source))
    if not is_adapter(source):
        return _with_circuits(
            open_checkpoint(
                source,
                heads=heads,
                circuits=circuits,
                rules=rules,
                reading=reading,
                variant=variant,
            )
        )
    if variant is not None:
        raise ValueError(f"{source} is an adapter, which has no variant {variant!r}")
    if heads:
        raise ValueError(f"{source} is an adapter: its products cannot be split into heads")
    if circuits:
        raise ValueError(f"{source} is an adapter, which has no circuits: scan the merged model")
    return open_adapter(source, rules=rules, reading=reading)


def _with_circuits(checkpoint: Checkpoint) -> Checkpoint | Circuits:
    """Return the circuits of a checkpoint if it was opened for them, else the checkpoint."""
    return Circuits(checkpoint) if checkpoint.origin.circuits else checkpoint


def largest_file(*checkpoints: Scannable) -> Path | ByteSource | None:
    """Return the largest file or source, which measures the speed of reading; None without one."""
    sources = [source for each in checkpoints for source in each.sources]
    if sources:  # reading from another machine takes longest
        return max(sources, key=lambda source: source.size)
    paths = (path for each in checkpoints for path in each.files if isinstance(path, Path))
    return max(paths, key=_size, default=None)


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0


def reopened(origin: Origin | AdapterOrigin) -> Scannable:
    """Open a checkpoint or an adapter again with the same options, possibly in another process."""
    if isinstance(origin, AdapterOrigin):
        path = origin.path
        return Adapter(Path(path) if isinstance(path, str) else path, origin)
    return _with_circuits(reopened_checkpoint(origin))
