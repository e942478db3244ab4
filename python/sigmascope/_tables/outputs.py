# SPDX-License-Identifier: BSD-3-Clause
"""The output files of a run: journals that grow row by row, others that are saved at the end."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Generic, NamedTuple, Self, TypeVar

from sigmascope._host.memory import available_memory
from sigmascope.errors import OutputError

from . import saving
from .journal import Header, Journal, check_journal
from .provenance import differences
from .schema import Row, Schema
from .table import Table

PathLike = str | os.PathLike[str]
Paths = PathLike | Sequence[PathLike] | None

T = TypeVar("T", bound=Table)


class OutputPaths(NamedTuple):
    """Paths of a run's output files: the journal that is resumed, new journals, other formats."""

    resumed: Path | None
    journals: list[Path]
    tables: list[Path]

    @classmethod
    def of(cls, out: Paths, resume: PathLike | None, schema: Schema) -> Self:
        """Sort paths by format; ValueError or ImportError for one that cannot be written."""
        paths = [out] if isinstance(out, (str, os.PathLike)) else list(out or ())
        formats = {Path(path): saving.suffix_of(Path(path), schema) for path in paths}
        journals = [path for path, suffix in formats.items() if suffix == ".jsonl"]
        tables = [path for path, suffix in formats.items() if suffix != ".jsonl"]
        if resume is None:
            return cls(None, journals, tables)
        journal = Path(resume)
        if saving.suffix_of(journal, schema) != ".jsonl":
            raise ValueError(f"{journal}: a {schema.what} is resumed from a .jsonl file")
        others = [path for path in journals if path.absolute() != journal.absolute()]
        return cls(journal, others, tables)


def check_outputs(
    out: Paths, resume: PathLike | None, schema: Schema
) -> tuple[Header | None, list[Row]]:
    """Check the paths of outputs, and return header and rows of the journal to resume.

    No file is made or changed. Without a journal to resume the header is None.

    Raises
    ------
    ValueError, ImportError, OSError
        As :class:`Outputs` would.
    """
    paths = OutputPaths.of(out, resume, schema)
    for path in paths.journals:
        if path.exists():
            check_journal(path, schema, resume=False)
        else:
            saving.probe(path)
    for path in paths.tables:
        saving.probe(path)
    if paths.resumed is None:
        return None, []
    if paths.resumed.exists():
        return check_journal(paths.resumed, schema, resume=True)
    saving.probe(paths.resumed)
    return None, []


class JournalSettings(NamedTuple):
    """Settings that a resumed run takes from its journal unless the caller gives them.

    An unknown setting is None.

    Attributes
    ----------
    host, device
        Bytes of memory that the run may take.
    seed
        The seed of its rows.
    """

    host: int | None = None
    device: int | None = None
    seed: int | None = None


def settings_of(header: Header | None) -> JournalSettings:
    """Return the settings of a journal's run; its memory only if this machine has as much."""
    if header is None:
        return JournalSettings()
    options = header["options"]
    limit: int = options["memory_limit"]
    host = limit if limit <= available_memory() else None
    seed = options.get("seed")
    valid = isinstance(seed, int) and 0 <= seed < 2**64
    return JournalSettings(host, options.get("device_memory"), seed if valid else None)


def resumed(path: Path, header: Header, rows: list[Row], now: T) -> T:
    """Return a table with the rows of a journal.

    Raises
    ------
    ValueError
        If the journal belongs to a table other than `now`; the message lists the differences.
    """
    mismatches = differences(header, now.header(), among=("expected", "engine", "shard"))
    if mismatches:
        raise ValueError(
            f"{path}: the journal of another {now.schema.what}: {'; '.join(mismatches)}"
        )
    return type(now).of_header(header, list(rows))


class Outputs(Generic[T]):
    """The files that a run writes, and the journal that it resumes.

    The constructor raises the errors that :func:`scan` documents for `out` and `resume`. It changes
    no file; :meth:`begin` does.
    """

    def __init__(self, out: Paths, resume: PathLike | None, kind: type[T]) -> None:
        schema = kind.schema
        paths = OutputPaths.of(out, resume, schema)
        for path in paths.tables:
            saving.probe(path)
        self._tables = paths.tables
        self._table: T | None = None
        self._resumed: Journal | None = None
        with ExitStack() as files:
            if paths.resumed is not None:
                self._resumed = files.enter_context(Journal(paths.resumed, schema, resume=True))
            self._new = [files.enter_context(Journal(path, schema)) for path in paths.journals]
            self._files = files.pop_all()

    @property
    def _journals(self) -> list[Journal]:
        return self._new if self._resumed is None else [self._resumed, *self._new]

    @property
    def resumed_settings(self) -> JournalSettings:
        """The memory and the seed of the run that is resumed."""
        return settings_of(None if self._resumed is None else self._resumed.header)

    def begin(self, table: T) -> T:
        """Write headers, copy the rows of a resumed journal into new journals; return the table.

        Raises
        ------
        ValueError
            If the journal belongs to another run; the message lists the differences.
        OutputError
            If a file cannot be written.
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
        """Save all files; then raise OutputError for the first that could not be written."""
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
