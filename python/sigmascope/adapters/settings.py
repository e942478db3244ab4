# SPDX-License-Identifier: BSD-3-Clause
"""The settings of an adapter from adapter_config.json: scales, ranks, orientation of products."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sigmascope._host.limits import MAX_PATTERN_TEXT, MAX_PATTERN_WORK, MAX_PATTERNS
from sigmascope.checkpoint.formats.index import read_json
from sigmascope.checkpoint.formats.jsontext import Members, brief, unique
from sigmascope.checkpoint.naming.patterns import SafePattern, compiled_pattern
from sigmascope.checkpoint.remote.paths import Place
from sigmascope.errors import CheckpointError

NAME = "adapter_config.json"

Patterns = tuple[tuple[SafePattern, float], ...]
Version = tuple[int, int, int]

# Initialisations that change the base weight too, so that B A is not the change from the original.
_CHANGES_BASE = ("pissa", "olora", "loftq", "corda", "lora_ga")
_OTHER_FORMS = ("use_qalora", "use_bdlora")


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one adapter.

    Attributes
    ----------
    r, alpha : int, float
        Rank and alpha of all modules that no pattern names.
    rslora : bool
        If True, the scale is alpha / sqrt(r) instead of alpha / r (Kalajdzievski 2023).
    ranks, alphas : tuple of (SafePattern, number)
        Values for the modules whose names end with a match; the first matching pattern counts.
    transposed : bool
        `fan_in_fan_out`: the rows of the weights are inputs.
    dora : bool
        If True, the rows of the changed weight are scaled as well.
    parameters : frozenset of str
        `target_parameters`: parameters that are adapted by their own names, or ends of the names.
    version : tuple of int or None
        Version of PEFT that wrote the adapter.
    base : str or None
        Path or name of the base model.
    notes : tuple of str
        Settings that change the meaning of B A.
    """

    path: Place
    r: int
    alpha: float
    rslora: bool
    ranks: Patterns
    alphas: Patterns
    transposed: bool
    dora: bool
    parameters: frozenset[str]
    version: Version | None
    base: str | None
    notes: tuple[str, ...]
    _ranks_by_module: dict[str, int] = field(default_factory=dict, repr=False, compare=False)
    _alphas_by_module: dict[str, float] = field(default_factory=dict, repr=False, compare=False)

    def rank_of(self, module: str) -> int:
        """Return the rank that the settings give a module."""
        if module not in self._ranks_by_module:
            self._ranks_by_module[module] = int(_matched(self.ranks, module, self.r))
        return self._ranks_by_module[module]

    def scale_of(self, module: str, rank: int) -> float:
        """Return the scale of the product of a module with this rank."""
        return self.alpha_of(module) / (rank**0.5 if self.rslora else rank)

    def alpha_of(self, module: str) -> float:
        """Return alpha of a module."""
        if module not in self._alphas_by_module:
            self._alphas_by_module[module] = _matched(self.alphas, module, self.alpha)
        return self._alphas_by_module[module]

    def check_work(self, modules: Iterable[str]) -> None:
        """Raise CheckpointError if matching all patterns could exceed the limit of steps."""
        patterns = [pattern for pattern, _ in (*self.ranks, *self.alphas)]
        names = set(modules)
        letters = max(map(len, names), default=0)
        works = [pattern.work(letters) for pattern in patterns]
        work = len(names) * sum(works)
        if work > MAX_PATTERN_WORK:
            most = max(works)
            raise CheckpointError(
                f"{patterns[works.index(most)].title} may take {most} steps for a name of "
                f"{letters} letters, and all {len(patterns)} patterns of ranks and alphas together "
                f"{work} steps for {len(names)} modules, above the limit of {MAX_PATTERN_WORK}: "
                "use simpler or fewer patterns"
            )


def _matched(patterns: Patterns, module: str, otherwise: float) -> float:
    """Return the value of the first pattern that matches a module."""
    return next((value for pattern, value in patterns if pattern.match(module)), otherwise)


