# SPDX-License-Identifier: BSD-3-Clause
"""Compiled rules for roles: first the user's rules, then the rules of this package."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from sigmascope._host.limits import MAX_RULE_LETTERS
from sigmascope.checkpoint.formats.jsontext import brief
from sigmascope.errors import CheckpointError

from .patterns import SafePattern, compiled_pattern
from .table import Table, read_table

Pattern = re.Pattern[str] | SafePattern
"""A pattern of this package or of a user; groups have numbers instead of names, as in RE2."""

_AFTER_MODULE = re.compile(r"[._]")
"""Characters between the name of a module and the name of its part."""


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """Compiled rules."""

    modules: tuple[tuple[str, Pattern, str], ...]
    towers: tuple[tuple[str, Pattern], ...]
    prefixes: tuple[tuple[str, Pattern], ...]
    parts: tuple[tuple[str, Pattern], ...]
    layer: Pattern
    expert: Pattern
    known: dict[tuple[str, frozenset[str]], tuple[str, str]] = field(default_factory=dict)

    def numbers(self, name: str) -> tuple[int | None, int | None, str]:
        """Return the numbers of layer and expert in a name, and the name with "#" for each.

        Names of flax may have slashes instead of dots, and `layers_3` instead of `layers.3`.
        """
        name = name.replace("/", ".")
        layer, name = _cut_number(self.layer, name)
        expert, name = _cut_number(self.expert, name)
        return layer, expert, name

    def place(self, name: str, modules: frozenset[str]) -> tuple[str, str]:
        """Return the role and tower of a name without numbers, given all modules of the model.

        The tower is empty if the rules do not name it.
        """
        key = name, modules
        if key not in self.known:  # a large model has a few dozen of them
            self.known[key] = self._place(name, modules)
        return self.known[key]

    def _place(self, name: str, modules: frozenset[str]) -> tuple[str, str]:
        tower = next((tower for tower, rule in self.towers if rule.search(name)), "")
        prefix = "".join(prefix for prefix, rule in self.prefixes if rule.search(name))
        for role, rule, sibling in self.modules:
            match = rule.search(name)
            if match and (not sibling or _sibling(match, sibling) in modules):
                part = self._part(match[2], role)
                return prefix + role + ("" if part == "weight" else f".{part}"), tower
        return "other", tower

    def part_of(self, name: str) -> str | None:
        """Return the content of a weight's part from the end of its name; None if unknown."""
        for end in _AFTER_MODULE.finditer(name):
            text = name[end.end() :]
            for part, rule in self.parts:
                if part not in ("", "weight", "bias") and rule.fullmatch(text):
                    return part
        return None

    def _part(self, text: str | None, role: str) -> str:
        if text is None or (text == "scale" and role.endswith("norm")):  # as flax names a norm's
            return "weight"
        return next((part or text for part, rule in self.parts if rule.fullmatch(text)), text)


def _sibling(match: re.Match[str], module: str) -> str:
    """Return the full name of a module with the same parent as the matched one."""
    end = match.start(1) + match[1].rfind(".") + 1
    return match.string[:end] + module


def _cut_number(pattern: Pattern, name: str) -> tuple[int | None, str]:
    """Return the number that a pattern finds in a name, and the name with "#" instead."""
    match = pattern.search(name)
    if match is None:
        return None, name
    start, end = match.start(1), match.end(1)
    return int(name[start:end]), f"{name[: start - 1]}.#{name[end:]}"


@lru_cache(maxsize=64)
def compiled(table: Table) -> Rules:
    """Compile the rules of a checked table."""
    top = f"^(?:(?:{'|'.join(table.wrappers)})\\.)*" if table.wrappers else "^"
    parts = "|".join(pattern for _, pattern, _ in table.parts)
    standard = standard_table()

    def expanded(pattern: str) -> str:
        for name, meaning in table.shorthands:
            pattern = pattern.replace(f"<{name}>", meaning)
        if unknown := re.search(r"<\w+>", pattern):
            raise CheckpointError(f"rules: {brief(pattern)}: there is no shorthand {unknown[0]}")
        return re.sub(r"(?<![\[\\])\^", lambda _: top, pattern)

    def is_ours(pattern: str) -> bool:
        """Return whether a pattern and everything inserted into it come from this package."""
        return (
            pattern in _texts(standard)
            and ("^" not in pattern or table.wrappers == standard.wrappers)
            and ("<" not in pattern or table.shorthands == standard.shorthands)
        )

    def within(pattern: str) -> Pattern:
        return _ready(rf"(?:^|\.)(?:{expanded(pattern)})", is_ours(pattern))

    def module(end: str) -> Pattern:
        text = rf"(?:^|\.)({expanded(end)})(?:[._]({parts}))?$"
        return _ready(text, is_ours(end) and table.parts == standard.parts)

    def numbered(patterns: tuple[str, ...], ours: tuple[str, ...]) -> Pattern:
        text = rf"(?:^|\.)(?:{'|'.join(patterns)})[._](\d{{1,6}})\."
        return _ready(text, patterns == ours)

    return Rules(
        modules=tuple((role, module(end), sibling) for role, end, sibling in table.modules),
        towers=tuple((tower, within(pattern)) for tower, pattern, _ in table.towers),
        prefixes=tuple((prefix, within(pattern)) for prefix, pattern, _ in table.prefixes),
        parts=tuple((part, _ready(end, end in _texts(standard))) for part, end, _ in table.parts),
        layer=numbered(table.layers, standard.layers),
        expert=numbered(table.experts, standard.experts),
    )


def _ready(pattern: str, ours: bool) -> Pattern:
    """Compile a pattern; the patterns of this package are known to be safe for `re`."""
    return (
        re.compile(pattern) if ours else compiled_pattern(pattern, "rules", most=MAX_RULE_LETTERS)
    )


@lru_cache(maxsize=16)
def _texts(table: Table) -> frozenset[str]:
    """Return all patterns of a table."""
    pairs = (*table.modules, *table.towers, *table.prefixes, *table.parts)
    return frozenset(pattern for _, pattern, _ in pairs).union(
        *(_texts(model) for _, model in table.models)
    )


@lru_cache(maxsize=1)
def standard_table() -> Table:
    """Return the table of this package, roles.toml."""
    return read_table(Path(__file__).with_name("roles.toml"))


def standard_rules() -> Rules:
    """Return the compiled rules of this package."""
    return compiled(standard_table())


def rules_for(own: Table | None, model_type: str | None) -> Rules:
    """Return the rules for one model: the user's, then those for its type, then the others."""
    table = standard_table()
    return compiled((own.before(table) if own else table).of_model(model_type))
