# SPDX-License-Identifier: BSD-3-Clause
"""Files of a checkpoint that is being written: which tensors each has, and its bytes.

A file has the suffix `.partial` until all of its tensors are there. Tensors that the journal lists
are not written again.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from sigmascope.extension import naming, replacing

from .plan import TensorPlan, header_of_tensors

PARTIAL = ".partial"

INDEX = "model.safetensors.index.json"

UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}

SYNCED = 1 << 26
"""Bytes after which finished tensors are forced to the disk and listed in the journal."""

Row = dict[str, Any]


def read_size(size: str) -> int:
    """Return a count of bytes: "5000000", "5MB" or "2GiB".

    Raises
    ------
    ValueError
        If it is not a positive size.
    """
    match = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*([A-Za-z]*)", size.strip())
    unit = UNITS.get(match[2].upper()) if match else None
    if match is None or unit is None or float(match[1]) * unit < 1:
        raise ValueError(
            f"shard_size={size!r} is not a size; examples: '5GB', '500MB', '5000000000'"
        )
    return int(float(match[1]) * unit)


@dataclass(frozen=True)
class Shard:
    """One file of the written checkpoint.

    Attributes
    ----------
    path
        The file when it is complete.
    plans
        Its tensors in the order of their bytes.
    """

    path: Path
    plans: Sequence[TensorPlan]

    @property
    def header(self) -> bytes:
        """The length of the header, and the header."""
        text = json.dumps(header_of_tensors(self.plans)).encode()
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(8, "little") + text

    @property
    def nbytes(self) -> int:
        """Bytes of the complete file."""
        return len(self.header) + sum(plan.nbytes for plan in self.plans)

    @property
    def partial(self) -> Path:
        """The file while it is written."""
        return self.path.with_name(self.path.name + PARTIAL)

    def listed(self, rows: Mapping[str, Row]) -> dict[str, Row]:
        """Return the rows of a journal whose tensors are in the file."""
        if self.path.exists():
            length = self.path.stat().st_size
        else:
            length = self.partial.stat().st_size if self.partial.exists() else 0
        done: dict[str, Row] = {}
        end = len(self.header)
        for plan in self.plans:
            end += plan.nbytes
            if plan.name in rows and end <= length:
                done[plan.name] = rows[plan.name]
        return done


def cut_into_shards(folder: Path, plans: Sequence[TensorPlan], shard_size: int) -> list[Shard]:
    """Return the files to write; a tensor is in one file, also if it is larger than the limit."""
    groups: list[list[TensorPlan]] = [[]]
    size = 0
    for plan in plans:
        if groups[-1] and size + plan.nbytes > shard_size:
            groups.append([])
            size = 0
        groups[-1].append(plan)
        size += plan.nbytes
    count = len(groups)
    if count == 1:
        return [Shard(folder / "model.safetensors", _aligned(groups[0]))]
    return [
        Shard(folder / f"model-{number:05}-of-{count:05}.safetensors", _aligned(group))
        for number, group in enumerate(groups, 1)
    ]


def _aligned(plans: Sequence[TensorPlan]) -> list[TensorPlan]:
    """Put the widest numbers first, so that every offset is a multiple of its numbers' width."""
    return sorted(plans, key=lambda plan: -_width(plan.dtype))


def _width(dtype: str) -> int:
    digits = re.search(r"[0-9]+", dtype)
    return int(digits[0]) // 8 if digits else 1


Write = Callable[[TensorPlan, Callable[[bytes | memoryview], object]], Row]
"""Function that passes the bytes of a tensor to a writer, and returns the row of the tensor."""


class ShardWriter:
    """Writes the tensors of a shard, and lists finished ones.

    Parameters
    ----------
    listed
        Function that appends rows to the journal.
    """

    def __init__(self, listed: Callable[[Row], object]) -> None:
        self._listed = listed
        self._finished: list[Row] = []
        self._bytes = 0

    def write(self, shard: Shard, done: Mapping[str, Row], write: Write) -> Iterable[Row]:
        """Write a file, and give the row of each tensor that was not done yet."""
        with (
            naming(shard.partial),
            shard.partial.open("r+b" if shard.partial.exists() else "wb") as file,
        ):
            header = shard.header
            file.write(header)
            position = len(header)
            try:
                for plan in shard.plans:
                    if plan.name not in done:
                        file.seek(position)
                        row = write(plan, file.write)
                        self._finished.append(row)
                        self._bytes += plan.nbytes
                        if self._bytes > SYNCED:
                            self._list(file)
                        yield row
                    position += plan.nbytes
            except BaseException:
                with suppress(OSError):
                    self._list(file)
                raise
            file.truncate(position)
            self._list(file)
        shard.partial.replace(shard.path)

    def _list(self, file: BinaryIO) -> None:
        """Force finished tensors to the disk, then list them."""
        file.flush()
        os.fsync(file.fileno())
        for row in self._finished:
            self._listed(row)
        self._finished, self._bytes = [], 0


def write_index(folder: Path, shards: Sequence[Shard]) -> None:
    """Write the index of several files; a single one has no index."""
    if len(shards) == 1:
        return
    names = {plan.name: shard.path.name for shard in shards for plan in shard.plans}
    total = sum(plan.nbytes for shard in shards for plan in shard.plans)
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(names.items()))}
    write_text(folder / INDEX, json.dumps(index, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file of a folder that no other process writes to; it is replaced as a whole."""
    with replacing(path, alone=True) as temporary:
        temporary.write_text(text, encoding="utf-8")
