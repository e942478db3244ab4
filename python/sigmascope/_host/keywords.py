# SPDX-License-Identifier: BSD-3-Clause
"""Keywords of the public functions: visible signatures, and messages on unknown ones."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import wraps
from typing import Any, TypeVar, cast, get_args, get_type_hints

from .keyword_names import OTHER_NAMES, REMARKS
from .kinds import Kind
from .resources import NAMES, with_resources

F = TypeVar("F", bound=Callable[..., Any])

_OWN_CHECKS = ("seed", "memory_limit")
"""Parameters that have their own check, with more in its message."""

_KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY
_NO_PARAMETER = inspect.Parameter("none", _KEYWORD_ONLY)


def public(function: F) -> F:
    """Decorate a public function: show every option in its signature, and explain wrong ones.

    Unknown keywords raise TypeError, and so do arguments that do not fit their annotation. If a
    call leaves out keywords of :class:`sigmascope.Resources`, they come from its `resources` and
    from the blocks around it.

    Options that a function takes as ``**options: Unpack[SomeTypedDict]`` are shown by
    :func:`inspect.signature` and :func:`help` as keyword-only parameters with their types and the
    default None. Type checkers see the function as it is written. ``__wrapped__`` is the function
    without the check.
    """
    return _checked(function, {})


def public_with_options_of(source: Callable[..., Any]) -> Callable[[F], F]:
    """Return the decorator :func:`public` for options whose defaults are those of `source`."""
    parameters = inspect.signature(source).parameters
    defaults = {name: parameter.default for name, parameter in parameters.items()}
    return lambda function: _checked(function, defaults)


def explaining_keywords(function: F) -> F:
    """Decorate a function: explain only unknown keywords. It checks its arguments itself."""
    return _checked(function, {}, kinds=False)


def similar(name: str, names: Iterable[str]) -> str:
    """Return the names most similar to another one, as the end of a message."""
    near = get_close_matches(name, names, n=2, cutoff=0.5)
    return f" (similar: {', '.join(map(repr, near))})" if near else ""


def _checked(function: F, defaults: Mapping[str, object], *, kinds: bool = True) -> F:
    signature = _complete(function, defaults)
    known = signature.parameters.keys()
    name = function.__qualname__.removesuffix(".__init__")
    by_name = {
        parameter.name: kind
        for parameter in signature.parameters.values()
        if kinds
        and parameter.name not in _OWN_CHECKS
        and (kind := Kind.of(parameter.annotation)) is not None
    }
    shared = [
        name for name in NAMES if name in known and signature.parameters[name].kind is _KEYWORD_ONLY
    ]
    positions = [by_name.get(parameter) for parameter in known]

    @wraps(function)
    def checked(*args: Any, **keywords: Any) -> Any:
        if not keywords.keys() <= known:
            unknown = [keyword for keyword in keywords if keyword not in known]
            raise TypeError(_message(name, unknown, [*known]))
        own = [
            value if kind is None else kind.checked(name, parameter, value)
            for kind, parameter, value in zip(positions, known, args, strict=False)
        ]
        keywords |= {
            parameter: by_name[parameter].checked(name, parameter, value)
            for parameter, value in keywords.items()
            if parameter in by_name
        }
        if shared:
            keywords = with_resources(keywords, shared)
        return function(*own, *args[len(own) :], **keywords)

    checked.__signature__ = signature  # type: ignore[attr-defined]
    return cast("F", checked)


def _complete(function: Callable[..., Any], defaults: Mapping[str, object]) -> inspect.Signature:
    """Return the signature of a function, with the keys of a TypedDict for its ``**options``."""
    signature = inspect.signature(function)
    *others, last = [*signature.parameters.values()] or [_NO_PARAMETER]
    if last.kind is not inspect.Parameter.VAR_KEYWORD:
        return signature
    (options,) = get_args(get_type_hints(function)[last.name])
    shown = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=defaults.get(name),
            annotation=getattr(annotation, "__forward_arg__", annotation),
        )
        for name, annotation in _annotations(options)
    ]
    return signature.replace(parameters=[*others, *shown])


def _annotations(options: type) -> Iterator[tuple[str, Any]]:
    """Yield the keys of a TypedDict with their types, as written."""
    yield from inspect.get_annotations(options).items()


def _message(name: str, unknown: list[str], known: list[str]) -> str:
    own = [each for each in known if each not in ("self", "cls") and not each.startswith("_")]
    clauses = ", ".join(_explained(keyword, own) for keyword in unknown)
    takes = f"its keywords are {', '.join(own)}" if own else "it has no keywords"
    return f"{name}() has no keyword {clauses}; {takes}"


def _explained(keyword: str, own: list[str]) -> str:
    """Return an unknown keyword and what to use instead, if the function has such a keyword."""
    clause = repr(keyword)
    for name in OTHER_NAMES.get(keyword, ()):
        if name in own:
            return f"{clause} (use {name}= instead)"
    for needed, remark in REMARKS.get(keyword, ()):
        if needed <= set(own):
            return f"{clause} ({remark})"
    close = get_close_matches(keyword, own, n=1)
    return f"{clause} (use {close[0]}= instead)" if close else clause
