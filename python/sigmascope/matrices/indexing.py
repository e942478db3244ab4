# SPDX-License-Identifier: BSD-3-Clause
"""Indices of a matrix: integers and slices, as NumPy's."""

from __future__ import annotations

import operator
from types import EllipsisType
from typing import Any, NamedTuple

import numpy as np

_OTHER = (
    "a matrix is indexed by integers and slices, not by {kind}. ss.vstack([A[i:i + 1] for i in "
    "rows]) is a lazy matrix of some rows; np.asarray(A)[key] decodes the whole matrix first"
)

Slice = slice | EllipsisType
"""An index that leaves its axis in place."""


class Axis(NamedTuple):
    """The part of an axis that an index takes: from `first` to `end`, in steps.

    `dropped`: the index is an integer, which leaves no axis.
    """

    first: int
    end: int
    step: int
    dropped: bool


def axes_of(key: Any, shape: tuple[int, int]) -> tuple[Axis, Axis]:
    """Resolve an index of a matrix.

    Raises
    ------
    IndexError
        There is no such row or column, or the index has more than two parts.
    TypeError
        It is neither integers nor slices.
    ValueError
        A slice runs backwards.
    """
    keys = list(key) if isinstance(key, tuple) else [key]
    if any(part is Ellipsis for part in keys):
        place = next(i for i, part in enumerate(keys) if part is Ellipsis)
        keys[place : place + 1] = [slice(None)] * max(3 - len(keys), 0)
    if len(keys) > 2:
        raise IndexError(f"a matrix has 2 dimensions, not {len(keys)}")
    rows, columns = [*keys, slice(None), slice(None)][:2]
    return _axis(rows, shape[0], "row"), _axis(columns, shape[1], "column")


def _axis(key: Any, extent: int, name: str) -> Axis:
    if isinstance(key, slice):
        start, stop, step = key.indices(extent)
        if step < 1:
            raise ValueError(f"a slice of a matrix must have a positive step, not {step}")
        return Axis(start, max(start, stop), min(step, max(extent, 1)), False)
    if isinstance(key, (bool, np.bool_)) or getattr(key, "shape", ()) != ():
        raise TypeError(_OTHER.format(kind=_kind(key)))
    try:
        index = operator.index(key)
    except TypeError:
        raise TypeError(_OTHER.format(kind=_kind(key))) from None
    place = index + extent if index < 0 else index
    if not 0 <= place < extent:
        raise IndexError(f"{name} {index} is out of range: the matrix has {extent} {name}s")
    return Axis(place, place + 1, 1, True)


def _kind(key: Any) -> str:
    if key is None:
        return "None: it always has two axes"
    if isinstance(key, bool) or str(getattr(key, "dtype", "")) == "bool":
        return "booleans"
    if hasattr(key, "dtype") or isinstance(key, list):
        return "an array or a list"
    return f"a {type(key).__name__}"
