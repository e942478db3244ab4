# SPDX-License-Identifier: BSD-3-Clause
"""Tables of pandas as arrays; pandas itself is not imported."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .integers import exact_float64

_ADVICE = 'df.select_dtypes("number") leaves out what holds no numbers'


def is_frame(source: Any) -> bool:
    """Tell whether an object is a DataFrame of pandas, or of a class that is derived from it."""
    return "DataFrame" in _pandas_names(source)


def is_table(source: Any) -> bool:
    """Tell whether an object is a DataFrame; TypeError for a Series, which is a column."""
    if _pandas_names(source) & {"Series", "Index"}:
        kind = type(source).__name__
        raise TypeError(
            f"a {kind} of pandas is no matrix but a column; x.to_frame() is a table of it"
        )
    return is_frame(source)


def _pandas_names(source: Any) -> set[str]:
    bases = type(source).__mro__
    return {base.__name__ for base in bases if base.__module__.startswith("pandas")}


def table_array(table: Any) -> NDArray[Any]:
    """Return the numbers of a DataFrame, without a copy where all columns have one float dtype.

    Raises
    ------
    TypeError
        If a column holds no real numbers, or misses some.
    ValueError
        If float64 does not have an integer of a column.
    """
    dtypes = list(table.dtypes)
    if len(set(dtypes)) == 1 and isinstance(dtypes[0], np.dtype) and dtypes[0].kind == "f":
        return np.asarray(table.to_numpy())
    columns = [_column(table.iloc[:, i], name) for i, name in enumerate(table.columns)]
    return np.stack(columns, axis=1) if columns else np.empty(table.shape)


def _column(column: Any, name: object) -> NDArray[np.float64]:
    kind = getattr(column.dtype, "kind", "O")
    if kind not in "iubf":
        raise TypeError(
            f"column {name!r} of the DataFrame has dtype {column.dtype}, no real numbers; {_ADVICE}"
        )
    if kind != "f" and column.isna().any():
        raise TypeError(
            f"column {name!r} of the DataFrame has missing values: say what stands there, "
            "df.fillna(0), or leave out the rows, df.dropna()"
        )
    numbers = np.asarray(column.to_numpy())
    return exact_float64(numbers) if numbers.dtype.kind in "iub" else numbers.astype(np.float64)
