# SPDX-License-Identifier: BSD-3-Clause
"""Journals: a table as JSON lines that grow row by row, each line sealed, and can be gone on with.

A journal is one line of header (see :meth:`sigmascope._tables.table.Table.header`), then one line
per row in file order. The last member of a line is the CRC-32 of the line without it. A line is
handed to the system when it is written, so that a killed scan leaves what it had done, and to the
disk within a second or so of the next. A row that stands there twice, since it failed and was tried
again, counts as written last, in its first place.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any, Self
from zlib import crc32

from sigmascope._display.text import writable
from sigmascope._host.files import open_regular

from .schema import OtherTableError, Row, Schema, check_header

Header = dict[str, Any]

_SEAL_BYTES = len(', "checksum": "00000000"}')
_SYNC_SECONDS = 1.0
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What file systems that know no locks answer, as some of clusters do."""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an OSError name the path: a full disk is reported by writes, which know no name."""
    try:
        yield
    except OSError as error:
        if error.filename == str(path) or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def json_line(record: dict[str, Any]) -> str:
    """One record as one line of strict JSON: no NaN, no infinity."""
    return writable(json.dumps(record, ensure_ascii=False, allow_nan=False)) + "\n"


def _seal(text: bytes) -> bytes:
    return f', "checksum": "{crc32(text):08x}"}}'.encode()


def sealed_line(record: dict[str, Any]) -> bytes:
    """One record as one line of a journal, its checksum as the last member."""
    text = json_line(record)[:-1].encode()
    return text[:-1] + _seal(text) + b"\n"


def checked_header(path: Path, header: Header, schema: Schema) -> Header:
    """Return the header of a saved table; ValueError if it is of another kind or version."""
    what, version = schema.what, header.get("version")
    if header.get("schema") != schema.name:
        raise OtherTableError(f"{path}: not a {what}, its schema is {header.get('schema')!r}")
    if version not in schema.reads:
        raise ValueError(
            f"{path}: {what} version {version!r}, "
            f"this sigmascope reads {' and '.join(map(str, schema.reads))}"
        )
    try:
        check_header(header)
    except ValueError as error:
        raise ValueError(f"{path}: a {what} with a broken header: {error}") from None
    return header


def parsed(
    path: Path, text: bytes, schema: Schema, *, torn: bool = False
) -> tuple[Header | None, list[Row], int]:
    """Take a journal apart: its header, None if there is none yet, its rows, and how long it is.

    What follows the last line break is the torn end of a line that a killed scan was writing; it
    does not count. If `torn`, neither does a last line that is whole but wrong, as a machine that
    lost its power leaves.

    Raises
    ------
    ValueError
        It is no journal, or a line is not what was written; file and line are named.
    """
    lines = text.split(b"\n")
    lines.pop()
    if not lines:
        return None, [], 0
    header = checked_header(path, _record(path, 1, lines[0]), schema)
    rows: dict[str, Row] = {}
    length = 0
    for number, line in enumerate(lines, 1):
        try:
            record = _unsealed(path, number, line)
        except ValueError:
            if torn and number == len(lines) > 1:
                break
            raise
        if number > 1:
            try:
                schema.check(record)
            except ValueError as error:
                raise ValueError(f"{path}: line {number}: {error}") from None
            rows[record["name"]] = schema.row(record)
        length += len(line) + 1
    header.pop("checksum")
    return header, list(rows.values()), length


def _record(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: line {number} is not JSON: {error!s:.200}") from None
    if not isinstance(record, dict):
        raise ValueError(f"{path}: line {number} is not an object")
    return record


def _unsealed(path: Path, number: int, line: bytes) -> dict[str, Any]:
    record = _record(path, number, line)
    text, seal = line[:-_SEAL_BYTES] + b"}", line[-_SEAL_BYTES:]
    if seal != _seal(text):
        raise ValueError(
            f"{path}: line {number} is not as it was written: it ends with {seal!r}, "
            f"its text asks for {_seal(text)!r}"
        )
    return record


def _lock(file: FileIO, path: Path) -> None:
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        reason = "another scan is writing this journal"
        raise BlockingIOError(error.errno, reason, str(path)) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def look(path: Path, schema: Schema, *, resume: bool) -> tuple[Header | None, list[Row]]:
    """Return what a :class:`Journal` of these arguments begins with; no file is made or changed.

    Raises
    ------
    ValueError, OSError
        As opening the journal would.
    """
    if not path.is_dir():
        with naming(path):
            open_regular(path).close()
    with naming(path), open(path, "r+b", buffering=0) as file:
        _lock(file, path)
        if not resume:
            return None, []
        header, rows, _ = parsed(path, file.readall(), schema, torn=True)
        return header, rows


class Journal:
    """The file of a journal while it is written; no two scans can write one at a time.

    An existing file is replaced, or gone on with if `resume`, but not before :meth:`begin`.

    Attributes
    ----------
    path : Path
    header : dict or None
        With `resume`, what the file begins with, if it has a first line.
    rows : list
        With `resume`, the rows that are in it.

    Raises
    ------
    ValueError
        With `resume`, the file is no journal.
    OSError
        It cannot be opened, or another scan is writing it (BlockingIOError); the path is named.
    """

    def __init__(self, path: Path, schema: Schema, *, resume: bool = False) -> None:
        self.path = path
        self.header: Header | None = None
        self.rows: list[Row] = []
        self._size = 0
        self._synced = time.monotonic()
        with naming(path):
            if resume and os.path.exists(path):
                open_regular(path).close()  # what is gone on with has an end
            # To read and write: so that a pipe is not waited for.
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
            descriptor = os.open(path, flags, 0o666)
            # Unbuffered: what was written is safe from a kill, nothing is left to fail on close.
            self._file = open(descriptor, "r+b", buffering=0)  # noqa: SIM115
            try:
                _lock(self._file, path)
                if resume:
                    content = self._file.readall()
                    self.header, self.rows, self._size = parsed(path, content, schema, torn=True)
            except BaseException:
                self._file.close()
                raise
        _OPEN.add(self)

    def begin(self, header: Header) -> None:
        """Cut off what is replaced or torn, and write the header if there is none."""
        with naming(self.path):
            if self._file.seekable():
                if os.fstat(self._file.fileno()).st_size > self._size:
                    self._file.truncate(self._size)
                self._file.seek(self._size)
        if self.header is None:
            self.header = header
            self.write(header)

    def write(self, record: dict[str, Any]) -> None:
        """Append one line; OSError, naming the path, if it cannot be written whole."""
        line = sealed_line(record)
        rest = memoryview(line)
        with naming(self.path):
            try:
                while rest:
                    rest = rest[self._file.write(rest) :]
            except OSError:
                with suppress(OSError):
                    self._file.truncate(self._size)  # no half a line
                raise
        self._size += len(line)
        if time.monotonic() - self._synced >= _SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Wait until what was written is on the disk; OSError, naming the path, if it fails."""
        with naming(self.path):
            try:
                os.fsync(self._file.fileno())
            except OSError as error:
                if error.errno != errno.EINVAL:  # a pipe or a device has no disk
                    raise
        self._synced = time.monotonic()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_OPEN: weakref.WeakSet[Journal] = weakref.WeakSet()


def _let_go() -> None:
    for journal in list(_OPEN):
        journal.close()


# A forked worker that outlives its scan must not keep the lock.
os.register_at_fork(after_in_child=_let_go)
