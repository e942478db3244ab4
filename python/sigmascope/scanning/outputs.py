# SPDX-License-Identifier: BSD-3-Clause
"""The files of a run: journals that grow with it, others that are saved when it ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Generic, Self, TypeVar

from sigmascope.threads import available_memory

from . import saving
from .journal import Header, Journal
from .provenance import differences
from .rows import Row
from .table import OutputError, Table

PathLike = str | os.PathLike[str]
Paths = PathLike | Sequence[PathLike] | None

T = TypeVar("T", bound=Table)


class Outputs(Generic[T]):
    """The files that a run writes, and the journal that it goes on with.

    Opening raises what :func:`scan` documents for `out` and `resume`, before any work is done;
    no file is changed before :meth:`begin`.
    """

    def __init__(self, out: Paths, resume: PathLike | None, kind: type[T]) -> None:
        paths = [out] if isinstance(out, (str, os.PathLike)) else list(out or ())
        schema = kind.schema
        formats = {Path(path): saving.suffix_of(Path(path), schema) for path in paths}
        new = [path for path, suffix in formats.items() if suffix == ".jsonl"]
        self._tables = [path for path, suffix in formats.items() if suffix != ".jsonl"]
        for path in self._tables:
            saving.probe(path)
        self._kind = kind
        self._table: T | None = None
        self._resumed: Journal | None = None
        with ExitStack() as files:
            if resume is not None:
                begun = Path(resume)
                if saving.suffix_of(begun, schema) != ".jsonl":
                    raise ValueError(f"{begun}: what a {schema.what} is resumed from is a .jsonl")
                self._resumed = files.enter_context(Journal(begun, schema, resume=True))
                new = [path for path in new if path.absolute() != begun.absolute()]
            self._new = [files.enter_context(Journal(path, schema)) for path in new]
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
        limit: int | None = None if self.begun is None else self.begun["options"]["memory_limit"]
        return limit if limit is not None and limit <= available_memory() else None

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
            header, now = self._resumed.header, table.header()
            found = differences(header, now, among=("expected", "engine", "shard"))
            if found:
                raise ValueError(
                    f"{self._resumed.path}: the journal of another {self._kind.schema.what}: "
                    f"{'; '.join(found)}"
                )
            table = self._kind.of_header(header, list(self._resumed.rows))
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
