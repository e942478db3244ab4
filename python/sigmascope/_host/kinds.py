# SPDX-License-Identifier: BSD-3-Clause
"""Kinds of arguments, from their annotations: numbers, truth values, texts, paths, functions."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

Accepts = Callable[[Any], bool]


def is_integer(value: Any) -> bool:
    """Return True for values that Python accepts as an index: integers, also of NumPy."""
    try:
        operator.index(value)
    except TypeError:
        return False
    return True


def is_real(value: Any) -> bool:
    """Return True for one real number of any library, but not for texts or larger arrays."""
    if isinstance(value, (str, bytes)):
        return False
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    except OverflowError:
        return True  # an integer beyond float64; a check of its range refuses it later
    return True


def _is_truth(value: Any) -> bool:
    if is_integer(value):
        return bool(value in (0, 1))
    return type(value).__module__ == "numpy" and type(value).__name__.startswith("bool")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are_texts(value: Any) -> bool:
    return isinstance(value, Collection) and all(map(_is_text, value))


def _is_path(value: Any) -> bool:
    return isinstance(value, (str, bytes, os.PathLike))


def _are_paths(value: Any) -> bool:
    return value is None or _is_path(value) or all(map(_is_path, _listed(value)))


def _are_two_integers(value: Any) -> bool:
    return len(_listed(value)) == 2 and all(map(is_integer, value))


def _listed(value: Any) -> list[Any]:
    """Return the members of a sequence; for anything else, one object that has no kind."""
    return [*value] if isinstance(value, Collection) else [object()]


_FUNCTION = ("a function", callable)
_PATH = ("a path", _is_path)
_KINDS: dict[str, tuple[str, Accepts]] = {
    "int": ("an integer", is_integer),
    "float": ("a number", is_real),
    "bool": ("True or False", _is_truth),
    "str": ("a string", _is_text),
    "None": ("None", lambda value: value is None),
    "Sequence[str]": ("a sequence of strings", _are_texts),
    "Patterns": ("a string, a sequence of strings or None", lambda x: x is None or _are_texts(x)),
    "os.PathLike[str]": _PATH,
    "PathLike": _PATH,
    "Paths": ("a path, a sequence of paths or None", _are_paths),
    "tuple[int, int]": ("two integers", _are_two_integers),
    "Mapping[str, Any]": ("a mapping", lambda value: isinstance(value, Mapping)),
    "Executor": ("a concurrent.futures.Executor", lambda value: hasattr(value, "submit")),
    "Resources": ("a sigmascope.Resources", lambda value: hasattr(value, "memory_limit")),
    "ByteProgress": _FUNCTION,
    "Progress": _FUNCTION,
    "Log": _FUNCTION,
    "Clock": _FUNCTION,
}


class Kind(NamedTuple):
    """The kind of one parameter."""

    parts: tuple[str, ...]

    @classmethod
    def of(cls, annotation: object) -> Kind | None:
        """Return the kind that an annotation names, or None if a part of it is unknown."""
        parts = str(annotation).split(" | ")
        if not all(part in _KINDS for part in parts):
            return None
        return cls(tuple(parts))

    def checked(self, function: str, name: str, value: Any) -> Any:
        """Return a value of this kind; numbers become Python's own, which have no narrow range.

        Raises
        ------
        TypeError
            If the value is of another kind; the message has its name and the value.
        """
        for part in self.parts:
            if _KINDS[part][1](value):
                if part == "int":
                    return operator.index(value)
                return float(value) if part == "float" and not _is_python(value) else value
        words = " or ".join(dict.fromkeys(_KINDS[part][0] for part in self.parts))
        raise TypeError(f"{function}(): {name} must be {words}, not {value!r:.80}")


def _is_python(value: Any) -> bool:
    """Return True for numbers of Python and None, which are passed on unchanged."""
    return value is None or type(value) in (int, float, bool)
