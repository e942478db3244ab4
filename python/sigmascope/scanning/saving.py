# SPDX-License-Identifier: BSD-3-Clause
"""Scans in files of other formats than journals, CSV and Parquet, and files that appear whole."""

from __future__ import annotations

import csv
import errno
import importlib.util
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .journal import Header, Journal, checked_header, known_columns, naming, parsed
from .rows import COLUMNS, SCHEMA, VERSION, Row

SUFFIXES = (".jsonl", ".csv", ".parquet", ".html")
TABLE_HINT = "needs pandas and pyarrow: pip install 'sigmascope[table]'"


def suffix_of(path: Path) -> str:
    """Return the format of a path; ValueError if it is none, ImportError if it is not installed."""
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: a scan is saved as {', '.join(SUFFIXES)}, not {path.suffix!r}")
    if path.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise ImportError(f"{path}: Parquet {TABLE_HINT}")
    return path.suffix


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary file beside path that takes its place if all goes well, else vanishes."""
    with naming(path):
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        try:
            yield Path(name)
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(name, 0o666 & ~mask)  # mkstemp keeps files private
            os.replace(name, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise


def probe(path: Path) -> None:
    """Make sure that a file can be put in place of path; OSError, naming it, if not."""
    with naming(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        tempfile.TemporaryFile(dir=path.parent).close()


def write(path: Path, header: Header, rows: Sequence[Row]) -> None:
    """Write a whole scan in the format of the path's suffix, atomically."""
    suffix = suffix_of(path)
    with replacing(path) as temporary:
        if suffix == ".jsonl":
            with Journal(temporary) as journal:
                journal.begin(header)
                for row in rows:
                    journal.write(row)
        elif suffix == ".csv":
            _write_csv(temporary, rows)
        elif suffix == ".html":
            from sigmascope import html

            html.write(temporary, header, rows)
        else:
            _write_parquet(temporary, header, rows)


def read(path: Path) -> tuple[Header, list[Row]]:
    """Read a scan back; a CSV has no header record, so its options are lost.

    Raises
    ------
    ValueError
        The file is not a scan; the message names it, and the line.
    """
    suffix = suffix_of(path)
    if suffix == ".html":
        raise ValueError(f"{path}: a page to read, which cannot be loaded; save a .jsonl beside it")
    if suffix == ".jsonl":
        header, rows, _ = parsed(path, path.read_bytes())
        if header is None:
            raise ValueError(f"{path}: not a scan, it has no complete line")
        return header, rows
    return _read_csv(path) if suffix == ".csv" else _read_parquet(path)


def _write_csv(path: Path, rows: Iterable[Row]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows:
            writer.writerow([_cell(row[name]) for name in COLUMNS])


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, (list, bool)) else value


def _read_csv(path: Path) -> tuple[Header, list[Row]]:
    with open(path, encoding="utf-8", newline="") as file, _long_fields():
        reader = csv.DictReader(file)
        if set(COLUMNS) - set(reader.fieldnames or ()):
            raise ValueError(f"{path}: not a scan, it lacks columns of one")
        rows = [
            {name: _parsed(path, reader.line_num, name, line[name]) for name in COLUMNS}
            for line in reader
        ]
    return {"schema": SCHEMA, "version": VERSION}, rows


@contextmanager
def _long_fields() -> Iterator[None]:
    """Allow fields of any length: a list of singular values is one."""
    limit = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _parsed(path: Path, number: int, name: str, cell: str | None) -> Any:
    if not cell:
        return None
    kind = COLUMNS[name]
    try:
        return cell if kind == "str" else float(cell) if kind == "float" else json.loads(cell)
    except ValueError as error:
        raise ValueError(f"{path}: line {number}: {name} is {cell!r}, not {kind}") from error


def _write_parquet(path: Path, header: Header, rows: Sequence[Row]) -> None:
    import pyarrow.parquet as parquet

    parquet.write_table(arrow_table(rows, header), path)


def _read_parquet(path: Path) -> tuple[Header, list[Row]]:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    try:
        table = parquet.read_table(path)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path}: not a Parquet file: {error}") from error
    stored = (table.schema.metadata or {}).get(SCHEMA.encode(), b"{}")
    rows = [known_columns(record) for record in table.to_pylist()]
    return checked_header(path, json.loads(stored)), rows


def arrow_table(rows: Sequence[Row], header: Header) -> Any:
    """Return rows as a pyarrow Table of typed columns, the header among its metadata.

    Raises
    ------
    ImportError
        Without pyarrow.
    """
    try:
        import pyarrow as pa
    except ImportError as error:
        raise ImportError(f"an Arrow table {TABLE_HINT}") from error
    types = {
        "str": pa.string(),
        "int": pa.int64(),
        "float": pa.float64(),
        "bool": pa.bool_(),
        "ints": pa.list_(pa.int64()),
        "floats": pa.list_(pa.float64()),
    }
    fields = [pa.field(name, types[kind]) for name, kind in COLUMNS.items()]
    metadata = {SCHEMA: json.dumps(header)}
    return pa.Table.from_pylist(list(rows), schema=pa.schema(fields, metadata=metadata))


def pandas_frame(rows: Sequence[Row]) -> Any:
    """Return rows as a pandas DataFrame of nullable columns; lists stay lists.

    Raises
    ------
    ImportError
        Without pandas.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError(f"a DataFrame {TABLE_HINT}") from error
    types = {"str": "string", "int": "Int64", "float": "float64", "bool": "boolean"}
    return pd.DataFrame(
        {
            name: pd.Series([row[name] for row in rows], dtype=types.get(kind, "object"))
            for name, kind in COLUMNS.items()
        }
    )
