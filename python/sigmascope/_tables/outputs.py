# SPDX-License-Identifier: BSD-3-Clause
"""The files of a run: journals that grow with it, others that are saved when it ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Generic, NamedTuple, Self, TypeVar

from sigmascope._host.memory import available_memory

from . import saving
from .journal import Header, Journal, look
from .provenance import differences
from .schema import Row, Schema
from .table import OutputError, Table

PathLike = str | os.PathLike[str]
Paths = PathLike | Sequence[PathLike] | None

T = TypeVar("T", bound=Table)


class Places(NamedTuple):
    """Where a run writes: the journal that it goes on with, other journals, other files."""

    resumed: Path | None
    journals: list[Path]
    tables: list[Path]

    @classmethod
    def of(cls, out: Paths, resume: PathLike | None, schema: Schema) -> Self:
        """Sort paths by their formats; ValueError or ImportError if one has none."""
        paths = [out] if isinstance(out, (str, os.PathLike)) else list(out or ())
        formats = {Path(path): saving.suffix_of(Path(path), schema) for path in paths}
        journals = [path for path, suffix in formats.items() if suffix == ".jsonl"]
        tables = [path for path, suffix in formats.items() if suffix != ".jsonl"]
        if resume is None:
            return cls(None, journals, tables)
        begun = Path(resume)
        if saving.suffix_of(begun, schema) != ".jsonl":
            raise ValueError(f"{begun}: what a {schema.what} is resumed from is a .jsonl")
        others = [path for path in journals if path.absolute() != begun.absolute()]
        return cls(begun, others, tables)


def foreseen(
    out: Paths, resume: PathLike | None, schema: Schema
) -> tuple[Header | None, list[Row]]:
    """Return what the journal that is gone on with holds; no file is made or changed.

    Raises
    ------
    ValueError, ImportError, OSError
        As :class:`Outputs` would.
    """
    places = Places.of(out, resume, schema)
    for path in places.journals:
        if path.exists():
            look(path, schema, resume=False)
        else:
            saving.probe(path)
    for path in places.tables:
        saving.probe(path)
    if places.resumed is None:
        return None, []
    if places.resumed.exists():
        return look(places.resumed, schema, resume=True)
    saving.probe(places.resumed)
    return None, []


def limit_of(header: Header | None) -> int | None:
    """Return the memory limit that a run began with, if the machine still has that."""
    limit: int | None = None if header is None else header["options"]["memory_limit"]
    return limit if limit is not None and limit <= available_memory() else None


def resumed(path: Path, header: Header, rows: list[Row], now: T) -> T:
    """Return the table that goes on; ValueError if the journal is of another, with differences."""
    found = differences(header, now.header(), among=("expected", "engine", "shard"))
    if found:
        raise ValueError(f"{path}: the journal of another {now.schema.what}: {'; '.join(found)}")
    return type(now).of_header(header, list(rows))


class Outputs(Generic[T]):
    """The files that a run writes, and the journal that it goes on with.

    Opening raises what :func:`scan` documents for `out` and `resume`, before any work is done;
    no file is changed before :meth:`begin`.
    """

    def __init__(self, out: Paths, resume: PathLike | None, kind: type[T]) -> None:
        schema = kind.schema
        places = Places.of(out, resume, schema)
        for path in places.tables:
            saving.probe(path)
        self._tables = places.tables
        self._table: T | None = None
        self._resumed: Journal | None = None
        with ExitStack() as files:
            if places.resumed is not None:
                self._resumed = files.enter_context(Journal(places.resumed, schema, resume=True))
            self._new = [files.enter_context(Journal(path, schema)) for path in places.journals]
            self._files = files.pop_all()

    @property
    def _journals(self) -> list[Journal]:
        return self._new if self._resumed is None else [self._resumed, *self._new]

    @property
    def begun(self) -> Header | None:
        """The header of what is gone on with, if there is one."""
        return None if self._resumed is None else self._resumed.header

    @property
    def memory_limit(self) -> int | None:
        """The limit that it began with, if there is one and the machine still has that."""
        return limit_of(self.begun)

    def begin(self, table: T) -> T:
        """Write what comes before the first row; return the table that goes on.

        Raises
        ------
        ValueError
            The journal is that of another run; the differences are listed.
        OutputError
            A file cannot be written.
        """
        if self._resumed is not None and self._resumed.header is not None:
            journal = self._resumed
            table = resumed(journal.path, self._resumed.header, journal.rows, table)
        self._table = table
        for journal in self._journals:
            self._do(partial(journal.begin, table.header()))
        for journal in self._new:
            for row in table.rows:
                self._do(partial(journal.write, row))
        return table

    def append(self, row: Row) -> None:
        """Write a row to the journals; OutputError if one of them fails."""
        for journal in self._journals:
            self._do(partial(journal.write, row))

    def finish(self) -> None:
        """Save the other files, as many as can be; OutputError for the first that cannot."""
        assert self._table is not None
        failed: OutputError | None = None
        saves: list[Callable[[], None]] = [journal.sync for journal in self._journals]
        saves += [partial(self._table.save, path) for path in self._tables]
        for save in saves:
            try:
                self._do(save)
            except OutputError as error:
                failed = failed or error
        if failed is not None:
            raise failed

    def _do(self, write: Callable[[], None]) -> None:
        assert self._table is not None
        try:
            write()
        except OSError as error:
            raise OutputError(error, self._table) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()
