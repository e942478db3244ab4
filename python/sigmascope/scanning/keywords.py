# SPDX-License-Identifier: BSD-3-Clause
"""The options of a scan as types, for functions that pass them on."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import TypedDict

from sigmascope._host.resources import Resources
from sigmascope._running.progress import Progress
from sigmascope._running.selection import Patterns
from sigmascope._tables.outputs import PathLike, Paths


class LiveOptions(TypedDict, total=False):
    """The keywords of :func:`sigmascope.scan` that apply to changing tensors, with its defaults."""

    effort: str
    k: int
    tol: float
    accuracy: str
    seed: int | None
    device: str
    num_threads: int | None
    memory_limit: int | str | None
    include: Patterns
    exclude: Patterns


class ScanOptions(LiveOptions, total=False):
    """The keywords of :func:`sigmascope.scan` except `measures`, with its defaults."""

    reading: str | None
    vectors: PathLike | None
    out: Paths
    resume: PathLike | None
    shard: tuple[int, int] | None
    resources: Resources | None
    executor: Executor | None
    workers: int | None
    progress: Progress | None


class ScanOptionsWithMeasures(ScanOptions, total=False):
    """All keywords of :func:`sigmascope.scan`, with its defaults."""

    measures: str | Sequence[str] | None
