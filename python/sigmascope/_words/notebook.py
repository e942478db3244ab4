# SPDX-License-Identifier: BSD-3-Clause
"""Results as HTML for notebooks; Jupyter calls the method ``_repr_html_``.

Every view is a caption and a table without scripts or styles, so that it looks like the rest of the
notebook.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigmascope._words.text import dimensions, number_of, printable, with_error

MOST_ROWS = 12
"""Rows of a view; a last line has the number of the others."""

_COLUMNS = {
    "scan": ("stable_rank", "effective_rank", "spectral_norm", "alpha_hill"),
    "comparison": ("relative_change", "delta_stable_rank", "delta_effective_rank"),
}
"""Measures of a table that are shown, if a row has them."""

Numbers = Sequence[float] | NDArray[np.float64]


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], total: int) -> str:
    """Return a table of texts as HTML, and a line with the number of rows that it leaves out.

    Parameters
    ----------
    caption
        Text above the table.
    head, rows
        Names of the columns, and texts of the rows that are shown.
    total
        Number of all rows.
    """
    shown = [_line("td", row) for row in rows]
    if total > len(shown):
        left_out = f"and {total - len(shown):,} more"
        shown.append(f'<tr><td colspan="{len(head)}">{left_out}</td></tr>')
    body = "".join(shown)
    return (
        f"<div><p>{escape(caption)}</p><table><thead>{_line('th', head)}</thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _line(tag: str, cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(printable(cell))}</{tag}>' for cell in cells)}</tr>"


def values_html(caption: str, values: Numbers, errors: Numbers, residuals: Numbers | None) -> str:
    """Show the largest singular values with their errors, and with residuals if there are any."""
    head = ["i", "σ"] if residuals is None else ["i", "σ", "residual"]
    rows = []
    for i, (value, error) in enumerate(zip(values[:MOST_ROWS], errors[:MOST_ROWS], strict=True)):
        row = [str(i + 1), with_error(float(value), float(error))]
        rows.append(row if residuals is None else [*row, f"{float(residuals[i]):.1e}"])
    return table(caption, head, rows, len(values))


def quantiles_html(caption: str, shares: Numbers, values: Numbers, errors: Numbers) -> str:
    """Show the quantiles of the singular values, with their errors."""
    rows = [
        [f"{share:.0%}", with_error(float(value), float(error))]
        for share, value, error in zip(shares, values, errors, strict=True)
    ]
    return table(caption, ["share of the values", "at most σ"], rows, len(rows))


def measures_html(caption: str, measures: Mapping[str, Any]) -> str:
    """Show all measures of a matrix, each with its error and basis."""
    rows = [[name, with_error(m.value, m.error), m.basis] for name, m in measures.items()]
    return table(caption, ["measure", "value", "basis"], rows, len(rows))


def rows_html(caption: str, rows: Sequence[Mapping[str, Any]], what: str) -> str:
    """Show the first rows of a scan or of a comparison with a few measures.

    Parameters
    ----------
    what
        "scan" or "comparison".
    """
    names = [n for n in _COLUMNS.get(what, ()) if any(row.get(n) is not None for row in rows)]
    shown = [
        [row["name"], _size(row), row["status"], *(number_of(row, name) for name in names)]
        for row in rows[:MOST_ROWS]
    ]
    head = ["tensor", "shape", "status", *(name.replace("_", " ") for name in names)]
    return table(caption, head, shown, len(rows))


def _size(row: Mapping[str, Any]) -> str:
    shape = row.get("shape") or row.get("before_shape") or row.get("after_shape")
    return dimensions(shape) if shape else ""
