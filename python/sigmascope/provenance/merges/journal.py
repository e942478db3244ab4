# SPDX-License-Identifier: BSD-3-Clause
"""The journal of a verification: one line for each tensor, so that a killed run goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from sigmascope.extension import MAX_TABLE_BYTES, read_regular

from .tensors import Row

KIND = "sigmascope verification journal"

FORMAT = 2
"""Format of the rows of a verification, in the first line of its journal."""

OF_A_VERIFICATION = KIND, "a verification", "another verification"
"""The kind of a journal in its first line, and the run that it belongs to in messages."""


class Journal:
    """Rows of a run in a file, for tensors that are verified or written.

    The first line says what is verified or written; a run whose operands or claims differ is
    refused. A last line that was cut off, as by a kill, is written again.

    Parameters
    ----------
    path
        The file, or None for no journal.
    header
        What is verified or written: paths, sizes of files, and claims.
    words
        Kind of the journal, and words for its run and for another one.

    Raises
    ------
    ValueError
        If the file is the journal of another run, or not a journal.
    OSError
        If the file cannot be read.
    """

    def __init__(
        self,
        path: Path | None,
        header: Mapping[str, Any],
        words: tuple[str, str, str] = OF_A_VERIFICATION,
    ) -> None:
        self._path = path
        self._kind, self._own, self._another = words
        self._first = json.dumps({"kind": self._kind, **header}, allow_nan=False)
        self.rows: list[Row] = []
        self._complete = b""
        if path is not None and path.exists():
            self._read(path)

    def _read(self, path: Path) -> None:
        lines = read_regular(path, MAX_TABLE_BYTES).splitlines(keepends=True)
        complete = [line for line in lines if line.endswith(b"\n")]
        if not complete:
            if lines and not self._first.encode().startswith(lines[0]):
                raise ValueError(f"{path} is not the journal of {self._own}")
            return
        if complete[0].rstrip(b"\n") != self._first.encode():
            raise ValueError(self._difference(path, complete[0]))
        for number, line in enumerate(complete[1:], 2):
            try:
                self.rows.append(json.loads(line))
            except ValueError:
                raise ValueError(f"{path}: line {number} is not a row") from None
        self._complete = b"".join(complete)

    def _difference(self, path: Path, line: bytes) -> str:
        try:
            header = json.loads(line)
        except ValueError:
            header = None
        if not isinstance(header, dict) or header.get("kind") != self._kind:
            return f"{path} is not the journal of {self._own}"
        own = json.loads(self._first)
        names = [name for name in own if own[name] != header.get(name)]
        name = names[0] if names else "format"
        if name == "format":
            return f"{path} was begun by another version of sigmascope: start a new journal"
        return (
            f"{path} is the journal of {self._another}: its {name} is "
            f"{header.get(name)!r}, not {own.get(name)!r}"
        )

    @contextmanager
    def writing(self) -> Iterator[BinaryIO | None]:
        """Open the journal for further rows; yield None if there is no journal."""
        if self._path is None:
            yield None
            return
        complete = self._complete or f"{self._first}\n".encode()
        with self._path.open("r+b" if self._path.exists() else "wb") as file:
            file.truncate(len(self._complete))
            file.seek(len(self._complete))
            file.write(complete[len(self._complete) :])
            file.flush()
            yield file


def write_row(file: BinaryIO | None, row: Row) -> None:
    """Append a row, so that it is in the file if the process is killed afterwards."""
    if file is not None:
        file.write(f"{json.dumps(row, allow_nan=False)}\n".encode())
        file.flush()
        os.fsync(file.fileno())
