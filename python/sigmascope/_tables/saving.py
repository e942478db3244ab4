# SPDX-License-Identifier: BSD-3-Clause
"""Tables saved to and read from files of every format, and files that are replaced atomically."""

from __future__ import annotations

import csv
import errno
import importlib.util
import io
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sigmascope._host.files import open_regular, read_regular
from sigmascope._host.limits import MAX_TABLE_BYTES
from sigmascope._host.replacing import naming, replacing
from sigmascope._words.text import writable

from .journal import Header, Journal, checked_header, parsed
from .schema import OtherTableError, Row, Schema

SUFFIXES = (".jsonl", ".csv", ".parquet", ".html")
_BYTES = "surrogateescape"
"""Error handler by which a CSV stores names of files that are not UTF-8 as their bytes."""
_ESCAPED = re.compile(r"\\(udc[89a-f][0-9a-f])")
TABLE_HINT = "needs pandas and pyarrow: pip install 'sigmascope[table]'"


def suffix_of(path: Path, schema: Schema) -> str:
    """Return the suffix of a path; ValueError if unknown, ImportError if its package is missing."""
    if path.suffix not in SUFFIXES:
        raise ValueError(
            f"{path}: a {schema.what} is saved as {', '.join(SUFFIXES)}, not {path.suffix!r}"
        )
    if path.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise ImportError(f"{path}: Parquet {TABLE_HINT}")
    return path.suffix


def probe(path: Path) -> None:
    """Check that a file can be written at a path; OSError, with the path, if not."""
    with naming(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        tempfile.TemporaryFile(dir=path.parent).close()


def write(path: Path, header: Header, rows: Sequence[Row], schema: Schema) -> None:
    """Write a table in the format of the path's suffix; the file is replaced atomically."""
    suffix = suffix_of(path, schema)
    with replacing(path) as temporary:
        if suffix == ".jsonl":
            with Journal(temporary, schema) as journal:
                journal.begin(header)
                for row in rows:
                    journal.write(row)
        elif suffix == ".csv":
            _write_csv(temporary, rows, schema)
        elif suffix == ".html":
            from sigmascope._display import html

            html.write(temporary, header, rows)
        else:
            _write_parquet(temporary, header, rows, schema)


def read(path: Path, schema: Schema) -> tuple[Header, list[Row]]:
    """Read a table; a CSV has no header record, so its options are lost.

    Raises
    ------
    ValueError
        If the file is not such a table; the message has file and line.
    """
    suffix = suffix_of(path, schema)
    if suffix == ".html":
        raise ValueError(f"{path}: an HTML page cannot be loaded; save a .jsonl, too")
    if suffix == ".jsonl":
        header, rows, _ = parsed(path, read_regular(path, MAX_TABLE_BYTES), schema)
        if header is None:
            raise ValueError(f"{path}: not a {schema.what}, it has no complete line")
        return header, rows
    return _read_csv(path, schema) if suffix == ".csv" else _read_parquet(path, schema)


def read_text(path: Path) -> str:
    """Read a table in a text format; bytes that are not UTF-8 become surrogates."""
    return read_regular(path, MAX_TABLE_BYTES).decode("utf-8", _BYTES)


def _write_csv(path: Path, rows: Iterable[Row], schema: Schema) -> None:
    with open(path, "w", encoding="utf-8", errors=_BYTES, newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(schema.columns)
        for row in rows:
            writer.writerow([_cell(row[name]) for name in schema.columns])


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, (list, bool)) else value


def _read_csv(path: Path, schema: Schema) -> tuple[Header, list[Row]]:
    columns = schema.columns
    with (
        io.BufferedReader(open_regular(path)) as raw,
        io.TextIOWrapper(raw, encoding="utf-8", errors=_BYTES, newline="") as file,
        _long_fields(),
    ):
        reader = csv.DictReader(file)
        if set(columns) - schema.added - set(reader.fieldnames or ()):
            raise OtherTableError(f"{path}: not a {schema.what}, columns of one are missing")
        rows = [
            {
                name: _parsed(path, reader.line_num, name, kind, line.get(name))
                for name, kind in columns.items()
            }
            for line in reader
        ]
    return {"schema": schema.name, "version": schema.version}, rows


@contextmanager
def _long_fields() -> Iterator[None]:
    """Allow fields of any length, since a list of singular values is one field."""
    limit = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _parsed(path: Path, number: int, name: str, kind: str, cell: str | None) -> Any:
    if not cell:
        return None
    try:
        return cell if kind == "str" else float(cell) if kind == "float" else json.loads(cell)
    except ValueError as error:
        raise ValueError(f"{path}: line {number}: {name} is {cell!r}, not {kind}") from error


def _write_parquet(path: Path, header: Header, rows: Sequence[Row], schema: Schema) -> None:
    import pyarrow.parquet as parquet

    with open(path, "wb") as file:  # pyarrow takes no path that is not UTF-8
        parquet.write_table(arrow_table(rows, header, schema), file)


def _read_parquet(path: Path, schema: Schema) -> tuple[Header, list[Row]]:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    try:
        with io.BufferedReader(open_regular(path)) as file:
            table = parquet.read_table(file)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path}: not a Parquet file: {error}") from error
    stored = (table.schema.metadata or {}).get(schema.name.encode(), b"{}")
    texts = [name for name, kind in schema.columns.items() if kind == "str"]
    records: list[Row] = table.to_pylist()
    for record in records:
        record |= {name: _unescaped(record[name]) for name in texts if record.get(name)}
    rows = [schema.row(record) for record in records]
    return checked_header(path, json.loads(stored), schema), rows


def _unescaped(text: str) -> str:
    """Undo the escapes of :func:`writable`, as a reader of JSON does."""
    return _ESCAPED.sub(lambda match: chr(int(match[1][1:], 16)), text) if "\\u" in text else text


def arrow_table(rows: Sequence[Row], header: Header, schema: Schema) -> Any:
    """Return rows as a pyarrow Table of typed columns, with the header in its metadata.

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
        "uint": pa.uint64(),
        "float": pa.float64(),
        "bool": pa.bool_(),
        "ints": pa.list_(pa.int64()),
        "floats": pa.list_(pa.float64()),
    }
    fields = [pa.field(name, types[kind]) for name, kind in schema.columns.items()]
    metadata = {schema.name: json.dumps(header)}
    texts = [name for name, kind in schema.columns.items() if kind == "str"]
    rows = [row | {name: writable(row[name]) for name in texts if row.get(name)} for row in rows]
    return pa.Table.from_pylist(rows, schema=pa.schema(fields, metadata=metadata))


def import_pandas() -> Any:
    """Import pandas; ImportError says how to install it."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError(f"a DataFrame {TABLE_HINT}") from error
    return pandas


def pandas_frame(rows: Sequence[Row], schema: Schema, columns: Sequence[str]) -> Any:
    """Return some columns of rows as a pandas DataFrame of nullable columns; lists stay lists.

    Raises
    ------
    ImportError
        Without pandas.
    """
    pd = import_pandas()
    types = {
        "str": "string",
        "int": "Int64",
        "uint": "UInt64",
        "float": "float64",
        "bool": "boolean",
    }
    return pd.DataFrame(
        {
            name: pd.Series(
                [row[name] for row in rows], dtype=types.get(schema.columns[name], "object")
            )
            for name in columns
        }
    )
