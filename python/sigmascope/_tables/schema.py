# SPDX-License-Identifier: BSD-3-Clause
"""The schema of a saved table: columns and header, the same in journals and in other files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from sigmascope._words.rows import Row as Row  # for the rooms above

Kind = Literal["str", "int", "uint", "float", "bool", "ints", "floats"]
"""The type of a column."""

_NUMBER = (int, float)
_HEADER: Mapping[str, type | tuple[type, ...]] = {
    "checkpoint": str,
    "before": str,
    "after": str,
    "options": dict,
    "expected": int,
    "notes": list,
    "files": list,
    "before_files": list,
    "after_files": list,
    "engine": dict,
    "architecture": (str, type(None)),
    "shard": (dict, type(None)),
}
_SHARD: Mapping[str, type] = {"index": int, "count": int, "total": int, "positions": list}
_FILE: Mapping[str, type] = {"name": str, "size": int, "digest": str}


def _has_kind(value: object, kind: Kind) -> bool:
    """Return True if a column of this type may hold the value."""
    if kind in ("ints", "floats"):
        number = int if kind == "ints" else _NUMBER
        return isinstance(value, list) and all(
            isinstance(each, number) and not isinstance(each, bool) for each in value
        )
    if isinstance(value, bool) or kind == "bool":
        return isinstance(value, bool) and kind == "bool"
    kinds: Mapping[str, type | tuple[type, ...]] = {
        "str": str,
        "int": int,
        "uint": int,
        "float": _NUMBER,
    }
    return isinstance(value, kinds[kind])


class OtherTableError(ValueError):
    """A saved table has another schema than the one expected."""


class Schema(NamedTuple):
    """The columns and versions of one kind of table.

    Attributes
    ----------
    name, version
        Schema and version as in the header of a file.
    what
        Word for such a table in messages: "scan".
    columns
        Every column of a row, in order, with its type.
    reads
        Versions that can be read, including `version`.
    added
        Columns that earlier versions lack.
    """

    name: str
    version: int
    what: str
    columns: Mapping[str, Kind]
    reads: tuple[int, ...]
    added: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"Schema({self.name!r}, version {self.version}, {len(self.columns)} columns)"

    def check(self, record: Mapping[str, object]) -> None:
        """Raise ValueError, with column and value, if a column has a value of another type."""
        if not isinstance(record.get("name"), str):
            raise ValueError(f"name is {_brief(record.get('name'))}, not str")
        for name, kind in self.columns.items():
            value = record.get(name)
            if value is not None and not _has_kind(value, kind):
                raise ValueError(f"{name} is {_brief(value)}, not {kind}")

    def row(self, record: Mapping[str, object]) -> Row:
        """Return a row with exactly the columns of the schema."""
        return {name: record.get(name) for name in self.columns}


def _brief(value: object) -> str:
    if isinstance(value, list | dict):
        return f"a {type(value).__name__} of {len(value)}"
    return f"{value!r:.80}"


def check_header(header: Mapping[str, object]) -> None:
    """Raise ValueError, with its name, if a member of a header has an unexpected type."""
    _check_members(header, _HEADER, "")
    shard = header.get("shard")
    if isinstance(shard, dict):
        _check_members(shard, _SHARD, "shard, ", exact=True)
        if not _has_kind(shard["positions"], "ints"):
            raise ValueError("shard, positions are not integers")
    files = header.get("files")
    for file in files if isinstance(files, list) else ():
        if not isinstance(file, dict):
            raise ValueError(f"files hold {_brief(file)}")
        _check_members(file, _FILE, "files, ", exact=True)


def _check_members(
    members: Mapping[str, object],
    known: Mapping[str, type | tuple[type, ...]],
    where: str,
    exact: bool = False,
) -> None:
    if exact and members.keys() != known.keys():
        raise ValueError(f"{where}{', '.join(known)} are expected")
    for name, kind in known.items():
        value = members.get(name)
        if name in members and (not isinstance(value, kind) or isinstance(value, bool)):
            raise ValueError(f"{where}{name} is {_brief(value)}")
