# SPDX-License-Identifier: BSD-3-Clause
"""Matrices that are no ordinary ones: zero, constant, of too low a rank, with copies of rows.

Most measures of such a matrix mean nothing, or are not there; so it is named before all medians.
"""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sigmascope._display.text import counted, short
from sigmascope._tables.schema import Row
from sigmascope.matrices.matrix import Matrix
from sigmascope.spectra import Moments, Spectrum

_BLOCK_BYTES = 1 << 23
"""Of rows that are decoded at a time to be told apart."""

_DEFICIENT = 1e-6
"""Of the largest singular value: a second one below that is none, as for the numerical rank."""


class Structure(NamedTuple):
    """What the entries of a matrix tell of it.

    Attributes
    ----------
    constant
        The number that all entries are; None of others.
    copied_rows, copied_columns
        How many are equal to an earlier one, number for number; 0 of a constant matrix.
    passes
        Reads of the matrix that this took.
    """

    constant: float | None = None
    copied_rows: int = 0
    copied_columns: int = 0
    passes: int = 0


def structure(a: Matrix, seen: Moments) -> Structure:
    """Look for a constant matrix, and for copies of rows and columns, exactly.

    Parameters
    ----------
    a : Matrix, shape (m, n), of finite numbers
    seen : Moments
        Of it, with both kinds of norms.

    Notes
    -----
    Equal rows have equal norms, to the bit, for these are summed in one order. So where no two
    norms are the same there is nothing to read, which costs a sort of m + n numbers; else the
    matrix is decoded once more, 8 MiB at a time, and the rows and columns whose norms agree are
    told apart by hashes of 128 bits. -0 counts as 0.
    """
    if seen.min == seen.max:
        return Structure(constant=float(seen.min))
    assert seen.row_norms is not None
    rows, columns = _alike(seen.row_norms), _alike(seen.column_norms)
    if not len(rows) and not len(columns):
        return Structure()
    if a._native.column_major:  # read along what lies together
        of_columns, of_rows = _copies(a.T, columns, rows)
    else:
        of_rows, of_columns = _copies(a, rows, columns)
    return Structure(None, of_rows, of_columns, passes=1)


def _alike(norms: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the places of numbers that occur more than once."""
    _, place, count = np.unique(norms, return_inverse=True, return_counts=True)
    return np.flatnonzero(count[place] > 1)


def _copies(a: Matrix, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> tuple[int, int]:
    """Count how many of these rows, and of these columns, are equal to an earlier one."""
    m, n = a.shape
    height = max(_BLOCK_BYTES // (8 * n), 1)
    of_rows: Counter[bytes] = Counter()
    of_columns = [blake2b(digest_size=16) for _ in columns]
    for start in range(0, m, height):
        here = rows[(rows >= start) & (rows < start + height)]
        if not len(here) and not len(columns):
            continue
        numbers = np.asarray(a[start : start + height], dtype=np.float64) + 0.0
        for i in here - start:
            of_rows[blake2b(numbers[i].tobytes(), digest_size=16).digest()] += 1
        for j, found in zip(columns, of_columns, strict=True):
            found.update(np.ascontiguousarray(numbers[:, j]).tobytes())
    copies = Counter(found.digest() for found in of_columns)
    return sum(of_rows.values()) - len(of_rows), sum(copies.values()) - len(copies)


def in_words(found: Structure, spectrum: Spectrum) -> str | None:
    """Say what makes a matrix no ordinary one; None if nothing does."""
    if found.constant is not None:
        zero = found.constant == 0.0
        return "all zero" if zero else f"constant {short(found.constant)}"
    rank, full = certain_rank(spectrum), min(spectrum.shape)
    parts = [] if rank is None or rank == full else [f"rank {rank}" + f" of {full}" * (rank > 1)]
    copies = (found.copied_rows, "row"), (found.copied_columns, "column")
    said = [counted(count, what) for count, what in copies if count]
    parts += [f"{' and '.join(said)} equal to others"] if said else []
    return "; ".join(parts) or None


def certain_rank(spectrum: Spectrum) -> int | None:
    """Return the numerical rank where it is certain; from the largest values at least if it is 1.

    It counts what exceeds a millionth of the largest value, and the floor of the method.
    """
    if "numerical_rank" in spectrum:
        rank = spectrum["numerical_rank"]
        return int(rank.value) if rank.error == 0.0 else None
    top, errors = spectrum.top, spectrum.top_errors
    one = len(top) > 1 and top[1] + errors[1] <= _DEFICIENT * top[0]
    return 1 if one else None


def structure_columns(found: Structure, spectrum: Spectrum) -> Row:
    """Return the columns of a row of a scan."""
    return {
        "structure": in_words(found, spectrum),
        "copied_rows": found.copied_rows,
        "copied_columns": found.copied_columns,
        "passes": spectrum.passes + found.passes,
    }
