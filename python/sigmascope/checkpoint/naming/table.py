# SPDX-License-Identifier: BSD-3-Clause
"""Tables of rules for roles: read from files and checked, but not compiled.

A file of rules is TOML or JSON with some of the members of roles.toml. Each member is a list:
`modules`, `towers`, `prefixes` and `parts` of [name, pattern] (modules may have a third entry, a
required sibling); `layers`, `experts` and `wrappers` of patterns; `shorthands`; and `models`, the
rules for some `type`s.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sigmascope._host.files import read_regular
from sigmascope._host.limits import MAX_RULES, MAX_RULES_BYTES
from sigmascope.checkpoint.formats.jsontext import brief
from sigmascope.errors import CheckpointError

from .patterns import compiled_pattern

Source = str | os.PathLike[str] | Mapping[str, Any]
"""A file of rules, or its contents."""

Pairs = tuple[tuple[str, str, str], ...]
"""Name, pattern, and the name of a required sibling module (or "")."""

_PAIRS = ("modules", "towers", "prefixes", "parts")
_PATTERNS = ("layers", "experts", "wrappers")
_DOTS = 200
_OF_A_MODEL = ("modules", "towers", "prefixes")
_NAME = re.compile(r"\w[\w.]*")


@dataclass(frozen=True, slots=True)
class Table:
    """Checked rules as written, in the order in which they are tried."""

    modules: Pairs = ()
    towers: Pairs = ()
    prefixes: Pairs = ()
    parts: Pairs = ()
    layers: tuple[str, ...] = ()
    experts: tuple[str, ...] = ()
    wrappers: tuple[str, ...] = ()
    shorthands: tuple[tuple[str, str], ...] = ()
    models: tuple[tuple[tuple[str, ...], Table], ...] = ()

    @property
    def digest(self) -> str:
        """Digest that identifies these rules."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]

    def before(self, other: Table) -> Table:
        """Return the rules of both tables, beginning with this one."""
        return Table(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    def of_model(self, model_type: str | None) -> Table:
        """Return the rules, beginning with those for a model_type."""
        rules = self
        for types, table in reversed(self.models):
            if model_type in types:
                rules = table.before(rules)
        return rules


def read_table(source: Source) -> Table:
    """Read and check rules.

    Parameters
    ----------
    source : path-like or mapping
        A `.toml` or `.json` file, or the members of one.

    Raises
    ------
    CheckpointError
        The file cannot be read or does not have that form, or a rule is not valid. The message
        names the file, the member, the number and the invalid text.
    """
    if isinstance(source, Mapping):
        return _table(dict(source), "rules")
    path = Path(source)
    try:
        raw = read_regular(path, MAX_RULES_BYTES)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    if path.suffix not in (".toml", ".json"):
        raise CheckpointError(f"{path}: rules must be a .toml or .json file, not {path.suffix!r}")
    try:
        text = raw.decode()
        members = json.loads(text) if path.suffix == ".json" else tomllib.loads(_plain(text))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not {path.suffix[1:].upper()}: {error}") from error
    return _table(members, str(path))


def _plain(text: str) -> str:
    """Return TOML text; ValueError for headings so deep that parsing them takes too long."""
    for line in text.splitlines():
        if line.lstrip().startswith("[") and line.count(".") > _DOTS:
            raise ValueError(f"a line with more than {_DOTS} dots: {line[:60]}...")
    return text


def _table(members: object, where: str, model: bool = False) -> Table:
    allowed = {*_OF_A_MODEL, "type"} if model else {*_PAIRS, *_PATTERNS, "shorthands", "models"}
    if not isinstance(members, dict):
        raise CheckpointError(f"{where}: {brief(members)} is not a table of rules")
    if strange := sorted(map(str, members.keys() - allowed)):
        raise CheckpointError(
            f"{where}: there are no rules {brief(strange[0])}; known: {', '.join(sorted(allowed))}"
        )
    shorthands = members.get("shorthands", {})
    if not isinstance(shorthands, dict) or not all(
        isinstance(text, str) for text in shorthands.values()
    ):
        raise CheckpointError(f"{where}: shorthands {brief(shorthands)} are not a table of text")
    for name, pattern in shorthands.items():
        _check_pattern(pattern, f"{where}: shorthands, {name}")
    pairs = {name: _pairs(members.get(name, []), name, where) for name in _PAIRS}
    patterns = {name: _patterns(members.get(name, []), name, where) for name in _PATTERNS}
    table = Table(
        modules=pairs["modules"],
        towers=pairs["towers"],
        prefixes=pairs["prefixes"],
        parts=pairs["parts"],
        layers=patterns["layers"],
        experts=patterns["experts"],
        wrappers=patterns["wrappers"],
        shorthands=tuple(shorthands.items()),
    )
    if model:
        return table
    models = members.get("models", [])
    if not isinstance(models, list):
        raise CheckpointError(f"{where}: models {brief(models)} is not a list")
    return replace(table, models=tuple(_model(m, f"{where}: models") for m in models))


def _model(members: object, where: str) -> tuple[tuple[str, ...], Table]:
    types = members.get("type") if isinstance(members, dict) else None
    if not isinstance(types, list) or not all(isinstance(t, str) for t in types):
        raise CheckpointError(f"{where}: type {brief(types)} is not a list of model types")
    return tuple(types), _table(members, where, model=True)


def _list(value: object, name: str, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise CheckpointError(f"{where}: {name} {brief(value)} is not a list")
    return value


def _pairs(value: object, name: str, where: str) -> Pairs:
    pairs: list[tuple[str, str, str]] = []
    rules = _list(value, name, where)
    if len(rules) > MAX_RULES:
        raise CheckpointError(
            f"{where}: {name}: {len(rules)} rules, above the limit of {MAX_RULES}"
        )
    for number, rule in enumerate(rules, 1):
        here = f"{where}: {name}, rule {number}"
        most = 3 if name == "modules" else 2
        if (
            not isinstance(rule, list | tuple)
            or not 2 <= len(rule) <= most
            or not all(isinstance(text, str) for text in rule)
        ):
            form = '["role", "pattern"]' if most == 2 else '["role", "pattern"] or with a third'
            raise CheckpointError(f"{here}: {brief(rule)} is not of the form {form}")
        if not _NAME.fullmatch(rule[0]) and (name, rule[0]) != ("parts", ""):
            raise CheckpointError(
                f"{here}: {brief(rule[0])} is not a name: letters, digits, _ and ."
            )
        _check_pattern(rule[1], here)
        pairs.append((rule[0], rule[1], rule[2] if len(rule) > 2 else ""))
    return tuple(pairs)


def _patterns(value: object, name: str, where: str) -> tuple[str, ...]:
    patterns = _list(value, name, where)
    for number, pattern in enumerate(patterns, 1):
        here = f"{where}: {name}, rule {number}"
        if not isinstance(pattern, str):
            raise CheckpointError(f"{here}: {brief(pattern)} is not a pattern")
        _check_pattern(pattern, here)
    return tuple(patterns)


def _check_pattern(pattern: str, where: str) -> None:
    if compiled_pattern(pattern, where).groups:
        raise CheckpointError(f"{where}: {brief(pattern)} has a group: write (?:...)")
