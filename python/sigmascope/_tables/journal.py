# SPDX-License-Identifier: BSD-3-Clause
"""Journals: tables as JSON lines that grow row by row, have checksums and can be resumed.

The first line of a journal is the header (see :meth:`sigmascope._tables.table.Table.header`); each
further line is a row, in file order. The last member of a line is the CRC-32 of the line without
that member. Lines are written without a buffer, so that a killed scan leaves every row it had made;
they are flushed to the disk about once a second. A row that failed and was computed again is in the
journal twice: the later line counts, in the place of the earlier one.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import time
import weakref
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any, Self
from zlib import crc32

from sigmascope._host.files import open_regular
from sigmascope._host.replacing import naming
from sigmascope._words.text import writable

from .schema import OtherTableError, Row, Schema, check_header

Header = dict[str, Any]

_SEAL_BYTES = len(', "checksum": "00000000"}')
_SYNC_SECONDS = 1.0
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""Errors of file systems without locks, as some clusters have."""


def json_line(record: dict[str, Any]) -> str:
    """Return a record as one line of strict JSON, which has no NaN and no infinity."""
    return writable(json.dumps(record, ensure_ascii=False, allow_nan=False)) + "\n"


def _seal(text: bytes) -> bytes:
    return f', "checksum": "{crc32(text):08x}"}}'.encode()


def sealed_line(record: dict[str, Any]) -> bytes:
    """Return a record as one line of a journal, with its checksum as the last member."""
    text = json_line(record)[:-1].encode()
    return text[:-1] + _seal(text) + b"\n"


def checked_header(path: Path, header: Header, schema: Schema) -> Header:
    """Return the header of a saved table; ValueError if it has another schema or version."""
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
    """Parse a journal.

    Text after the last line break is the start of a line that a killed scan was writing, and is
    ignored. With `torn`, a last line with a wrong checksum is ignored, too: a machine that loses
    its power may leave one.

    Returns
    -------
    header : dict or None
        The header; None if the journal has no line.
    rows : list of dict
        The rows.
    length : int
        Bytes of the lines that count.

    Raises
    ------
    ValueError
        If the text is not a journal, or a line has a wrong checksum; the message has file and line.
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
            f"{path}: line {number} has a wrong checksum: it ends with {seal!r} "
            f"instead of {_seal(text)!r}"
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


def check_journal(path: Path, schema: Schema, *, resume: bool) -> tuple[Header | None, list[Row]]:
    """Return the header and rows with which a :class:`Journal` of these arguments would start.

    No file is made or changed.

    Raises
    ------
    ValueError, OSError
        As :class:`Journal` would.
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
    """The file of a journal while it is written, locked against other scans.

    An existing file is continued with `resume`, else replaced; :meth:`begin` makes the first
    change.

    Attributes
    ----------
    path : Path
    header : dict or None
        With `resume`, the header of an existing file, if it has one.
    rows : list
        With `resume`, the rows of an existing file.

    Raises
    ------
    ValueError
        With `resume`, if the file is not a journal.
    OSError
        If the file cannot be opened, or another scan is writing it (BlockingIOError); the message
        has the path.
    """

    def __init__(self, path: Path, schema: Schema, *, resume: bool = False) -> None:
        self.path = path
        self.header: Header | None = None
        self.rows: list[Row] = []
        self._size = 0
        self._synced = time.monotonic()
        with naming(path):
            if resume and os.path.exists(path):
                open_regular(path).close()  # a pipe or a device cannot be resumed
            # Read and write: opening a pipe only to write would wait for a reader.
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
            descriptor = os.open(path, flags, 0o666)
            # Unbuffered: a killed process loses no line, and closing has nothing left to write.
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
        """Cut off the old content or an incomplete line, and write the header if there is none."""
        with naming(self.path):
            if self._file.seekable():
                if os.fstat(self._file.fileno()).st_size > self._size:
                    self._file.truncate(self._size)
                self._file.seek(self._size)
        if self.header is None:
            self.header = header
            self.write(header)

    def write(self, record: dict[str, Any]) -> None:
        """Append one line; OSError, with the path, if it cannot be written completely."""
        line = sealed_line(record)
        rest = memoryview(line)
        with naming(self.path):
            try:
                while rest:
                    rest = rest[self._file.write(rest) :]
            except OSError:
                with suppress(OSError):
                    self._file.truncate(self._size)  # leave no incomplete line
                raise
        self._size += len(line)
        if time.monotonic() - self._synced >= _SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Wait until all lines are on the disk; OSError, with the path, if that fails."""
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


def _close_all() -> None:
    for journal in list(_OPEN):
        journal.close()


# A forked worker must not keep the lock when its scan has ended.
os.register_at_fork(after_in_child=_close_all)
