# SPDX-License-Identifier: BSD-3-Clause
"""The rows of a scan as weightwatcher's table ``details``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sigmascope._tables.saving import import_pandas
from sigmascope._tables.schema import Row
from sigmascope.spectra import Measure, weightwatcher


def details_frame(rows: Sequence[Row]) -> Any:
    """Return analysed rows as a pandas DataFrame of weightwatcher's columns.

    Raises
    ------
    ImportError
        Without pandas.
    """
    return import_pandas().DataFrame(
        [
            {"layer_id": index, "name": row["name"], "longname": row["name"]}
            | {"layer_type": _layer_type(row)}
            | weightwatcher.details(row, _least(row))
            for index, row in enumerate(rows)
        ]
    )


def _layer_type(row: Row) -> str:
    """Return weightwatcher's word for the layer.

    A convolution kernel is one matrix here; weightwatcher makes a matrix of each slice.
    """
    if row["kind"] == "kernel":
        return "conv2d"
    return "embedding" if row["role"] == "embed" else "dense"


def _least(row: Row) -> Measure | None:
    """Return the least singular value, or None if the row has no quantiles."""
    if row["quantiles"] is None:
        return None
    return Measure(row["quantiles"][0], row["quantile_errors"][0], "spectrum")