def read_settings(path: Place) -> Settings:
    """Read and check an adapter_config.json.

    Raises
    ------
    CheckpointError
        The file cannot be read, belongs to another kind of adapter, or has an invalid value, which
        the message names.
    """
    members = read_json(path)
    kind = members.get("peft_type")
    if kind != "LORA":
        raise CheckpointError(f"{path}: peft_type {brief(kind)}: only LORA is supported")
    for form in _OTHER_FORMS:
        if members.get(form):
            shown = f"{form} {brief(members[form])}"
            raise CheckpointError(f"{path}: {shown}: this form is not supported")
    start, base = members.get("init_lora_weights"), members.get("base_model_name_or_path")
    notes: tuple[str, ...] = ()
    if isinstance(start, str) and start.startswith(_CHANGES_BASE):
        notes += (
            f"init_lora_weights {start!r} changes the base too: "
            "B A is not the change from the original weights",
        )
    if members.get("layer_replication"):
        notes += ("layer_replication: layers are counted as they are in the enlarged model",)
    return Settings(
        path=path,
        r=int(_number(members, "r", path, integer=True)),
        alpha=_number(members, "lora_alpha", path),
        rslora=_flag(members, "use_rslora", path),
        ranks=_patterns(members, "rank_pattern", path, integer=True),
        alphas=_patterns(members, "alpha_pattern", path),
        transposed=_flag(members, "fan_in_fan_out", path),
        dora=_flag(members, "use_dora", path),
        parameters=frozenset(_texts(members, "target_parameters", path)),
        version=_version(members.get("peft_version")),
        base=base if isinstance(base, str) else None,
        notes=notes,
    )


def _checked(value: object, where: str, integer: bool) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or (integer and not (isinstance(value, int) and value > 0)):
        kind = "positive whole number" if integer else "number"
        raise CheckpointError(f"{where} {brief(value)} is not a {kind}")
    assert isinstance(value, int | float)
    return float(value)


def _number(members: dict[str, Any], name: str, path: Place, integer: bool = False) -> float:
    if name not in members:
        raise CheckpointError(f"{path}: no {name!r}")
    return _checked(members[name], f"{path}: {name}", integer)


def _flag(members: dict[str, Any], name: str, path: Place) -> bool:
    value = members.get(name)
    if value not in (None, False, True):
        raise CheckpointError(f"{path}: {name} {brief(value)} is not true or false")
    return value is True


def _version(value: object) -> Version | None:
    """Return the numbers of a version, "0.18.2.dev0" as (0, 18, 2); None if it has no numbers."""
    match = re.match(r"(\d{1,9})\.(\d{1,9})(?:\.(\d{1,9}))?", str(value))
    if match is None:
        return None
    major, minor, patch = (int(number or 0) for number in match.groups())
    return major, minor, patch


def _texts(members: dict[str, Any], name: str, path: Place) -> tuple[str, ...]:
    value = members.get(name) or []
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise CheckpointError(f"{path}: {name} {brief(value)} is not a list of names")
    return tuple(value)


def _patterns(members: dict[str, Any], name: str, path: Place, integer: bool = False) -> Patterns:
    entries = unique(members.get(name) or Members(), f"{path}: {name}")
    if len(entries) > MAX_PATTERNS:
        raise CheckpointError(
            f"{path}: {name}: {len(entries)} patterns, above the limit of {MAX_PATTERNS}"
        )
    if (letters := sum(map(len, entries))) > MAX_PATTERN_TEXT:
        raise CheckpointError(
            f"{path}: {name}: {letters} letters in {len(entries)} patterns, above the limit of "
            f"{MAX_PATTERN_TEXT}; the longest is {brief(max(entries, key=len), 200)}"
        )
    patterns: list[tuple[SafePattern, float]] = []
    for key, value in entries.items():
        # PEFT: re.match(rf"(.*\.)?({key})$", name)
        pattern = compiled_pattern(rf"(.*\.)?({key})$", f"{path}: {name}", shown=key)
        patterns.append((pattern, _checked(value, f"{path}: {name}: {brief(key)}", integer)))
    return tuple(patterns)
