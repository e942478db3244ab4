# SPDX-License-Identifier: BSD-3-Clause
"""pandas and polars tables as arrays; neither package is imported."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .integers import exact_float64

_ADVICE = {
    "pandas": 'df.select_dtypes("number") omits columns without numbers',
    "polars": "df.select(polars.selectors.numeric()) omits columns without numbers",
}
_FILLS = {
    "pandas": "df.fillna(0), or drop the rows, df.dropna()",
    "polars": "df.fill_null(0), or drop the rows, df.drop_nulls()",
}


def is_frame(source: Any) -> bool:
    """Return whether an object is a pandas or polars DataFrame, or of a derived class."""
    return any("DataFrame" in _names_in(package, source) for package in _ADVICE)


def is_table(source: Any) -> bool:
    """Return whether an object is a DataFrame; TypeError for a Series, which is a column."""
    for package in _ADVICE:
        names, kind = _names_in(package, source), type(source).__name__
        if names & {"Series", "Index"}:
            raise TypeError(
                f"a {kind} of {package} is a column, not a matrix; x.to_frame() makes a table of it"
            )
        if "LazyFrame" in names:
            raise TypeError(f"a {kind} of {package} has no numbers yet: call lazy.collect()")
    return is_frame(source)


def _names_in(package: str, source: Any) -> set[str]:
    """Return the names of the classes of a package from which an object is derived."""
    bases = type(source).__mro__
    return {base.__name__ for base in bases if base.__module__.split(".")[0] == package}


def table_array(table: Any) -> NDArray[Any]:
    """Return the numbers of a DataFrame, without a copy if all columns have one float dtype.

    Raises
    ------
    TypeError
        If a column does not hold real numbers, or has missing values.
    ValueError
        If an integer of a column is not exact in float64.
    """
    if "DataFrame" in _names_in("polars", table):
        return _polars_array(table)
    dtypes = list(table.dtypes)
    if len(set(dtypes)) == 1 and isinstance(dtypes[0], np.dtype) and dtypes[0].kind == "f":
        return np.asarray(table.to_numpy())
    columns = [_column(table.iloc[:, i], name) for i, name in enumerate(table.columns)]
    return np.stack(columns, axis=1) if columns else np.empty(table.shape)


def _column(column: Any, name: object) -> NDArray[np.float64]:
    kind = getattr(column.dtype, "kind", "O")
    missing = kind in "iub" and bool(column.isna().any())
    _check_column("pandas", name, column.dtype, kind in "iubf", missing)
    numbers = np.asarray(column.to_numpy())
    return exact_float64(numbers) if numbers.dtype.kind in "iub" else numbers.astype(np.float64)


def _polars_array(table: Any) -> NDArray[Any]:
    """Return the numbers of a polars DataFrame, in float32 if all columns are float32."""
    columns = []
    for column in table.get_columns():
        kind = column.dtype
        known = kind.is_integer() or kind.is_float() or str(kind) == "Boolean"
        _check_column("polars", column.name, kind, known, known and column.null_count() > 0)
        numbers = np.asarray(column.to_numpy())
        whole = numbers.dtype.kind in "iub"
        columns.append(exact_float64(numbers) if whole else numbers)
    return np.stack(columns, axis=1) if columns else np.empty(table.shape)


def _check_column(package: str, name: object, dtype: object, real: bool, missing: bool) -> None:
    """Raise TypeError, with advice, for a column without real numbers or with missing values."""
    if not real:
        raise TypeError(
            f"column {name!r} of the DataFrame has dtype {dtype}, which does not hold real "
            f"numbers; {_ADVICE[package]}"
        )
    if missing:
        raise TypeError(
            f"column {name!r} of the DataFrame has missing values: fill them, {_FILLS[package]}"
        )
