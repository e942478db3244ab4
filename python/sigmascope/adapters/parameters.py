# SPDX-License-Identifier: BSD-3-Clause
"""Parameters that PEFT adapts by their own names (`target_parameters`), and how it wraps them.

PEFT wraps the module of a parameter in a layer that holds the factors. If it adapts several
parameters of one module, each wrapper is the `base_layer` of the next one, in the module's order of
parameters. The names of factors count the wrappers instead of naming the parameter.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

_NESTED = ("gate_up_proj", "down_proj")
"""Stacked parameters of one module, in the module's order, in which PEFT wraps them; the last one
is outermost."""

_WRAPPER = ".base_layer"

Key = tuple[str, str | None]
"""Name of a module with factors, and of its adapter."""


class Parameter(NamedTuple):
    """Name of an adapted parameter, or the reason why the name is not known."""

    name: str
    reason: str | None = None


def wrapped(parameters: Sequence[str]) -> dict[str, str]:
    """Return the names of the modules with which PEFT wraps stacked parameters.

    If one module has several such parameters, each wrapper is the `base_layer` of the next one.
    """
    modules: dict[str, list[str]] = {}
    for parameter in parameters:
        module, _, own = parameter.rpartition(".")
        modules.setdefault(module, []).append(own)
    return {
        f"{module}.{own}": module + _WRAPPER * (len(names) - 1 - depth)
        for module, names in modules.items()
        for depth, own in enumerate(_ordered(names))
    }


def has_known_order(names: Collection[str]) -> bool:
    """Return whether the order in which PEFT wraps these parameters of a module is known."""
    return len(names) < 2 or set(names) <= {*_NESTED}


def _ordered(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda own: _NESTED.index(own) if own in _NESTED else 0)


def parameters_of(
    rows: Mapping[Key, int | None], ranks: Mapping[Key, int], targets: Collection[str]
) -> dict[Key, Parameter]:
    """Return the parameters whose factors these modules hold, without modules that hold none.

    Parameters
    ----------
    rows
        Rows of the factor A of every module; None for a module without A.
    ranks
        Rank of every module from the settings.
    targets
        `target_parameters`: names, or ends of names that follow a dot.
    """
    if not targets:
        return {}
    wrappers: dict[Key, list[Key]] = {}
    for module, adapter in rows:
        wrappers.setdefault((_unwrapped(module), adapter), []).append((module, adapter))
    parameters: dict[Key, Parameter] = {}
    for (inner, _), keys in wrappers.items():
        # A name without a module may belong to any module that is not a plain layer.
        plain = len(keys) == 1 and rows[keys[0]] == ranks[keys[0]]
        names = sorted(set(_named(inner, targets, bare=not plain)))
        if names:
            parameters |= _assigned(inner, names, keys)
    return parameters


def _unwrapped(module: str) -> str:
    while module.endswith(_WRAPPER):
        module = module.removesuffix(_WRAPPER)
    return module


def _named(module: str, targets: Collection[str], *, bare: bool) -> Iterable[str]:
    """List the parameters of a module that the settings name."""
    for target in targets:
        parent, _, own = target.rpartition(".")
        if f".{module}".endswith(f".{parent}") if parent else bare:
            yield own


def _assigned(inner: str, names: list[str], keys: list[Key]) -> dict[Key, Parameter]:
    """Give every wrapper around a module its parameter."""
    keys = sorted(keys, key=lambda key: -len(key[0]))  # the innermost first
    depths = [inner + _WRAPPER * (len(names) - 1 - depth) for depth in range(len(names))]
    reason = None
    if [module for module, _ in keys] != depths:
        have = ", ".join(module for module, _ in keys)
        reason = (
            f"target_parameters names {', '.join(names)} of {inner}, whose factors are those of "
            f"{', '.join(depths)}; the file has those of {have}"
        )
    elif not has_known_order(names):
        reason = (
            f"target_parameters names {', '.join(names)} of {inner}, but the files do not give "
            "their order in the module, which decides whose factors are whose"
        )
    own = _ordered(names) if reason is None else [None] * len(keys)
    return {
        key: Parameter(f"{key[0]}.weight" if name is None else f"{inner}.{name}", reason)
        for key, name in zip(keys, own, strict=True)
    }
